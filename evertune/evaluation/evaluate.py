"""Evaluates a model on rows it never saw: baselines, choice, guards, folds, slices, importance.

`evaluate` makes the whole `Evaluation`; the stage of that name calls it with the hold-out, and
`evertune evaluate --model` (`other_table.assess_model`) with any other table. What is evaluated is
the model in use: `choose_model` takes the search's, or a simpler one where that is not clearly
better. Other parts without a model are `compare_with_baselines` (scores, lifts and intervals) and
`check_guards`. `evaluate_on_folds` scores the ensemble by out-of-fold predictions, whose weights
were chosen on the same rows, which flatters a little.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evertune.config.schema import EvaluationSection
from evertune.data.folds import Fold
from evertune.data.schema import encode_target
from evertune.ensemble.oof import OOFPredictions, TrialArtifacts, stack_oof
from evertune.evaluation.baselines import BaselineResult
from evertune.evaluation.evaluation_record import (
    CHOSEN_MODEL,
    BaselineRow,
    Evaluation,
    Guard,
    MetricRow,
    SearchedModel,
)
from evertune.evaluation.explain import (
    Contributions,
    Importance,
    permutation_importance,
    rank_columns,
    shap_contributions,
)
from evertune.evaluation.formatting import format_difference, humanize, metric_name
from evertune.evaluation.model_card import model_limitations
from evertune.evaluation.slices import (
    SliceRow,
    evaluate_slice,
    find_worst_slices,
    slice_by_columns,
    with_rate_gaps,
)
from evertune.evaluation.thresholds import evaluate_decision_rules, misclassification_costs
from evertune.metrics.losses import bounded_losses, error_scale
from evertune.metrics.metrics import (
    REGRESSION,
    Metric,
    compute_metrics,
    confusion_matrix,
    keeps_bound,
    lift,
    prediction_mask,
)
from evertune.models.fitted_model import (
    Ensemble,
    FittedPipeline,
    Model,
    finalize_predictions,
    predict,
)
from evertune.models.provenance import ModelOrigin
from evertune.search.summary import SearchSummary, find_complete_trial, hyperparameter_settings
from evertune.stats.bootstrap import BootstrapConfig, bootstrap_interval, paired_difference
from evertune.stats.comparison import corrected_resampled_t
from evertune.stats.results import Estimate
from evertune.trials import MetricValues, Trial
from evertune.types import FloatArray, Predictions, probabilities_or_values, take_rows

MAX_SHAP_ROWS = 300  # the mean sizes of SHAP values need no more
MAX_SLICE_DRAWS = 400
MAX_IMPORTANCE_PREDICTIONS = 300_000  # of single predictors, for an importance: some ten seconds
MIN_IMPORTANCE_ROWS = 500  # of an importance, if there are so many
MAX_IMPORTANCE_CELLS = 100_000_000  # that predictors read, for an importance: some ten seconds
MIN_IMPORTANCE_COLUMNS = 15  # that are shuffled, if there are so many
MAX_SLICE_VALUES = 12  # of a declared column that are shown


@dataclass(frozen=True)
class FoldScores:
    """The scores of a model over the folds.

    Attributes
    ----------
    of : str
        `ensemble`, `trial`, `simplest`, or "" if nothing ran on all folds.
    scores : mapping from metric to Estimate
        Means over the folds.
    member : mapping from metric to Estimate
        Of the heaviest member alone.
    """

    of: str
    scores: Mapping[str, Estimate]
    member: Mapping[str, Estimate]


NO_FOLDS = FoldScores("", {}, {})


@dataclass(frozen=True)
class ModelChoice:
    """Which model is used, and why.

    Attributes
    ----------
    chosen : str
        `model`, or `simplest:` and a name.
    reasons : tuple of str
        Sentences.
    searched : SearchedModel, optional
        The search's model, if another one is used.
    """

    chosen: str = CHOSEN_MODEL
    reasons: tuple[str, ...] = ()
    searched: SearchedModel | None = None

    @property
    def simplest(self) -> str | None:
        """The name of the simplest model that is used, None if it is the search's."""
        return self.chosen.partition(":")[2] or None


THE_MODEL = ModelChoice()


def bootstrap_config(section: EvaluationSection) -> BootstrapConfig:
    """Return the settings of intervals over rows."""
    return BootstrapConfig(section.bootstrap_draws, section.confidence, section.seed)


def evaluate(
    model: Model,
    table: pd.DataFrame,
    y_true: FloatArray,
    pred: Predictions,
    metrics: Sequence[Metric],
    *,
    section: EvaluationSection,
    baselines: Sequence[BaselineResult],
    baseline_predictions: Mapping[str, Predictions],
    expected: Mapping[str, MetricValues] | None = None,
    training: pd.DataFrame | None = None,
    folds: FoldScores = NO_FOLDS,
    out_of_fold: tuple[FloatArray, FloatArray] | None = None,
    guards: Mapping[str, float] | None = None,
    choice: ModelChoice = THE_MODEL,
) -> Evaluation:
    """Return the evaluation of a model by n rows that it never saw.

    Parameters
    ----------
    model : Model
        The one in use, as `choice` says.
    table : DataFrame, n rows
        Clean.
    pred : Predictions
        Of the model for these rows.
    metrics : sequence of Metric
        The first is optimised.
    baselines, baseline_predictions, expected
        As for `compare_with_baselines`.
    training : DataFrame, optional
        Clean rows that the model learned from, for the scores on them and for what the model never
        met.
    out_of_fold : pair of arrays, optional
        Labels of training rows and their out-of-fold probabilities of the positive class, which
        choose thresholds.

    Raises
    ------
    ParamsError
        If the costs of `section` name a class that there is not.
    """
    schema, optimised, bootstrap = model.schema, metrics[0], bootstrap_config(section)
    costs = misclassification_costs(section.costs, schema.classes)
    training_scores: MetricValues = {}
    if training is not None:
        learned = predict(model.fitted, training, schema)
        training_scores = compute_metrics(metrics, encode_target(training, schema), learned)
    metric_rows, baseline_rows = compare_with_baselines(
        metrics,
        y_true,
        pred,
        baselines=baselines,
        baseline_predictions=baseline_predictions,
        expected=expected or {},
        bootstrap=bootstrap,
        training_scores=training_scores,
        folds=folds,
        in_use=choice.simplest,
    )
    n_classes = len(schema.classes)
    counts = confusion_matrix(y_true, pred, n_classes).tolist() if n_classes else ()
    slices = evaluate_slices(model, table, y_true, pred, optimised, section=section)
    shap_rows = _sample_rows(len(table), MAX_SHAP_ROWS, seed=section.seed)
    contributions = shap_contributions(model.fitted, table.iloc[shap_rows], schema)
    scores = {row.name: row.holdout for row in metric_rows}
    return Evaluation(
        target=schema.target,
        task=schema.task,
        classes=schema.classes,
        metric=optimised.name,
        greater_is_better=optimised.greater_is_better,
        confidence=section.confidence,
        n_training=len(model.row_keys) if training is None else len(training),
        n_holdout=len(table),
        holdout=scores,
        lift={row.name: row.lift for row in metric_rows},
        best_baseline=metric_rows[0].baseline,
        chosen=choice.chosen,
        reasons=choice.reasons,
        family=model.configuration.family,
        settings=hyperparameter_settings(model.configuration),
        search=SearchSummary(0, 0, 0, 0, 0.0),
        metrics=metric_rows,
        baselines=baseline_rows,
        confusion=tuple(tuple(row) for row in counts),
        folds_of=folds.of,
        importance=_importance(
            model, table, y_true, pred, optimised, contributions=contributions, section=section
        ),
        contributions=(contributions,) if contributions.columns else (),
        slices=slices,
        decisions=evaluate_decision_rules(
            y_true,
            pred,
            classes=schema.classes,
            bootstrap=replace(bootstrap, draws=min(bootstrap.draws, MAX_SLICE_DRAWS)),
            in_use=model.fitted.threshold if isinstance(model.fitted, Ensemble) else None,
            costs=costs,
            out_of_fold=out_of_fold,
        ),
        unknowns=() if training is None else (
            *model_limitations(training, table, schema, slices=slices),
            *(
                f"'{name}' is declared as a slice or as sensitive, but the clean table has no such"
                " column: not evaluated."
                for name in dict.fromkeys((*section.slices, *section.sensitive))
                if name not in table
            ),
        ),
        purpose=section.purpose,
        not_for=section.not_for,
        guards=check_guards(guards or {}, metrics, scores=scores),
        searched=() if choice.searched is None else (choice.searched,),
    )  # fmt: skip


# Beside the baselines


def compare_with_baselines(
    metrics: Sequence[Metric],
    y_true: FloatArray,
    pred: Predictions,
    *,
    baselines: Sequence[BaselineResult],
    baseline_predictions: Mapping[str, Predictions],
    expected: Mapping[str, MetricValues],
    bootstrap: BootstrapConfig,
    training_scores: MetricValues | None = None,
    folds: FoldScores = NO_FOLDS,
    in_use: str | None = None,
) -> tuple[tuple[MetricRow, ...], tuple[BaselineRow, ...]]:
    """Return the model's scores, each beside the baseline that is best in it, and all baselines.

    A lift over a baseline with predictions is a paired difference on the rows that it predicts.
    Over one of which only scores are known, the model's own interval is shifted by that score.
    A baseline that leaves rows out is best in nothing, since its scores are those of other rows.

    Parameters
    ----------
    in_use : str, optional
        The baseline that is the model itself: it has no lift, and is best in nothing.
    """
    scores = compute_metrics(metrics, y_true, pred)
    intervals = {m.name: bootstrap_interval(m, y_true, pred, **asdict(bootstrap)) for m in metrics}
    training_scores = training_scores or {}

    def lift_over(name: str, score: float | None, metric: Metric) -> Estimate:
        other = baseline_predictions.get(name)
        if other is not None:
            found = paired_difference(metric, y_true, pred, other, **asdict(bootstrap))
            n_rows = int(prediction_mask(other).sum())
            return Estimate(found.mean, found.low, found.high, n=n_rows)
        ends = (intervals[metric.name].low, intervals[metric.name].high)
        low, high = ends if metric.greater_is_better else ends[::-1]
        value, low, high = (lift(metric, end, score) for end in (scores[metric.name], low, high))
        return Estimate(value, low, high, n=y_true.size)

    baseline_rows: list[BaselineRow] = []
    for baseline in baselines:
        if baseline.name in baseline_predictions:
            on_holdout = compute_metrics(metrics, y_true, baseline_predictions[baseline.name])
        else:
            on_holdout = expected.get(baseline.name, baseline.mean)
        if baseline.name == in_use:
            gain = Estimate(n=y_true.size)
        else:
            gain = lift_over(baseline.name, on_holdout.get(metrics[0].name), metrics[0])
        baseline_rows.append(
            BaselineRow(
                baseline.name,
                baseline.kind,
                baseline.description,
                on_holdout,
                baseline.mean,
                lift=gain.value,
                low=gain.low,
                high=gain.high,
                paired=baseline.name in baseline_predictions and baseline.name != in_use,
                n_rows=gain.n,
            )
        )
    whole = [row for row in baseline_rows if row.n_rows == y_true.size and row.name != in_use]
    metric_rows = []
    for metric in metrics:
        name, best = metric.name, best_baseline(metric, whole)
        best_score = best.holdout[name] if best else None
        gain = lift_over(best.name, best_score, metric) if best else Estimate()
        on_folds = folds.scores.get(name, Estimate())
        metric_rows.append(
            MetricRow(
                name=name,
                greater_is_better=metric.greater_is_better,
                holdout=scores[name],
                low=intervals[name].low,
                high=intervals[name].high,
                training=training_scores.get(name),
                gap=lift(metric, training_scores.get(name), scores[name]),
                folds=on_folds.value,
                folds_low=on_folds.low,
                folds_high=on_folds.high,
                member_folds=folds.member.get(name, Estimate()).value,
                baseline=best.name if best else None,
                baseline_holdout=best_score,
                lift=gain.value,
                lift_low=gain.low,
                lift_high=gain.high,
            )
        )
    return tuple(metric_rows), tuple(baseline_rows)


def best_baseline(metric: Metric, rows: Iterable[BaselineRow]) -> BaselineRow | None:
    """Return the baseline that is best on the hold-out in a metric; None if none has a score."""
    scored = [(row, score) for row in rows if (score := row.holdout.get(metric.name)) is not None]
    best = max if metric.greater_is_better else min
    return best(scored, key=lambda pair: pair[1], default=(None, None))[0]


def choose_model(
    metric: Metric, baselines: Iterable[BaselineRow], *, confidence: float, finished: bool = True
) -> tuple[str, tuple[str, ...]]:
    """Return what to deploy, `model` or `simplest:<name>`, and why.

    The simplest models are cheaper to run, to explain and to maintain: a model that is not clearly
    better than the best of them on the hold-out, in the optimised metric, does not pay for itself.

    Parameters
    ----------
    baselines : iterable of BaselineRow
        With the lifts of the search's model.
    confidence : float
        Of their intervals.
    finished : bool
        False if the search finished no model at all.
    """
    simplest = best_baseline(metric, [row for row in baselines if row.kind == "model"])
    if simplest is None:
        return CHOSEN_MODEL, ("There is no simple model to compare with.",)
    name = humanize(simplest.name)
    chosen = f"simplest:{simplest.name}"
    if not finished:
        return chosen, (
            "The search ran out of time before any model was finished; the best baseline,"
            f" {name}, is used.",
        )
    difference = format_difference(
        simplest.lift, simplest.low, simplest.high, confidence=confidence
    )
    by = f"(difference in {metric_name(metric.name)} {difference}; above zero is better)"
    if simplest.low is not None and simplest.low > 0:
        return CHOSEN_MODEL, (
            f"The search's model is used: it is clearly better than {name}, the best simple model"
            f" {by}.",
        )
    worse = simplest.high is not None and simplest.high < 0
    words = "is clearly worse than" if worse else "is not clearly better than"
    return chosen, (f"The search's model {words} {name} {by}, so the simpler one is used.",)


def check_guards(
    bounds: Mapping[str, float], metrics: Iterable[Metric], *, scores: MetricValues
) -> tuple[Guard, ...]:
    """Return each guard and whether it is kept; an undefined score keeps none."""
    return tuple(
        Guard(m.name, bound, scores[m.name], keeps_bound(m, scores[m.name], bound))
        for m in metrics
        if (bound := bounds.get(m.name)) is not None
    )


# Slices and importance


def evaluate_slices(
    model: Model,
    table: pd.DataFrame,
    y_true: FloatArray,
    pred: Predictions,
    metric: Metric,
    *,
    section: EvaluationSection,
) -> tuple[SliceRow, ...]:
    """Return the slices of declared columns, then the worst that were found.

    Declared columns that the table lacks are left out; of a column with many values the most
    frequent are shown.
    """
    schema, min_rows = model.schema, section.slice_rows
    bootstrap = bootstrap_config(section)
    bootstrap = replace(bootstrap, draws=min(bootstrap.draws, MAX_SLICE_DRAWS))
    names = dict.fromkeys((*section.slices, *section.sensitive))
    declared = [
        part
        for name in names
        if name in table
        for part in slice_by_columns(table, schema, [name], min_rows=1)[:MAX_SLICE_VALUES]
    ]
    scale = error_scale(y_true, pred) if schema.task == REGRESSION else None
    losses = bounded_losses(y_true, pred, task=schema.task, scale=scale)
    shown = {(part.column, part.value) for part in declared}
    worst = [
        part
        for part in find_worst_slices(
            table, schema, losses, min_rows=min_rows, max_slices=section.worst_slices
        )
        if (part.column, part.value) not in shown
    ]
    rows = [
        replace(
            evaluate_slice(
                part,
                metric,
                y_true,
                pred,
                bootstrap=bootstrap,
                min_rows=min_rows,
                task=schema.task,
            ),
            found=i >= len(declared),
            sensitive=part.column in section.sensitive,
        )
        for i, part in enumerate([*declared, *worst])
    ]
    return (*with_rate_gaps(rows[: len(declared)]), *rows[len(declared) :])


def _importance(
    model: Model,
    table: pd.DataFrame,
    y_true: FloatArray,
    pred: Predictions,
    metric: Metric,
    *,
    contributions: Contributions,
    section: EvaluationSection,
) -> tuple[Importance, ...]:
    columns = [column.name for column in model.schema.features]
    if model.schema.time is not None:
        columns.append(model.schema.time)
    n_predictors = 1
    if isinstance(model.fitted, Ensemble):
        n_predictors = sum(len(member.fitted) for member in model.fitted.members)
    # Many columns and many predictors take fewer rows: each row is predicted once for each. Of
    # more columns those are shuffled on which the model seems to rely most, since the time grows
    # with the square of their number.
    per_row = len(columns) * section.importance_repeats * n_predictors
    affordable = max(MAX_IMPORTANCE_PREDICTIONS // per_row, MIN_IMPORTANCE_ROWS)
    n_rows = min(section.importance_rows, affordable)
    rows = _sample_rows(len(table), n_rows, seed=section.seed)
    cells, predicted = table[columns].iloc[rows], take_rows(pred, rows)
    n_shuffled = max(MAX_IMPORTANCE_CELLS // (per_row * rows.size), MIN_IMPORTANCE_COLUMNS)
    return permutation_importance(
        lambda shuffled: predict(model.fitted, shuffled, model.schema),
        cells,
        y_true[rows],
        predicted,
        columns=rank_columns(cells, predicted, contributions)[:n_shuffled],
        metric=metric,
        repeats=section.importance_repeats,
        bootstrap=bootstrap_config(section),
    )


def _sample_rows(n_rows: int, most: int, *, seed: int) -> NDArray[np.int64]:
    return np.sort(np.random.default_rng(seed).permutation(n_rows)[:most])


# Over the folds


def evaluate_on_folds(
    model: Model,
    trials: Sequence[Trial],
    metrics: Sequence[Metric],
    *,
    origin: ModelOrigin | None,
    oof: OOFPredictions | None,
    folds: Sequence[Fold],
    confidence: float,
) -> FoldScores:
    """Return the scores of a model over the folds: the ensemble's if it is one.

    Parameters
    ----------
    metrics : sequence of Metric
        In the first each fold has the ensemble weights that the other folds chose.
    oof : OOFPredictions, optional
        Of the ensemble, from `model_oof_predictions`.
    """

    def mean(scores: Sequence[float | None]) -> Estimate:
        return _mean_over_folds(scores, folds, confidence)

    winner = find_complete_trial(model.configuration, trials)
    member = {}
    if winner is not None:
        member = {m.name: mean([f.figures.get(m.name) for f in winner.folds]) for m in metrics}
    if origin is None or oof is None or len(origin.weights) == 1:
        return FoldScores("trial" if winner else "", member, member)
    parts = [np.flatnonzero(oof.folds == fold) for fold in np.unique(oof.folds)]
    by_fold = [
        compute_metrics(metrics, oof.y_true[rows], take_rows(oof.predictions, rows))
        for rows in parts
    ]
    scores = {m.name: mean([fold[m.name] for fold in by_fold]) for m in metrics}
    if any(score is not None for score in origin.scores):
        scores[metrics[0].name] = mean(origin.scores)
    return FoldScores("ensemble", scores, member)


def simplest_on_folds(
    result: BaselineResult, metrics: Sequence[Metric], *, folds: Sequence[Fold], confidence: float
) -> FoldScores:
    """Return the scores of one of the simplest models over the folds."""
    scores = {
        m.name: _mean_over_folds(
            [fold.figures.get(m.name) for fold in result.folds], folds, confidence
        )
        for m in metrics
    }
    return FoldScores("simplest", scores, {}) if result.folds else NO_FOLDS


def _mean_over_folds(
    scores: Sequence[float | None], folds: Sequence[Fold], confidence: float
) -> Estimate:
    return corrected_resampled_t(
        scores,
        n_training=sum(len(fold.training) for fold in folds) // len(folds),
        n_validation=sum(len(fold.validation) for fold in folds) // len(folds),
        confidence=confidence,
    )


def model_oof_predictions(
    fitted: FittedPipeline | Ensemble,
    entries: Sequence[TrialArtifacts],
    weights: Mapping[int, float],
    *,
    truth: FloatArray,
) -> OOFPredictions | None:
    """Return the weighted out-of-fold predictions of trials, calibrated as the model is.

    The weights were chosen on the same rows, which flatters a little.

    Parameters
    ----------
    fitted : FittedPipeline or Ensemble
        The model.
    truth : array
        Of all training rows.

    Returns
    -------
    OOFPredictions, optional
        None if the predictions of one of the trials were not kept.
    """
    members = [entry for entry in entries if entry.number in weights]
    if not members or len(members) < len(weights):
        return None
    stack = stack_oof(members, truth)
    shares = np.array([weights[entry.number] for entry in members])
    pred = stack.predictions(stack.blend(shares / shares.sum()))
    if isinstance(fitted, Ensemble):
        pred = finalize_predictions(probabilities_or_values(pred), fitted)
    return OOFPredictions(stack.rows, stack.folds, stack.y_true, pred)


def positive_class_probabilities(
    oof: OOFPredictions | None,
) -> tuple[FloatArray, FloatArray] | None:
    """Return labels and probabilities of the positive class of two; None if there are none."""
    proba = None if oof is None else oof.predictions.probabilities
    if oof is None or proba is None or proba.shape[1] != 2:
        return None
    return oof.y_true, proba[:, 1]
