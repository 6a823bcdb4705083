"""params.yaml: its schema, the checks across sections, reading and editing it."""
