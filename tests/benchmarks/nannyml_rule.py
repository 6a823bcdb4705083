"""NannyML's default threshold on daily error rates; run by an interpreter that has NannyML.

`python nannyml_rule.py GIVEN.npz ALARMS.npy`: three standard deviations around the mean of the
reference's chunks, one chunk a day.
"""

import sys

import numpy as np
from nannyml.thresholds import StandardDeviationThreshold


def main() -> None:
    given = np.load(sys.argv[1])
    alarms = [
        outside(reference, production)
        for reference, production in zip(given["reference"], given["production"], strict=True)
    ]
    np.save(sys.argv[2], np.array(alarms))


def outside(reference: np.ndarray, production: np.ndarray) -> np.ndarray:
    low, high = StandardDeviationThreshold().thresholds(reference)
    return (production < low) | (production > high)


if __name__ == "__main__":
    main()
