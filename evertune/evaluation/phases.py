"""The four phases of development, and whether each one pays for itself on the same folds.

Heuristic, simplest model, optimised simple model, complex model: `compare_phases` gives the gain
of each over the one before in the optimised metric, and its cost to fit, to predict and to
explain. `simplest_sufficient_phase` names the simplest one that is not significantly worse than
the best. `count_parameters` gives the size of a model.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import fmean
from typing import Any, Literal

import numpy as np

from evertune.data.folds import Fold
from evertune.evaluation.baselines import BaselineResult
from evertune.evaluation.heuristics import Rule
from evertune.metrics.metrics import Metric
from evertune.models.fitted_model import Ensemble, FittedPipeline, Model
from evertune.models.provenance import ModelOrigin
from evertune.search.leaderboard import best_trial
from evertune.stats.comparison import corrected_resampled_t
from evertune.stats.results import Estimate
from evertune.trials import FoldResult, Trial

SIMPLE_FAMILIES = ("linear", "naive_bayes", "tree", "knn")
DEFAULT_CONFIDENCE = 0.95
PhaseName = Literal["heuristic", "simplest", "optimised simple", "complex"]
PhaseScores = tuple[float | None, ...]


@dataclass(frozen=True)
class Phase:
    """The best of one phase, on the same folds as all others.

    Attributes
    ----------
    what : str
        The baseline, the trial or the ensemble.
    score, scores
        The optimised metric: its mean over the folds (None if the phase has no model), and by fold.
    fit_seconds : float, optional
        Of all folds together, one thread.
    predict_milliseconds : float, optional
        For a thousand rows, the encoding of their columns included.
    values : int, optional
        How many numbers it consists of: answers of a rule, coefficients, leaves.
    gain, low, high : float, optional
        By how much it is better than the phase before, with its interval; positive is better,
        whatever the metric's direction.
    pays : bool, optional
        True if the gain is more than noise; None if that is not known, or no phase is before.
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
    origin : ModelOrigin, optional
        Of the model: the ensemble's scores and weights, and the size of its phases' models.
    values : mapping from a baseline's name to int, optional
        From `count_baseline_parameters`.
    """

    def of_baseline(name: PhaseName, kind: str) -> Phase:
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
            values=(values or {}).get(best.name),
        )

    def of_trials(
        name: PhaseName, what: str, members: Sequence[Trial], scores: PhaseScores, n_encoders: int
    ) -> Phase:
        results = [fold for trial in members for fold in trial.folds]
        seconds = sum(fold.predict_seconds for fold in results)
        if members:  # members with the same encoding share it
            seconds += sum(fold.encode_seconds for fold in results) * n_encoders / len(members)
        return Phase(
            name=name,
            what=what,
            score=_mean_score(scores),
            scores=scores,
            fit_seconds=sum(fold.fit_seconds for fold in results),
            predict_milliseconds=_milliseconds_per_thousand_rows(seconds, folds),
            values=None if origin is None else origin.values.get(name),
        )

    def of_trial(name: PhaseName, best: Trial | None) -> Phase:
        if best is None:
            return Phase(name, "nothing")
        what = f"trial {best.number}, {best.configuration.family}"
        return of_trials(name, what, [best], _scores_by_fold(best.folds, metric), 1)

    if origin is None or len(origin.weights) <= 1:
        complex_phase = of_trial("complex", best_complex_trial(trials, metric))
    else:
        numbers = {weight.number for weight in origin.weights}
        members = [trial for trial in trials if trial.number in numbers]
        what = f"an ensemble of {len(numbers)} trials"
        complex_phase = of_trials("complex", what, members, origin.scores, origin.n_encoders)
    phases = [
        of_baseline("heuristic", "none"),
        of_baseline("simplest", "model"),
        of_trial("optimised simple", best_simple_trial(trials, metric)),
        complex_phase,
    ]
    scored = [i for i, phase in enumerate(phases) if phase.score is not None]
    for before, i in pairwise(scored):
        gain = _gain(phases[i], phases[before], metric, folds=folds, confidence=confidence)
        phases[i] = replace(
            phases[i], gain=gain.value, low=gain.low, high=gain.high, pays=_is_significant(gain)
        )
    return tuple(phases)


def simplest_sufficient_phase(
    phases: Sequence[Phase],
    metric: Metric,
    *,
    folds: Sequence[Fold],
    confidence: float = DEFAULT_CONFIDENCE,
) -> str:
    """Return the first of the phases (the simplest) that is not significantly worse than the best.

    A phase of which that is not known counts as worse. Without any score it is the last phase.
    """
    scored = [(phase, phase.score) for phase in phases if phase.score is not None]
    if not scored:
        return phases[-1].name
    best, _ = (max if metric.greater_is_better else min)(scored, key=lambda pair: pair[1])
    for phase, _ in scored:
        gain = _gain(best, phase, metric, folds=folds, confidence=confidence)
        if phase is best or _is_significant(gain) is False:
            return phase.name
    return best.name


def best_simple_trial(trials: Iterable[Trial], metric: Metric) -> Trial | None:
    """Return the best complete trial of the families that a person can follow."""
    simple = (t for t in trials if t.configuration.family in SIMPLE_FAMILIES)
    return best_trial(simple, (metric,), {})


def best_complex_trial(trials: Iterable[Trial], metric: Metric) -> Trial | None:
    """Return the best complete trial of all other families."""
    complex_ = (t for t in trials if t.configuration.family not in SIMPLE_FAMILIES)
    return best_trial(complex_, (metric,), {})


def best_baseline_of_kind(
    baselines: Iterable[BaselineResult], metric: Metric, *, kind: str
) -> BaselineResult | None:
    """Return the best of the baselines of one kind, by its mean over the folds."""
    scored = [
        (each, score)
        for each in baselines
        if each.kind == kind and (score := each.mean.get(metric.name)) is not None
    ]
    best = max if metric.greater_is_better else min
    return best(scored, key=lambda pair: pair[1], default=(None, None))[0]


def _gain(
    left: Phase, right: Phase, metric: Metric, *, folds: Sequence[Fold], confidence: float
) -> Estimate:
    sign = 1.0 if metric.greater_is_better else -1.0
    pairs = zip(left.scores, right.scores, strict=False)
    known = [(sign * a, sign * b) for a, b in pairs if a is not None and b is not None]
    return corrected_resampled_t(
        [a for a, _ in known],
        [b for _, b in known],
        n_training=round(fmean(len(fold.training) for fold in folds)),
        n_validation=round(fmean(len(fold.validation) for fold in folds)),
        confidence=confidence,
    )


def _is_significant(gain: Estimate) -> bool | None:
    if gain.low is not None:
        return gain.low > 0
    return False if gain.value is not None and gain.value <= 0 else None


def _scores_by_fold(folds: Iterable[FoldResult], metric: Metric) -> PhaseScores:
    ordered = sorted(folds, key=lambda result: result.fold)
    return tuple(fold.figures.get(metric.name) for fold in ordered)


def _mean_score(scores: PhaseScores) -> float | None:
    known = [score for score in scores if score is not None]
    return fmean(known) if known else None


def _milliseconds_per_thousand_rows(seconds: float, folds: Sequence[Fold]) -> float | None:
    n_rows = sum(len(fold.validation) for fold in folds)
    return seconds * 1_000_000 / n_rows if n_rows else None


# Model size


def count_parameters(fitted: FittedPipeline | Ensemble) -> int | None:
    """Return about how many numbers make up a fitted model; None if a part is unknown.

    They are the coefficients of linear models, the leaves of trees, means and variances of naive
    Bayes, the weights of networks, and the cells of the rows that neighbours and support vectors
    keep. Of an ensemble those of all members are added up; of a member's models one is counted,
    for all of its folds.
    """
    if isinstance(fitted, FittedPipeline):
        return count_predictor_parameters(fitted.predictor)
    total = 0
    for member in fitted.members:
        count = count_predictor_parameters(member.fitted[0].predictor)
        if count is None:
            return None
        total += len(member.fitted) * count
    return total


def count_baseline_parameters(simplest: Mapping[str, Model], rule: Rule) -> dict[str, int | None]:
    """Return how many numbers each baseline is made of, by its name."""
    models = {name: count_parameters(model.fitted) for name, model in simplest.items()}
    n_thresholds = 0 if rule.threshold is None else 1
    return {"zero_rule": 1, "heuristic": len(rule.values) + n_thresholds, **models}


def count_predictor_parameters(predictor: Any) -> int | None:
    """Return how many numbers make up a predictor; None for one that is not known.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> count_predictor_parameters(Ridge().fit([[0.0, 1.0], [1.0, 0.0]], [1.0, 2.0]))
    3
    """
    library = type(predictor).__module__.partition(".")[0]
    if library in BOOSTER_COUNTERS:
        return BOOSTER_COUNTERS[library](predictor)
    for attribute, count in ESTIMATOR_COUNTERS.items():
        if hasattr(predictor, attribute):
            return count(predictor)
    return None


def _count_calibrated(predictor: Any) -> int | None:
    counts = [
        count_predictor_parameters(each.estimator) for each in predictor.calibrated_classifiers_
    ]
    return None if None in counts else sum(count or 0 for count in counts)


def _sizes(*arrays: Any) -> int:
    return sum(int(np.size(array)) for array in arrays)


def _count_lightgbm(booster: Any) -> int:
    text = getattr(booster, "booster_", booster).model_to_string()
    return sum(int(n) for n in re.findall(r"^num_leaves=(\d+)$", text, re.MULTILINE))


def _count_xgboost(booster: Any) -> int:
    booster = booster.get_booster() if hasattr(booster, "get_booster") else booster
    return sum(tree.count("leaf=") for tree in booster.get_dump())


# by an attribute that only such a fitted estimator has; the first that is there counts
ESTIMATOR_COUNTERS: Mapping[str, Callable[[Any], int | None]] = {
    "calibrated_classifiers_": _count_calibrated,
    "support_vectors_": lambda p: _sizes(p.support_vectors_, p.dual_coef_),
    "coefs_": lambda p: _sizes(*p.coefs_, *p.intercepts_),
    "coef_": lambda p: _sizes(p.coef_, p.intercept_),
    "tree_": lambda p: int(p.tree_.n_leaves),
    "_predictors": lambda p: sum(
        int(t.get_n_leaf_nodes()) for trees in p._predictors for t in trees
    ),
    "estimators_": lambda p: sum(int(tree.tree_.n_leaves) for tree in p.estimators_),
    "theta_": lambda p: _sizes(p.theta_, p.var_, p.class_prior_),
    "n_samples_fit_": lambda p: int(p.n_samples_fit_ * p.n_features_in_),
    "constant_": lambda p: _sizes(p.constant_),
    "class_prior_": lambda p: _sizes(p.class_prior_),
}
BOOSTER_COUNTERS: Mapping[str, Callable[[Any], int]] = {
    "lightgbm": _count_lightgbm,
    "xgboost": _count_xgboost,
    "catboost": lambda model: _sizes(model.get_leaf_values()),
}
