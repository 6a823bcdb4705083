"""Ensembles of the trials of a search.

- `selection`: which trials make the model, and their weights (greedy ensemble selection).
- `oof`: out-of-fold predictions of trials, on the rows that they share.
- `calibration`: temperature and decision threshold.
- `blend_metrics`: metrics of many blends at once, which makes the selection fast.
"""
