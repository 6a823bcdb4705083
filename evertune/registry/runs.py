"""What the MLflow runs of registration, assessment and monitoring show, and how it is logged.

`read_registration_inputs` collects what the stages wrote with the versions that DVC recorded,
and fails if a stage is out of date. `evaluation_title`, `evaluation_metrics` and
`evaluation_description` put an evaluation in MLflow's terms. `log_run_page`, `log_assessment`
(one run for each version and table) and `log_monitoring` (one run for each model) write the
runs; logging again changes nothing but times. `download_artifact` copies a file of a run.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from evertune.config.schema import Params, PathsSection
from evertune.data.schema import TableSchema
from evertune.errors import StageError
from evertune.evaluation.assessment import Assessment, describe_left_out_rows, summarize_assessment
from evertune.evaluation.records import (
    CHOSEN_MODEL,
    Evaluation,
    MetricRow,
    chosen_model_metrics,
    chosen_simple_model,
)
from evertune.files import digest_files, read_record, read_table
from evertune.registry.mlflow_client import (
    PROJECT_TAG,
    RESULT_TAG,
    SEARCH_TAG,
    LoggedDataset,
    MetricPoint,
    RunPage,
    TrackingStore,
    create_client,
    dataset_input,
    fetch_artifacts,
    log_values,
    translate_mlflow_errors,
)
from evertune.search.trial_log import read_header, read_trials
from evertune.trials import SearchHeader, Trial
from evertune.types import ColumnKind
from evertune.versioning import dvc


@dataclass(frozen=True)
class LastRun:
    """The run of a search, in short: `status` in MLflow's words, the time since 1970."""

    run_id: str
    title: str
    status: str
    started_seconds: float


@translate_mlflow_errors
def log_run_page(store: TrackingStore, run_id: str, *, page: RunPage) -> None:
    """Show everything that is known about a result in its run.

    Logging a page twice changes nothing but the times of its figures.
    """
    known = create_client(store.address)
    known.update_run(run_id, name=page.title)
    log_values(
        known,
        run_id,
        points=[MetricPoint(name, value) for name, value in page.metrics.items()],
        parameters=page.parameters,
        tags={**page.tags, "mlflow.note.content": page.note},
    )
    for path, folder in page.files:
        add = known.log_artifacts if path.is_dir() else known.log_artifact
        add(run_id, str(path), folder or None)
    if page.leaderboard is not None:
        text = page.leaderboard.to_json(orient="split", index=False)
        known.log_text(run_id, text, "leaderboard.json")
    inputs = [dataset_input(table, read_table(table.path)) for table in page.tables]
    known.log_inputs(run_id, datasets=inputs)


@translate_mlflow_errors
def shows_result(store: TrackingStore, run_id: str, *, result: str) -> bool:
    """Whether the run shows this result in full."""
    run = create_client(store.address).get_run(run_id)
    return bool(run.info.status == "FINISHED" and run.data.tags.get(RESULT_TAG) == result)


@translate_mlflow_errors
def finish_run(store: TrackingStore, run_id: str) -> None:
    """Mark the run as showing its result in full."""
    create_client(store.address).set_terminated(run_id, "FINISHED")


@translate_mlflow_errors
def log_text(store: TrackingStore, run_id: str, *, name: str, text: str) -> None:
    """Keep a text among the artifacts of a run."""
    create_client(store.address).log_text(run_id, text, name)


@translate_mlflow_errors
def download_artifact(store: TrackingStore, run_id: str, *, name: str, folder: Path) -> Path | None:
    """Return a file among the artifacts of a run, copied to `folder`; None where it has none."""
    if name not in {kept.path for kept in create_client(store.address).list_artifacts(run_id)}:
        return None
    return fetch_artifacts(store.address, f"runs:/{run_id}/{name}", folder=folder)


@translate_mlflow_errors
def last_run(store: TrackingStore) -> LastRun | None:
    """Return the newest run of a search of this project, None if there is none."""
    mine = f"tags.`{PROJECT_TAG}` = '{store.project}' and tags.`{SEARCH_TAG}` LIKE '%'"
    found = create_client(store.address).search_runs(
        [store.experiment_id], mine, order_by=["attributes.start_time DESC"], max_results=1
    )
    if not found:
        return None
    info = found[0].info
    return LastRun(info.run_id, info.run_name, info.status, info.start_time / 1000)


ASSESSMENT_TAG = "evertune.assessment"
VERSION_TAG = "evertune.version"


@translate_mlflow_errors
def log_assessment(
    store: TrackingStore, found: Assessment, *, folder: Path, source: Path, rows: pd.DataFrame
) -> str:
    """Show an evaluation on demand in a run of its own and return the run's id.

    The same version judged by the same table again is shown in the same run.

    Parameters
    ----------
    store : TrackingStore
    found : Assessment
    folder : Path
        With the pages, logged as they are.
    source : Path
        The table's file.
    rows : DataFrame
        The table, whose columns and size the run shows.
    """
    known, key = create_client(store.address), f"{found.version}-{found.digest}"
    shown = known.search_runs([store.experiment_id], f"tags.`{ASSESSMENT_TAG}` = '{key}'")
    run_id = shown[0].info.run_id if shown else _create_assessment_run(store, found, key=key)
    own = {f"own_holdout/{row.metric}": row.own for row in found.figures}
    points = own | {f"assessed/{row.metric}": row.figure for row in found.figures}
    values = [MetricPoint(name, value) for name, value in points.items() if value is not None]
    log_values(known, run_id, points=values)
    known.log_artifacts(run_id, str(folder))
    table = LoggedDataset(found.table, source, found.digest, "evaluation")
    known.log_inputs(run_id, datasets=[dataset_input(table, rows)])
    known.set_terminated(run_id, "FINISHED")
    return str(run_id)


def _create_assessment_run(store: TrackingStore, found: Assessment, *, key: str) -> str:
    lines = [summarize_assessment(found), *describe_left_out_rows(found)]
    tags = {
        ASSESSMENT_TAG: key,
        VERSION_TAG: found.version,
        PROJECT_TAG: store.project,
        "mlflow.source.name": "evertune evaluate",
        "mlflow.source.type": "LOCAL",
        "mlflow.note.content": "\n\n".join(
            [*lines, f"Judges `models:/{found.model}/{found.version}`."]
        ),
    }
    name = f"version {found.version} on {found.table}"
    made = create_client(store.address).create_run(store.experiment_id, tags=tags, run_name=name)
    return str(made.info.run_id)


MONITORING_TAG = "evertune.monitoring"
MONITORING_NOTE = (
    "What production looks like: see the artifact monitoring.html, and figures by window."
)


@translate_mlflow_errors
def log_monitoring(store: TrackingStore, *, page: Path, points: Sequence[MetricPoint]) -> str:
    """Show the monitoring page and its figures in the model's one run for that; return its id.

    Points that the run has are not sent again.

    Parameters
    ----------
    store : TrackingStore
    page : Path
        The page; it takes the place of the one that was shown before.
    points : sequence of MetricPoint
        Figures over time.
    """
    known = create_client(store.address)
    run_id = _monitoring_run_id(known, store)
    log_values(known, run_id, points=unlogged_points(known, run_id, points))
    known.log_artifact(run_id, str(page))
    known.set_terminated(run_id, "FINISHED")
    return run_id


def unlogged_points(known: Any, run_id: str, points: Sequence[MetricPoint]) -> list[MetricPoint]:
    """Return the points, each with its time, that a run does not have yet.

    A figure that was worked out anew, since a label was corrected, is another point.
    """
    names = {point.name for point in points}
    shown = {
        (each.key, each.value, each.step, each.timestamp)
        for name in names
        for each in known.get_metric_history(run_id, name)
    }
    return [p for p in points if (p.name, p.value, p.step, p.milliseconds) not in shown]


def _monitoring_run_id(known: Any, store: TrackingStore) -> str:
    wanted = f"tags.`{MONITORING_TAG}` = '{store.name}'"
    found = known.search_runs([store.experiment_id], wanted, max_results=1)
    if found:
        return str(found[0].info.run_id)
    tags = {
        MONITORING_TAG: store.name,
        PROJECT_TAG: store.project,
        "mlflow.source.name": "evertune monitor",
        "mlflow.source.type": "LOCAL",
        "mlflow.note.content": MONITORING_NOTE,
    }
    made = known.create_run(store.experiment_id, tags=tags, run_name=f"monitoring {store.name}")
    return str(made.info.run_id)


@dataclass(frozen=True)
class RegistrationInputs:
    """What is to be registered.

    Attributes
    ----------
    root : Path
    params : Params
    evaluation : Evaluation
    schema : TableSchema
    header : SearchHeader
    trials : tuple of Trial
    model : Path
        The folder of the model that the evaluation chose.
    identity : str
        The hash of that folder.
    md5s : dict
        The recorded version of `source`, `absorbed`, `training`, `holdout` and `model`.
    result : str
        Digest of all that the run of this result shows.
    """

    root: Path
    params: Params
    evaluation: Evaluation
    schema: TableSchema
    header: SearchHeader
    trials: tuple[Trial, ...]
    model: Path
    identity: str
    md5s: dict[str, str]
    result: str


def read_registration_inputs(root: Path, params: Params) -> RegistrationInputs:
    """Return what is to be registered.

    Raises
    ------
    StageError
        A stage is not up to date.
    """
    _check_stages_current(root)
    paths, evaluation = params.paths, read_record(params.paths.figures, Evaluation)
    md5s = _recorded_md5s(root, paths)
    simplest = chosen_simple_model(evaluation)
    model = paths.model if simplest is None else paths.baselines / "models" / simplest
    identity = md5s["model"] if simplest is None else digest_files([model])
    return RegistrationInputs(
        root=root,
        params=params,
        evaluation=evaluation,
        schema=read_record(paths.table_schema, TableSchema),
        header=read_header(paths.trials),
        trials=read_trials(paths.trials),
        model=model,
        identity=identity,
        md5s=md5s,
        result=json_digest(
            identity, md5s, json.loads(paths.figures.read_text()), params_values(params)
        ),
    )


def _recorded_md5s(root: Path, paths: PathsSection) -> dict[str, str]:
    kept = {
        "source": paths.source,
        "absorbed": paths.production_labels,
        "training": paths.training,
        "holdout": paths.holdout,
        "model": paths.model,
    }
    return {name: dvc.output_hash(root, path) for name, path in kept.items()}


def _check_stages_current(root: Path) -> None:
    stale = [stage for stage in dvc.list_stages(root) if not dvc.is_stage_current(root, stage)]
    if stale:
        raise StageError(
            f"expected every stage to be up to date, but {', '.join(stale)} is not;"
            " run `evertune train`"
        )


def params_values(params: Params) -> dict[str, object]:
    """Return every value of params.yaml but the paths."""
    return params.model_dump(mode="json", exclude={"paths"})


def json_digest(*parts: object) -> str:
    """Return the SHA-256 of plain values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


METRIC_TAG_PREFIX = "figure."
MODE_TAG = "evertune.mode"


def evaluation_title(evaluation: Evaluation) -> str:
    """Return what the run of an evaluation is called, such as `ensemble of 5 roc_auc 0.8731`."""
    figure = chosen_model_metrics(evaluation).get(evaluation.metric)
    shown = "unknown" if figure is None else f"{figure:.4g}"
    return f"{_chosen_name(evaluation)} {evaluation.metric} {shown}"


def evaluation_metrics(evaluation: Evaluation) -> dict[str, float]:
    """Return every figure that is known, under the name that MLflow groups it by."""
    named: dict[str, float | None] = {}
    for row in evaluation.metrics:
        named |= _metric_values(row)
    for baseline in evaluation.baselines:
        figure = baseline.holdout.get(evaluation.metric)
        named[f"baseline/{baseline.name}/{evaluation.metric}"] = figure
    for name, figure in chosen_model_metrics(evaluation).items():
        named[f"chosen/{name}"] = figure
    search = evaluation.search
    named |= {"search/trials": search.trials, "search/seconds": search.seconds}
    return {name: float(figure) for name, figure in named.items() if figure is not None}


def evaluation_description(evaluation: Evaluation) -> str:
    """Return a short text in Markdown: what was chosen and how it does beside the baselines."""
    figures = chosen_model_metrics(evaluation)
    rows = [
        f"| {row.name} | {_cell_text(figures.get(row.name))} | {_cell_text(row.training)} |"
        f" {row.baseline or ''} | {_cell_text(row.baseline_holdout)} |"
        for row in evaluation.metrics
    ]
    chosen = evaluation.chosen if evaluation.chosen != CHOSEN_MODEL else _chosen_name(evaluation)
    return "\n".join(
        [
            f"Predicts `{evaluation.target}` ({evaluation.task}). Chosen: **{chosen}**."
            f" {'; '.join(evaluation.reasons)}",
            "",
            f"Optimised for {evaluation.metric}; {evaluation.n_training} training rows,"
            f" {evaluation.n_holdout} hold-out rows.",
            "",
            "| metric | hold-out | training | best baseline | its hold-out |",
            "|---|---|---|---|---|",
            *rows,
            "",
            "The whole report is `report/report.html` among the artifacts of the run.",
        ]
    )


def evaluation_tags(evaluation: Evaluation) -> dict[str, str]:
    """Return what runs and versions of a registry are told apart by, as tags."""
    chosen = chosen_simple_model(evaluation) or evaluation.family
    return {
        "metric": evaluation.metric,
        "evertune.task": evaluation.task,
        "evertune.target": evaluation.target,
        "evertune.family": chosen,
    }


def model_settings(evaluation: Evaluation) -> dict[str, str]:
    """Return the configuration of the model as text, under names of parameters."""
    named = {f"model.{each.name}": str(each.value) for each in evaluation.settings}
    return {"model.family": evaluation.family, "chosen": evaluation.chosen, **named}


def input_types(schema: TableSchema, raw: pd.DataFrame) -> dict[str, str]:
    """Return the columns that a model takes, with their types in MLflow's words.

    Columns that come as text are `string`. The others are `any`, and the model itself reads and
    checks them: MLflow would refuse whole numbers where it was promised numbers with a fraction.

    Parameters
    ----------
    schema : TableSchema
    raw : DataFrame
        The source table.

    Examples
    --------
    >>> from evertune.data.schema import Column
    >>> schema = TableSchema((Column("age", "number"), Column("plan", "category")), "y", "regression")
    >>> input_types(schema, pd.DataFrame({"age": [31], "plan": ["a"]}))
    {'age': 'any', 'plan': 'string'}
    """
    kinds: dict[str, ColumnKind] = {column.name: column.kind for column in schema.features}
    if schema.time is not None:
        kinds[schema.time] = "date"
    texts = {str(name) for name, kind in raw.dtypes.items() if kind == "str"}
    return {
        name: "string" if kind in ("category", "text") and name in texts else "any"
        for name, kind in kinds.items()
    }


def output_types(schema: TableSchema) -> Mapping[str, str]:
    """Return the columns that a model gives, with their types in MLflow's words.

    Examples
    --------
    >>> output_types(TableSchema((), "y", "binary", ("no", "yes")))
    {'prediction': 'string', 'probability_no': 'double', 'probability_yes': 'double'}
    """
    if schema.task == "regression":
        return {"prediction": "double"}
    return {"prediction": "string"} | {f"probability_{name}": "double" for name in schema.classes}


def _chosen_name(evaluation: Evaluation) -> str:
    simplest = chosen_simple_model(evaluation)
    if simplest is not None:
        return simplest
    n_members = max((len(story.weights) for story in evaluation.story), default=1)
    return evaluation.family if n_members <= 1 else f"ensemble of {n_members}"


def _metric_values(row: MetricRow) -> dict[str, float | None]:
    return {
        f"holdout/{row.name}": row.holdout,
        f"holdout_low/{row.name}": row.low,
        f"holdout_high/{row.name}": row.high,
        f"training/{row.name}": row.training,
        f"gap/{row.name}": row.gap,
        f"folds/{row.name}": row.folds,
        f"lift/{row.name}": row.lift,
    }


def _cell_text(figure: float | None) -> str:
    return "" if figure is None else f"{figure:.4g}"
