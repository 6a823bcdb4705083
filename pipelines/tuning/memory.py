"""How much memory a fit takes and how much there is: what would not fit in is not started."""

import time
from collections.abc import Callable
from pathlib import Path

from pipelines.core.trials import Configuration
from pipelines.tuning.work import Encodings, Work, encoded_bytes

MEGABYTE = 1e6
LEAST_BYTES = 50 * 10**6  # that a fit takes beside its rows
# of the encoded rows of a fold: what a fit holds beside them at its peak, measured and rounded up
COPIES = {"hist_boosting": 3.0, "catboost": 3.0, "lightgbm": 1.5, "xgboost": 1.5}
USUAL_COPIES = 2.0
FORESTS = ("random_forest", "extra_trees")
BYTES_OF_A_NODE = 200  # in memory and as the bytes that are kept
MOST_NODES = 20_000  # of a tree, see pipelines.tuning.forests
USUAL_TREES = 100
POLL_SECONDS = 0.2
PATIENCE_SECONDS = 5.0
UNKNOWN = 2**63

Free = Callable[[], int]


def shortage(needed: int, *, until: float, free: Free) -> str | None:
    """Return why a fit cannot be started, None where it can; other fits may end meanwhile.

    Parameters
    ----------
    needed : int
        Bytes.
    until : float
        Moment of the monotonic clock until which is waited.
    free : callable
        Gives the bytes that are free now.

    Examples
    --------
    >>> shortage(3_000_000_000, until=0.0, free=lambda: 1_000_000_000)
    'its fit needs about 3,000 MB of memory, but 1,000 MB are free'
    """
    found = free()
    while found < needed and time.monotonic() < until:
        time.sleep(POLL_SECONDS)
        found = free()
    if found >= needed:
        return None
    return (
        f"its fit needs about {needed / MEGABYTE:,.0f} MB of memory, but "
        f"{found / MEGABYTE:,.0f} MB are free"
    )


def needed_bytes(
    work: Work, configuration: Configuration, fold: int, *, encodings: Encodings
) -> int:
    """Return about how much memory a fit on one fold takes, its encoded rows included.

    Parameters
    ----------
    work : Work
    configuration : Configuration
    fold : int
    encodings : dict
        Rows that are encoded already are not counted.
    """
    rows, known = encoded_bytes(work, configuration, fold, encodings)
    copies = COPIES.get(configuration.family, USUAL_COPIES)
    missing = 0 if known else 2 * rows  # the cells and what the encoder makes of them
    return LEAST_BYTES + missing + round(copies * rows) + _forest_bytes(work, configuration, fold)


def free_bytes(root: Path = Path("/")) -> int:
    """Return how much memory can be taken now: the machine's, or what limits leave of it.

    Parameters
    ----------
    root : Path
        Where `proc` and `sys` are; without them nothing is known, and very much is returned.
    """
    return min([_of_machine(root), *(_of_group(folder) for folder in _groups(root))])


def _forest_bytes(work: Work, configuration: Configuration, fold: int) -> int:
    if configuration.family not in FORESTS:
        return 0
    trees = configuration.hyperparameters.get("n_estimators", USUAL_TREES)
    nodes = min(2 * len(work.folds[fold].training), MOST_NODES)
    classes = max(1, len(work.schema.classes))
    return int(trees or 0) * nodes * (BYTES_OF_A_NODE + 8 * classes)


def _of_machine(root: Path) -> int:
    try:
        text = (root / "proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return UNKNOWN
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return int(lines["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in lines else UNKNOWN


def _groups(root: Path) -> list[Path]:
    """Return the control groups that the process is in, with those above them."""
    try:
        text = (root / "proc/self/cgroup").read_text(encoding="utf-8")
    except OSError:
        return []
    found: list[Path] = []
    for _, controllers, path in (line.split(":", 2) for line in text.splitlines()):
        if controllers in ("", "memory"):
            top = root / "sys/fs/cgroup" / controllers
            place = top / path.strip("/")
            found += [place, *(above for above in place.parents if above.is_relative_to(top))]
    return found


def _of_group(folder: Path) -> int:
    """Return what a control group's limit leaves; pages of files that are not used are free."""
    limit = _number(folder / "memory.max") or _number(folder / "memory.limit_in_bytes")
    used = _number(folder / "memory.current") or _number(folder / "memory.usage_in_bytes")
    if limit is None or used is None:
        return UNKNOWN
    return max(0, limit - used + _idle_pages(folder / "memory.stat"))


def _idle_pages(path: Path) -> int:
    try:
        lines = dict(line.split(" ", 1) for line in path.read_text(encoding="ascii").splitlines())
    except OSError:
        return 0
    return int(lines.get("total_inactive_file", lines.get("inactive_file", "0")))


def _number(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None
