"""The search: the only door to Ray."""
