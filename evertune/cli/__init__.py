"""The command `evertune`."""
