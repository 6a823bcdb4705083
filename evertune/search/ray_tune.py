"""Run a study with Ray Tune, on this machine or on the cluster at RAY_ADDRESS.

`CrossValidationTrainable` is the Tune trainable: one Tune trial is one `Job` of the study.
`StudySearcher` asks the study for jobs. `StudyCallback` reports results to it, and kills stuck
workers at the deadline. `FoldASHAScheduler` is ASHA with folds as its resource.

A local Ray listens on 127.0.0.1 only and asks for a token, and nothing outlives it, however this
process ends. Workers of a cluster get this package and the project's own Python files from here.
This is the only module that imports Ray, some of it by private names (see `pyproject.toml`):
there are no public ones for the address, the folder, the token and the actor of a trial.
"""

import gc
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import accumulate
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ray
from joblib import cpu_count
from ray import tune
from ray._private import ray_constants
from ray._raylet import AuthenticationTokenLoader  # type: ignore[attr-defined]
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher
from threadpoolctl import threadpool_limits

from evertune.metrics.metrics import Metric
from evertune.search.objective import (
    EncodingCache,
    Job,
    JobUpdate,
    Objective,
    maximized_mean_score,
    maximized_score,
    run_job,
)
from evertune.search.ray_address import check_ray_address
from evertune.search.ray_guardian import orphan_reaper, ray_temp_folder
from evertune.search.study import Study
from evertune.trials import Configuration, Trial

OBJECTIVE = "objective"  # mean over the folds so far; greater is better
FOLDS_DONE = "folds_done"
UPDATE = "update"
PACKAGE = Path(__file__).parents[1]
SCHEDULERS = ("racing", "asha", "none")
REDUCTION_FACTOR = 3  # a third of the trials go on from folds 1, 3, 9, ...
RAY_ENVIRONMENT = {
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
LOCAL_ENVIRONMENT: dict[str, str | None] = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "RAY_AUTH_MODE": None,  # unset, ray.init turns tokens on
    "RAY_AUTH_TOKEN": None,
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "SPT_NOENV": "1",  # agents that set their title would overwrite the marker of `orphan_reaper`
}


def run_with_ray(study: Study, *, root: Path | None, state: Path, started: threading.Event) -> None:
    """Evaluate what the study asks for on Ray's workers until its budget is used up.

    `started` is set as soon as a worker runs. Arguments and errors are those of `run_search`.
    """
    callback = StudyCallback(study, started=started)
    with (
        tempfile.TemporaryDirectory() as storage,
        ray_session(root, state, workers=study.config.workers) as workers,
    ):
        study.workers = workers
        tune.Tuner(
            tune.with_parameters(CrossValidationTrainable, objective=study.objective),
            tune_config=tune.TuneConfig(
                num_samples=-1,
                reuse_actors=True,
                search_alg=StudySearcher(study),
                scheduler=make_scheduler(
                    study.config.scheduler,
                    metric=study.metric,
                    n_folds=study.n_folds,
                    past_trials=study.past_trials,
                ),
                max_concurrent_trials=workers,
            ),
            run_config=tune.RunConfig(
                name="search",
                storage_path=storage,
                callbacks=[callback],
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                stop=callback,
                verbose=0,
            ),
        ).fit()


class CrossValidationTrainable(tune.Trainable):  # type: ignore[misc]
    """Evaluates one job, some folds a step. A worker serves many jobs, one after the other."""

    def setup(self, config: dict[str, Any], objective: Objective) -> None:
        """Keep the objective, and use one thread."""
        threadpool_limits(1)
        self.objective, self.encodings = objective, EncodingCache()
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Turn to another job."""
        self.updates = run_job(self.objective, job_from_config(new_config), self.encodings)
        self.results: tuple[Any, ...] = ()
        return True

    def step(self) -> dict[str, Any]:
        """Return the next folds and the mean so far."""
        update = next(self.updates)
        self.results += tuple(each.result for each in update.outcomes)
        score = maximized_mean_score(self.results, self.objective.metrics[0])
        scores = {} if score is None else {OBJECTIVE: score}
        return scores | {UPDATE: update, FOLDS_DONE: len(self.results), "done": update.done}


def job_from_config(config: Mapping[str, Any]) -> Job:
    """Return the job of a Tune trial, whose configuration is the job as a dictionary."""
    configuration = Configuration(**config["configuration"])
    return Job(**{**config, "configuration": configuration, "folds": tuple(config["folds"])})


class StudySearcher(Searcher):  # type: ignore[misc]
    """Asks the study for jobs; `StudyCallback` reports their results to it."""

    def __init__(self, study: Study) -> None:
        super().__init__(metric=OBJECTIVE, mode="max")
        self._study = study

    def __getstate__(self) -> dict[str, Any]:
        """Give Tune nothing to save: the trials file is the only memory of a search."""
        return {}

    def suggest(self, trial_id: str) -> Any:  # noqa: ARG002
        """Return the next job, None if there is none now, or that there will be none."""
        job = self._study.ask()
        if job is not None:
            return asdict(job)
        return Searcher.FINISHED if self._study.exhausted else None

    def on_trial_complete(self, *_: Any, **__: Any) -> None:
        """Do nothing."""

    def save(self, checkpoint_path: str) -> None:
        """Save nothing."""


class StudyCallback(tune.Callback, tune.Stopper):  # type: ignore[misc]
    """Reports what Tune's workers return to the study, and stops everything at its deadline.

    It is a stopper too, because only a stopper sees a result before Tune stores it: it takes the
    update, with the fitted models, out of the result.
    """

    def __init__(self, study: Study, *, started: threading.Event) -> None:
        self._study, self._started = study, started
        self._jobs: dict[str, Job] = {}
        self._workers: dict[str, Any] = {}
        self._updates: dict[str, JobUpdate] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Give Tune nothing to save."""
        return {}

    def on_trial_start(self, *, trial: Any, **_: Any) -> None:
        """Remember the job and its worker."""
        self._jobs[trial.trial_id] = job_from_config(trial.config)
        self._workers[trial.trial_id] = trial.temporary_state.ray_actor
        self._started.set()

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Report a result, and return whether the trial is pruned."""
        update = result.pop(UPDATE, None)
        if update is None:
            return False
        self._updates[trial_id] = update
        return self._study.report(self._jobs[trial_id], update)

    def on_trial_complete(self, *, trial: Any, **_: Any) -> None:
        """Tell that a job ran to its end or was stopped."""
        update = self._updates.pop(trial.trial_id, None)
        pruned = update is not None and not update.done
        self._study.tell(self._jobs.pop(trial.trial_id), update, pruned=pruned)

    def on_trial_error(self, *, trial: Any, **_: Any) -> None:
        """Tell that a worker died."""
        self._updates.pop(trial.trial_id, None)
        self._study.tell(self._jobs.pop(trial.trial_id), None)

    def on_step_end(self, **_: Any) -> None:
        """Write what ended; Tune lets exceptions pass in this method, and in no other."""
        self._study.flush()

    def stop_all(self) -> bool:
        """Return whether the budget is used up, after killing the workers if it is."""
        if time.monotonic() < self._study.stop_at:
            return False
        for trial_id in self._jobs:
            ray.kill(self._workers[trial_id])
        return True


class FoldASHAScheduler(AsyncHyperBandScheduler):  # type: ignore[misc]
    """Ray's ASHA with folds as its resource, which lets the first trials at each fold pass.

    The best third is not defined for fewer than three trials: without this, the second trial of a
    search would be stopped whenever its first fold is the worse one.
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
        self._n_results: Counter[int] = Counter()

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Return whether the trial goes on."""
        action: str = super().on_trial_result(tune_controller, trial, result)
        fold = result[FOLDS_DONE]
        self._n_results[fold] += 1
        if fold < self._n_folds and self._n_results[fold] <= REDUCTION_FACTOR:
            return str(TrialScheduler.CONTINUE)
        return action

    def replay(self, number: int, scores: Sequence[float]) -> None:
        """Learn the fold scores of a trial of an earlier run; greater is better."""
        past = SimpleNamespace(trial_id=f"past-{number}")
        self.on_trial_add(None, past)
        for n_folds, total in enumerate(accumulate(scores), start=1):
            result = {FOLDS_DONE: n_folds, OBJECTIVE: total / n_folds}
            self.on_trial_result(None, past, result)
        self.on_trial_remove(None, past)


def make_scheduler(
    kind: str, *, metric: Metric, n_folds: int, past_trials: Sequence[Trial] = ()
) -> TrialScheduler:
    """Return a Tune scheduler that knows the folds of earlier runs' trials.

    `racing` and `none` are first in, first out for Tune: the study itself prunes by racing.
    """
    if kind not in SCHEDULERS:
        raise ValueError(f"scheduler must be one of {', '.join(SCHEDULERS)}, but got {kind!r}.")
    if kind != "asha":
        return FIFOScheduler()
    asha = FoldASHAScheduler(n_folds)
    for trial in past_trials:
        scores = [fold.figures[metric.name] for fold in trial.folds]
        known = [maximized_score(score, metric) for score in scores if score is not None]
        asha.replay(trial.number, known)
    return asha


@contextmanager
def ray_session(root: Path | None, state: Path, *, workers: int | None) -> Iterator[int]:
    """Connect to the cluster at RAY_ADDRESS, or start Ray here; yield the number of workers."""
    if os.environ.get("RAY_ADDRESS"):
        session = _cluster_session(root)
    else:
        session = _local_session(root, state, workers or cpu_count())
    with _environment_variables(RAY_ENVIRONMENT), session:
        processors = max(1, int(ray.cluster_resources().get("CPU", 1)))
        if workers is not None and workers > processors:
            raise ValueError(
                f"search.workers must not be more than the {processors} processors of the cluster "
                f"at RAY_ADDRESS, but got {workers}; lower it, or write auto."
            )
        yield workers or processors


@contextmanager
def _cluster_session(root: Path | None) -> Iterator[None]:
    check_ray_address(os.environ["RAY_ADDRESS"])
    AuthenticationTokenLoader.instance().reset_cache()  # of a local session in this process
    ray_constants.ENABLE_RAY_CLUSTER = True
    with tempfile.TemporaryDirectory() as folder:
        environment: dict[str, Any] = {
            "py_modules": [str(PACKAGE)],
            "excludes": ["__pycache__"],
            "env_vars": {"OMP_NUM_THREADS": "1"},
        }
        modules = [] if root is None else sorted(root.glob("*.py"))
        if modules:
            for module in modules:
                shutil.copy2(module, folder)
            environment["working_dir"] = folder
        with _shutting_down_ray():
            ray.init(log_to_driver=False, logging_level="ERROR", runtime_env=environment)
            yield


@contextmanager
def _local_session(root: Path | None, state: Path, workers: int) -> Iterator[None]:
    folder, token = ray_temp_folder(state), state / "ray.token"
    if not token.exists():
        state.mkdir(parents=True, exist_ok=True)
        with open(os.open(token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
    paths = ["" if root is None else str(root), os.environ.get("PYTHONPATH", "")]
    environment = LOCAL_ENVIRONMENT | {
        "RAY_AUTH_TOKEN_PATH": str(token),
        "PYTHONPATH": os.pathsep.join(filter(None, paths)) or None,
    }
    shutil.rmtree(folder, ignore_errors=True)
    AuthenticationTokenLoader.instance().reset_cache()  # of another project in this process
    ray_constants.ENABLE_RAY_CLUSTER = False  # if it is True, Ray listens to the network
    with (
        _environment_variables(environment),
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
        # Garbage that another thread collects during the shutdown would end the process: it frees
        # objects of Ray.
        gc.collect()
        gc.disable()
        try:
            ray.shutdown()
        finally:
            gc.enable()


@contextmanager
def _environment_variables(settings: Mapping[str, str | None]) -> Iterator[None]:
    """Set variables, or unset those that are None, until the block ends."""

    def apply(values: Mapping[str, str | None]) -> None:
        for name, value in values.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    before = {name: os.environ.get(name) for name in settings}
    apply(settings)
    try:
        yield
    finally:
        apply(before)
