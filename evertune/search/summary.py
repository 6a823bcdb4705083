"""Summarize a finished search: trials by outcome, scores by family, where the budget went.

`summarize_search` counts trials and gives the best score of each family. `build_search_report`
adds the worker time by purpose and by family, the best score over time, the reasons for which
trials ended and the weights of the ensemble. Worker time that no fit accounts for is reported
as `outside fits`. `failure_reasons` is the one-line text for errors.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from evertune.models.provenance import ModelOrigin, TrialWeight, is_baseline
from evertune.trials import Configuration, ParameterValue, SearchHeader, Trial

CUT_SHORT = "cut short"
FAILED = "failed"
OVERHEAD = "outside fits"
PURPOSE_ORDER = ("given", "portfolio", "search", CUT_SHORT, FAILED, OVERHEAD)
MAX_REASON_LENGTH = 200
MIN_EXPLAINED_TRIALS = 12  # of a family on all folds; its parameters' importance needs some


@dataclass(frozen=True)
class FamilyRow:
    """What the search did in one family; `best` is the best mean over all folds."""

    family: str
    trials: int
    complete: int
    best: float | None


@dataclass(frozen=True)
class SearchSummary:
    """What was searched; seconds are those of the search's own clock."""

    trials: int
    complete: int
    stopped: int
    failed: int
    seconds: float
    families: tuple[FamilyRow, ...] = ()


def summarize_search(trials: Iterable[Trial], *, greater_is_better: bool) -> SearchSummary:
    """Return how many trials there were, how they ended and what each family reached.

    Parameters
    ----------
    greater_is_better : bool
        Of the metric that the scores are in.

    Examples
    --------
    >>> trial = Trial(0, Configuration("linear"), "complete", (), 0.8, None, 3.0)
    >>> summarize_search([trial], greater_is_better=True).families
    (FamilyRow(family='linear', trials=1, complete=1, best=0.8),)
    """
    by_family: dict[str, list[Trial]] = {}
    endings: Counter[str] = Counter()
    seconds = 0.0
    for trial in trials:
        by_family.setdefault(trial.configuration.family, []).append(trial)
        endings[trial.status] += 1
        seconds = max(seconds, trial.elapsed_seconds)
    rows = []
    for family, tried in by_family.items():
        complete = [trial for trial in tried if trial.status == "complete"]
        scores = [trial.score for trial in complete if trial.score is not None]
        best = (max if greater_is_better else min)(scores) if scores else None
        rows.append(FamilyRow(family, len(tried), len(complete), best))
    sign = -1.0 if greater_is_better else 1.0
    rows.sort(key=lambda row: (row.best is None, sign * (row.best or 0.0), row.family))
    return SearchSummary(
        trials=endings.total(),
        complete=endings["complete"],
        stopped=endings["stopped"],
        failed=endings["failed"],
        seconds=seconds,
        families=tuple(rows),
    )


def find_complete_trial(configuration: Configuration, trials: Iterable[Trial]) -> Trial | None:
    """Return the first trial that tried a configuration on all folds, if there is one.

    Examples
    --------
    >>> trial = Trial(0, Configuration("linear"), "complete", (), 0.8, None, 3.0)
    >>> find_complete_trial(Configuration("linear"), [trial]) == trial
    True
    """
    tried = (trial for trial in trials if trial.configuration == configuration)
    return next((trial for trial in tried if trial.status == "complete"), None)


def can_explain(trials: Iterable[Trial]) -> bool:
    """Return whether any family has enough trials on all folds to tell which parameters matter.

    Examples
    --------
    >>> can_explain([Trial(0, Configuration("linear"), "complete", (), 0.8, None, 3.0)])
    False
    """
    counts = Counter(
        trial.configuration.family
        for trial in trials
        if trial.status == "complete" and trial.score is not None
    )
    return max(counts.values(), default=0) >= MIN_EXPLAINED_TRIALS


@dataclass(frozen=True)
class Setting:
    """One hyperparameter of the model."""

    name: str
    value: ParameterValue


def hyperparameter_settings(configuration: Configuration) -> tuple[Setting, ...]:
    """Return the hyperparameters of a configuration, by name.

    Examples
    --------
    >>> hyperparameter_settings(Configuration("tree", {"max_depth": 4}))
    (Setting(name='max_depth', value=4),)
    """
    return tuple(Setting(*item) for item in sorted(configuration.hyperparameters.items()))


@dataclass(frozen=True)
class TimeSpent:
    """Where time of the workers went: fits and predictions of some trials.

    Attributes
    ----------
    name : str
        Of these trials: a family, or what they were for: `portfolio`, `search` or `given`; `cut
        short` by the end of the budget; `failed`; or `outside fits`, the rest of the workers'
        time, with fits that left nothing.
    """

    name: str
    seconds: float
    trials: int


@dataclass(frozen=True)
class EndingCount:
    """How many trials ended in one way, and why."""

    status: str
    reason: str
    trials: int


@dataclass(frozen=True)
class SearchReport:
    """What became of a search.

    Attributes
    ----------
    weights : tuple of TrialWeight
        Of the ensemble's trials, the heaviest first.
    spent : tuple of TimeSpent
        Seconds of all workers together, by what they were for.
    families : tuple of TimeSpent
        The same fits by family, the most expensive first.
    curve : tuple of (float, float)
        Seconds since the start, and the best score over all folds that was known then.
    ended : tuple of EndingCount
        The most frequent first.
    baseline_instead : bool
        Whether nothing was found, so that the model is a baseline.
    seconds : float
        Of the search's own clock.
    """

    weights: tuple[TrialWeight, ...] = ()
    spent: tuple[TimeSpent, ...] = ()
    families: tuple[TimeSpent, ...] = ()
    curve: tuple[tuple[float, float], ...] = ()
    ended: tuple[EndingCount, ...] = ()
    baseline_instead: bool = False
    workers: int | None = None
    seconds: float = 0.0


def build_search_report(
    trials: Sequence[Trial], header: SearchHeader, *, origin: ModelOrigin | None = None
) -> SearchReport:
    """Return what became of a search.

    Parameters
    ----------
    trials : sequence of Trial
        In the order in which they ended.
    origin : ModelOrigin, optional
        Of the model that was made.

    Examples
    --------
    >>> from evertune.trials import Configuration
    >>> header = SearchHeader("d", "roc_auc", True, 5, 60.0, None)
    >>> trials = [Trial(n, Configuration("tree"), "complete", (), score, None, n + 1.0)
    ...           for n, score in enumerate([0.5, 0.4, 0.7])]
    >>> build_search_report(trials, header).curve
    ((1.0, 0.5), (2.0, 0.5), (3.0, 0.7))
    """
    from evertune.search.objective import OUT_OF_BUDGET  # imports what every family needs

    seconds = max((trial.elapsed_seconds for trial in trials), default=0.0)

    def purpose(trial: Trial) -> str:
        if trial.status == FAILED:
            return FAILED
        return CUT_SHORT if trial.reason == OUT_OF_BUDGET else trial.phase

    spent = _time_by(purpose, trials)
    overhead = (header.workers or 0) * seconds - sum(each.seconds for each in spent)
    if overhead > 0:
        spent.append(TimeSpent(OVERHEAD, overhead, 0))
    scored = [trial for trial in trials if trial.status == "complete" and trial.score is not None]
    best = accumulate(
        (trial.score for trial in scored if trial.score is not None),
        max if header.greater_is_better else min,
    )
    return SearchReport(
        weights=() if origin is None else origin.weights,
        spent=tuple(sorted(spent, key=lambda each: PURPOSE_ORDER.index(each.name))),
        families=tuple(_time_by(lambda trial: trial.configuration.family, trials)),
        curve=tuple(
            (trial.elapsed_seconds, score) for trial, score in zip(scored, best, strict=True)
        ),
        ended=count_endings(trials),
        baseline_instead=origin is not None and is_baseline(origin),
        workers=header.workers,
        seconds=seconds,
    )


def count_endings(trials: Iterable[Trial]) -> tuple[EndingCount, ...]:
    """Return how trials ended, each way counted, the most frequent first.

    Examples
    --------
    >>> from evertune.trials import Configuration
    >>> one = Trial(0, Configuration("tree"), "failed", (), None, "no memory", 1.0)
    >>> count_endings([one, one])
    (EndingCount(status='failed', reason='no memory', trials=2),)
    """
    counts = Counter((trial.status, (trial.reason or "")[:MAX_REASON_LENGTH]) for trial in trials)
    found = [EndingCount(status, reason, n) for (status, reason), n in counts.items()]
    return tuple(sorted(found, key=lambda each: (-each.trials, each.status, each.reason)))


def failure_reasons(trials: Sequence[Trial]) -> str:
    """Return why trials failed, each reason with how often.

    Examples
    --------
    >>> from evertune.trials import Configuration
    >>> one = Trial(0, Configuration("tree"), "failed", (), None, "no memory", 1.0)
    >>> failure_reasons([one, one])
    '2 x no memory'
    """
    failed = [ending for ending in count_endings(trials) if ending.status == FAILED]
    return "; ".join(f"{each.trials} x {each.reason or 'no reason'}" for each in failed)


def _time_by(name: Callable[[Trial], str], trials: Iterable[Trial]) -> list[TimeSpent]:
    """Return the time of trials by a name of each, the most expensive first."""
    seconds: dict[str, float] = {}
    counts: Counter[str] = Counter()
    for trial in trials:
        seconds[name(trial)] = seconds.get(name(trial), 0.0) + trial.seconds
        counts[name(trial)] += 1
    found = [TimeSpent(each, seconds[each], counts[each]) for each in counts]
    return sorted(found, key=lambda each: (-each.seconds, each.name))
