"""An evaluation in the words of MLflow: names of figures, a title, a description."""

from collections.abc import Mapping

import pandas as pd

from pipelines.core.evaluation import MODEL, Evaluation, MetricRow, simplest_chosen
from pipelines.core.judging.chosen import chosen_figures
from pipelines.core.schema import Kind, Schema

FIGURE_TAG = "figure."
MODE_TAG = "evertune.mode"


def title(evaluation: Evaluation) -> str:
    """Return what the run of an evaluation is called, such as `ensemble of 5 roc_auc 0.8731`."""
    figure = chosen_figures(evaluation).get(evaluation.metric)
    shown = "unknown" if figure is None else f"{figure:.4g}"
    return f"{_chosen(evaluation)} {evaluation.metric} {shown}"


def shown_figures(evaluation: Evaluation) -> dict[str, float]:
    """Return every figure that is known, under the name that MLflow groups it by."""
    named: dict[str, float | None] = {}
    for row in evaluation.metrics:
        named |= _metric_figures(row)
    for baseline in evaluation.baselines:
        figure = baseline.holdout.get(evaluation.metric)
        named[f"baseline/{baseline.name}/{evaluation.metric}"] = figure
    for name, figure in chosen_figures(evaluation).items():
        named[f"chosen/{name}"] = figure
    search = evaluation.search
    named |= {"search/trials": search.trials, "search/seconds": search.seconds}
    return {name: float(figure) for name, figure in named.items() if figure is not None}


def description(evaluation: Evaluation) -> str:
    """Return a short text in Markdown: what was chosen and how it does beside the baselines."""
    figures = chosen_figures(evaluation)
    rows = [
        f"| {row.name} | {_cell(figures.get(row.name))} | {_cell(row.training)} |"
        f" {row.baseline or ''} | {_cell(row.baseline_holdout)} |"
        for row in evaluation.metrics
    ]
    chosen = evaluation.chosen if evaluation.chosen != MODEL else _chosen(evaluation)
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


def kind_tags(evaluation: Evaluation) -> dict[str, str]:
    """Return what runs and versions of a registry are told apart by, as tags."""
    chosen = simplest_chosen(evaluation) or evaluation.family
    return {
        "metric": evaluation.metric,
        "evertune.task": evaluation.task,
        "evertune.target": evaluation.target,
        "evertune.family": chosen,
    }


def settings(evaluation: Evaluation) -> dict[str, str]:
    """Return the configuration of the model as text, under names of parameters."""
    named = {f"model.{each.name}": str(each.value) for each in evaluation.settings}
    return {"model.family": evaluation.family, "chosen": evaluation.chosen, **named}


def input_types(schema: Schema, raw: pd.DataFrame) -> dict[str, str]:
    """Return the columns that a model takes, with their types in MLflow's words.

    Columns that come as text are `string`. The others are `any`, and the model itself reads and
    checks them: MLflow would refuse whole numbers where it was promised numbers with a fraction.

    Parameters
    ----------
    schema : Schema
    raw : DataFrame
        The source table.

    Examples
    --------
    >>> from pipelines.core.schema import Column
    >>> schema = Schema((Column("age", "number"), Column("plan", "category")), "y", "regression")
    >>> input_types(schema, pd.DataFrame({"age": [31], "plan": ["a"]}))
    {'age': 'any', 'plan': 'string'}
    """
    kinds: dict[str, Kind] = {column.name: column.kind for column in schema.features}
    if schema.time is not None:
        kinds[schema.time] = "date"
    texts = {str(name) for name, kind in raw.dtypes.items() if kind == "str"}
    return {
        name: "string" if kind in ("category", "text") and name in texts else "any"
        for name, kind in kinds.items()
    }


def output_types(schema: Schema) -> Mapping[str, str]:
    """Return the columns that a model gives, with their types in MLflow's words.

    Examples
    --------
    >>> output_types(Schema((), "y", "binary", ("no", "yes")))
    {'prediction': 'string', 'probability_no': 'double', 'probability_yes': 'double'}
    """
    if schema.task == "regression":
        return {"prediction": "double"}
    return {"prediction": "string"} | {f"probability_{name}": "double" for name in schema.classes}


def _chosen(evaluation: Evaluation) -> str:
    simplest = simplest_chosen(evaluation)
    if simplest is not None:
        return simplest
    n_members = max((len(story.weights) for story in evaluation.story), default=1)
    return evaluation.family if n_members <= 1 else f"ensemble of {n_members}"


def _metric_figures(row: MetricRow) -> dict[str, float | None]:
    return {
        f"holdout/{row.name}": row.holdout,
        f"holdout_low/{row.name}": row.low,
        f"holdout_high/{row.name}": row.high,
        f"training/{row.name}": row.training,
        f"gap/{row.name}": row.gap,
        f"folds/{row.name}": row.folds,
        f"lift/{row.name}": row.lift,
    }


def _cell(figure: float | None) -> str:
    return "" if figure is None else f"{figure:.4g}"
