"""Families that need a library beside those that the project always has."""

from collections.abc import Iterable
from importlib.util import find_spec

EXTRAS = {"embedding_network": ("torch", "neural")}  # the library, and the extra that brings it


def check_installed(families: Iterable[str]) -> None:
    """Refuse families whose library is not there.

    Raises
    ------
    ValueError
        If there are any; the message says how to install what they need.

    Examples
    --------
    >>> check_installed(["linear", "lightgbm"])
    """
    for family in sorted(set(families) & set(EXTRAS)):
        library, extra = EXTRAS[family]
        if not is_installed(library):
            raise ValueError(
                f"{family} needs {library}, which is not installed. Install it by "
                f"`pip install evertune[{extra}]`, or leave {family} out of search.families."
            )


def is_installed(library: str) -> bool:
    """Return whether a library is there, without importing it.

    Examples
    --------
    >>> is_installed("numpy"), is_installed("no_such_library")
    (True, False)
    """
    return find_spec(library) is not None
