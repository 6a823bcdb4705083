"""What DVC keeps on this machine, as files named by their md5s.

A folder is kept as a list of its files, whose md5 ends in `.dir`, and the files.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = ".dir"


@dataclass(frozen=True)
class Kept:
    """One file in DVC's store.

    Attributes
    ----------
    md5 : str
    path : Path
    n_bytes : int
    changed_seconds : float
        When it was put there, since 1970.
    """

    md5: str
    path: Path
    n_bytes: int
    changed_seconds: float


def kept_objects(store: Path) -> Iterator[Kept]:
    """Yield every file of the store; what is being written is left out."""
    for path in sorted(store.glob("[0-9a-f][0-9a-f]/*")):
        md5 = f"{path.parent.name}{path.name}"
        if len(md5.removesuffix(FOLDER)) == 32:  # noqa: PLR2004 -- hexadecimal digits of an md5
            found = path.stat()
            yield Kept(md5, path, found.st_size, found.st_mtime)


def contents(store: Path, md5: str) -> dict[str, str]:
    """Return the md5 of each file of a folder by its path there; empty where it is not kept here.

    Parameters
    ----------
    store : Path
    md5 : str
        Of the folder.
    """
    path = store / md5[:2] / md5[2:]
    if not path.is_file():
        return {}
    return {entry["relpath"]: entry["md5"] for entry in json.loads(path.read_bytes())}


def with_contents(store: Path, md5s: Iterable[str]) -> frozenset[str]:
    """Return md5s with those of all files in the folders among them."""
    named = frozenset(md5s)
    folders = [md5 for md5 in named if md5.endswith(FOLDER)]
    return named.union(*(contents(store, md5).values() for md5 in folders))
