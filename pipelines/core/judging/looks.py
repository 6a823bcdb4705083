"""Looks at a hold-out: how often its rows have been used for a decision.

Each test that may promote is a look. What remains of the false promotions that are allowed is
spent over them, so that rows which many versions were compared on ask for wider intervals.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

SKETCH_ROWS = 256
SHARED = 0.1  # hold-outs that share less are told apart


@dataclass(frozen=True)
class Look:
    """One comparison of a version with a champion on the rows of a hold-out.

    Attributes
    ----------
    record_id : str
        Digest of what was compared and on which rows: the same evidence, the same look.
    moment : datetime
    version : str
    rival : str
        The champion that it was compared with.
    n_rows : int
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


def sketch(row_keys: Iterable[str]) -> tuple[int, ...]:
    """Return the smallest hashes of the keys, in order: a sample that finds the same rows again.

    References
    ----------
    Cohen and Kaplan (2007), Summarizing Data Using Bottom-k Sketches.

    Examples
    --------
    >>> sketch(["a", "b"]) == sketch(["b", "a", "a"])
    True
    """
    return tuple(sorted({_hash(key) for key in row_keys})[:SKETCH_ROWS])


def overlap(now: Sequence[int], before: Sequence[int]) -> float:
    """Return about which share of the rows of one sketch are rows of the other, too.

    Both sketches are complete up to the smaller of their largest hashes; the share is counted
    there. Where nothing of the first lies there the rows cannot be told apart, and count as the
    same.

    Parameters
    ----------
    now, before : sequence of int
        As `sketch` returns them.

    Examples
    --------
    >>> overlap(sketch("abcd"), sketch("cdef"))
    0.5
    """
    if not now or not before:
        return 0.0
    known, top = set(before), min(_complete_to(now), _complete_to(before))
    shared = [each in known for each in now if each <= top]
    return sum(shared) / len(shared) if shared else 1.0


def look_number(now: Sequence[int], earlier: Iterable[Look]) -> int:
    """Return which look at its rows one is: 1 where less than a tenth of them were looked at.

    Parameters
    ----------
    now : sequence of int
        The sketch of its rows.
    earlier : iterable of Look
        Those before it, whatever rows they looked at.

    Examples
    --------
    >>> from datetime import UTC
    >>> before = Look("a", datetime(2024, 5, 1, tzinfo=UTC), "2", "1", 4, sketch("abcd"))
    >>> look_number(sketch("cdef"), [before]), look_number(sketch("efgh"), [before])
    (2, 1)
    """
    return 1 + sum(each.tests for each in earlier if overlap(now, each.sketch) >= SHARED)


def look_text(look: int, confidence: float) -> str:
    """Return where a look stands, for a reason of a verdict.

    Examples
    --------
    >>> look_text(3, 0.99167)
    'look 3 at these rows: 99.2 % interval'
    """
    return f"look {look} at these rows: {100 * confidence:.3g} % interval"


def _complete_to(found: Sequence[int]) -> float:
    return found[-1] if len(found) >= SKETCH_ROWS else float("inf")


def _hash(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest())
