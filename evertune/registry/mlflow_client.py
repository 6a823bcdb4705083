"""The connection to MLflow: open the store, log runs and trials, read artifacts.

`open_tracking_store` checks that the server answers before a client would wait for minutes, and
that the SQLite file is a database. Unless MLFLOW_TRACKING_URI is set, everything is kept in the
project's `state` folder. Every call names its run, experiment and server; MLflow's own active
run is never used. Functions that call MLflow are decorated with `translate_mlflow_errors`.
`RunPage` and `ModelDescription` hold what a run and a registered version show. The best trials
have nested runs (`log_trials`).
"""

import json
import os
import socket
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, wraps
from itertools import accumulate
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import urlsplit

import pandas as pd

from evertune.errors import BusyError, StageError, UnsafeError
from evertune.messages import strip_credentials
from evertune.search.leaderboard import top_trials, trial_metrics, trial_parameters, trial_title
from evertune.trials import Trial

MLFLOW_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
TIMEOUT_SECONDS = 6.0
DEFAULT_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


def check_reachable(address: str) -> None:
    """Return if the web server or database at the address answers; a file always does.

    Raises
    ------
    BusyError
        Nothing answers within ten seconds.
    """
    parts = urlsplit(address)
    if not parts.hostname:
        return
    try:
        if parts.scheme in ("http", "https"):
            _request_health(address)
        else:
            _open_socket(
                parts.hostname, parts.port or DEFAULT_PORTS.get(parts.scheme.partition("+")[0])
            )
    except OSError as error:
        raise BusyError(
            f"expected an answer from {strip_credentials(address)}, but got: {error};"
            " start that server or correct MLFLOW_TRACKING_URI, then run again"
        ) from error


def sqlite_tracking_uri(state: Path) -> str:
    """Return the address of the MLflow database below the project's `state` folder."""
    return f"sqlite:///{state / 'mlflow.db'}"


def check_mlflow_database(state: Path) -> None:
    """Return if the MLflow database below `state` is one, or is not there yet.

    Raises
    ------
    UnsafeError
        The file is something else.
    """
    database = state / "mlflow.db"
    if not _is_sqlite(database):
        raise UnsafeError(
            f"expected an SQLite database, but {database} is not a database; nothing was changed:"
            " put a copy of it back, or move it away to start a new one"
        )


@cache
def _is_sqlite(database: Path) -> bool:
    """Whether a file is a database, empty, or not there; each is looked at once.

    That is before MLflow opens it: closing a file that SQLite has open in this process would take
    SQLite's locks away.
    """
    if not database.exists():
        return True
    with database.open("rb") as file:
        return file.read(16) in (b"", b"SQLite format 3\0")


def check_experiment(address: str, found: Any, *, artifacts: Path) -> None:
    """Return if MLflow's experiment can be used.

    Parameters
    ----------
    address : str
    found : mlflow.entities.Experiment
    artifacts : Path
        Where an embedded store keeps the files of runs.

    Raises
    ------
    StageError
        It was deleted.
    UnsafeError
        Its files lie elsewhere, since the addresses in the database are absolute.
    """
    if found.lifecycle_stage == "deleted":
        raise StageError(
            f"expected the MLflow experiment {found.name!r}, but it was deleted: restore it with"
            f" `mlflow experiments restore --experiment-id {found.experiment_id}`"
            " or change registry.name in params.yaml"
        )
    kept = found.artifact_location
    if address == sqlite_tracking_uri(artifacts.parent) and kept != artifacts.as_uri():
        raise UnsafeError(
            f"expected the files of MLflow's runs in {artifacts}, but the database says {kept}:"
            " the project was moved; move it back, or move its state folder away"
        )


def convert_mlflow_error(address: str, error: Exception) -> BusyError | StageError:
    """Return what MLflow's error means to a user, without the secrets of the address."""
    place, text = (
        strip_credentials(address),
        str(error).replace(address, strip_credentials(address)),
    )
    if "database is locked" in text or "API request to" in text:
        return BusyError(f"MLflow at {place} does not answer: {text}; run again later")
    return StageError(f"MLflow at {place} refuses: {text}")


def mlflow_ui_command(state: Path, port: int) -> list[str]:
    """Return the command that shows the embedded store on this machine's port."""
    return [
        *(sys.executable, "-m", "mlflow", "server"),
        *("--backend-store-uri", sqlite_tracking_uri(state)),
        *("--artifacts-destination", str(state / "artifacts")),
        *("--default-artifact-root", str(state / "artifacts")),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--allowed-hosts", f"127.0.0.1:{port},localhost:{port}"),
        *("--cors-allowed-origins", f"http://127.0.0.1:{port},http://localhost:{port}"),
    ]


def _request_health(address: str) -> None:
    try:
        urllib.request.urlopen(f"{address.rstrip('/')}/health", timeout=TIMEOUT_SECONDS).close()
    except urllib.error.HTTPError as error:
        error.close()  # it answers; whether it lets us in is for the client to find out


def _open_socket(host: str, port: int | None) -> None:
    if port is not None:
        socket.create_connection((host, port), timeout=TIMEOUT_SECONDS).close()


@dataclass(frozen=True)
class MetricPoint:
    """One value of a metric; without a time it is that of logging."""

    name: str
    value: float
    step: int = 0
    milliseconds: int | None = None


@dataclass(frozen=True)
class LoggedDataset:
    """A table that was used: its version (md5), where it lies, and what it was used for.

    `context` is what the MLflow UI groups datasets by, such as `training`.
    """

    name: str
    path: Path
    md5: str
    context: str


@dataclass(frozen=True)
class RunPage:
    """What a run shows.

    Attributes
    ----------
    title, note : str
        The run's name, and its description in Markdown.
    parameters, tags : mapping of str to str
    metrics : mapping of str to float
    files : tuple of (Path, str)
        Files and folders, each with the folder of the run's artifacts that it goes to.
    leaderboard : DataFrame, optional
        All trials; readable as a table in the UI.
    tables : tuple of LoggedDataset
    status : str
        In MLflow's words: FINISHED, KILLED or FAILED.
    """

    title: str
    note: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    files: tuple[tuple[Path, str], ...] = ()
    leaderboard: pd.DataFrame | None = None
    tables: tuple[LoggedDataset, ...] = ()
    status: str = "FINISHED"


@dataclass(frozen=True)
class ModelDescription:
    """What the registry says about a model.

    Attributes
    ----------
    identity : str
        Hash of the model's files.
    description : str
        In Markdown.
    inputs, outputs : mapping of str to str
        Columns with their types in MLflow's words: double, string or any.
    example : DataFrame
        A few rows as the model takes them.
    requirements : tuple of str
        What has to be installed to load it, such as `numpy==2.4.6`.
    metrics : mapping of str to float
    tags : mapping of str to str
    """

    identity: str
    description: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    example: pd.DataFrame
    requirements: tuple[str, ...]
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


SEARCH_TAG = "evertune.search"
RESULT_TAG = "evertune.result"
PROJECT_TAG = "evertune.project"
TRIAL_TAG = "evertune.trial"
EXPERIMENT_TAGS = {
    "mlflow.experimentKind": "custom_model_development"
}  # how the UI names its pages
MAX_TEXT_LENGTH = 5000
BATCH_SIZE = 100
P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class TrackingStore:
    """Where runs and versions of one project go.

    Attributes
    ----------
    address : str
        Of the MLflow server or database.
    experiment_id : str
    name : str
        Of the experiment and of the registered model.
    project : str
        Machine and folder: which runs are ours where several projects share a server.
    """

    address: str
    experiment_id: str
    name: str
    project: str


def translate_mlflow_errors(
    function: Callable[Concatenate[TrackingStore, P], R],
) -> Callable[Concatenate[TrackingStore, P], R]:
    """Turn MLflow's failures in a function whose first argument is a store into ours.

    MLFLOW_RUN_ID leaves the environment: nested runs would overwrite the run that it names.
    """

    @wraps(function)
    def call(store: TrackingStore, /, *args: P.args, **kwargs: P.kwargs) -> R:
        os.environ.pop("MLFLOW_RUN_ID", None)
        for name, value in MLFLOW_ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        from mlflow.exceptions import MlflowException

        try:
            return function(store, *args, **kwargs)
        except MlflowException as error:
            raise convert_mlflow_error(store.address, error) from error

    return call


def create_client(address: str) -> Any:
    """Return an MLflow client for the address; to be called in a function that is
    `translate_mlflow_errors`.
    """
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=address)


def open_tracking_store(state: Path, name: str) -> TrackingStore:
    """Return the store of the project, with its experiment made if there is none yet.

    Parameters
    ----------
    state : Path
        The project's `state` folder, absolute.
    name : str
        Of the experiment and of the registered model (`registry.name`).

    Raises
    ------
    BusyError
        The server does not answer.
    UnsafeError
        The database is no database, or the experiment's files lie in another folder.
    StageError
        The experiment was deleted.
    """
    address = os.environ.get("MLFLOW_TRACKING_URI") or sqlite_tracking_uri(state)
    check_reachable(address)
    if address == sqlite_tracking_uri(state):
        check_mlflow_database(state)
    unopened = TrackingStore(address, "", name, f"{socket.gethostname()}:{state.parent}")
    return _with_experiment(unopened, state / "artifacts")


@translate_mlflow_errors
def open_run(store: TrackingStore, digest: str, *, title: str, result: str | None = None) -> str:
    """Return the id of the run of a search; a new one unless there is one that fits.

    The caller holds the project's lock: runs of this project that still read RUNNING belong to
    processes that died, and are marked KILLED.

    Parameters
    ----------
    store : TrackingStore
    digest : str
        Of all that the search depends on (`SearchHeader.digest`).
    title : str
        The name of a new run.
    result : str, optional
        Digest of what is to be shown. A run is given to one result for good: what it shows is
        never mixed.
    """
    known = create_client(store.address)
    _close_abandoned_runs(known, store)
    found = known.search_runs(
        [store.experiment_id],
        f"tags.`{SEARCH_TAG}` = '{digest}' and tags.`{PROJECT_TAG}` = '{store.project}'",
        order_by=["attributes.start_time DESC"],
    )
    for run in found:
        if run.data.tags.get(RESULT_TAG) in (None, result):
            return _resume_run(known, run, result)
    tags = {SEARCH_TAG: digest, **_project_tags(store), **({RESULT_TAG: result} if result else {})}
    return str(known.create_run(store.experiment_id, tags=tags, run_name=title).info.run_id)


@translate_mlflow_errors
def log_trials(
    store: TrackingStore,
    run_id: str,
    *,
    trials: Sequence[Trial],
    greater_is_better: bool,
    most: int,
) -> None:
    """Bring the nested runs, and the curve of the best score, in line with the trials so far.

    The `most` best trials have exactly one run each afterwards.
    """
    known = create_client(store.address)
    kept = top_trials(trials, greater_is_better=greater_is_better, most=most)
    pages = {trial.number: trial_page(trial) for trial in kept}
    shown = _nested_run_ids(known, store, run_id)
    for number, nested in shown.items():
        if number not in pages:
            known.delete_run(nested)
    for number in sorted(pages.keys() - shown.keys()):
        tags = {"mlflow.parentRunId": run_id, TRIAL_TAG: str(number)}
        _log_nested_run(known, store, pages[number], tags)
    # A point that is logged again with the same time and step is the same point to MLflow.
    start = known.get_run(run_id).info.start_time
    curve = score_curves(trials, greater_is_better=greater_is_better, started_milliseconds=start)
    log_values(known, run_id, points=curve)


def log_values(
    known: Any,
    run_id: str,
    *,
    points: Sequence[MetricPoint] = (),
    parameters: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Log figures, parameters and tags in as few calls as MLflow allows."""
    from mlflow.entities import Metric, Param, RunTag

    now = int(time.time() * 1000)
    metrics = [Metric(p.name, p.value, p.milliseconds or now, p.step) for p in points]
    params = [Param(name, text[:MAX_TEXT_LENGTH]) for name, text in (parameters or {}).items()]
    marks = [RunTag(name, text[:MAX_TEXT_LENGTH]) for name, text in (tags or {}).items()]
    for start in range(0, max(len(metrics), len(params), len(marks)), BATCH_SIZE):
        part = slice(start, start + BATCH_SIZE)
        known.log_batch(run_id, metrics[part], params[part], marks[part])


def dataset_input(table: LoggedDataset, rows: pd.DataFrame) -> Any:
    """Return a table as MLflow shows it among the inputs of a run, with DVC's md5 as digest."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = json.dumps({"uri": str(table.path)})
    schema, profile = dataset_schema_json(rows), dataset_profile_json(rows)
    shown = Dataset(table.name, table.md5, "local", source, schema, profile)
    tags = [InputTag("mlflow.data.context", table.context), InputTag("dvc.md5", table.md5)]
    return DatasetInput(shown, tags)


def fetch_artifacts(address: str, source: str, *, folder: Path) -> Path:
    """Copy the files at `source` to a place in `folder` and return that place."""
    from mlflow.artifacts import download_artifacts

    found = download_artifacts(artifact_uri=source, dst_path=str(folder), tracking_uri=address)
    return Path(found)


@translate_mlflow_errors
def _with_experiment(store: TrackingStore, artifacts: Path) -> TrackingStore:
    known = create_client(store.address)
    found = known.get_experiment_by_name(store.name)
    if found is not None:
        check_experiment(store.address, found, artifacts=artifacts)
        return replace(store, experiment_id=str(found.experiment_id))
    place = None if store.address.startswith("http") else artifacts.as_uri()
    return replace(store, experiment_id=_create_experiment(known, store.name, place))


def _create_experiment(known: Any, name: str, place: str | None) -> str:
    """Return the id of a new experiment, or of the one that another run has just made."""
    from mlflow.exceptions import MlflowException

    try:
        return str(known.create_experiment(name, artifact_location=place, tags=EXPERIMENT_TAGS))
    except MlflowException:
        other = known.get_experiment_by_name(name)
        if other is None:
            raise
        return str(other.experiment_id)


def _project_tags(store: TrackingStore) -> dict[str, str]:
    return {
        PROJECT_TAG: store.project,
        "mlflow.source.name": "evertune train",
        "mlflow.source.type": "LOCAL",
    }


def _close_abandoned_runs(known: Any, store: TrackingStore) -> None:
    left = known.search_runs(
        [store.experiment_id],
        f"attributes.status = 'RUNNING' and tags.`{PROJECT_TAG}` = '{store.project}'",
    )
    for run in left:
        if TRIAL_TAG in run.data.tags:
            known.delete_run(run.info.run_id)  # half of it may be missing; it is logged anew
        else:
            known.set_terminated(run.info.run_id, "KILLED")


def _resume_run(known: Any, run: Any, result: str | None) -> str:
    if result is not None:
        known.set_tag(run.info.run_id, RESULT_TAG, result)
    if result is None or run.info.status != "FINISHED":
        known.update_run(run.info.run_id, status="RUNNING")
    return str(run.info.run_id)


def _nested_run_ids(known: Any, store: TrackingStore, run_id: str) -> dict[int, str]:
    found = known.search_runs(
        [store.experiment_id], f"tags.`mlflow.parentRunId` = '{run_id}'", max_results=10_000
    )
    return {int(run.data.tags[TRIAL_TAG]): str(run.info.run_id) for run in found}


def _log_nested_run(known: Any, store: TrackingStore, page: RunPage, tags: dict[str, str]) -> None:
    every = {**page.tags, **tags, **_project_tags(store)}
    nested = known.create_run(store.experiment_id, tags=every, run_name=page.title).info.run_id
    points = [MetricPoint(name, value) for name, value in page.metrics.items()]
    log_values(known, nested, points=points, parameters=page.parameters)
    known.set_terminated(nested, page.status)


MLFLOW_STATUS = {"complete": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}


def trial_page(trial: Trial) -> RunPage:
    """Return what the run of a trial shows.

    Examples
    --------
    >>> from evertune.trials import Configuration, Trial
    >>> page = trial_page(Trial(7, Configuration("linear"), "failed", (), None, "no memory", 2.0))
    >>> page.title, page.status, page.tags["evertune.reason"]
    ('trial 7: linear failed', 'FAILED', 'no memory')
    """
    return RunPage(
        title=trial_title(trial),
        note=trial.reason or "",
        parameters=trial_parameters(trial),
        metrics=trial_metrics(trial),
        tags={"evertune.status": trial.status, "evertune.reason": trial.reason or ""},
        status=MLFLOW_STATUS[trial.status],
    )


def score_curves(
    trials: Sequence[Trial], *, greater_is_better: bool, started_milliseconds: int
) -> tuple[MetricPoint, ...]:
    """Return two curves over the complete trials in the order they ended: score and best score.

    Parameters
    ----------
    trials : sequence of Trial
    greater_is_better : bool
    started_milliseconds : int
        When the search started, since 1970.

    Examples
    --------
    >>> from evertune.trials import Configuration, Trial
    >>> trials = [Trial(n, Configuration("tree"), "complete", (), score, None, float(n))
    ...           for n, score in enumerate([0.5, 0.4, 0.7])]
    >>> points = score_curves(trials, greater_is_better=True, started_milliseconds=1000)
    >>> [(point.value, point.milliseconds) for point in points if point.name == "search/best"]
    [(0.5, 1000), (0.5, 2000), (0.7, 3000)]
    """
    pick = max if greater_is_better else min
    ranked = [trial for trial in trials if trial.status == "complete" and trial.score is not None]
    scores = [trial.score for trial in ranked if trial.score is not None]
    points: list[MetricPoint] = []
    for step, (trial, score, best) in enumerate(
        zip(ranked, scores, accumulate(scores, pick), strict=True)
    ):
        when = started_milliseconds + round(1000 * trial.elapsed_seconds)
        points.append(MetricPoint("search/score", score, step, when))
        points.append(MetricPoint("search/best", best, step, when))
    return tuple(points)


def dataset_schema_json(table: pd.DataFrame) -> str:
    """Return the columns of a table with their types, as MLflow keeps them.

    Examples
    --------
    >>> dataset_schema_json(pd.DataFrame({"n": [1]}))
    '{"mlflow_colspec": [{"name": "n", "type": "double", "required": false}]}'
    """
    kinds = {"b": "boolean", "i": "double", "u": "double", "f": "double", "M": "datetime"}
    columns = [
        {"name": str(name), "type": kinds.get(kind.kind, "string"), "required": False}
        for name, kind in table.dtypes.items()
    ]
    return json.dumps({"mlflow_colspec": columns})


def dataset_profile_json(table: pd.DataFrame) -> str:
    """Return the size of a table, as MLflow keeps it.

    Examples
    --------
    >>> dataset_profile_json(pd.DataFrame({"n": [1, 2], "m": [3, 4]}))
    '{"num_rows": 2, "num_elements": 4}'
    """
    return json.dumps({"num_rows": len(table), "num_elements": int(table.size)})


def flatten_params(values: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    """Return nested values as text under dotted names.

    Examples
    --------
    >>> flatten_params({"search": {"seed": 0, "families": ["linear", "tree"]}, "data": {"columns": {}}})
    {'search.seed': '0', 'search.families': 'linear, tree', 'data.columns': ''}
    """
    named: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            named |= flatten_params(value, f"{prefix}{key}.")
        else:
            named[f"{prefix}{key}"] = _param_text(value)
    return named


def _param_text(value: object) -> str:
    if isinstance(value, (list, tuple, Mapping)):
        return ", ".join(str(item) for item in value)
    return str(value)
