"""What was run and what came of it: the only door to MLflow.

Every call names its run, experiment and server; MLflow's own notion of an active run is never
used. Unless MLFLOW_TRACKING_URI is set, all is kept below the project's `state` folder.
"""

import json
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import pandas as pd

from pipelines.core.pages import Page, Point, Table
from pipelines.core.runs import best_so_far, column_types, kept_trials, table_size, trial_page
from pipelines.core.trials import Trial
from pipelines.stores import addresses

SEARCH_TAG = "evertune.search"
RESULT_TAG = "evertune.result"
PROJECT_TAG = "evertune.project"
TRIAL_TAG = "evertune.trial"
KIND = {"mlflow.experimentKind": "custom_model_development"}  # how the UI names its pages
LONGEST_TEXT = 5000
BATCH = 100
P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Store:
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


def told(
    function: Callable[Concatenate[Store, P], R],
) -> Callable[Concatenate[Store, P], R]:
    """Turn MLflow's failures in a function whose first argument is a store into ours.

    MLFLOW_RUN_ID leaves the environment: nested runs would overwrite the run that it names.
    """

    @wraps(function)
    def call(store: Store, /, *args: P.args, **kwargs: P.kwargs) -> R:
        os.environ.pop("MLFLOW_RUN_ID", None)
        for name, value in addresses.SETTINGS.items():
            os.environ.setdefault(name, value)
        from mlflow.exceptions import MlflowException

        try:
            return function(store, *args, **kwargs)
        except MlflowException as error:
            raise addresses.failure(store.address, error) from error

    return call


def client(address: str) -> Any:
    """Return an MLflow client for the address; to be called in a function that is `told`."""
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=address)


def open_store(state: Path, name: str) -> Store:
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
    address = os.environ.get("MLFLOW_TRACKING_URI") or addresses.embedded_address(state)
    addresses.check_answers(address)
    if address == addresses.embedded_address(state):
        addresses.check_database(state)
    unopened = Store(address, "", name, f"{socket.gethostname()}:{state.parent}")
    return _with_experiment(unopened, state / "artifacts")


@told
def open_run(store: Store, digest: str, *, title: str, result: str | None = None) -> str:
    """Return the id of the run of a search; a new one unless there is one that fits.

    The caller holds the project's lock: runs of this project that still read RUNNING belong to
    processes that died, and are marked KILLED.

    Parameters
    ----------
    store : Store
    digest : str
        Of all that the search depends on (`SearchHeader.digest`).
    title : str
        The name of a new run.
    result : str, optional
        Digest of what is to be shown. A run is given to one result for good: what it shows is
        never mixed.
    """
    known = client(store.address)
    _close_abandoned(known, store)
    found = known.search_runs(
        [store.experiment_id],
        f"tags.`{SEARCH_TAG}` = '{digest}' and tags.`{PROJECT_TAG}` = '{store.project}'",
        order_by=["attributes.start_time DESC"],
    )
    for run in found:
        if run.data.tags.get(RESULT_TAG) in (None, result):
            return _taken_up(known, run, result)
    tags = {SEARCH_TAG: digest, **_origin(store), **({RESULT_TAG: result} if result else {})}
    return str(known.create_run(store.experiment_id, tags=tags, run_name=title).info.run_id)


@told
def log_trials(
    store: Store, run_id: str, *, trials: Sequence[Trial], greater_is_better: bool, most: int
) -> None:
    """Bring the nested runs, and the curve of the best score, in line with the trials so far.

    The `most` best trials have exactly one run each afterwards.
    """
    known = client(store.address)
    kept = kept_trials(trials, greater_is_better=greater_is_better, most=most)
    pages = {trial.number: trial_page(trial) for trial in kept}
    shown = _nested(known, store, run_id)
    for number, nested in shown.items():
        if number not in pages:
            known.delete_run(nested)
    for number in sorted(pages.keys() - shown.keys()):
        tags = {"mlflow.parentRunId": run_id, TRIAL_TAG: str(number)}
        _log_nested(known, store, pages[number], tags)
    # A point that is logged again with the same time and step is the same point to MLflow.
    start = known.get_run(run_id).info.start_time
    curve = best_so_far(trials, greater_is_better=greater_is_better, started_milliseconds=start)
    log_values(known, run_id, points=curve)


def log_values(
    known: Any,
    run_id: str,
    *,
    points: Sequence[Point] = (),
    parameters: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Log figures, parameters and tags in as few calls as MLflow allows."""
    from mlflow.entities import Metric, Param, RunTag

    now = int(time.time() * 1000)
    metrics = [Metric(p.name, p.value, p.milliseconds or now, p.step) for p in points]
    params = [Param(name, text[:LONGEST_TEXT]) for name, text in (parameters or {}).items()]
    marks = [RunTag(name, text[:LONGEST_TEXT]) for name, text in (tags or {}).items()]
    for start in range(0, max(len(metrics), len(params), len(marks)), BATCH):
        part = slice(start, start + BATCH)
        known.log_batch(run_id, metrics[part], params[part], marks[part])


def dataset_input(table: Table, rows: pd.DataFrame) -> Any:
    """Return a table as MLflow shows it among the inputs of a run, with DVC's md5 as digest."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = json.dumps({"uri": str(table.path)})
    schema, profile = column_types(rows), table_size(rows)
    shown = Dataset(table.name, table.md5, "local", source, schema, profile)
    tags = [InputTag("mlflow.data.context", table.context), InputTag("dvc.md5", table.md5)]
    return DatasetInput(shown, tags)


def fetched(address: str, source: str, *, folder: Path) -> Path:
    """Copy the files at `source` to a place in `folder` and return that place."""
    from mlflow.artifacts import download_artifacts

    found = download_artifacts(artifact_uri=source, dst_path=str(folder), tracking_uri=address)
    return Path(found)


@told
def _with_experiment(store: Store, artifacts: Path) -> Store:
    known = client(store.address)
    found = known.get_experiment_by_name(store.name)
    if found is not None:
        addresses.check_experiment(store.address, found, artifacts=artifacts)
        return replace(store, experiment_id=str(found.experiment_id))
    place = None if store.address.startswith("http") else artifacts.as_uri()
    return replace(store, experiment_id=_made_experiment(known, store.name, place))


def _made_experiment(known: Any, name: str, place: str | None) -> str:
    """Return the id of a new experiment, or of the one that another run has just made."""
    from mlflow.exceptions import MlflowException

    try:
        return str(known.create_experiment(name, artifact_location=place, tags=KIND))
    except MlflowException:
        other = known.get_experiment_by_name(name)
        if other is None:
            raise
        return str(other.experiment_id)


def _origin(store: Store) -> dict[str, str]:
    return {
        PROJECT_TAG: store.project,
        "mlflow.source.name": "evertune train",
        "mlflow.source.type": "LOCAL",
    }


def _close_abandoned(known: Any, store: Store) -> None:
    left = known.search_runs(
        [store.experiment_id],
        f"attributes.status = 'RUNNING' and tags.`{PROJECT_TAG}` = '{store.project}'",
    )
    for run in left:
        if TRIAL_TAG in run.data.tags:
            known.delete_run(run.info.run_id)  # half of it may be missing; it is logged anew
        else:
            known.set_terminated(run.info.run_id, "KILLED")


def _taken_up(known: Any, run: Any, result: str | None) -> str:
    if result is not None:
        known.set_tag(run.info.run_id, RESULT_TAG, result)
    if result is None or run.info.status != "FINISHED":
        known.update_run(run.info.run_id, status="RUNNING")
    return str(run.info.run_id)


def _nested(known: Any, store: Store, run_id: str) -> dict[int, str]:
    found = known.search_runs(
        [store.experiment_id], f"tags.`mlflow.parentRunId` = '{run_id}'", max_results=10_000
    )
    return {int(run.data.tags[TRIAL_TAG]): str(run.info.run_id) for run in found}


def _log_nested(known: Any, store: Store, page: Page, tags: dict[str, str]) -> None:
    every = {**page.tags, **tags, **_origin(store)}
    nested = known.create_run(store.experiment_id, tags=every, run_name=page.title).info.run_id
    points = [Point(name, value) for name, value in page.metrics.items()]
    log_values(known, nested, points=points, parameters=page.parameters)
    known.set_terminated(nested, page.status)
