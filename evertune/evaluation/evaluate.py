"""Evaluates a model on rows it never saw: baselines, choice, guards, folds, slices, importance.

`metric_rows` and `baseline_rows` compare the model with its baselines on the hold-out,
`choose_model` says whether the model or a simpler one is worth deploying, and `check_guards`
whether its bounds are kept. `evaluate_on_folds` scores the model, or its ensemble by out-of-
fold predictions, whose weights were chosen on the same rows, which flatters a little.
`add_diagnostics` adds slices, importance, SHAP contributions, decision rules and limitations.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from evertune.data.folds import Fold, IntArray
from evertune.data.schema import TableSchema
from evertune.ensemble.calibration import OOFPredictions
from evertune.ensemble.oof import TrialArtifacts, blend_oof, stack_oof, stack_predictions
from evertune.evaluation.baselines import BaselineResult
from evertune.evaluation.explain import (
    Contributions,
    Importance,
    ImportanceReference,
    permutation_importance,
    shap_contributions,
)
from evertune.evaluation.formatting import humanize, metric_name
from evertune.evaluation.model_card import model_limitations
from evertune.evaluation.records import (
    CHOSEN_MODEL,
    BaselineRow,
    Evaluation,
    FoldMean,
    Guard,
    HoldoutPredictions,
    MetricRow,
    ModelMetrics,
    baseline_row,
    chosen_simple_model,
    fold_means,
)
from evertune.evaluation.slices import (
    Slice,
    SliceRow,
    evaluate_slice,
    find_worst_slices,
    slice_by_columns,
    with_rate_gaps,
)
from evertune.evaluation.thresholds import evaluate_decision_rules
from evertune.metrics.losses import bounded_losses, error_scale
from evertune.metrics.metrics import (
    REGRESSION,
    Metric,
    compute_metrics,
    is_better,
    lift,
    prediction_mask,
)
from evertune.models.model import Ensemble, FittedPipeline, Model, finalize_predictions, predict
from evertune.models.origin import ModelOrigin
from evertune.search.summary import find_complete_trial
from evertune.stats.bootstrap import BootstrapConfig, paired_difference
from evertune.stats.comparison import corrected_resampled_t
from evertune.trials import MetricValues, Trial
from evertune.types import FloatArray, Predictions, probabilities_or_values, take_rows

MAX_SHAP_ROWS = 300  # the mean sizes of SHAP values need no more
MAX_SLICE_DRAWS = 400
MAX_IMPORTANCE_PREDICTIONS = 300_000  # of single predictors, for an importance: some ten seconds
MIN_IMPORTANCE_ROWS = 500  # of an importance, where there are so many
MAX_SLICE_VALUES = 12  # of a declared column that are shown
ABSENT_COLUMN_NOTE = (
    "was declared a slice or sensitive, but is no column of the clean table: not judged."
)


@dataclass(frozen=True, eq=False)
class EvaluationRows:
    """A model and n rows that it never saw.

    Attributes
    ----------
    model : Model
    table : DataFrame
        Clean rows.
    truth : array of shape (n,)
    said : Predictions
    """

    model: Model
    table: pd.DataFrame
    truth: FloatArray
    said: Predictions


@dataclass(frozen=True)
class EvaluationOptions:
    """How a model is appraised, as params.yaml says.

    Attributes
    ----------
    bootstrap : BootstrapConfig
    importance_rows, importance_repeats : int
    slices, sensitive : tuple of str
        Columns whose values are judged on their own.
    slice_rows : int
        A slice with fewer is marked as small.
    worst_slices : int
        How many are searched for.
    """

    bootstrap: BootstrapConfig
    importance_rows: int
    importance_repeats: int
    slices: tuple[str, ...] = ()
    sensitive: tuple[str, ...] = ()
    slice_rows: int = 50
    worst_slices: int = 3


def add_diagnostics(
    found: Evaluation,
    judged: EvaluationRows,
    metric: Metric,
    *,
    how: EvaluationOptions,
    training: pd.DataFrame | None = None,
    learned: tuple[FloatArray, FloatArray] | None = None,
    costs: FloatArray | None = None,
) -> Evaluation:
    """Return an evaluation with all that the rows that judge tell beside its figures.

    Parameters
    ----------
    found : Evaluation
    judged : EvaluationRows
    metric : Metric
        The one that is optimised.
    how : EvaluationOptions
    training : DataFrame, optional
        Clean rows that the model learned from; without them nothing says what it never met.
    learned, costs : optional
        As `learned` and `matrix` of `evertune.evaluation.thresholds.evaluate_decision_rules`.
    """
    fitted, schema = judged.model.fitted, judged.model.schema
    explained = compute_contributions(judged, how)
    found = replace(
        found,
        importance=compute_importance(judged, metric, how),
        contributions=(explained,) if explained.columns else (),
        slices=evaluate_slices(judged, metric, how),
        decisions=evaluate_decision_rules(
            judged.truth,
            judged.said,
            classes=schema.classes,
            bootstrap=replace(how.bootstrap, draws=min(how.bootstrap.draws, MAX_SLICE_DRAWS)),
            in_use=fitted.threshold if isinstance(fitted, Ensemble) else None,
            matrix=costs,
            learned=learned,
        ),
    )
    if training is None:
        return found
    told = model_limitations(training, judged.table, schema, slices=found.slices)
    absent = tuple(f"'{name}' {ABSENT_COLUMN_NOTE}" for name in absent_slice_columns(judged, how))
    return replace(found, unknowns=(*told, *absent))


def evaluate_slices(
    judged: EvaluationRows, metric: Metric, how: EvaluationOptions
) -> tuple[SliceRow, ...]:
    """Return the slices of declared columns, then the worst that were found.

    Declared columns that the rows lack are left out; `absent_slice_columns` names them. Of a
    column with
    many values the most frequent are shown.
    """
    schema = judged.model.schema
    names = [name for name in dict.fromkeys((*how.slices, *how.sensitive)) if name in judged.table]
    declared = [
        part
        for name in names
        for part in slice_by_columns(judged.table, schema, [name], least_rows=1)[:MAX_SLICE_VALUES]
    ]
    shown = {(part.column, part.value) for part in declared}
    worst = [part for part in _worst_slices(judged, how) if (part.column, part.value) not in shown]
    rows = [
        *(_slice_row(part, judged, metric, how) for part in declared),
        *(replace(_slice_row(part, judged, metric, how), found=True) for part in worst),
    ]
    return (*with_rate_gaps(row for row in rows if not row.found), *(r for r in rows if r.found))


def absent_slice_columns(judged: EvaluationRows, how: EvaluationOptions) -> tuple[str, ...]:
    """Return the declared columns that the rows lack."""
    names = dict.fromkeys((*how.slices, *how.sensitive))
    return tuple(name for name in names if name not in judged.table)


def compute_importance(
    judged: EvaluationRows, metric: Metric, how: EvaluationOptions
) -> tuple[Importance, ...]:
    """Return what shuffling each column costs, on some of the rows where there are many.

    Many columns and many models take fewer rows: each row is asked once for each of them.
    """
    columns = _input_columns(judged.model.schema)
    asked = len(columns) * how.importance_repeats * count_predictors(judged.model.fitted)
    most = min(how.importance_rows, max(MAX_IMPORTANCE_PREDICTIONS // asked, MIN_IMPORTANCE_ROWS))
    rows = sample_rows(len(judged.table), most, seed=how.bootstrap.seed)
    return permutation_importance(
        partial(_model_predictions, judged.model),
        judged.table[columns].iloc[rows],
        beside=ImportanceReference(metric, judged.truth[rows], take_rows(judged.said, rows)),
        repeats=how.importance_repeats,
        bootstrap=how.bootstrap,
    )


def compute_contributions(judged: EvaluationRows, how: EvaluationOptions) -> Contributions:
    """Return what columns add to what the boosters say of some of the rows."""
    rows = sample_rows(len(judged.table), MAX_SHAP_ROWS, seed=how.bootstrap.seed)
    return shap_contributions(judged.model.fitted, judged.table.iloc[rows], judged.model.schema)


def sample_rows(n_rows: int, most: int, *, seed: int) -> Any:
    """Return the positions of at most so many rows, drawn at random, in their order.

    Examples
    --------
    >>> sample_rows(3, 5, seed=0).tolist()
    [0, 1, 2]
    """
    return np.sort(np.random.default_rng(seed).permutation(n_rows)[:most])


def count_predictors(fitted: FittedPipeline | Ensemble) -> int:
    """Return how many fitted predictors a model is made of."""
    if isinstance(fitted, FittedPipeline):
        return 1
    return sum(len(member.fitted) for member in fitted.members)


def _worst_slices(judged: EvaluationRows, how: EvaluationOptions) -> Sequence[Slice]:
    task = judged.model.schema.task
    scale = error_scale(judged.truth, judged.said) if task == REGRESSION else None
    losses = bounded_losses(judged.truth, judged.said, task=task, scale=scale)
    schema, rows = judged.model.schema, how.slice_rows
    return find_worst_slices(judged.table, schema, losses, least_rows=rows, most=how.worst_slices)


def _slice_row(
    part: Slice, judged: EvaluationRows, metric: Metric, how: EvaluationOptions
) -> SliceRow:
    draws = min(how.bootstrap.draws, MAX_SLICE_DRAWS)
    row = evaluate_slice(
        part,
        metric,
        judged.truth,
        judged.said,
        bootstrap=replace(how.bootstrap, draws=draws),
        least_rows=how.slice_rows,
        task=judged.model.schema.task,
    )
    return replace(row, sensitive=part.column in how.sensitive)


def _model_predictions(model: Model, table: pd.DataFrame) -> Predictions:
    return predict(model.fitted, table, model.schema)


def _input_columns(schema: TableSchema) -> list[str]:
    names = [column.name for column in schema.features]
    return names if schema.time is None else [*names, schema.time]


@dataclass(frozen=True)
class Lift:
    """By how much the model is better than a baseline, on how many rows, with its interval."""

    value: float | None
    low: float | None
    high: float | None
    n_rows: int
    paired: bool


def baseline_rows(
    known: Iterable[BaselineResult],
    holdout: HoldoutPredictions,
    *,
    metrics: Sequence[Metric],
    model: ModelMetrics,
    bootstrap: BootstrapConfig,
) -> tuple[BaselineRow, ...]:
    """Return every baseline with its figures, and the model's lift over it in the first metric.

    Parameters
    ----------
    known : iterable of BaselineResult
        The baselines on the folds.
    holdout : HoldoutPredictions
    metrics : sequence of Metric
        The first is the one that is optimised.
    model : ModelMetrics
    bootstrap : BootstrapConfig
    """
    rows = []
    for baseline in known:
        on_holdout = _baseline_holdout_metrics(baseline, holdout, metrics=metrics)
        row = BaselineRow(
            baseline.name, baseline.kind, baseline.description, on_holdout, baseline.mean
        )
        lifted = _lift_over_baseline(
            row, holdout, metric=metrics[0], model=model, bootstrap=bootstrap
        )
        rows.append(
            replace(
                row,
                lift=lifted.value,
                low=lifted.low,
                high=lifted.high,
                paired=lifted.paired,
                n_rows=lifted.n_rows,
            )
        )
    return tuple(rows)


def metric_rows(
    metrics: Iterable[Metric],
    holdout: HoldoutPredictions,
    *,
    model: ModelMetrics,
    baselines: Sequence[BaselineRow],
    bootstrap: BootstrapConfig,
) -> tuple[MetricRow, ...]:
    """Return the model's figures, each beside the baseline that is best in it.

    Parameters
    ----------
    metrics : iterable of Metric
    holdout : HoldoutPredictions
    model : ModelMetrics
    baselines : sequence of BaselineRow
        From `baseline_rows`. One that leaves rows out is best in nothing, since its figures are
        those of other rows.
    bootstrap : BootstrapConfig
    """
    rows = []
    whole = [row for row in baselines if row.n_rows == holdout.truth.size]
    for metric in metrics:
        row, best = _metric_row(metric, model), best_baseline(metric, whole)
        if best is not None:
            lifted = _lift_over_baseline(
                best, holdout, metric=metric, model=model, bootstrap=bootstrap
            )
            row = replace(
                row,
                baseline=best.name,
                baseline_holdout=best.holdout[metric.name],
                lift=lifted.value,
                lift_low=lifted.low,
                lift_high=lifted.high,
            )
        rows.append(row)
    return tuple(rows)


def best_baseline(metric: Metric, rows: Iterable[BaselineRow]) -> BaselineRow | None:
    """Return the baseline that is best on the hold-out in a metric; None if none has a figure.

    Examples
    --------
    >>> from evertune.metrics.metrics import METRICS
    >>> rows = [BaselineRow(name, "none", "", {"f1": f1}, {}) for name, f1 in [("a", 0), ("b", 1)]]
    >>> best_baseline(METRICS["f1"], rows).name
    'b'
    """
    best, best_figure = None, None
    for row in rows:
        figure = row.holdout.get(metric.name)
        if is_better(metric, figure, best_figure):
            best, best_figure = row, figure
    return best


def _baseline_holdout_metrics(
    baseline: BaselineResult, holdout: HoldoutPredictions, *, metrics: Sequence[Metric]
) -> MetricValues:
    if baseline.name in holdout.baselines:
        return compute_metrics(metrics, holdout.truth, holdout.baselines[baseline.name])
    return holdout.expected.get(baseline.name, baseline.mean)


def _lift_over_baseline(
    row: BaselineRow,
    holdout: HoldoutPredictions,
    *,
    metric: Metric,
    model: ModelMetrics,
    bootstrap: BootstrapConfig,
) -> Lift:
    said = holdout.baselines.get(row.name)
    if said is None:
        return _lift_over_expected_score(
            row.holdout.get(metric.name), metric, model=model, holdout=holdout
        )
    found = paired_difference(metric, holdout.truth, holdout.model, said, **asdict(bootstrap))
    return Lift(found.mean, found.low, found.high, int(prediction_mask(said).sum()), paired=True)


def _lift_over_expected_score(
    figure: float | None, metric: Metric, *, model: ModelMetrics, holdout: HoldoutPredictions
) -> Lift:
    interval = model.intervals[metric.name]
    worst, best = interval.low, interval.high
    if not metric.greater_is_better:
        worst, best = best, worst
    value = lift(metric, model.holdout[metric.name], figure)
    low, high = lift(metric, worst, figure), lift(metric, best, figure)
    return Lift(value, low, high, holdout.truth.size, paired=False)


def _metric_row(metric: Metric, model: ModelMetrics) -> MetricRow:
    name = metric.name
    folds, member = model.folds.get(name), model.member.get(name)
    return MetricRow(
        name=name,
        greater_is_better=metric.greater_is_better,
        holdout=model.holdout[name],
        low=model.intervals[name].low,
        high=model.intervals[name].high,
        training=model.training[name],
        gap=lift(metric, model.training[name], model.holdout[name]),
        folds=folds.mean if folds else None,
        folds_low=folds.interval.low if folds else None,
        folds_high=folds.interval.high if folds else None,
        member_folds=member.mean if member else None,
    )


def choose_model(metric: Metric, baselines: Iterable[BaselineRow]) -> tuple[str, tuple[str, ...]]:
    """Return what to deploy, `model` or `simplest:<name>`, and why.

    The simplest models are cheaper to run, to explain and to keep; what cannot be told from the
    best of them on the hold-out does not pay for itself.

    Parameters
    ----------
    metric : Metric
        The one that is optimised.
    baselines : iterable of BaselineRow

    Examples
    --------
    >>> from evertune.metrics.metrics import METRICS
    >>> row = BaselineRow("ridge", "model", "", {"rmse": 2.0}, {}, lift=0.1, low=-0.1, high=0.3)
    >>> choose_model(METRICS["rmse"], [row])[0]
    'simplest:ridge'
    """
    simplest = best_baseline(metric, [row for row in baselines if row.kind == "model"])
    if simplest is None or simplest.low is None:
        return CHOSEN_MODEL, ("There is no simplest model that it could be compared with.",)
    place = f"the best of the simplest models, {humanize(simplest.name)}"
    if simplest.low > 0:
        better = f"On the same rows it is better than {place}, in {metric_name(metric.name)}."
        return CHOSEN_MODEL, (better,)
    return f"simplest:{simplest.name}", (
        f"On the same rows the model that was searched for cannot be told from {place}, in "
        f"{metric_name(metric.name)}: the interval of its lift over it does not lie above zero.",
        "What is simpler is cheaper to run, to explain and to keep.",
    )


def check_guards(
    bounds: Mapping[str, float], metrics: Iterable[Metric], *, figures: MetricValues
) -> tuple[Guard, ...]:
    """Return each guard and whether it is kept; an undefined figure keeps none.

    Parameters
    ----------
    bounds : mapping from metric to float
        What a figure must reach where greater is better, and must not pass where smaller is.
    metrics : iterable of Metric
    figures : dict

    Examples
    --------
    >>> from evertune.metrics.metrics import METRICS
    >>> rmse = METRICS["rmse"]
    >>> check_guards({"rmse": 2.0}, [rmse], figures={"rmse": 2.5})[0].kept
    False
    """
    return tuple(
        Guard(
            metric.name,
            bounds[metric.name],
            figures[metric.name],
            kept=_keeps_bound(metric, figures[metric.name], bound=bounds[metric.name]),
        )
        for metric in metrics
        if metric.name in bounds
    )


def _keeps_bound(metric: Metric, figure: float | None, *, bound: float) -> bool:
    return figure is not None and not is_better(metric, bound, figure)


FoldScores = Sequence[float | None]


@dataclass(frozen=True)
class FoldEvaluation:
    """The figures of a model over the folds.

    Attributes
    ----------
    of : str
        What they are of: `ensemble`, `trial`, or nothing where nothing ran on all folds.
    figures : mapping from metric to FoldMean
    member : mapping from metric to FoldMean
        Of the heaviest member alone.
    """

    of: str
    figures: Mapping[str, FoldMean]
    member: Mapping[str, FoldMean]


def evaluate_on_folds(
    model: Model,
    trials: Sequence[Trial],
    metrics: Sequence[Metric],
    *,
    origin: ModelOrigin | None,
    unseen: OOFPredictions | None,
    folds: Sequence[Fold],
    confidence: float,
) -> FoldEvaluation:
    """Return the figures of a model over the folds: the ensemble's where it is one.

    Parameters
    ----------
    model : Model
    trials : sequence of Trial
    metrics : sequence of Metric
        The first is optimised; in it each fold has the weights that the other folds chose.
    origin : ModelOrigin, optional
    unseen : OOFPredictions, optional
        What the ensemble says of rows that its fold models did not see.
    folds : sequence of Fold
    confidence : float
    """
    sizes = {
        "n_training": sum(len(fold.training) for fold in folds) // len(folds),
        "n_validation": sum(len(fold.validation) for fold in folds) // len(folds),
    }
    winner = find_complete_trial(model.configuration, trials)
    member = fold_means(winner, metrics, **sizes, confidence=confidence) if winner else {}
    if origin is None or unseen is None or len(origin.weights) == 1:
        return FoldEvaluation("trial" if winner else "", member, member)
    found = oof_fold_means(unseen, metrics, **sizes, confidence=confidence)
    if any(score is not None for score in origin.scores):
        crossed = mean_over_folds(origin.scores, **sizes, confidence=confidence)
        found |= {metrics[0].name: crossed}
    return FoldEvaluation("ensemble", found, member)


def model_oof_predictions(
    fitted: FittedPipeline | Ensemble,
    entries: Sequence[TrialArtifacts],
    weights: Mapping[int, float],
    *,
    truth: FloatArray,
) -> OOFPredictions | None:
    """Return what trials with weights say together, calibrated and decided as the model does.

    The weights were chosen on the same rows, which flatters a little.

    Parameters
    ----------
    fitted : FittedPipeline or Ensemble
        The model.
    entries : sequence of TrialArtifacts
    weights : mapping from a trial's number to its weight
    truth : array
        Of all training rows.

    Returns
    -------
    Unseen, optional
        None where what one of the trials said is not kept.
    """
    known = [entry for entry in entries if entry.number in weights]
    if not known or len(known) < len(weights):
        return None
    stack = stack_oof(known, truth)
    shares = np.array([weights[entry.number] for entry in known])
    said = stack_predictions(stack, blend_oof(stack, shares / shares.sum()))
    if isinstance(fitted, Ensemble):
        said = finalize_predictions(probabilities_or_values(said), fitted)
    return OOFPredictions(stack.rows, stack.folds, stack.truth, said)


def oof_fold_means(
    unseen: OOFPredictions,
    metrics: Iterable[Metric],
    *,
    n_training: int,
    n_validation: int,
    confidence: float,
) -> dict[str, FoldMean]:
    """Return the mean of each metric over the folds' rows, with its interval.

    Parameters
    ----------
    unseen : OOFPredictions
    metrics : iterable of Metric
    n_training, n_validation : int
        Rows of one fold.
    confidence : float
    """
    parts = [np.flatnonzero(unseen.folds == fold) for fold in np.unique(unseen.folds)]
    return {
        metric.name: mean_over_folds(
            [_finite_score(unseen, metric, rows) for rows in parts],
            n_training=n_training,
            n_validation=n_validation,
            confidence=confidence,
        )
        for metric in metrics
    }


def mean_over_folds(
    scores: FoldScores, *, n_training: int, n_validation: int, confidence: float
) -> FoldMean:
    """Return the mean of scores over folds with its interval; folds without one are left out.

    Examples
    --------
    >>> mean_over_folds([0.5, None, 0.7], n_training=8, n_validation=2, confidence=0.9).mean
    0.6
    """
    known = [score for score in scores if score is not None]
    interval = corrected_resampled_t(
        known, n_training=n_training, n_validation=n_validation, confidence=confidence
    )
    return FoldMean(sum(known) / len(known) if known else None, interval)


def positive_class_probabilities(
    unseen: OOFPredictions | None,
) -> tuple[FloatArray, FloatArray] | None:
    """Return truth and probability of the positive class of two; None where there is none."""
    shares = None if unseen is None else unseen.predictions.probabilities
    if unseen is None or shares is None or shares.shape[1] != 2:
        return None
    return unseen.truth, shares[:, 1]


def _finite_score(unseen: OOFPredictions, metric: Metric, rows: IntArray) -> float | None:
    figure = metric.score(unseen.truth[rows], take_rows(unseen.predictions, rows))
    return figure if np.isfinite(figure) else None


def chosen_model_metrics(evaluation: Evaluation) -> MetricValues:
    """Return the figures on the hold-out of the model that the evaluation chose."""
    simplest = chosen_simple_model(evaluation)
    return evaluation.holdout if simplest is None else baseline_row(evaluation, simplest).holdout
