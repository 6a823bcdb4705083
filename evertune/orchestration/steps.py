"""The steps of a run, apart from who performs them.

A `Step` is a function with a name and a line about its result. A generator of steps yields them
one by one and is sent the result of each; `run_steps` drives it. Flows perform a step as a
Prefect task (`evertune.orchestration.tasks`); `evertune monitor --act` and a replay call it
(`perform_here`). Nothing here imports Prefect.
"""

import errno
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, Generic, TypeVar

from evertune.config.loader import load_params
from evertune.errors import UnsafeError
from evertune.files import read_lines
from evertune.orchestration.progress import (
    parse_trial_lines,
    read_baselines,
    search_progress,
)
from evertune.orchestration.step_times import record_step_seconds
from evertune.registry.promotion_records import Verdict
from evertune.search.check_params import check_search_params
from evertune.stages.runner import run_and_record, stage_function
from evertune.stages.snapshot import Snapshot, take_snapshot
from evertune.terminal import snapshot_line, verdict_line
from evertune.versioning import dvc

SEARCH, REGISTER = "search", "register"
UP_TO_DATE = "up to date"
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
T = TypeVar("T")
Reporter = Callable[[str, str], None]


@dataclass(frozen=True)
class Step(Generic[T]):
    """One step of a run.

    Attributes
    ----------
    name : str
        Shown in the terminal and in Prefect.
    run : callable
        Does the work and returns its result.
    line : callable
        Takes the result and returns what is printed about it.
    retried : bool
        Whether it is tried again while a server or a remote does not answer; a stage is not.
    """

    name: str
    run: Callable[[], T]
    line: Callable[[T], str]
    retried: bool = True

    def perform(self) -> T:
        """Run it.

        Raises
        ------
        UnsafeError
            The disk is full or cannot be written to, whichever library found out.
        """
        try:
            return self.run()
        except OSError as error:
            if error.errno not in DISK_ERRORS:
                raise
            where = f" ({error.filename})" if error.filename else ""
            raise UnsafeError(
                f"'{self.name}' could not write{where}: {str(error.strerror).lower()}. Make room, "
                "and run the same command again: finished work is kept."
            ) from error


def run_steps(steps: Generator[Step[Any], Any, T], perform: Callable[[Step[Any]], Any]) -> T:
    """Perform each step that a generator yields, and return what the generator returns.

    A step that fails raises inside the generator, at the step's `yield`.
    """
    try:
        step = next(steps)
        while True:
            try:
                result = perform(step)
            except BaseException as error:
                step = steps.throw(error)
            else:
                step = steps.send(result)
    except StopIteration as end:
        value: T = end.value
        return value


def perform_here(step: Step[T], say: Reporter) -> T:
    """Run a step in this process, report its line, and return its result."""
    result = step.perform()
    say(step.name, step.line(result))
    return result


def snapshot_step(root: Path) -> Step[Snapshot]:
    """Take a version of the source table; new rows begin a new search.

    A search that params.yaml describes and that cannot run is refused first.
    """

    def run() -> Snapshot:
        check_search_params(root)
        return take_snapshot(root)

    return Step("snapshot", run, snapshot_line)


def stage_step(root: Path, name: str) -> Step[str]:
    """Bring one stage of dvc.yaml up to date."""
    return Step(name, partial(_update_stage, root, name), str, retried=False)


def register_step(root: Path, *, flow_run: str | None = None) -> Step[Verdict]:
    """Register the model, and make it champion if it passes the gates."""

    def run() -> Verdict:
        from evertune.registry.already_registered import settled_verdict

        settled = settled_verdict(root)
        if settled is not None:
            return settled
        from evertune.registry.register import register

        started = monotonic()
        verdict = register(root, flow_run=flow_run)
        record_step_seconds(load_params(root).paths.state, REGISTER, monotonic() - started)
        return verdict

    return Step(REGISTER, run, verdict_line)


def _update_stage(root: Path, name: str) -> str:
    if dvc.is_stage_current(root, name):
        return UP_TO_DATE
    started = monotonic()
    run_and_record(root, name, run=stage_function(root, name))
    seconds, paths = monotonic() - started, load_params(root).paths
    record_step_seconds(paths.state, name, seconds)
    done = f"done in {seconds:.1f} s"
    trials = parse_trial_lines(read_lines(paths.trials), []) if name == SEARCH else None
    if trials is None:
        return done
    view = search_progress(trials, 0.0, baselines=read_baselines(paths.baselines))
    return f"{done}: {view.line}"
