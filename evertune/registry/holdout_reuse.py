"""Count how often hold-out rows were used for a decision, and widen the intervals accordingly.

Each test that may promote is a use. The allowed probability of a false promotion is spent over
the uses of one hold-out: use k gets the share 1 / (k (k + 1)), so that the shares of all uses sum
to 1, and `adjusted_confidence` gives the confidence level of the interval. By Boole's inequality
this holds however the uses depend on each other (DeMets and Lan 1994, Interim Analysis: The Alpha
Spending Function Approach). Hold-outs that share at least a tenth of their rows count as one;
`row_key_sketch` and `sketch_overlap` estimate that by bottom-k sketches (Cohen and Kaplan 2007,
Summarizing Data Using Bottom-k Sketches).
"""

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

SKETCH_SIZE = 256
MIN_OVERLAP = 0.1  # hold-outs that share less are different ones


@dataclass(frozen=True)
class HoldoutUse:
    """One comparison of a version with a champion on the rows of a hold-out; stored.

    Attributes
    ----------
    record_id : str
        Digest of what was compared and on which rows: the same comparison is one use.
    rival : str
        The champion that it was compared with.
    sketch : tuple of int
        Of the keys of these rows, by which they are recognised.
    tests : int
        How many tests of it may promote.
    """

    record_id: str
    moment: datetime
    version: str
    rival: str
    n_rows: int
    sketch: tuple[int, ...]
    tests: int = 1


def row_key_sketch(row_keys: Iterable[str]) -> tuple[int, ...]:
    """Return the smallest hashes of the keys, in order: a sample that finds the same rows again.

    Examples
    --------
    >>> row_key_sketch(["a", "b"]) == row_key_sketch(["b", "a", "a"])
    True
    """
    hashes = {
        int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest()) for key in row_keys
    }
    return tuple(sorted(hashes)[:SKETCH_SIZE])


def sketch_overlap(now: Sequence[int], before: Sequence[int]) -> float:
    """Return about which share of the rows of one sketch are rows of the other, too.

    Both sketches are complete up to the smaller of their largest hashes; the share is counted
    there. Where nothing of the first lies there it is unknown which rows are shared, and all count.
    """
    if not now or not before:
        return 0.0
    top = min((each[-1] for each in (now, before) if len(each) >= SKETCH_SIZE), default=math.inf)
    known = set(before)
    shared = [each in known for each in now if each <= top]
    return sum(shared) / len(shared) if shared else 1.0


def holdout_use_number(now: Sequence[int], earlier: Iterable[HoldoutUse]) -> int:
    """Return the number of a use of hold-out rows; 1 if less than a tenth of them were used before.

    Parameters
    ----------
    now : sequence of int
        The sketch of its rows.
    earlier : iterable of HoldoutUse
        Those before it, of whatever rows.

    Examples
    --------
    >>> from datetime import UTC
    >>> day = datetime(2024, 5, 1, tzinfo=UTC)
    >>> before = HoldoutUse("a", day, "2", "1", 4, row_key_sketch("abcd"))
    >>> [holdout_use_number(row_key_sketch(keys), [before]) for keys in ("cdef", "efgh")]
    [2, 1]
    """
    return 1 + sum(
        each.tests for each in earlier if sketch_overlap(now, each.sketch) >= MIN_OVERLAP
    )


def adjusted_confidence(use: int, *, alpha: float) -> float:
    """Return the two-sided confidence whose upper tail is what a use of a hold-out may spend.

    A version that is no better is promoted where the low end of its interval is above 0, with a
    probability of (1 - confidence) / 2 = alpha / (use (use + 1)); over all uses of a hold-out
    that is at most `alpha`.

    Parameters
    ----------
    use : int
        From 1.
    alpha : float
        Above 0 and below 1: the probability that any use promotes by luck alone.

    Examples
    --------
    >>> round(adjusted_confidence(1, alpha=0.05), 6)
    0.95
    >>> round(adjusted_confidence(2, alpha=0.05), 4)
    0.9833
    """
    if use < 1:
        raise ValueError(f"'use' must be at least 1. Got {use} instead.")
    if not 0 < alpha < 1:
        raise ValueError(f"'alpha' must be above 0 and below 1. Got {alpha} instead.")
    return 1 - 2 * alpha * (1 / (use * (use + 1)))
