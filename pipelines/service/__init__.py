"""Answers requests: what the scoring service is made of."""
