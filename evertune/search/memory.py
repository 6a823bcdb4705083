"""Estimate the memory of a fit and wait until so much is free.

A fit that does not fit into memory would end the worker process, and the operating system may end
others with it. `estimate_fit_bytes` uses peaks measured per family and rounded up. `free_bytes`
knows the limits of containers (cgroups), which `psutil` does not.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

BYTES_PER_CELL = 8
MIN_FIT_BYTES = 50 * 10**6  # what a fit takes beside its rows
# Peak memory of a fit beside its encoded rows, in copies of them.
COPIES_BY_FAMILY = {"hist_gradient_boosting": 3.0, "catboost": 3.0, "lightgbm": 1.5, "xgboost": 1.5}
DEFAULT_COPIES = 2.0
FORESTS = ("random_forest", "extra_trees")
BYTES_PER_NODE = 200  # in memory, and as the bytes that are stored
MAX_TREE_NODES = 20_000  # of a tree, see evertune.models.sklearn_models
DEFAULT_TREES = 100
POLL_SECONDS = 0.2
UNKNOWN_BYTES = 2**63

FreeBytes = Callable[[], int]


def wait_for_memory(needed: int, *, until: float, free: FreeBytes) -> str | None:
    """Wait until a fit has room, and return why it cannot start, or None if it can.

    Parameters
    ----------
    needed : int
        Bytes.
    until : float
        Moment of the monotonic clock at which to give up; other fits may end before it.
    free : callable
        Returns the bytes that are free now.

    Examples
    --------
    >>> wait_for_memory(3_000_000_000, until=0.0, free=lambda: 1_000_000_000)
    'its fit needs about 3,000 MB of memory, but 1,000 MB are free'
    """
    available = free()
    while available < needed and time.monotonic() < until:
        time.sleep(POLL_SECONDS)
        available = free()
    if available >= needed:
        return None
    return (
        f"its fit needs about {needed / 1e6:,.0f} MB of memory, but {available / 1e6:,.0f} MB are "
        "free"
    )


def estimate_fit_bytes(
    family: str,
    hyperparameters: Mapping[str, object],
    *,
    encoded_bytes: int,
    encoded: bool,
    n_rows: int,
    n_classes: int,
) -> int:
    """Return about how much memory a fit takes at its peak.

    Parameters
    ----------
    encoded_bytes : int
        Size of the encoded rows of the fold.
    encoded : bool
        Whether they are in memory already; otherwise they and the encoder's copy count too.
    n_rows : int
        Training rows of the fold.
    n_classes : int
        0 in regression.
    """
    copies = COPIES_BY_FAMILY.get(family, DEFAULT_COPIES)
    total = MIN_FIT_BYTES + (0 if encoded else 2 * encoded_bytes) + round(copies * encoded_bytes)
    if family in FORESTS:
        trees = int(str(hyperparameters.get("n_estimators", DEFAULT_TREES) or 0))
        nodes = min(2 * n_rows, MAX_TREE_NODES)
        total += trees * nodes * (BYTES_PER_NODE + 8 * max(1, n_classes))
    return total


def free_bytes(root: Path = Path("/")) -> int:
    """Return how much memory can be taken now: the machine's, or what a container's limits leave.

    `root` is the folder that has `proc` and `sys`. Without them the result is very large: nothing
    is known, and nothing is refused.
    """
    return min([_machine_free_bytes(root), *map(_cgroup_free_bytes, _cgroup_folders(root))])


def _machine_free_bytes(root: Path) -> int:
    text = _read(root / "proc/meminfo")
    values = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    available = values.get("MemAvailable")
    return UNKNOWN_BYTES if available is None else int(available.split()[0]) * 1024


def _cgroup_folders(root: Path) -> list[Path]:
    """Return the control groups that this process is in, and those above them."""
    folders: list[Path] = []
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            top = root / "sys/fs/cgroup" / controllers
            folder = top / path.strip("/")
            folders += [folder, *(above for above in folder.parents if above.is_relative_to(top))]
    return folders


def _cgroup_free_bytes(folder: Path) -> int:
    """Return what the limit leaves; unused pages of files are free. Version 2 first, then 1."""
    limit = _integer(folder / "memory.max") or _integer(folder / "memory.limit_in_bytes")
    used = _integer(folder / "memory.current") or _integer(folder / "memory.usage_in_bytes")
    if limit is None or used is None:
        return UNKNOWN_BYTES
    lines = _read(folder / "memory.stat").splitlines()
    statistics = dict(line.split(" ", 1) for line in lines)
    inactive = statistics.get("total_inactive_file", statistics.get("inactive_file", "0"))
    return max(0, limit - used + int(inactive))


def _integer(path: Path) -> int | None:
    text = _read(path).strip()
    return int(text) if text.isdecimal() else None


def _read(path: Path) -> str:
    """Return the text of a file of the kernel; empty where there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
