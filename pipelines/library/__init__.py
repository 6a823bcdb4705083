"""The search as a library: from a table in memory to a model."""
