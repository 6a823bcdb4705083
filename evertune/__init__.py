"""Keep a tabular model tuned: search, register, serve, watch, and search again on drift."""
