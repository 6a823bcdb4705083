"""The final model: which trials, which training window, refits, where it came from."""
