"""The four phases of a model, and whether each pays for itself on the same folds.

Heuristic, simplest model, optimised simple model, complex model: what each adds to the one before
in the metric that is optimised, and what it costs to fit, to predict and to explain.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal

from pipelines.core.baselines import BaselineFigures
from pipelines.core.folds import Fold
from pipelines.core.judging.fold_tests import fold_difference
from pipelines.core.judging.results import TestResult
from pipelines.core.metrics import Metric, is_better
from pipelines.core.origins import Origin
from pipelines.core.phase_bests import best_baseline, best_complex_trial, best_simple_trial
from pipelines.core.trials import FoldResult, Trial

Name = Literal["heuristic", "simplest", "optimised simple", "complex"]
Scores = tuple[float | None, ...]
CONFIDENCE = 0.95
THOUSAND_ROWS = 1_000
MILLISECONDS = 1_000


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

    name: Name
    what: str
    score: float | None = None
    scores: Scores = ()
    fit_seconds: float | None = None
    predict_milliseconds: float | None = None
    values: int | None = None
    gain: float | None = None
    low: float | None = None
    high: float | None = None
    pays: bool | None = None


def phases(  # noqa: PLR0913
    trials: Sequence[Trial],
    baselines: Sequence[BaselineFigures],
    metric: Metric,
    *,
    folds: Sequence[Fold],
    origin: Origin | None = None,
    values: Mapping[str, int | None] | None = None,
    confidence: float = CONFIDENCE,
) -> tuple[Phase, ...]:
    """Return the four phases, each with its gain over the one before.

    The best of a phase was chosen on these folds, so its score flatters a little, the more the
    more was tried; the ensemble's score is that of weights which other folds chose.

    Parameters
    ----------
    trials : sequence of Trial
    baselines : sequence of BaselineFigures
    metric : Metric
        The one that is optimised.
    folds : sequence of Fold
    origin : Origin, optional
        Of the model: the ensemble's scores and weights, and what its phases ask to read.
    values : mapping from a baseline's name to int, optional
        What a person would have to read to explain it.
    confidence : float
        Of the interval of each gain.
    """
    known = {} if values is None else values
    found = (
        _of_baselines("heuristic", "none", baselines, metric, folds=folds, values=known),
        _of_baselines("simplest", "model", baselines, metric, folds=folds, values=known),
        _of_trial("optimised simple", best_simple_trial(trials, metric), metric, folds, origin),
        _complex(trials, metric, folds=folds, origin=origin),
    )
    return _with_gains(found, metric, folds=folds, confidence=confidence)


def simplest_not_worse(
    found: Sequence[Phase],
    metric: Metric,
    *,
    folds: Sequence[Fold],
    confidence: float = CONFIDENCE,
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
        lead = _difference(best, phase, metric, folds=folds, confidence=confidence)
        if phase is best or _is_real(lead) is False:
            return phase.name
    return best.name


def _of_baselines(  # noqa: PLR0913
    name: Name,
    kind: str,
    baselines: Sequence[BaselineFigures],
    metric: Metric,
    *,
    folds: Sequence[Fold],
    values: Mapping[str, int | None],
) -> Phase:
    best = best_baseline(baselines, metric, kind=kind)
    if best is None:
        return Phase(name, "nothing")
    scores = _scores(best.folds, metric)
    return Phase(
        name=name,
        what=f"{best.name}: {best.description}",
        score=_mean(scores),
        scores=scores,
        fit_seconds=best.fit_seconds,
        predict_milliseconds=_milliseconds(best.predict_seconds, folds),
        values=values.get(best.name),
    )


def _of_trial(
    name: Name, best: Trial | None, metric: Metric, folds: Sequence[Fold], origin: Origin | None
) -> Phase:
    if best is None:
        return Phase(name, "nothing")
    return _phase(
        name,
        f"trial {best.number}, {best.configuration.family}",
        [best],
        scores=_scores(best.folds, metric),
        folds=folds,
        values=None if origin is None else origin.values.get(name),
    )


def _complex(
    trials: Sequence[Trial], metric: Metric, *, folds: Sequence[Fold], origin: Origin | None
) -> Phase:
    if origin is None or len(origin.weights) <= 1:
        return _of_trial("complex", best_complex_trial(trials, metric), metric, folds, origin)
    numbers = {weight.number for weight in origin.weights}
    return _phase(
        "complex",
        f"an ensemble of {len(numbers)} trials",
        [trial for trial in trials if trial.number in numbers],
        scores=origin.scores,
        folds=folds,
        values=origin.values.get("complex"),
        n_encoders=origin.n_encoders,
    )


def _phase(  # noqa: PLR0913
    name: Name,
    what: str,
    members: Sequence[Trial],
    *,
    scores: Scores,
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
        score=_mean(scores),
        scores=scores,
        fit_seconds=sum(fold.fit_seconds for fold in results),
        predict_milliseconds=_milliseconds(seconds, folds),
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
        gain = _difference(phase, before[-1], metric, folds=folds, confidence=confidence)
        told.append(_with_gain(phase, gain))
    return tuple(told)


def _with_gain(phase: Phase, gain: TestResult) -> Phase:
    pays = _is_real(gain)
    return replace(phase, gain=gain.difference, low=gain.low, high=gain.high, pays=pays)


def _is_real(gain: TestResult) -> bool | None:
    """Return whether a gain is more than noise; None where folds cannot tell."""
    if gain.low is not None:
        return gain.low > 0
    return False if gain.difference is not None and gain.difference <= 0 else None


def _difference(
    left: Phase, right: Phase, metric: Metric, *, folds: Sequence[Fold], confidence: float
) -> TestResult:
    sign = 1.0 if metric.greater_is_better else -1.0
    pairs = [
        (sign * a, sign * b)
        for a, b in zip(left.scores, right.scores, strict=False)
        if a is not None and b is not None
    ]
    return fold_difference(
        [a for a, _ in pairs],
        [b for _, b in pairs],
        n_training=round(fmean(len(fold.training) for fold in folds)),
        n_validation=round(fmean(len(fold.validation) for fold in folds)),
        confidence=confidence,
    )


def _scores(folds: Iterable[FoldResult], metric: Metric) -> Scores:
    return tuple(fold.figures.get(metric.name) for fold in sorted(folds, key=_number))


def _number(result: FoldResult) -> int:
    return result.fold


def _mean(scores: Scores) -> float | None:
    known = [score for score in scores if score is not None]
    return fmean(known) if known else None


def _milliseconds(seconds: float, folds: Sequence[Fold]) -> float | None:
    rows = sum(len(fold.validation) for fold in folds)
    return seconds * MILLISECONDS * THOUSAND_ROWS / rows if rows else None
