"""The results of the statistics: a value with its interval, a paired difference, a test.

Reports and decision records store them, so the names of their fields are a stored format.
"""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Estimate:
    """A value with its confidence interval.

    Attributes
    ----------
    value, low, high : float, optional
        None where they are undefined, or there is too little data for an interval.
    method : str
        How the interval was made, or why it is missing.
    p_value : float, optional
        One-sided, of "the value is not above 0": below (1 - confidence) / 2 if `low` is above 0.
    n : int
        Rows, or folds.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    method: str = ""
    p_value: float | None = None
    n: int = 0


@dataclass(frozen=True)
class PairedDifference:
    """By how much one prediction is better than another; positive means that left is better.

    Attributes
    ----------
    mean : float, optional
        The difference on all rows, in the metric's own unit.
    low, high : float, optional
        Its confidence interval.
    share_better : float, optional
        The share of draws in which left is better, ties counted half.
    n_rows : int
        Rows that both predict.
    method : str
        How the interval was made, or why it is missing.
    p_value : float, optional
        One-sided, of "left is not better": below (1 - confidence) / 2 if `low` is above 0.
    """

    mean: float | None
    low: float | None
    high: float | None
    share_better: float | None
    n_rows: int
    method: str = ""
    p_value: float | None = None


@dataclass(frozen=True)
class TestResult:
    """A test of two models as decision records store it; positive means that left is better."""

    __test__: ClassVar[bool] = False  # pytest takes a class named Test... for a test

    name: str
    difference: float | None
    low: float | None
    high: float | None
    p_value: float | None
    n: int
    note: str = ""
