"""What MLflow shows: runs of searches, trials, assessments and monitoring, and model versions.

Pure functions from records to a `RunPage` or a `ModelDescription`;
`evertune.registry.mlflow_registry` logs them.
"""

import json
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import pandas as pd
from pydantic import BaseModel

from evertune.config.schema import PathsSection
from evertune.data.schema import TableSchema
from evertune.evaluation.evaluation_record import (
    Evaluation,
    chosen_model_metrics,
    chosen_simple_model,
)
from evertune.evaluation.other_table import Assessment, describe_left_out_rows, summarize_assessment
from evertune.registry.run_page import (
    VERSION_TAG,
    MetricPoint,
    RunPage,
)
from evertune.search.leaderboard import top_trials, trial_metrics, trial_parameters, trial_title
from evertune.trials import Trial
from evertune.types import ColumnKind

MLFLOW_STATUS = {"complete": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}


def trial_pages(
    trials: Sequence[Trial], *, greater_is_better: bool, most: int
) -> dict[int, RunPage]:
    """Return what the runs of the `most` best trials show, by the trials' numbers."""
    best = top_trials(trials, greater_is_better=greater_is_better, most=most)
    return {trial.number: trial_page(trial) for trial in best}


def trial_page(trial: Trial) -> RunPage:
    """Return what the run of a trial shows."""
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
    """Return score and best score over the complete trials, in the order in which they ended.

    Parameters
    ----------
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
    ended = [
        (trial.elapsed_seconds, trial.score)
        for trial in trials
        if trial.status == "complete" and trial.score is not None
    ]
    best = accumulate((score for _, score in ended), max if greater_is_better else min)
    points: list[MetricPoint] = []
    for step, ((seconds, score), top) in enumerate(zip(ended, best, strict=True)):
        when = started_milliseconds + round(1000 * seconds)
        points.append(MetricPoint("search/score", score, step, when))
        points.append(MetricPoint("search/best", top, step, when))
    return tuple(points)


def assessment_page(found: Assessment, *, folder: Path) -> RunPage:
    """Return what the run of an evaluation on demand shows; its pages are in `folder`."""
    lines = [summarize_assessment(found), *describe_left_out_rows(found)]
    metrics = {f"own_holdout/{row.metric}": row.own for row in found.figures}
    metrics |= {f"assessed/{row.metric}": row.figure for row in found.figures}
    return RunPage(
        title=f"version {found.version} on {found.table}",
        note="\n\n".join([*lines, f"Evaluates `models:/{found.model}/{found.version}`."]),
        metrics={name: value for name, value in metrics.items() if value is not None},
        tags={VERSION_TAG: found.version},
        files=((folder, ""),),
    )


def evaluation_title(evaluation: Evaluation) -> str:
    """Return the title of the run of an evaluation, such as `ensemble of 5 roc_auc 0.8731`."""
    score = chosen_model_metrics(evaluation).get(evaluation.metric)
    shown = "unknown" if score is None else f"{score:.4g}"
    return f"{_chosen_name(evaluation)} {evaluation.metric} {shown}"


def evaluation_metrics(evaluation: Evaluation) -> dict[str, float]:
    """Return every known score, under the name that MLflow groups it by."""
    named: dict[str, float | None] = {}
    for row in evaluation.metrics:
        named |= {
            f"holdout/{row.name}": row.holdout,
            f"holdout_low/{row.name}": row.low,
            f"holdout_high/{row.name}": row.high,
            f"training/{row.name}": row.training,
            f"gap/{row.name}": row.gap,
            f"folds/{row.name}": row.folds,
            f"lift/{row.name}": row.lift,
        }
    for baseline in evaluation.baselines:
        score = baseline.holdout.get(evaluation.metric)
        named[f"baseline/{baseline.name}/{evaluation.metric}"] = score
    for name, score in chosen_model_metrics(evaluation).items():
        named[f"chosen/{name}"] = score
    search = evaluation.search
    for searched in evaluation.searched:  # beside the simpler model in use, which is the above
        for name, score in searched.holdout.items():
            named[f"searched/{name}"] = score
    named |= {"search/trials": search.trials, "search/seconds": search.seconds}
    return {name: float(score) for name, score in named.items() if score is not None}


def evaluation_description(evaluation: Evaluation) -> str:
    """Return a short text in Markdown: the chosen model beside the best baselines."""

    def cell(score: float | None) -> str:
        return "" if score is None else f"{score:.4g}"

    scores = chosen_model_metrics(evaluation)
    rows = [
        f"| {row.name} | {cell(scores.get(row.name))} | {cell(row.training)} |"
        f" {row.baseline or ''} | {cell(row.baseline_holdout)} |"
        for row in evaluation.metrics
    ]
    chosen = _chosen_name(evaluation)
    return "\n".join(
        [
            f"Predicts `{evaluation.target}` ({evaluation.task}). In use: **{chosen}**."
            f" {' '.join(evaluation.reasons)}",
            "",
            f"Optimised for {evaluation.metric}, trained on {evaluation.n_training} rows and"
            f" evaluated on {evaluation.n_holdout} hold-out rows.",
            "",
            "| metric | hold-out | training | best baseline | baseline on hold-out |",
            "|---|---|---|---|---|",
            *rows,
            "",
            "The full report is the artifact `report/report.html` of the run.",
        ]
    )


def evaluation_tags(evaluation: Evaluation) -> dict[str, str]:
    """Return the tags by which runs and versions are filtered."""
    return {
        "metric": evaluation.metric,
        "evertune.task": evaluation.task,
        "evertune.target": evaluation.target,
        "evertune.family": chosen_simple_model(evaluation) or evaluation.family,
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
    raw : DataFrame
        The source table.

    Examples
    --------
    >>> from evertune.data.schema import Column
    >>> columns = (Column("age", "number"), Column("plan", "category"))
    >>> schema = TableSchema(columns, "y", "regression")
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


def output_types(schema: TableSchema) -> dict[str, str]:
    """Return the columns that a model gives, with their types in MLflow's words.

    Examples
    --------
    >>> output_types(TableSchema((), "y", "binary", ("no", "yes")))
    {'prediction': 'string', 'probability_no': 'double', 'probability_yes': 'double'}
    """
    if schema.task == "regression":
        return {"prediction": "double"}
    return {"prediction": "string"} | {f"probability_{name}": "double" for name in schema.classes}


def parameter_values(section: BaseModel, prefix: str = "") -> dict[str, str]:
    """Return the values of params.yaml as text under dotted names, without the paths.

    A list, or a mapping whose keys are names of the user's own such as columns, is one value in
    JSON: MLflow takes only some characters in the name of a parameter.

    Examples
    --------
    >>> from evertune.config.schema import DataSection
    >>> data = DataSection(source="t.csv", target="y", columns={"Distance (km)": "number"})
    >>> found = parameter_values(data, "data.")
    >>> found["data.target"], found["data.columns"]
    ('y', '{"Distance (km)": "number"}')
    """
    named: dict[str, str] = {}
    plain = section.model_dump(mode="json")
    for key, value in section:
        if isinstance(value, PathsSection):
            continue
        if isinstance(value, BaseModel):
            named |= parameter_values(value, f"{prefix}{key}.")
        elif isinstance(plain[key], (dict, list)):
            named[f"{prefix}{key}"] = json.dumps(plain[key], ensure_ascii=False)
        else:
            named[f"{prefix}{key}"] = str(plain[key])
    return named


def _chosen_name(evaluation: Evaluation) -> str:
    simplest = chosen_simple_model(evaluation)
    if simplest is not None:
        return simplest
    n_members = max((len(story.weights) for story in evaluation.story), default=1)
    return evaluation.family if n_members <= 1 else f"ensemble of {n_members}"
