"""What became of a search: where its budget went, how its trials ended, what makes the model."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from pipelines.core.origins import Origin, Weight, is_baseline
from pipelines.core.trials import SearchHeader, Trial

OUT_OF_BUDGET = "the budget was used up"
CUT_SHORT = "cut short"
FAILED = "failed"
OVERHEAD = "outside fits"
ORDER = ("given", "portfolio", "search", CUT_SHORT, FAILED, OVERHEAD)
MOST_REASON = 200


@dataclass(frozen=True)
class Spent:
    """Where time of the workers went: fits and predictions of some trials.

    Attributes
    ----------
    phase : str
        `portfolio`, `search` or `given`; `cut short` by the end of the budget; `failed`; or
        `outside fits`, the rest of the workers' time, with fits that left nothing.
    """

    phase: str
    seconds: float
    trials: int


@dataclass(frozen=True)
class Ending:
    """How many trials ended in one way, and why."""

    status: str
    reason: str
    trials: int


@dataclass(frozen=True)
class SearchStory:
    """What became of a search.

    Attributes
    ----------
    weights : tuple of Weight
        Of the ensemble's trials, the heaviest first.
    spent : tuple of Spent
        Seconds of all workers together, by what they were for.
    families : tuple of Spent
        The same fits by family, the most expensive first.
    curve : tuple of (float, float)
        Seconds since the start, and the best score over all folds that was known then.
    ended : tuple of Ending
        The most frequent first.
    baseline_instead : bool
        Whether nothing was found, so that the model is a baseline.
    workers : int, optional
    seconds : float
        Of the search's own clock.
    """

    weights: tuple[Weight, ...] = ()
    spent: tuple[Spent, ...] = ()
    families: tuple[Spent, ...] = ()
    curve: tuple[tuple[float, float], ...] = ()
    ended: tuple[Ending, ...] = ()
    baseline_instead: bool = False
    workers: int | None = None
    seconds: float = 0.0


def search_story(
    trials: Sequence[Trial], header: SearchHeader, *, origin: Origin | None = None
) -> SearchStory:
    """Return what became of a search.

    Parameters
    ----------
    trials : sequence of Trial
        In the order in which they ended.
    header : SearchHeader
    origin : Origin, optional
        Of the model that was made.

    Examples
    --------
    >>> from pipelines.core.trials import Configuration
    >>> header = SearchHeader("d", "roc_auc", True, 5, 60.0, None)
    >>> trials = [Trial(n, Configuration("tree"), "complete", (), score, None, n + 1.0)
    ...           for n, score in enumerate([0.5, 0.4, 0.7])]
    >>> search_story(trials, header).curve
    ((1.0, 0.5), (2.0, 0.5), (3.0, 0.7))
    """
    seconds = max((trial.elapsed_seconds for trial in trials), default=0.0)
    workers = header.workers
    return SearchStory(
        weights=() if origin is None else origin.weights,
        spent=_spent(trials, seconds=seconds, workers=workers),
        families=_by(trials, {trial.number: trial.configuration.family for trial in trials}),
        curve=_curve(trials, greater_is_better=header.greater_is_better),
        ended=endings(trials),
        baseline_instead=origin is not None and is_baseline(origin),
        workers=workers,
        seconds=seconds,
    )


def endings(trials: Iterable[Trial]) -> tuple[Ending, ...]:
    """Return how trials ended, each way counted, the most frequent first.

    Examples
    --------
    >>> from pipelines.core.trials import Configuration
    >>> one = Trial(0, Configuration("tree"), "failed", (), None, "no memory", 1.0)
    >>> endings([one, one])
    (Ending(status='failed', reason='no memory', trials=2),)
    """
    counts = Counter((trial.status, (trial.reason or "")[:MOST_REASON]) for trial in trials)
    found = [Ending(status, reason, n) for (status, reason), n in counts.items()]
    return tuple(sorted(found, key=lambda each: (-each.trials, each.status, each.reason)))


def counted_reasons(trials: Sequence[Trial]) -> str:
    """Return why trials failed, each reason with how often.

    Examples
    --------
    >>> from pipelines.core.trials import Configuration
    >>> one = Trial(0, Configuration("tree"), "failed", (), None, "no memory", 1.0)
    >>> counted_reasons([one, one])
    '2 x no memory'
    """
    failed = [ending for ending in endings(trials) if ending.status == FAILED]
    return "; ".join(f"{each.trials} x {each.reason or 'no reason'}" for each in failed)


def _spent(trials: Sequence[Trial], *, seconds: float, workers: int | None) -> tuple[Spent, ...]:
    found = _by(trials, {trial.number: _purpose(trial) for trial in trials})
    rest = (workers or 0) * seconds - sum(each.seconds for each in found)
    if workers is not None and rest > 0:
        found = (*found, Spent(OVERHEAD, rest, 0))
    return tuple(sorted(found, key=lambda each: ORDER.index(each.phase)))


def _purpose(trial: Trial) -> str:
    if trial.status == "failed":
        return FAILED
    return CUT_SHORT if trial.reason == OUT_OF_BUDGET else trial.phase


def _by(trials: Sequence[Trial], names: dict[int, str]) -> tuple[Spent, ...]:
    seconds: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for trial in trials:
        name = names[trial.number]
        seconds[name] += sum(fold.fit_seconds + fold.predict_seconds for fold in trial.folds)  # type: ignore[assignment]
        counts[name] += 1
    found = [Spent(name, float(seconds[name]), counts[name]) for name in counts]
    return tuple(sorted(found, key=lambda each: (-each.seconds, each.phase)))


def _curve(trials: Sequence[Trial], *, greater_is_better: bool) -> tuple[tuple[float, float], ...]:
    known = [
        (trial.elapsed_seconds, trial.score)
        for trial in trials
        if trial.status == "complete" and trial.score is not None
    ]
    best = accumulate((score for _, score in known), max if greater_is_better else min)
    return tuple((moment, score) for (moment, _), score in zip(known, best, strict=True))
