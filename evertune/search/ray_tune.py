"""Run a study with Ray Tune, on this machine or on the cluster at RAY_ADDRESS.

`CrossValidationTrainable` is the Tune trainable; one step is one rung (see `rungs`) of a `Job` of
the study. `StudySearcher` asks the study for jobs. `StudyCallback` reports results to it, and kills
stuck workers at the deadline. What a Tune trial is depends on who may stop it:

- With one of Tune's schedulers, or where trials can move to another node, a Tune trial is one job,
  with a named searcher one configuration on all folds. It can be saved and continued, so that
  schedulers (`ray_schedulers`) can pause it.
- Otherwise a Tune trial is one worker, which gets one job after the other from `StudyCallback`.
  With a trial for each job, Tune gives the next job to whichever worker is free and ends the one
  that is still starting: jobs of a second or two then run on a single worker, while the others
  start (seconds of a processor each) and end again and again.

A local Ray listens on 127.0.0.1 only and asks for a token, and nothing outlives it, however this
process ends. Workers of a cluster get this package and the project's own Python files from here.
This and `ray_schedulers` are the only modules that import Ray, some of it by private names (see
`pyproject.toml`): there are no public ones for the address, the folder, the token and the actor of
a trial.
"""

import gc
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import ray
from joblib import cpu_count
from pyarrow.fs import FileSystem, LocalFileSystem
from ray import tune
from ray._private import ray_constants
from ray._raylet import AuthenticationTokenLoader  # type: ignore[attr-defined]
from ray.tune.search import Searcher
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from threadpoolctl import threadpool_limits

from evertune.config.search_rules import (
    PAUSING_SCHEDULERS,
    POPULATION_SCHEDULERS,
    TUNE_SCHEDULERS,
)
from evertune.ensemble.oof import FoldModel, TrialArtifacts
from evertune.search.objective import Job, JobUpdate, Objective, Worker, maximized_mean_score
from evertune.search.ray_address import check_ray_address
from evertune.search.ray_guardian import orphan_reaper, ray_temp_folder
from evertune.search.ray_schedulers import (
    OBJECTIVE,
    RESOURCE,
    make_scheduler,
    with_changeable_parameters,
)
from evertune.search.rungs import Rungs
from evertune.search.samplers import search_space
from evertune.search.study import SearchConfig, Study
from evertune.trials import Configuration

UPDATE = "update"
IDLE_SECONDS = 0.1  # between two looks for a job
PACKAGE = Path(__file__).parents[1]
POPULATION_SIZE = 8  # of population based training
MAX_MOVES = 2  # to other workers, of a trial that lost its worker
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
    config = study.config
    session = ray_session(root, state, workers=config.workers, gpus_per_trial=config.gpus_per_trial)
    with session as workers:
        check_storage(config, root)
        study.workers = workers
        run_in_session(study, root=root, started=started)


def run_in_session(study: Study, *, root: Path | None, started: threading.Event) -> None:
    """Evaluate what the study asks for in the running Ray session, by `study.workers` workers."""
    config = study.config
    with _storage_folder(config.storage, root) as storage:
        # On one machine results are the quicker way for models.
        models = None
        if config.storage is not None and os.environ.get("RAY_ADDRESS"):
            models = ModelStore(f"{storage}/models")
            study.read_models = models.read
        trainable = tune.with_resources(
            tune.with_parameters(
                CrossValidationTrainable,
                objective=study.objective,
                rungs=study.rungs,
                models=models,
            ),
            {"cpu": 1, "gpu": config.gpus_per_trial},
        )
        if config.scheduler in POPULATION_SCHEDULERS:
            callback = StudyCallback(study, started=started)
            while not study.exhausted and _run_population(
                study, trainable, callback=callback, storage=storage
            ):
                pass
        else:
            _run_trials(study, trainable, started=started, storage=storage)
        if models is not None:
            study.close()  # reads models, which end with the folder


def _run_trials(study: Study, trainable: Any, *, started: threading.Event, storage: str) -> None:
    """Evaluate trials one after the other until the study is exhausted."""
    config, searcher = study.config, StudySearcher(study)
    is_movable = (
        config.searcher != "portfolio"
        and os.environ.get("RAY_ADDRESS") is not None
        and config.storage is not None
    )
    many_jobs = config.scheduler not in TUNE_SCHEDULERS and not is_movable
    callback = StudyCallback(study, started=started, many_jobs=many_jobs)
    pauses = config.scheduler in PAUSING_SCHEDULERS
    if pauses:  # Tune's own limit counts paused trials, so that no bracket would ever fill
        searcher.limit_running(callback, study.workers)
    tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            num_samples=-1,
            reuse_actors=True,
            search_alg=searcher,
            scheduler=make_scheduler(
                config.scheduler,
                metric=study.metric,
                rungs=study.rungs,
                past_trials=study.past_trials,
            ),
            max_concurrent_trials=None if pauses else study.workers,
        ),
        run_config=_run_config(callback, storage, movable=is_movable),
    ).fit()


def _run_population(
    study: Study, trainable: Any, *, callback: "StudyCallback", storage: str
) -> bool:
    """Train one population to its end; return False if there were no more members."""
    space = search_space(study.objective, study.config)
    jobs: list[dict[str, Any]] = []
    while len(jobs) < POPULATION_SIZE and (job := study.ask()) is not None:
        known = with_changeable_parameters(job.configuration, space)
        jobs.append(asdict(replace(job, configuration=known)))
    if not jobs:
        return False
    tune.Tuner(
        trainable,
        param_space={"job": tune.grid_search(jobs)},
        tune_config=tune.TuneConfig(
            reuse_actors=True,
            scheduler=make_scheduler(
                study.config.scheduler,
                metric=study.metric,
                rungs=study.rungs,
                space=space,
                seed=study.seed,
            ),
            trial_dirname_creator=lambda trial: str(trial.trial_id),
        ),
        run_config=_run_config(callback, storage, movable=False),
    ).fit()
    return True


def _run_config(callback: "StudyCallback", storage: str, *, movable: bool) -> tune.RunConfig:
    """Return how Tune runs trials: if they can move, each step is saved, and lost workers replaced.

    Population based training copies trials; it needs the last few states of each.
    """
    return tune.RunConfig(
        name=f"search-{secrets.token_hex(4)}",
        storage_path=storage,
        callbacks=[callback],
        checkpoint_config=tune.CheckpointConfig(
            checkpoint_at_end=False, checkpoint_frequency=int(movable), num_to_keep=4
        ),
        failure_config=tune.FailureConfig(max_failures=MAX_MOVES if movable else 0),
        stop=callback,
        verbose=0,
    )


@contextmanager
def _storage_folder(storage: str | None, root: Path | None) -> Iterator[str]:
    """Yield a new folder for the checkpoints of one search, which is removed at its end."""
    if storage is None:
        with tempfile.TemporaryDirectory() as folder:
            yield folder
        return
    folder = f"{_absolute(storage, root).rstrip('/')}/evertune-{secrets.token_hex(6)}"
    filesystem, path = open_filesystem(folder)
    filesystem.create_dir(path, recursive=True)
    try:
        yield folder
    finally:
        filesystem.delete_dir(path)


def _absolute(storage: str, root: Path | None) -> str:
    """Return an address as it is, and a folder as an absolute path; it may be in the project."""
    return storage if "://" in storage else str((root or Path.cwd()) / storage)


def open_filesystem(address: str) -> tuple[Any, str]:
    """Return pyarrow's file system of a folder or address, and the path in it."""
    if "://" in address:
        filesystem, path = FileSystem.from_uri(address)
        return filesystem, path
    return LocalFileSystem(), address


def check_storage(config: SearchConfig, root: Path | None) -> None:
    """Refuse what several nodes cannot do: pause trials without a folder that all of them reach.

    Raises
    ------
    ValueError
        If `search.storage` is missing, or a node does not reach it.
    """
    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
    if len(nodes) < 2:
        return
    if config.storage is None:
        if config.scheduler in PAUSING_SCHEDULERS:
            raise ValueError(
                f"search.scheduler {config.scheduler} moves trials between the {len(nodes)} nodes "
                "of the cluster at RAY_ADDRESS; name a folder or object store that all of them "
                "reach in search.storage, or take asha."
            )
        return
    if "://" in config.storage:
        return
    folder = _absolute(config.storage, root)

    def is_there(folder: str) -> bool:
        return Path(folder).is_dir()

    task = ray.remote(num_cpus=0)(is_there)
    reached = ray.get(
        [
            task.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node_id=node, soft=False)
            ).remote(folder)
            for node in nodes
        ]
    )
    if not all(reached):
        raise ValueError(
            f"search.storage '{folder}' must be a folder that all nodes of the cluster at "
            f"RAY_ADDRESS reach, but {reached.count(False)} of {len(nodes)} do not; mount it "
            "there, or name an object store such as s3://bucket/folder."
        )


class ModelStore:
    """Fold models that workers of a cluster store, so that they do not pass through Tune's results.

    The driver reads those of trials that enter the pool; those of stopped trials are never read.
    """

    def __init__(self, address: str) -> None:
        self._address = address

    def write(self, number: int, update: JobUpdate) -> JobUpdate:
        """Store the models of an update, and return it without them."""
        if not update.outcomes:
            return update
        filesystem, folder = open_filesystem(self._address)
        filesystem.create_dir(folder, recursive=True)
        stripped = []
        for outcome in update.outcomes:
            model = outcome.model
            with filesystem.open_output_stream(self._path(folder, number, model.fold)) as file:
                file.write(model.data)
            stripped.append(replace(outcome, model=replace(model, data=b"")))
        return replace(update, outcomes=tuple(stripped))

    def read(self, artifacts: TrialArtifacts) -> TrialArtifacts:
        """Return artifacts with their models; those that were not stored have them already."""
        filesystem, folder = open_filesystem(self._address)

        def with_data(model: FoldModel) -> FoldModel:
            if model.data:
                return model
            path = self._path(folder, artifacts.number, model.fold)
            with filesystem.open_input_stream(path) as file:
                return replace(model, data=file.read())

        return replace(artifacts, folds=tuple(map(with_data, artifacts.folds)))

    @staticmethod
    def _path(folder: str, number: int, fold: int) -> str:
        return f"{folder}/{number:06d}-{fold}"


class CrossValidationTrainable(tune.Trainable):  # type: ignore[misc]
    """Evaluates jobs one by one, a step of the rungs at a time."""

    def setup(
        self,
        config: dict[str, Any],
        objective: Objective,
        rungs: Rungs,
        models: ModelStore | None = None,
    ) -> None:
        """Keep the objective, and use one thread."""
        threadpool_limits(1)
        self.worker, self.models = Worker(objective, rungs), models
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Turn to another job."""
        self.take(job_from_config(new_config))
        return True

    def take(self, job: Job | None) -> None:
        """Turn to another job, or wait for one."""
        self.job = job
        self.evaluation = None if job is None else self.worker.start(job)

    def step(self) -> dict[str, Any]:
        """Return the next step, and the mean over the folds by now."""
        if self.job is None or self.evaluation is None:
            time.sleep(IDLE_SECONDS)
            return {}
        update, evaluation = self.evaluation.step(), self.evaluation
        metric = self.worker.objective.metrics[0]
        score = None if update.failed else maximized_mean_score(evaluation.results(), metric)
        scores = {} if score is None else {OBJECTIVE: score}
        if self.models is not None:
            update = self.models.write(self.job.number, update)
        return scores | {UPDATE: update, RESOURCE: evaluation.resource}

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:  # noqa: ARG002
        """Return what another worker, maybe on another node, needs to go on."""
        assert self.evaluation is not None  # a trial that is saved is one job
        return {"evaluation": self.evaluation.state()}

    def load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on from a checkpoint; of another trial, if population based training copies it."""
        assert self.evaluation is not None
        self.evaluation.restore(checkpoint["evaluation"])


def job_from_config(config: Mapping[str, Any]) -> Job:
    """Return the job of a Tune trial, whose configuration has the job as a dictionary."""
    job = config["job"]
    configuration = Configuration(**job["configuration"])
    return Job(**{**job, "configuration": configuration, "folds": tuple(job["folds"])})


class StudySearcher(Searcher):  # type: ignore[misc]
    """Asks the study for jobs; `StudyCallback` reports their results to it."""

    def __init__(self, study: Study) -> None:
        super().__init__(metric=OBJECTIVE, mode="max")
        self._study = study
        self._may_start: Callable[[], bool] = lambda: True

    def limit_running(self, callback: "StudyCallback", workers: int) -> None:
        """Suggest nothing while as many trials as workers run or are about to."""
        self._may_start = lambda: callback.count_active() < workers

    def __getstate__(self) -> dict[str, Any]:
        """Give Tune nothing to save: the trials file is the only memory of a search."""
        return {}

    def suggest(self, trial_id: str) -> Any:  # noqa: ARG002
        """Return the next job, None if there is none now, or that there will be none."""
        if not self._may_start():
            return None
        job = self._study.ask()
        if job is not None:
            return {"job": asdict(job)}
        return Searcher.FINISHED if self._study.exhausted else None

    def on_trial_complete(self, *_: Any, **__: Any) -> None:
        """Do nothing: `StudyCallback` tells the study."""

    def on_pause(self, trial_id: str) -> None:
        """Do nothing; Tune's scheduler for BOHB calls it."""

    def on_unpause(self, trial_id: str) -> None:
        """Do nothing; Tune's scheduler for BOHB calls it."""

    def save(self, checkpoint_path: str) -> None:
        """Save nothing."""


class StudyCallback(tune.Callback, tune.Stopper):  # type: ignore[misc]
    """Reports what Tune's workers return to the study, and stops everything at its deadline.

    It is a stopper too, because only a stopper sees a result before Tune stores it: it takes the
    update, with the fitted models, out of the result.

    Parameters
    ----------
    many_jobs : bool
        Whether a trial goes on with another job when one has ended.
    """

    def __init__(self, study: Study, *, started: threading.Event, many_jobs: bool = False) -> None:
        self._study, self._started, self._many_jobs = study, started, many_jobs
        self._jobs: dict[str, Job] = {}
        self._workers: dict[str, Any] = {}
        self._trials: list[Any] = []
        self._updates: dict[str, JobUpdate] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Give Tune nothing to save."""
        return {}

    def on_step_begin(self, *, trials: list[Any], **_: Any) -> None:
        """Remember Tune's trials."""
        self._trials = trials

    def count_active(self) -> int:
        """Return how many trials run or are about to; paused ones do not count."""
        return sum(trial.status in ("RUNNING", "PENDING") for trial in self._trials)

    def on_trial_start(self, *, trial: Any, **_: Any) -> None:
        """Remember the job and its worker; a trial starts again after a pause."""
        self._jobs[trial.trial_id] = job_from_config(trial.config)
        self._workers[trial.trial_id] = trial.temporary_state.ray_actor
        self._started.set()

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Report a result, and return whether the trial ends: its job has ended, or is pruned."""
        update = result.pop(UPDATE, None)
        if update is None:  # it waits for a job
            return not self._has_next_job(trial_id)
        job = self._jobs[trial_id]
        self._updates[trial_id] = update
        ended = self._study.report(job, update) or update.done
        if not (ended and self._many_jobs):
            return ended
        self._tell(trial_id, job)
        return not self._has_next_job(trial_id)

    def _has_next_job(self, trial_id: str) -> bool:
        """Give a worker its next job, if there is one; return False if there will be none."""
        job = self._study.ask()
        if job is None and self._study.exhausted:
            return False
        if job is not None:
            self._jobs[trial_id] = job
        # Ray carries out the calls of a worker in order, and Tune asks for the next step after this
        self._workers[trial_id].take.remote(job)
        return True

    def on_trial_complete(self, *, trial: Any, **_: Any) -> None:
        """Tell that a job ran to its end or was stopped."""
        if job := self._ended_job(trial):
            self._tell(trial.trial_id, job)

    def on_trial_error(self, *, trial: Any, **_: Any) -> None:
        """Tell that a worker died."""
        self._updates.pop(trial.trial_id, None)
        if job := self._ended_job(trial):
            self._study.tell(job, None)

    def _tell(self, trial_id: str, job: Job) -> None:
        update = self._updates.pop(trial_id, None)
        self._jobs.pop(trial_id, None)
        self._study.tell(job, update, pruned=update is not None and not update.done)

    def _ended_job(self, trial: Any) -> Job | None:
        """Return the job of a trial that has ended; None if it had ended all its jobs.

        The worker of a trial may be lost before it starts.
        """
        if trial.trial_id in self._workers:
            return self._jobs.pop(trial.trial_id, None)
        return job_from_config(trial.config)

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


@contextmanager
def ray_session(
    root: Path | None, state: Path, *, workers: int | None, gpus_per_trial: float = 0.0
) -> Iterator[int]:
    """Connect to the cluster at RAY_ADDRESS, or start Ray here; yield the number of workers.

    It is the number of trials that the cluster's processors and GPUs hold at once, or less.
    """
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
        if gpus_per_trial:
            gpus = float(ray.cluster_resources().get("GPU", 0))
            processors = min(processors, int(gpus / gpus_per_trial))
            if processors < (workers or 1):
                raise ValueError(
                    f"search.gpus_per_trial {gpus_per_trial:g} needs {workers or 1} times as many "
                    f"GPUs for search.workers {workers or 'auto'}, but Ray found {gpus:g}; lower "
                    "one of them, or write 0."
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
