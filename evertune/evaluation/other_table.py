"""Evaluates a registered model on another table than its own hold-out.

`assess_model` takes only rows that were not used to build the model. `Assessment` records the
table, the scores beside those of the version's own hold-out, and which rows were left out and why.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from evertune.config.schema import EvaluationSection
from evertune.evaluation.baselines import BaselineResult
from evertune.evaluation.data_card import DataCard, summarize_split
from evertune.evaluation.evaluate import evaluate
from evertune.evaluation.evaluation_record import (
    Evaluation,
    chosen_model_metrics,
    metric_row,
)
from evertune.evaluation.formatting import (
    count_noun,
    format_interval,
    format_score,
    metric_name,
)
from evertune.metrics.metrics import Metric
from evertune.models.fitted_model import Model
from evertune.types import FloatArray, Predictions

ZERO_RULE_DESCRIPTION = (
    "the most common class of training with the class shares, or the median of training"
)
ASSESSMENT_NOTE = "Only rows that were not used to build the model are evaluated."


@dataclass(frozen=True)
class MetricComparison:
    """A score on the table with its interval, beside that on the version's own hold-out."""

    metric: str
    figure: float | None
    low: float | None = None
    high: float | None = None
    own: float | None = None
    own_low: float | None = None
    own_high: float | None = None


@dataclass(frozen=True)
class Assessment:
    """The table of an evaluation on demand, and what became of its rows.

    Attributes
    ----------
    model, version : str
        Name and number of the registered model.
    table : str
        The file's name.
    digest : str
        Hash of the table's cells.
    n_rows, n_judged : int
        Rows of the table, and those that the model was evaluated by.
    n_trained, n_unlabelled : int
        Rows left out: the version was trained or chosen on them, or they have no target.
    n_repeated, n_unseen : int
        Of the evaluated rows, those that repeat an earlier one, and those with a category that the
        version never met.
    figures : tuple of MetricComparison
        The optimised metric comes first.
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


def assess_model(
    model: Model,
    table: pd.DataFrame,
    y_true: FloatArray,
    pred: Predictions,
    metrics: Sequence[Metric],
    *,
    section: EvaluationSection,
    own: Evaluation | None,
) -> Evaluation:
    """Return the evaluation of a model on rows of any table that it was not trained on.

    Parameters
    ----------
    own : Evaluation, optional
        Of the version on its own hold-out; the zero rule needs its distribution of the training
        target.
    """
    guesses = _zero_rule(own, len(y_true))
    evaluation = evaluate(
        model,
        table,
        y_true,
        pred,
        metrics,
        section=section,
        baselines=[
            BaselineResult(name, "none", ZERO_RULE_DESCRIPTION, (), {}, 0.0, 0.0)
            for name in guesses
        ],
        baseline_predictions=guesses,
    )
    return replace(
        evaluation,
        reasons=(),
        data=(DataCard((summarize_split("judging", table, model.schema),), ""),),
        notes=(ASSESSMENT_NOTE,),
        purpose=None if own is None else own.purpose,
        not_for=() if own is None else own.not_for,
    )


def compare_with_holdout(
    evaluation: Evaluation, own: Evaluation | None
) -> tuple[MetricComparison, ...]:
    """Return each score beside that of the version's own hold-out, if that is known."""

    def own_score(metric: str) -> tuple[float | None, ...]:
        if own is None or metric not in own.holdout:
            return (None, None, None)
        score, row = chosen_model_metrics(own).get(metric), metric_row(own, metric)
        if row.holdout != score:  # an evaluation of 0.1, whose interval is of another model
            return (score, None, None)
        return (score, row.low, row.high)

    return tuple(
        MetricComparison(row.name, row.holdout, row.low, row.high, *own_score(row.name))
        for row in evaluation.metrics
    )


def summarize_assessment(found: Assessment) -> str:
    """Return the main score beside that of the version's own hold-out, in one line.

    Examples
    --------
    >>> row = MetricComparison("roc_auc", 0.81, 0.8, 0.82, own=0.85)
    >>> summarize_assessment(Assessment("churn", "3", "may.csv", "a1", 900, 890, figures=(row,)))
    'version 3 on may.csv: ROC AUC 0.810 (0.800 to 0.820) on 890 rows; on its own hold-out 0.850'
    """
    row = found.figures[0]
    interval = f" ({format_interval(row.low, row.high)})" if row.low is not None else ""
    own = "not known" if row.own is None else format_score(row.own)
    return (
        f"version {found.version} on {found.table}: {metric_name(row.metric)}"
        f" {format_score(row.figure)}{interval} on {count_noun(found.n_judged, 'row')};"
        f" on its own hold-out {own}"
    )


def describe_left_out_rows(found: Assessment) -> tuple[str, ...]:
    """Return which rows were left out or need a remark, a sentence each.

    Examples
    --------
    >>> describe_left_out_rows(Assessment("churn", "3", "may.csv", "a1", 900, 890, n_trained=10))
    ('10 rows were left out: the version was trained or chosen on them.',)
    """
    sentences = (
        (found.n_trained, "were left out: the version was trained or chosen on them."),
        (found.n_unlabelled, "were left out: they have no target value."),
        (found.n_repeated, "repeat an earlier row and are counted again."),
        (found.n_unseen, "have a category that is not in the training rows of the version."),
    )
    return tuple(f"{count_noun(n, 'row')} {text}" for n, text in sentences if n)


def _zero_rule(own: Evaluation | None, n_rows: int) -> dict[str, Predictions]:
    """Return the zero rule by the distribution of the training target; nothing if unknown."""
    if own is None or not own.data:
        return {}
    training = own.data[0].sides[0]
    if training.shares:
        proba = np.tile(np.array(training.shares), (n_rows, 1))
        return {"zero_rule": Predictions(proba.argmax(axis=1).astype(np.float64), proba)}
    if training.quantiles:
        median = training.quantiles[len(training.quantiles) // 2]
        return {"zero_rule": Predictions(np.full(n_rows, median))}
    return {}
