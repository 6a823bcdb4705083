"""Where a search is shown while it runs: the terminal, Prefect and MLflow."""

from collections.abc import Sequence
from time import monotonic
from typing import cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from evertune.errors import BusyError
from evertune.evaluation.baselines import BaselineResult
from evertune.orchestration.progress import (
    ProgressListener,
    ShowProgress,
    TrialsSnapshot,
    fraction_done,
    print_step,
    search_line_with_time_left,
    search_progress,
)
from evertune.registry.mlflow_client import TrackingStore, log_trials, open_run

ARTIFACT_KEY = "search-progress"
ARTIFACT_SECONDS = 2.0


def terminal_listener(show: ShowProgress, baselines: Sequence[BaselineResult]) -> ProgressListener:
    """Return what shows a search in the terminal."""

    def tell(now: TrialsSnapshot, seconds: float) -> None:
        view = search_progress(now, seconds, baselines=baselines)
        show(search_line_with_time_left(view), fraction_done(view))

    return tell


def prefect_listener(baselines: Sequence[BaselineResult]) -> ProgressListener:
    """Return what shows a search as a progress artifact of the task that is running."""
    artifact: UUID | None = None
    told = 0.0

    def tell(now: TrialsSnapshot, seconds: float) -> None:
        nonlocal artifact, told
        view = search_progress(now, seconds, baselines=baselines)
        percent, line = 100 * fraction_done(view), search_line_with_time_left(view)
        is_early = artifact is not None and monotonic() - told < ARTIFACT_SECONDS
        if is_early and percent < 100:
            return
        told = monotonic()
        if artifact is None:
            made = create_progress_artifact(percent, key=ARTIFACT_KEY, description=line)
            artifact = cast(UUID, made)
        else:
            update_progress_artifact(artifact, progress=percent, description=line)

    return tell


def mlflow_listener(store: TrackingStore, *, title: str, most: int) -> ProgressListener:
    """Return what gives a search its run at its first new trial, and trials theirs.

    Parameters
    ----------
    store : TrackingStore
    title : str
        Of the run.
    most : int
        How many trials have a run of their own.

    Notes
    -----
    Where MLflow stops answering the search goes on; registering adds what is missing.
    """
    run_id, n_told, answers = "", 0, True

    def log(now: TrialsSnapshot) -> None:
        nonlocal run_id, n_told
        run_id = run_id or open_run(store, now.header.digest, title=title)
        better = now.header.greater_is_better
        log_trials(store, run_id, trials=now.trials, greater_is_better=better, most=most)
        n_told = len(now.trials)

    def tell(now: TrialsSnapshot, _: float) -> None:
        nonlocal answers
        if not answers or now.n_new == 0 or len(now.trials) == n_told:
            return
        try:
            log(now)
        except BusyError as error:
            answers = False
            print_step(
                "search", f"goes on without MLflow, registering will add its trials: {error}"
            )

    return tell
