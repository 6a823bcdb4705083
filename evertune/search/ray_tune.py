"""Ray Tune adapters: trainable, searcher, scheduler, and the local or remote Ray session.

`StudySearcher` asks the study for jobs, `CrossValidationTrainable` runs one job in a worker,
and `StudyCallback` reports results to the study and kills stuck workers at the deadline.
`FoldASHAScheduler` is ASHA with folds as its resource; it lets the first trials at each fold
pass, because a third cannot be told before there are three. `ray_session` connects to
RAY_ADDRESS or starts Ray on this machine, on 127.0.0.1 only and with a token.
"""

import gc
import hashlib
import os
import secrets
import shutil
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ray
from ray._private import ray_constants
from ray._raylet import AuthenticationTokenLoader  # type: ignore[attr-defined]
from ray.tune import Callback, Stopper, Trainable
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher
from threadpoolctl import threadpool_limits

from evertune.search.objective import (
    EncodingCache,
    Job,
    JobUpdate,
    Objective,
    job_from_config,
    job_to_config,
    run_job,
)
from evertune.search.ray_guardian import orphan_reaper
from evertune.search.study import PastTrials, Study, maximized_mean_score, maximized_score

OBJECTIVE = "objective"  # mean over the folds so far, turned so that more is better
FOLDS_DONE = "folds_done"
UPDATE = "step"


class CrossValidationTrainable(Trainable):  # type: ignore[misc]
    """Evaluates one unit, some folds a step. A worker serves many units, one by one."""

    def setup(self, config: dict[str, Any], work: Objective) -> None:
        """Keep the work, and one thread for each worker."""
        threadpool_limits(1)
        self.work, self.encodings = work, EncodingCache()
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Turn to another unit."""
        self.unit = job_from_config(new_config)
        self.steps = run_job(self.work, self.unit, self.encodings)
        self.results: tuple[Any, ...] = ()
        return True

    def step(self) -> dict[str, Any]:
        """Return the next folds and the mean so far; an exception of a fit ends the unit alone."""
        step = next(self.steps)
        self.results += tuple(each.result for each in step.yields)
        score = maximized_mean_score(self.results, self.work.metrics[0])
        told = {} if score is None else {OBJECTIVE: score}
        return told | {UPDATE: step, FOLDS_DONE: len(self.results), "done": step.done}


class StudySearcher(Searcher):  # type: ignore[misc]
    """Tune's view of an agenda."""

    def __init__(self, agenda: Study) -> None:
        super().__init__(metric=OBJECTIVE, mode="max")
        self._agenda = agenda

    def __getstate__(self) -> dict[str, Any]:
        """Give Tune nothing to write: its own restore is never used."""
        return {}

    def suggest(self, trial_id: str) -> Any:  # noqa: ARG002
        """Return the next unit, that there is none now, or that there will be none."""
        unit = self._agenda.next_unit()
        if unit is not None:
            return job_to_config(unit)
        return Searcher.FINISHED if self._agenda.ended else None

    def on_trial_complete(self, *_: Any, **__: Any) -> None:
        """Do nothing: the agenda hears it from `StudyCallback`."""

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the trials file is the only memory of a search."""


class StudyCallback(Callback, Stopper):  # type: ignore[misc]
    """Tells an agenda what Tune's workers give, and stops everything at a moment.

    Parameters
    ----------
    agenda : Study
    moment : float
        Of the monotonic clock; stuck fits are ended with their workers.
    begun : threading.Event
        Set as soon as a worker runs.
    """

    def __init__(self, agenda: Study, *, moment: float, begun: threading.Event) -> None:
        self._agenda, self._moment, self._begun = agenda, moment, begun
        self._running: dict[str, Job] = {}
        self._workers: dict[str, Any] = {}
        self._steps: dict[str, JobUpdate] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Give Tune nothing to write: its own restore is never used."""
        return {}

    def on_trial_start(self, *, trial: Any, **_: Any) -> None:
        """Remember the unit and its worker."""
        self._running[trial.trial_id] = job_from_config(trial.config)
        self._workers[trial.trial_id] = trial.temporary_state.ray_actor
        self._begun.set()

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Take a step out of a result, which Tune keeps, and return whether others outran it."""
        step = result.pop(UPDATE, None)
        if step is None:
            return False
        self._steps[trial_id] = step
        return self._agenda.took(self._running[trial_id], step)

    def on_trial_complete(self, *, trial: Any, **_: Any) -> None:
        """Tell that a unit ran to its end or was stopped."""
        step = self._steps.pop(trial.trial_id, None)
        outrun = step is not None and not step.done
        self._agenda.end(self._running.pop(trial.trial_id), step, outrun=outrun)

    def on_trial_error(self, *, trial: Any, **_: Any) -> None:
        """Tell that a worker died."""
        self._steps.pop(trial.trial_id, None)
        self._agenda.end(self._running.pop(trial.trial_id), None)

    def on_step_end(self, **_: Any) -> None:
        """Hand over what ended; Tune lets exceptions pass here, and nowhere else."""
        self._agenda.account.hand_over()

    def stop_all(self) -> bool:
        """Return whether the budget is used up, after ending the workers if it is."""
        if time.monotonic() < self._moment:
            return False
        for trial_id in self._running:
            ray.kill(self._workers[trial_id])
        return True


MAX_FOLDER_LENGTH = 40  # Ray adds some 60 characters, and the path of a socket may have 107


def ray_temp_folder(state: Path) -> Path:
    """Return Ray's temporary folder of a project: short, and the same for every run."""
    name = "evertune-" + hashlib.sha256(str(state).encode()).hexdigest()[:8]
    usual = Path(tempfile.gettempdir())
    return (usual if len(str(usual)) + len(name) < MAX_FOLDER_LENGTH else Path("/tmp")) / name


CONNECT_TIMEOUT_SECONDS = 5
EnvironmentSettings = dict[str, str | None]
LOCAL_ENVIRONMENT: EnvironmentSettings = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "RAY_AUTH_MODE": None,  # where it is not set, ray.init turns tokens on
    "RAY_AUTH_TOKEN": None,
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}
RAY_ENVIRONMENT: EnvironmentSettings = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}
EXCLUDED_FROM_UPLOAD = ["data", "state", ".git", ".dvc", ".venv", "tests"]


@contextmanager
def ray_session(root: Path, state: Path, *, workers: int | None) -> Iterator[int]:
    """Have Ray until the block ends, and give the number of workers.

    Parameters
    ----------
    root : Path
        The project folder; workers import from it.
    state : Path
        Holds the token that local workers show, readable by its owner alone.
    workers : int, optional
        One for each processor where it is not given.

    Raises
    ------
    ConnectionError
        If no cluster answers at RAY_ADDRESS.
    ValueError
        If more workers are asked for than the cluster has processors.
    """
    remote = bool(os.environ.get("RAY_ADDRESS"))
    start = (
        _connect_to_cluster(root)
        if remote
        else _start_local_ray(root, state, workers or os.cpu_count() or 1)
    )
    with _environment_variables(RAY_ENVIRONMENT), start:
        processors = max(1, int(ray.cluster_resources().get("CPU", 1)))
        check_workers(workers, processors)
        yield workers or processors


def check_workers(workers: int | None, processors: int) -> None:
    """Check that no more workers are asked for than a cluster has processors.

    Raises
    ------
    ValueError
        If there are.

    Examples
    --------
    >>> check_workers(None, 2)
    """
    if workers is not None and workers > processors:
        raise ValueError(
            f"search.workers must not be more than the {processors} processors of the cluster at "
            f"RAY_ADDRESS, but got {workers}; lower it, or write auto."
        )


@contextmanager
def _connect_to_cluster(root: Path) -> Iterator[None]:
    _check_address(os.environ["RAY_ADDRESS"])
    ray_constants.ENABLE_RAY_CLUSTER = True
    with _shutting_down_ray():
        ray.init(
            log_to_driver=False,
            logging_level="ERROR",
            runtime_env={
                "working_dir": str(root),
                "excludes": EXCLUDED_FROM_UPLOAD,
                "env_vars": {"OMP_NUM_THREADS": "1"},
            },
        )
        yield


def _check_address(address: str) -> None:
    """Ask for a connection first: Ray itself tries for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_TIMEOUT_SECONDS).close()
    except OSError as error:
        raise ConnectionError(
            f"No Ray cluster answers at RAY_ADDRESS {address!r}: {error}. Start it, or unset the "
            "variable to search on this machine."
        ) from error


@contextmanager
def _start_local_ray(root: Path, state: Path, workers: int) -> Iterator[None]:
    folder, token = ray_temp_folder(state), _read_or_create_token(state / "ray.token")
    shutil.rmtree(folder, ignore_errors=True)
    AuthenticationTokenLoader.instance().reset_cache()  # of another project in this process
    ray_constants.ENABLE_RAY_CLUSTER = False  # where it is True, Ray listens to the network
    with (
        _environment_variables(_local_environment(root, token)),
        orphan_reaper(str(token), folder),
        _shutting_down_ray(),
    ):
        ray.init(
            address="local",
            num_cpus=workers,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            _temp_dir=str(folder),
            _node_ip_address="127.0.0.1",
        )
        yield
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _shutting_down_ray() -> Iterator[None]:
    try:
        yield
    finally:
        with _garbage_collection_disabled():
            ray.shutdown()


@contextmanager
def _garbage_collection_disabled() -> Iterator[None]:
    """Have no garbage collected: another thread that frees Ray's objects now ends the process."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _local_environment(root: Path, token: Path) -> EnvironmentSettings:
    places = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    return LOCAL_ENVIRONMENT | {
        "RAY_AUTH_TOKEN_PATH": str(token),
        "PYTHONPATH": os.pathsep.join(places),
    }


def _read_or_create_token(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
    return path


@contextmanager
def _environment_variables(settings: EnvironmentSettings) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in settings}
    _set_variables(settings)
    try:
        yield
    finally:
        _set_variables(before)


def _set_variables(settings: EnvironmentSettings) -> None:
    for name, value in settings.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


REDUCTION_FACTOR = 3  # a third of the trials go on from folds 1, 3, 9, ...
SCHEDULERS = ("racing", "asha", "none")


class FoldASHAScheduler(AsyncHyperBandScheduler):  # type: ignore[misc]
    """Ray's ASHA with folds as its time, that lets the first trials at each fold pass.

    A third cannot be told before there are three: without this the second trial of a search
    would be stopped whenever its first fold is the worse one.
    """

    def __init__(self, n_folds: int) -> None:
        super().__init__(
            time_attr=FOLDS_DONE,
            metric=OBJECTIVE,
            mode="max",
            max_t=n_folds,
            grace_period=1,
            reduction_factor=REDUCTION_FACTOR,
        )
        self._n_folds = n_folds
        self._results: Counter[int] = Counter()

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Return whether the trial goes on."""
        action: str = super().on_trial_result(tune_controller, trial, result)
        fold = result[FOLDS_DONE]
        self._results[fold] += 1
        if fold < self._n_folds and self._results[fold] <= REDUCTION_FACTOR:
            return str(TrialScheduler.CONTINUE)
        return action


def build_scheduler(kind: str, history: PastTrials) -> TrialScheduler:
    """Return a scheduler that knows the folds of the trials that were finished before.

    Raises
    ------
    ValueError
        If there is no such scheduler.
    """
    if kind not in SCHEDULERS:
        raise ValueError(f"scheduler must be one of {', '.join(SCHEDULERS)}, but got {kind!r}.")
    if kind != "asha":  # who falls behind in a race is told by the agenda
        return FIFOScheduler()
    halving, metric = FoldASHAScheduler(history.n_folds), history.metric
    for trial in history.finished:
        scores = [fold.figures[metric.name] for fold in trial.folds]
        known = [maximized_score(score, metric) for score in scores if score is not None]
        _replay_past_trial(halving, trial.number, scores=known)
    return halving


def _replay_past_trial(halving: FoldASHAScheduler, number: int, *, scores: Sequence[float]) -> None:
    past = SimpleNamespace(trial_id=f"past-{number}")
    halving.on_trial_add(None, past)
    for n_folds, total in enumerate(accumulate(scores), start=1):
        result = {FOLDS_DONE: n_folds, OBJECTIVE: total / n_folds}
        halving.on_trial_result(None, past, result)
    halving.on_trial_remove(None, past)
