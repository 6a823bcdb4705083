"""What a statistical test found."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class TestResult:
    """What a test of two models found; positive means that left is better.

    Attributes
    ----------
    name : str
    difference, low, high : float, optional
    p_value : float, optional
        One-sided, of "left is not better".
    n : int
    note : str
    """

    __test__: ClassVar[bool] = False  # pytest takes a class named Test... for a test

    name: str
    difference: float | None
    low: float | None
    high: float | None
    p_value: float | None
    n: int
    note: str = ""
