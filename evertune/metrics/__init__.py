"""Metrics, their weighted forms, and losses of single rows."""
