"""Evaluates a registered model on another table than its own hold-out.

`assess_model` uses only rows that took no part in making the model, and compares with guessing
by what is known of its training rows. `compare_with_holdout` puts each score beside that of the
version's own hold-out. `Assessment` records the table, and which rows were left out and why.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from evertune.evaluation.baselines import BaselineResult
from evertune.evaluation.data_card import DataCard, summarize_split
from evertune.evaluation.evaluate import (
    EvaluationOptions,
    EvaluationRows,
    add_diagnostics,
    baseline_rows,
    chosen_model_metrics,
    metric_rows,
)
from evertune.evaluation.formatting import format_score, metric_name
from evertune.evaluation.records import (
    CHOSEN_MODEL,
    BaselineRow,
    Evaluation,
    HoldoutPredictions,
    ModelMetrics,
    confusion_counts,
    holdout_intervals,
    metric_row,
)
from evertune.metrics.metrics import Metric, compute_metrics
from evertune.search.summary import SearchSummary, hyperparameter_settings
from evertune.types import FloatArray, Predictions


@dataclass(frozen=True)
class MetricComparison:
    """A figure on the table, beside that on the version's own hold-out.

    Attributes
    ----------
    metric : str
    figure, low, high : float, optional
        On the table.
    own, own_low, own_high : float, optional
        On the version's own hold-out.
    """

    metric: str
    figure: float | None
    low: float | None = None
    high: float | None = None
    own: float | None = None
    own_low: float | None = None
    own_high: float | None = None


@dataclass(frozen=True)
class Assessment:
    """What an evaluation on demand was about.

    Attributes
    ----------
    model : str
        The registered model's name.
    version : str
    table : str
        The file's name.
    digest : str
        Hash of the table's cells.
    n_rows : int
        Rows of the table.
    n_judged : int
        Those that judged.
    n_trained : int
        Rows that the version was trained or chosen on, which were left out.
    n_unlabelled : int
        Rows without a target, which were left out.
    n_repeated : int
        Rows that judged and repeat an earlier one.
    n_unseen : int
        Rows that judged with a category that the version never met.
    figures : tuple of MetricComparison
        The metric that is optimised comes first.
    """

    model: str
    version: str
    table: str
    digest: str
    n_rows: int
    n_judged: int
    n_trained: int = 0
    n_unlabelled: int = 0
    n_repeated: int = 0
    n_unseen: int = 0
    figures: tuple[MetricComparison, ...] = ()


def summarize_assessment(found: Assessment) -> str:
    """Return the main figure beside that of the version's own hold-out, in one line.

    Examples
    --------
    >>> row = MetricComparison("roc_auc", 0.81, 0.8, 0.82, own=0.85)
    >>> summarize_assessment(Assessment("churn", "3", "may.csv", "a1", 900, 890, figures=(row,)))
    'version 3 on may.csv: ROC AUC 0.810 (0.800 to 0.820) on 890 rows; on its own hold-out 0.850'
    """
    row = found.figures[0]
    ends = f" ({format_score(row.low)} to {format_score(row.high)})" if row.low is not None else ""
    own = "not known" if row.own is None else format_score(row.own)
    return (
        f"version {found.version} on {found.table}: {metric_name(row.metric)}"
        f" {format_score(row.figure)}{ends} on {found.n_judged:,} rows; on its own hold-out {own}"
    )


def describe_left_out_rows(found: Assessment) -> tuple[str, ...]:
    """Return what was left out or is to be known of the rows, a sentence each.

    Examples
    --------
    >>> describe_left_out_rows(Assessment("churn", "3", "may.csv", "a1", 900, 890, n_trained=10))
    ('10 rows were left out: the version was trained or chosen on them.',)
    """
    said = (
        (found.n_trained, "were left out: the version was trained or chosen on them."),
        (found.n_unlabelled, "were left out: they have no target."),
        (found.n_repeated, "repeat an earlier row; they count again."),
        (found.n_unseen, "have a category that the version never met; it learned nothing of it."),
    )
    return tuple(f"{n:,} {'row' if n == 1 else 'rows'} {text}" for n, text in said if n)


ZERO_RULE = "zero_rule"
ZERO_RULE_DESCRIPTION = (
    "the commonest class of training, with its shares; or the median of training"
)
ASSESSMENT_NOTE = (
    "A model is judged here by rows that took no part in making it, and by nothing else."
)


def assess_model(
    judged: EvaluationRows,
    metrics: Sequence[Metric],
    *,
    how: EvaluationOptions,
    own: Evaluation | None,
    costs: FloatArray | None = None,
) -> Evaluation:
    """Return the evaluation of a model by any rows that it did not learn from.

    Parameters
    ----------
    judged : EvaluationRows
    metrics : sequence of Metric
        The first is optimised.
    how : EvaluationOptions
    own : Evaluation, optional
        Of the version by its own hold-out; it tells what guessing knows of training.
    costs : array, optional
        From `evertune.evaluation.thresholds.cost_matrix`.
    """
    said = _zero_rule_predictions(judged, own)
    holdout = HoldoutPredictions(judged.truth, judged.said, said, {})
    model = _model_metrics(judged, metrics, holdout=holdout, how=how)
    known = [BaselineResult(name, "none", ZERO_RULE_DESCRIPTION, (), {}, 0.0, 0.0) for name in said]
    draws = how.bootstrap
    baselines = baseline_rows(known, holdout, metrics=metrics, model=model, bootstrap=draws)
    found = _evaluation_without_diagnostics(
        judged, metrics, holdout=holdout, model=model, baselines=baselines, how=how
    )
    card = DataCard((summarize_split("judging", judged.table, judged.model.schema),), "")
    found = replace(found, data=(card,), notes=(ASSESSMENT_NOTE,))
    found = add_diagnostics(found, judged, metrics[0], how=how, costs=costs)
    return found if own is None else replace(found, purpose=own.purpose, not_for=own.not_for)


def compare_with_holdout(found: Evaluation, own: Evaluation | None) -> tuple[MetricComparison, ...]:
    """Return each figure beside that of the version's own hold-out.

    Parameters
    ----------
    found : Evaluation
        By the table.
    own : Evaluation, optional
        By the hold-out; None where it is not kept.
    """
    return tuple(
        MetricComparison(row.name, row.holdout, row.low, row.high, *_holdout_score(row.name, own))
        for row in found.metrics
    )


def _holdout_score(metric: str, own: Evaluation | None) -> tuple[float | None, ...]:
    if own is None or metric not in own.holdout:
        return (None, None, None)
    if own.chosen != CHOSEN_MODEL:
        return (chosen_model_metrics(own).get(metric), None, None)
    row = metric_row(own, metric)
    return (row.holdout, row.low, row.high)


def _model_metrics(
    judged: EvaluationRows,
    metrics: Sequence[Metric],
    *,
    holdout: HoldoutPredictions,
    how: EvaluationOptions,
) -> ModelMetrics:
    return ModelMetrics(
        holdout=compute_metrics(metrics, judged.truth, judged.said),
        intervals=holdout_intervals(metrics, holdout, bootstrap=how.bootstrap),
        training=dict.fromkeys(metric.name for metric in metrics),
        folds={},
    )


def _evaluation_without_diagnostics(
    judged: EvaluationRows,
    metrics: Sequence[Metric],
    *,
    holdout: HoldoutPredictions,
    model: ModelMetrics,
    baselines: tuple[BaselineRow, ...],
    how: EvaluationOptions,
) -> Evaluation:
    schema, optimised = judged.model.schema, metrics[0]
    draws = how.bootstrap
    rows = metric_rows(metrics, holdout, model=model, baselines=baselines, bootstrap=draws)
    return Evaluation(
        target=schema.target,
        task=schema.task,
        classes=schema.classes,
        metric=optimised.name,
        greater_is_better=optimised.greater_is_better,
        confidence=how.bootstrap.confidence,
        n_training=len(judged.model.row_keys),
        n_holdout=len(judged.table),
        holdout=model.holdout,
        lift={row.name: row.lift for row in rows},
        best_baseline=rows[0].baseline,
        chosen=CHOSEN_MODEL,
        reasons=(),
        family=judged.model.configuration.family,
        settings=hyperparameter_settings(judged.model.configuration),
        search=SearchSummary(0, 0, 0, 0, 0.0),
        metrics=rows,
        baselines=baselines,
        confusion=confusion_counts(holdout, len(schema.classes)),
    )


def _zero_rule_predictions(
    judged: EvaluationRows, own: Evaluation | None
) -> dict[str, Predictions]:
    """Return what guessing says, by what is known of training; empty where nothing is."""
    if own is None or not own.data:
        return {}
    training, n_rows = own.data[0].sides[0], len(judged.truth)
    if training.shares:
        shares = np.tile(np.array(training.shares), (n_rows, 1))
        return {ZERO_RULE: Predictions(shares.argmax(axis=1).astype(np.float64), shares)}
    if training.quantiles:
        median = training.quantiles[len(training.quantiles) // 2]
        return {ZERO_RULE: Predictions(np.full(n_rows, median))}
    return {}
