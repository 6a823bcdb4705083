"""Baselines, evaluation, slices, importance, plots, the report."""
