"""Families of models, fits with early stopping and deadlines, fitted models and their files."""
