"""Named points at which a drill lets the process fail as machines do: killed, without disk, late.

Code calls `failpoint("register.version_made")` right after a step that a failure must not undo or
repeat. Nothing happens there unless the environment variable EVERTUNE_FAULT names the point, as
`NAME:ACTION` or `NAME:ACTION:N`, where N (1 if left out) counts how often the process came to it.
`python -m tests.benchmarks.faults` is the drill.

kill, term
    The process gets SIGKILL or SIGTERM.
raise
    RuntimeError, as a fault of the code would.
full
    OSError: no space left on the device.
delay
    The process sleeps for two seconds.
truncate
    The file that was written last loses its last bytes, as in a power failure, and the process is
    killed. Only at `TEARABLE_POINTS`.
"""

import errno
import os
import signal
import time
from collections import Counter
from pathlib import Path

VARIABLE = "EVERTUNE_FAULT"
ACTIONS = ("kill", "term", "raise", "full", "delay", "truncate")
DELAY_SECONDS = 2.0
TORN_BYTES = 7
TEARABLE_POINTS = ("search.trial_recorded",)

# By name: what has happened when the process comes to the point.
FAILPOINTS = {
    "snapshot.plan_reset": "the plan is that of a new search, and the source table is the old one",
    "snapshot.written": "the source table is written, and DVC does not know of it",
    "snapshot.versioned": "DVC keeps the version of the source table",
    "stage.ran": "a stage has written its outputs, and DVC does not know of them",
    "stage.recorded": "dvc.lock has the stage",
    "search.models_stored": "a trial's models are in the pool, and the trial is not in its file",
    "search.trial_recorded": "the trials file has the trial",
    "register.run_logged": "MLflow has the run, and no version",
    "register.files_stored": "MLflow has the model's files, and no version",
    "register.version_made": "there is a version, and no verdict",
    "register.holdout_used": "the use of the hold-out is counted, and no verdict is known",
    "register.settled": "the version is marked as judged",
    "promotion.recorded": "the decision is in the log's database, and nothing else has it",
    "promotion.tagged": "the version shows the decision, and no alias has moved",
    "promotion.alias_moved": "one alias has moved",
    "promotion.aliases_moved": "all aliases have moved, and the history does not know",
    "promotion.described": "MLflow's descriptions tell of it, and the history does not know",
    "log.predictions_appended": "predictions are in the log, and nobody knows yet",
    "log.labels_appended": "labels are in the log, and nobody knows yet",
    "monitor.decided": "the decision is recorded, and nobody follows it yet",
    "decision.claimed": "a run has taken up the decision, and did nothing yet",
    "decision.outcome_recorded": "the decision's outcome is recorded",
}

_visits: Counter[str] = Counter()


def failpoint(name: str, file: Path | None = None) -> None:
    """Fail here if EVERTUNE_FAULT says so; `file` is what `truncate` tears."""
    fault = os.environ.get(VARIABLE)
    if fault is None:
        return
    wanted, action, number = parse_fault(fault)
    _visits[name] += 1
    if name != wanted or _visits[name] != number:
        return
    match action:
        case "term":
            os.kill(os.getpid(), signal.SIGTERM)
        case "raise":
            raise RuntimeError(f"the fault that {VARIABLE}={fault} asks for")
        case "full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        case "delay":
            time.sleep(DELAY_SECONDS)
        case _:
            if action == "truncate":
                assert file is not None  # `parse_fault` refuses it where there is no file
                os.truncate(file, file.stat().st_size - TORN_BYTES)
            os.kill(os.getpid(), signal.SIGKILL)


def parse_fault(fault: str) -> tuple[str, str, int]:
    """Return the point, the action and the visit of a value of EVERTUNE_FAULT.

    Raises
    ------
    ValueError
        It names no point or action, or no whole number above 0.

    Examples
    --------
    >>> parse_fault("stage.ran:kill:3")
    ('stage.ran', 'kill', 3)
    """
    name, _, rest = fault.partition(":")
    action, _, number = rest.partition(":")
    if name not in FAILPOINTS or action not in ACTIONS or not (number or "1").isdigit():
        raise ValueError(
            f"{VARIABLE} must be NAME:ACTION or NAME:ACTION:N, with one of the points "
            f"{', '.join(FAILPOINTS)} and one of the actions {', '.join(ACTIONS)}, "
            f"but got {fault!r}."
        )
    if action == "truncate" and name not in TEARABLE_POINTS:
        raise ValueError(f"truncate must be at {', '.join(TEARABLE_POINTS)}, but got {fault!r}.")
    return name, action, int(number or 1)
