"""The four phases of development, and whether each one pays for itself on the same folds.

Heuristic, simplest model, optimised simple model, complex model: `compare_phases` says what
each gains over the one before in the primary metric, and what it costs to fit, to predict and
to explain. `simplest_sufficient_phase` names the simplest one whose distance to the best is
within noise. `count_parameters` counts the numbers a person would have to read to follow a
model.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, Literal

import numpy as np

from evertune.data.folds import Fold
from evertune.evaluation.baselines import BaselineResult
from evertune.evaluation.heuristics import Rule
from evertune.metrics.metrics import Metric, is_better
from evertune.models.model import Ensemble, FittedPipeline, Model
from evertune.models.origin import ModelOrigin
from evertune.search.leaderboard import best_trial
from evertune.stats.bootstrap import Estimate
from evertune.stats.comparison import corrected_resampled_t
from evertune.trials import FoldResult, Trial

SIMPLE_FAMILIES = ("linear", "naive_bayes", "tree", "neighbours")


def is_simple(trial: Trial) -> bool:
    """Return whether a person can follow a trial's family of models.

    Examples
    --------
    >>> from evertune.trials import Configuration
    >>> is_simple(Trial(0, Configuration("tree"), "complete", (), 0.5, None, 1.0))
    True
    """
    return trial.configuration.family in SIMPLE_FAMILIES


def best_simple_trial(trials: Iterable[Trial], metric: Metric) -> Trial | None:
    """Return the best complete trial of the families that a person can follow."""
    return best_trial(filter(is_simple, trials), (metric,), {})


def best_complex_trial(trials: Iterable[Trial], metric: Metric) -> Trial | None:
    """Return the best complete trial of all other families."""
    return best_trial((trial for trial in trials if not is_simple(trial)), (metric,), {})


def best_baseline_of_kind(
    baselines: Iterable[BaselineResult], metric: Metric, *, kind: str
) -> BaselineResult | None:
    """Return the best of the baselines of one kind, by its mean over the folds."""
    best: BaselineResult | None = None
    for each in baselines:
        if each.kind == kind and _is_better_baseline(metric, each, best):
            best = each
    return best


def _is_better_baseline(metric: Metric, left: BaselineResult, right: BaselineResult | None) -> bool:
    score = left.mean.get(metric.name)
    if score is None:
        return False
    return right is None or is_better(metric, score, right.mean.get(metric.name))


PhaseName = Literal["heuristic", "simplest", "optimised simple", "complex"]
PhaseScores = tuple[float | None, ...]
DEFAULT_CONFIDENCE = 0.95
THOUSAND_ROWS = 1_000
MILLISECONDS_PER_SECOND = 1_000


@dataclass(frozen=True)
class Phase:
    """The best of one phase, on the same folds as all others.

    Attributes
    ----------
    name : str
        `heuristic`, `simplest`, `optimised simple` or `complex`.
    what : str
        The baseline, the trial or the ensemble.
    score : float, optional
        Mean over the folds of the metric that is optimised; None where the phase has nothing.
    scores : tuple of float
        By fold.
    fit_seconds : float, optional
        Of all folds together, one thread.
    predict_milliseconds : float, optional
        For a thousand rows, the encoding of their columns included.
    values : int, optional
        Numbers that a person would have to read to explain it: answers of a rule, coefficients,
        leaves.
    gain, low, high : float, optional
        By how much it is better than the phase before, with its interval; positive is better,
        whatever the metric's direction.
    pays : bool, optional
        Whether the gain is more than noise; None where that is not known, or nothing is before.
    """

    name: PhaseName
    what: str
    score: float | None = None
    scores: PhaseScores = ()
    fit_seconds: float | None = None
    predict_milliseconds: float | None = None
    values: int | None = None
    gain: float | None = None
    low: float | None = None
    high: float | None = None
    pays: bool | None = None


def compare_phases(
    trials: Sequence[Trial],
    baselines: Sequence[BaselineResult],
    metric: Metric,
    *,
    folds: Sequence[Fold],
    origin: ModelOrigin | None = None,
    values: Mapping[str, int | None] | None = None,
    confidence: float = DEFAULT_CONFIDENCE,
) -> tuple[Phase, ...]:
    """Return the four phases, each with its gain over the one before.

    The best of a phase was chosen on these folds, so its score flatters a little, the more the
    more was tried; the ensemble's score is that of weights which other folds chose.

    Parameters
    ----------
    trials : sequence of Trial
    baselines : sequence of BaselineResult
    metric : Metric
        The one that is optimised.
    folds : sequence of Fold
    origin : ModelOrigin, optional
        Of the model: the ensemble's scores and weights, and what its phases ask to read.
    values : mapping from a baseline's name to int, optional
        What a person would have to read to explain it.
    confidence : float
        Of the interval of each gain.
    """
    known = {} if values is None else values
    found = (
        _baseline_phase("heuristic", "none", baselines, metric, folds=folds, values=known),
        _baseline_phase("simplest", "model", baselines, metric, folds=folds, values=known),
        _trial_phase("optimised simple", best_simple_trial(trials, metric), metric, folds, origin),
        _complex_phase(trials, metric, folds=folds, origin=origin),
    )
    return _with_gains(found, metric, folds=folds, confidence=confidence)


def simplest_sufficient_phase(
    found: Sequence[Phase],
    metric: Metric,
    *,
    folds: Sequence[Fold],
    confidence: float = DEFAULT_CONFIDENCE,
) -> str:
    """Return the simplest phase whose difference to the best one is within noise.

    A phase of which that is not known counts as worse. Without any score it is the last phase.

    Parameters
    ----------
    found : sequence of Phase
        The simplest first.
    metric : Metric
    folds : sequence of Fold
    confidence : float
    """
    scored = [phase for phase in found if phase.score is not None]
    if not scored:
        return found[-1].name
    best = scored[0]
    for phase in scored:
        best = phase if is_better(metric, phase.score, best.score) else best
    for phase in scored:
        lead = _phase_difference(best, phase, metric, folds=folds, confidence=confidence)
        if phase is best or _is_significant(lead) is False:
            return phase.name
    return best.name


def _baseline_phase(
    name: PhaseName,
    kind: str,
    baselines: Sequence[BaselineResult],
    metric: Metric,
    *,
    folds: Sequence[Fold],
    values: Mapping[str, int | None],
) -> Phase:
    best = best_baseline_of_kind(baselines, metric, kind=kind)
    if best is None:
        return Phase(name, "nothing")
    scores = _scores_by_fold(best.folds, metric)
    return Phase(
        name=name,
        what=f"{best.name}: {best.description}",
        score=_mean_score(scores),
        scores=scores,
        fit_seconds=best.fit_seconds,
        predict_milliseconds=_milliseconds_per_thousand_rows(best.predict_seconds, folds),
        values=values.get(best.name),
    )


def _trial_phase(
    name: PhaseName,
    best: Trial | None,
    metric: Metric,
    folds: Sequence[Fold],
    origin: ModelOrigin | None,
) -> Phase:
    if best is None:
        return Phase(name, "nothing")
    return _build_phase(
        name,
        f"trial {best.number}, {best.configuration.family}",
        [best],
        scores=_scores_by_fold(best.folds, metric),
        folds=folds,
        values=None if origin is None else origin.values.get(name),
    )


def _complex_phase(
    trials: Sequence[Trial], metric: Metric, *, folds: Sequence[Fold], origin: ModelOrigin | None
) -> Phase:
    if origin is None or len(origin.weights) <= 1:
        return _trial_phase("complex", best_complex_trial(trials, metric), metric, folds, origin)
    numbers = {weight.number for weight in origin.weights}
    return _build_phase(
        "complex",
        f"an ensemble of {len(numbers)} trials",
        [trial for trial in trials if trial.number in numbers],
        scores=origin.scores,
        folds=folds,
        values=origin.values.get("complex"),
        n_encoders=origin.n_encoders,
    )


def _build_phase(
    name: PhaseName,
    what: str,
    members: Sequence[Trial],
    *,
    scores: PhaseScores,
    folds: Sequence[Fold],
    values: int | None,
    n_encoders: int = 1,
) -> Phase:
    results = [fold for trial in members for fold in trial.folds]
    seconds = sum(fold.predict_seconds for fold in results)
    if members:  # those that see the columns alike encode them once
        seconds += sum(fold.encode_seconds for fold in results) * n_encoders / len(members)
    return Phase(
        name=name,
        what=what,
        score=_mean_score(scores),
        scores=scores,
        fit_seconds=sum(fold.fit_seconds for fold in results),
        predict_milliseconds=_milliseconds_per_thousand_rows(seconds, folds),
        values=values,
    )


def _with_gains(
    found: Sequence[Phase], metric: Metric, *, folds: Sequence[Fold], confidence: float
) -> tuple[Phase, ...]:
    told: list[Phase] = []
    for phase in found:
        before = [each for each in told if each.score is not None]
        if phase.score is None or not before:
            told.append(phase)
            continue
        gain = _phase_difference(phase, before[-1], metric, folds=folds, confidence=confidence)
        told.append(_with_gain(phase, gain))
    return tuple(told)


def _with_gain(phase: Phase, gain: Estimate) -> Phase:
    pays = _is_significant(gain)
    return replace(phase, gain=gain.value, low=gain.low, high=gain.high, pays=pays)


def _is_significant(gain: Estimate) -> bool | None:
    """Return whether a gain is more than noise; None where folds cannot tell."""
    if gain.low is not None:
        return gain.low > 0
    return False if gain.value is not None and gain.value <= 0 else None


def _phase_difference(
    left: Phase, right: Phase, metric: Metric, *, folds: Sequence[Fold], confidence: float
) -> Estimate:
    sign = 1.0 if metric.greater_is_better else -1.0
    pairs = [
        (sign * a, sign * b)
        for a, b in zip(left.scores, right.scores, strict=False)
        if a is not None and b is not None
    ]
    return corrected_resampled_t(
        [a for a, _ in pairs],
        [b for _, b in pairs],
        n_training=round(fmean(len(fold.training) for fold in folds)),
        n_validation=round(fmean(len(fold.validation) for fold in folds)),
        confidence=confidence,
    )


def _scores_by_fold(folds: Iterable[FoldResult], metric: Metric) -> PhaseScores:
    return tuple(fold.figures.get(metric.name) for fold in sorted(folds, key=_fold_number))


def _fold_number(result: FoldResult) -> int:
    return result.fold


def _mean_score(scores: PhaseScores) -> float | None:
    known = [score for score in scores if score is not None]
    return fmean(known) if known else None


def _milliseconds_per_thousand_rows(seconds: float, folds: Sequence[Fold]) -> float | None:
    rows = sum(len(fold.validation) for fold in folds)
    return seconds * MILLISECONDS_PER_SECOND * THOUSAND_ROWS / rows if rows else None


def count_parameters(fitted: FittedPipeline | Ensemble) -> int | None:
    """Return about how many numbers make up a fitted model; None where a part is unknown.

    They are the coefficients of linear models, the leaves of trees, means and spreads of naive
    Bayes, the weights of networks, and the cells of the rows that neighbours and support vectors
    keep. Of an ensemble those of all members are added up; of a member's models one is counted,
    for all of its folds.
    """
    if isinstance(fitted, FittedPipeline):
        return count_predictor_parameters(fitted.predictor)
    counts = [count_predictor_parameters(member.fitted[0].predictor) for member in fitted.members]
    models = [len(member.fitted) for member in fitted.members]
    known = [n * count for n, count in zip(models, counts, strict=True) if count is not None]
    return sum(known) if len(known) == len(counts) else None


def count_predictor_parameters(predictor: Any) -> int | None:
    """Return how many numbers make up a predictor; None for one that is not known.

    Parameters
    ----------
    predictor : scikit-learn estimator, or booster of LightGBM, XGBoost or CatBoost

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> count_predictor_parameters(Ridge().fit([[0.0, 1.0], [1.0, 0.0]], [1.0, 2.0]))
    3
    """
    library = type(predictor).__module__.partition(".")[0]
    if library in BOOSTER_COUNTERS:
        return BOOSTER_COUNTERS[library](predictor)
    for mark, count in ESTIMATOR_COUNTERS.items():
        if hasattr(predictor, mark):
            return count(predictor)
    return None


def count_baseline_parameters(simplest: Mapping[str, Model], rule: Rule) -> dict[str, int | None]:
    """Return how many numbers each baseline is made of, by its name.

    Examples
    --------
    >>> count_baseline_parameters({}, Rule("tenure", 3.0, (), None, (0.0, 1.0, 0.0), ()))["heuristic"]
    4
    """
    threshold = 0 if rule.threshold is None else 1
    models = {name: count_parameters(model.fitted) for name, model in simplest.items()}
    return {"zero_rule": 1, "heuristic": len(rule.values) + threshold, **models}


def _count_coefficients(predictor: Any) -> int:
    return int(np.size(predictor.coef_) + np.size(predictor.intercept_))


def _count_leaves(predictor: Any) -> int:
    return int(predictor.tree_.n_leaves)


def _count_forest_leaves(predictor: Any) -> int:
    return sum(_count_leaves(tree) for tree in predictor.estimators_)


def _count_histogram_leaves(predictor: Any) -> int:
    trees = [tree for round_ in predictor._predictors for tree in round_]
    return sum(int(tree.get_n_leaf_nodes()) for tree in trees)


def _count_moments(predictor: Any) -> int:
    return int(predictor.theta_.size + predictor.var_.size + predictor.class_prior_.size)


def _count_layer_weights(predictor: Any) -> int:
    return sum(int(part.size) for part in (*predictor.coefs_, *predictor.intercepts_))


def _count_training_cells(predictor: Any) -> int:
    return int(predictor.n_samples_fit_ * predictor.n_features_in_)


def _count_support_vectors(predictor: Any) -> int:
    return int(predictor.support_vectors_.size + predictor.dual_coef_.size)


def _count_calibrated(predictor: Any) -> int | None:
    counts = [
        count_predictor_parameters(each.estimator) for each in predictor.calibrated_classifiers_
    ]
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _count_constants(predictor: Any) -> int:
    return int(np.size(predictor.class_prior_))


def _count_lightgbm(booster: Any) -> int:
    text = getattr(booster, "booster_", booster).model_to_string()
    return sum(int(found) for found in re.findall(r"^num_leaves=(\d+)$", text, re.MULTILINE))


def _count_xgboost(booster: Any) -> int:
    made = booster.get_booster() if hasattr(booster, "get_booster") else booster
    return sum(tree.count("leaf=") for tree in made.get_dump())


def _count_catboost(model: Any) -> int:
    return int(np.size(model.get_leaf_values()))


# by an attribute that only such a fitted estimator has; the first that is there counts
ESTIMATOR_COUNTERS: Mapping[str, Callable[[Any], int | None]] = {
    "calibrated_classifiers_": _count_calibrated,
    "support_vectors_": _count_support_vectors,
    "coefs_": _count_layer_weights,
    "coef_": _count_coefficients,
    "tree_": _count_leaves,
    "_predictors": _count_histogram_leaves,
    "estimators_": _count_forest_leaves,
    "theta_": _count_moments,
    "n_samples_fit_": _count_training_cells,
    "constant_": lambda predictor: int(np.size(predictor.constant_)),
    "class_prior_": _count_constants,
}
BOOSTER_COUNTERS: Mapping[str, Callable[[Any], int]] = {
    "lightgbm": _count_lightgbm,
    "xgboost": _count_xgboost,
    "catboost": _count_catboost,
}
