"""Out-of-fold predictions, greedy ensemble selection, calibration and thresholds."""
