"""Count how often hold-out rows were used for a decision, and widen the intervals accordingly.

Each test that may promote is a use. The allowed probability of a false promotion is spent over
the uses of one hold-out: use k gets the share 1 / (k (k + 1)) (`alpha_share`), so that the
shares of all uses sum to 1, and `adjusted_confidence` gives the confidence level of the
interval. By Boole's inequality this holds however the uses depend on each other (DeMets and Lan
1994, Interim Analysis: The Alpha Spending Function Approach). Hold-outs that share at least a
tenth of their rows count as one; `row_key_sketch` and `sketch_overlap` estimate that by
bottom-k sketches (Cohen and Kaplan 2007, Summarizing Data Using Bottom-k Sketches).
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

SKETCH_SIZE = 256
MIN_OVERLAP = 0.1  # hold-outs that share less are told apart


def row_key_sketch(row_keys: Iterable[str]) -> tuple[int, ...]:
    """Return the smallest hashes of the keys, in order: a sample that finds the same rows again.

    References
    ----------
    Cohen and Kaplan (2007), Summarizing Data Using Bottom-k Sketches.

    Examples
    --------
    >>> row_key_sketch(["a", "b"]) == row_key_sketch(["b", "a", "a"])
    True
    """
    return tuple(sorted({_hash_key(key) for key in row_keys})[:SKETCH_SIZE])


@dataclass(frozen=True)
class HoldoutUse:
    """One comparison of a version with a champion on the rows of a hold-out.

    Attributes
    ----------
    record_id : str
        Digest of what was compared and on which rows: the same evidence, the same look.
    rival : str
        The champion that it was compared with.
    sketch : tuple of int
        Of the keys of these rows, by which they are known again.
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


def sketch_overlap(now: Sequence[int], before: Sequence[int]) -> float:
    """Return about which share of the rows of one sketch are rows of the other, too.

    Both sketches are complete up to the smaller of their largest hashes; the share is counted
    there. Where nothing of the first lies there the rows cannot be told apart, and count as the
    same.
    """
    if not now or not before:
        return 0.0
    known, top = set(before), min(_sketch_upper_bound(now), _sketch_upper_bound(before))
    shared = [each in known for each in now if each <= top]
    return sum(shared) / len(shared) if shared else 1.0


def holdout_use_number(now: Sequence[int], earlier: Iterable[HoldoutUse]) -> int:
    """Return which look at its rows one is: 1 where less than a tenth of them were looked at.

    Parameters
    ----------
    now : sequence of int
        The sketch of its rows.
    earlier : iterable of HoldoutUse
        Those before it, whatever rows they looked at.

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


def holdout_use_text(look: int, confidence: float) -> str:
    """Return where a look stands, for a reason of a verdict.

    Examples
    --------
    >>> holdout_use_text(3, 0.99167)
    'look 3 at these rows: 99.2 % interval'
    """
    return f"look {look} at these rows: {100 * confidence:.3g} % interval"


def _sketch_upper_bound(found: Sequence[int]) -> float:
    return found[-1] if len(found) >= SKETCH_SIZE else float("inf")


def _hash_key(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest())


def alpha_share(look: int) -> float:
    """Return the share of the whole that a look may spend, 1 / (k (k + 1)).

    The shares of the first k looks sum to 1 - 1 / (k + 1), so that those of all looks, however
    many, sum to 1, and the first has half of it.
    """
    if look < 1:
        raise ValueError(f"'look' must be at least 1. Got {look} instead.")
    return 1 / (look * (look + 1))


def adjusted_confidence(look: int, *, false_promotions: float) -> float:
    """Return the two-sided confidence whose tail is what a look may spend.

    A version that is no better is promoted where the low end of its interval is above 0, with a
    chance of (1 - confidence) / 2; over all looks at a hold-out that is at most
    `false_promotions`.

    Parameters
    ----------
    look : int
        From 1.
    false_promotions : float
        Above 0 and below 1: the chance that any look at one hold-out promotes by luck alone.

    Raises
    ------
    ValueError
        If the look is below 1, or the share is not between 0 and 1.

    Examples
    --------
    >>> round(adjusted_confidence(1, false_promotions=0.05), 6)
    0.95
    >>> round(adjusted_confidence(2, false_promotions=0.05), 4)
    0.9833
    """
    if not 0 < false_promotions < 1:
        raise ValueError(
            f"'false_promotions' must be above 0 and below 1. Got {false_promotions} instead."
        )
    return 1 - 2 * false_promotions * alpha_share(look)
