"""The evaluation of a registered model by a table that is not its hold-out."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pipelines.core.appraising import How, Judged, appraised
from pipelines.core.assessments import OwnFigure
from pipelines.core.baselines import BaselineFigures
from pipelines.core.comparing import baseline_rows, metric_rows
from pipelines.core.data_card import DataCard, side
from pipelines.core.evaluation import MODEL, BaselineRow, Evaluation, SearchSummary, metric_row
from pipelines.core.judging.chosen import chosen_figures
from pipelines.core.metrics import Metric, figures
from pipelines.core.model_figures import Holdout, ModelFigures, confusion, holdout_intervals
from pipelines.core.predictions import Floats, Predictions
from pipelines.core.searched import settings

ZERO_RULE = "zero_rule"
GUESSED = "the commonest class of training, with its shares; or the median of training"
ONLY_THIS = "A model is judged here by rows that took no part in making it, and by nothing else."


def assessed(
    judged: Judged,
    metrics: Sequence[Metric],
    *,
    how: How,
    own: Evaluation | None,
    costs: Floats | None = None,
) -> Evaluation:
    """Return the evaluation of a model by any rows that it did not learn from.

    Parameters
    ----------
    judged : Judged
    metrics : sequence of Metric
        The first is optimised.
    how : How
    own : Evaluation, optional
        Of the version by its own hold-out; it tells what guessing knows of training.
    costs : array, optional
        From `pipelines.core.costs.cost_matrix`.
    """
    said = _zero_rule(judged, own)
    holdout = Holdout(judged.truth, judged.said, said, {})
    model = _figures(judged, metrics, holdout=holdout, how=how)
    known = [BaselineFigures(name, "none", GUESSED, (), {}, 0.0, 0.0) for name in said]
    draws = how.bootstrap
    baselines = baseline_rows(known, holdout, metrics=metrics, model=model, bootstrap=draws)
    found = _plain(judged, metrics, holdout=holdout, model=model, baselines=baselines, how=how)
    card = DataCard((side("judging", judged.table, judged.model.schema),), "")
    found = replace(found, data=(card,), notes=(ONLY_THIS,))
    found = appraised(found, judged, metrics[0], how=how, costs=costs)
    return found if own is None else replace(found, purpose=own.purpose, not_for=own.not_for)


def own_figures(found: Evaluation, own: Evaluation | None) -> tuple[OwnFigure, ...]:
    """Return each figure beside that of the version's own hold-out.

    Parameters
    ----------
    found : Evaluation
        By the table.
    own : Evaluation, optional
        By the hold-out; None where it is not kept.
    """
    return tuple(
        OwnFigure(row.name, row.holdout, row.low, row.high, *_own(row.name, own))
        for row in found.metrics
    )


def _own(metric: str, own: Evaluation | None) -> tuple[float | None, ...]:
    if own is None or metric not in own.holdout:
        return (None, None, None)
    if own.chosen != MODEL:
        return (chosen_figures(own).get(metric), None, None)
    row = metric_row(own, metric)
    return (row.holdout, row.low, row.high)


def _figures(
    judged: Judged, metrics: Sequence[Metric], *, holdout: Holdout, how: How
) -> ModelFigures:
    return ModelFigures(
        holdout=figures(metrics, judged.truth, judged.said),
        intervals=holdout_intervals(metrics, holdout, bootstrap=how.bootstrap),
        training=dict.fromkeys(metric.name for metric in metrics),
        folds={},
    )


def _plain(  # noqa: PLR0913
    judged: Judged,
    metrics: Sequence[Metric],
    *,
    holdout: Holdout,
    model: ModelFigures,
    baselines: tuple[BaselineRow, ...],
    how: How,
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
        chosen=MODEL,
        reasons=(),
        family=judged.model.configuration.family,
        settings=settings(judged.model.configuration),
        search=SearchSummary(0, 0, 0, 0, 0.0),
        metrics=rows,
        baselines=baselines,
        confusion=confusion(holdout, len(schema.classes)),
    )


def _zero_rule(judged: Judged, own: Evaluation | None) -> dict[str, Predictions]:
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
