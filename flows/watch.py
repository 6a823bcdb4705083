"""Where a search is shown while it runs: the terminal, Prefect and MLflow."""

from collections.abc import Sequence
from time import monotonic
from typing import cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from flows.follow import Found, Teller, search_view
from flows.progress import Show, fraction_done, running_line, say
from pipelines.core.baselines import BaselineFigures
from pipelines.errors import BusyError
from pipelines.stores.tracking import Store, log_trials, open_run

ARTIFACT_KEY = "search-progress"
ARTIFACT_SECONDS = 2.0


def to_terminal(show: Show, baselines: Sequence[BaselineFigures]) -> Teller:
    """Return what shows a search in the terminal."""

    def tell(now: Found, seconds: float) -> None:
        view = search_view(now, seconds, baselines=baselines)
        show(running_line(view), fraction_done(view))

    return tell


def to_prefect(baselines: Sequence[BaselineFigures]) -> Teller:
    """Return what shows a search as a progress artifact of the task that is running."""
    artifact: UUID | None = None
    told = 0.0

    def tell(now: Found, seconds: float) -> None:
        nonlocal artifact, told
        view = search_view(now, seconds, baselines=baselines)
        percent, line = 100 * fraction_done(view), running_line(view)
        is_early = artifact is not None and monotonic() - told < ARTIFACT_SECONDS
        if is_early and percent < 100:  # noqa: PLR2004
            return
        told = monotonic()
        if artifact is None:
            made = create_progress_artifact(percent, key=ARTIFACT_KEY, description=line)
            artifact = cast(UUID, made)
        else:
            update_progress_artifact(artifact, progress=percent, description=line)

    return tell


def to_mlflow(store: Store, *, title: str, most: int) -> Teller:
    """Return what gives a search its run at its first new trial, and trials theirs.

    Parameters
    ----------
    store : Store
    title : str
        Of the run.
    most : int
        How many trials have a run of their own.

    Notes
    -----
    Where MLflow stops answering the search goes on; registering adds what is missing.
    """
    run_id, n_told, answers = "", 0, True

    def log(now: Found) -> None:
        nonlocal run_id, n_told
        run_id = run_id or open_run(store, now.header.digest, title=title)
        better = now.header.greater_is_better
        log_trials(store, run_id, trials=now.trials, greater_is_better=better, most=most)
        n_told = len(now.trials)

    def tell(now: Found, _: float) -> None:
        nonlocal answers
        if not answers or now.n_new == 0 or len(now.trials) == n_told:
            return
        try:
            log(now)
        except BusyError as error:
            answers = False
            say("search", f"goes on without MLflow, registering will add its trials: {error}")

    return tell
