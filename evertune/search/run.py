"""Run a study to its end, in this process or with Ray Tune.

Ray is used unless it would only cost time: with a single worker and a budget of trials, or with
less than 20 seconds left, all jobs run in a thread of this process. If Ray is used and the budget
is in seconds, quick jobs run here while Ray starts. Since a thread cannot be killed, fits that
cannot be given a deadline run here only if there is none.
"""

import math
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from joblib import cpu_count
from threadpoolctl import threadpool_limits

from evertune.config.search_rules import TUNE_SCHEDULERS
from evertune.search.objective import EncodingCache, JobUpdate, run_job
from evertune.search.study import Budget, SearchConfig, Study

MIN_RAY_SECONDS = 20  # Ray alone takes as long to start and to end
SHUTDOWN_SECONDS = 3.5  # for the last results, and for Ray to end
MIN_SEARCH_SECONDS = 0.2
POLL_SECONDS = 0.05
GRACE_SECONDS = 0.5  # after the deadline, for a fit that ends by it


def run_search(study: Study, *, root: Path | None, state: Path) -> None:
    """Evaluate what the study asks for until its budget is used up.

    Parameters
    ----------
    root : Path, optional
        The project's folder, whose Python files Ray's workers may import, if there is a project.
    state : Path
        A folder for the token of a local Ray.

    Raises
    ------
    ConnectionError
        If no cluster answers at RAY_ADDRESS.
    ValueError
        If the settings ask for what there is not: a scheduler, or more workers than the cluster
        has processors.
    """
    if study.exhausted or study.seconds_left() < MIN_SEARCH_SECONDS:
        return
    if runs_locally(study.config, study.budget):
        run_locally(study)
        return
    study.stop_at -= SHUTDOWN_SECONDS
    # A cluster's processors are known once it is joined; until then the plan is for one.
    study.workers = study.config.workers or (1 if os.environ.get("RAY_ADDRESS") else cpu_count())
    # What Tune's schedulers compare must run on its workers.
    if study.is_timed and study.config.scheduler not in TUNE_SCHEDULERS:
        with _background_evaluation(study) as stop:
            _run_with_ray(study, root, state, started=stop)
    else:
        _run_with_ray(study, root, state, started=threading.Event())
    study.close()


def run_locally(study: Study) -> None:
    """Evaluate jobs one by one in a thread of this process.

    A fit that is stuck at the deadline is left behind.
    """
    study.workers = 1
    failures: list[BaseException] = []
    thread = _start_thread(study, threading.Event(), failures)
    while thread.is_alive() and time.monotonic() < study.stop_at + GRACE_SECONDS:
        thread.join(POLL_SECONDS)
    if failures:
        raise failures[0]
    study.close()


def runs_locally(config: SearchConfig, budget: Budget) -> bool:
    """Return whether Ray would only cost time: no second worker, or too little time to start it."""
    if os.environ.get("RAY_ADDRESS") or config.scheduler in TUNE_SCHEDULERS:
        return False
    alone = config.workers == 1 and budget.seconds is None
    return alone or budget.deadline() - time.monotonic() < MIN_RAY_SECONDS


def count_workers(config: SearchConfig, budget: Budget) -> int | None:
    """Return how many jobs run at once; None if a cluster decides it."""
    if runs_locally(config, budget):
        return 1
    if config.workers is not None or os.environ.get("RAY_ADDRESS"):
        return config.workers
    return int(cpu_count())


def _run_with_ray(
    study: Study, root: Path | None, state: Path, *, started: threading.Event
) -> None:
    # Ray takes seconds to import: the first fits have started by then.
    from evertune.search.ray_tune import run_with_ray

    run_with_ray(study, root=root, state=state, started=started)


@contextmanager
def _background_evaluation(study: Study) -> Iterator[threading.Event]:
    """Evaluate jobs beside what the block does, until the event that it gets is set."""
    failures: list[BaseException] = []
    stop = threading.Event()
    _start_thread(study, stop, failures)
    try:
        yield stop
    finally:
        stop.set()
    if failures:
        raise failures[0]


def _start_thread(
    study: Study, stop: threading.Event, failures: list[BaseException]
) -> threading.Thread:
    def evaluate() -> None:
        try:
            _evaluate_jobs(study, stop)
        except BaseException as error:  # raised again by the thread that waits
            failures.append(error)

    thread = threading.Thread(target=evaluate, daemon=True, name="evaluating")
    thread.start()
    return thread


def _evaluate_jobs(study: Study, stop: threading.Event) -> None:
    encodings: EncodingCache = {}
    with threadpool_limits(1):
        while not (stop.is_set() or study.exhausted):
            job = study.ask(killable=math.isinf(study.stop_at))
            if job is None:
                time.sleep(POLL_SECONDS)
                continue
            update: JobUpdate | None = None
            pruned = False
            for update in run_job(
                study.objective, job, encodings, one_by_one=study.config.one_by_one
            ):
                pruned = study.report(job, update) and not update.done
                if pruned:
                    break
            study.tell(job, update, pruned=pruned)
            study.flush()
