"""Evidently's default test of a daily accuracy; run by an interpreter that has Evidently.

`python evidently_rule.py GIVEN.npz ALARMS.npy`: within 20 % of the reference's accuracy, as its
Accuracy has it where a reference and no test is given.
"""

import sys

import numpy as np
from evidently.legacy.tests.utils import approx

RELATIVE = 0.2


def main() -> None:
    given = np.load(sys.argv[1])
    alarms = [
        [1 - error != approx(1 - reference.mean(), relative=RELATIVE) for error in production]
        for reference, production in zip(given["reference"], given["production"], strict=True)
    ]
    np.save(sys.argv[2], np.array(alarms))


if __name__ == "__main__":
    main()
