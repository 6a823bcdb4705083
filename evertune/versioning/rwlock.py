"""The file in which DVC notes who uses what, `.dvc/tmp/rwlock`: what kills leave in it."""

import json
from dataclasses import dataclass
from pathlib import Path

import psutil

COMMAND_WORDS = ("dvc", "evertune", "python", "pytest")  # of processes that may hold DVC's lock


@dataclass(frozen=True)
class LockFault:
    """What is wrong with the file in which DVC notes who uses what.

    Attributes
    ----------
    owners : tuple of str
        Processes of another kind that have the noted ids; empty for a torn file.
    is_used : bool
        Whether a process that may be DVC stands there, too, and lives.
    """

    path: Path
    owners: tuple[str, ...] = ()
    is_used: bool = False


def rwlock_fault(root: Path) -> LockFault | None:
    """Return what is wrong with DVC's file of locks; None where nothing is.

    A noted process that has ended is no fault: DVC removes it. One that began after the file was
    written, or that cannot be DVC, has the id of a process that was killed, and blocks DVC for
    as long as it lives.
    """
    path = root / ".dvc" / "tmp" / "rwlock"
    try:
        written = path.stat().st_mtime
        noted = json.loads(path.read_text(encoding="utf-8"))
        writers = list(noted.get("write", {}).values())
        readers = [each for group in noted.get("read", {}).values() for each in group]
        pids = sorted({int(each["pid"]) for each in (*writers, *readers) if each})
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError):
        return LockFault(path)
    living = [pid for pid in pids if psutil.pid_exists(pid)]
    strangers = tuple(filter(None, (_stranger(pid, written) for pid in living)))
    return LockFault(path, strangers, len(strangers) < len(living)) if strangers else None


def set_aside_stale_lock(root: Path) -> bool:
    """Move DVC's file of locks away if it names nobody who may be DVC; return whether it was."""
    fault = rwlock_fault(root)
    if fault is None or not fault.owners or fault.is_used:
        return False
    fault.path.replace(fault.path.with_name(f"{fault.path.name}.stale"))
    return True


def _stranger(pid: int, written: float) -> str | None:
    try:
        process = psutil.Process(pid)
        command, began = " ".join(process.cmdline()) or process.name(), process.create_time()
    except psutil.Error:  # it has ended
        return None
    may_be_dvc = any(word in command for word in COMMAND_WORDS)
    if began <= written + 1.0 and may_be_dvc:
        return None
    return f"process {pid} ({command[:60]})"
