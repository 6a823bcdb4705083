"""Compare searchers: what is run, and what the runs show. Nothing here runs, draws or writes.

`ComparisonSettings` says which searchers and schedulers run, with how many seeds and which budget;
each combination of searcher and scheduler is a method. `SearchRun` is one search of one method.
`compare_runs` makes of all runs the `Comparison`: best scores with intervals over seeds, the best
score so far over trials and over seconds, ranks of the methods (see `evertune.stats.repetitions`),
and the time inside the searchers. `comparison_sentence` is the result in plain words.

`evertune.search.comparison_runs` runs a search, `evertune.stages.compare` all of it.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, product
from typing import Any, Literal, get_args, get_origin

import numpy as np

from evertune.config.schema import SearchSection
from evertune.errors import InputError
from evertune.messages import did_you_mean
from evertune.stats.repetitions import RankComparison, compare_ranks, mean_intervals
from evertune.trials import Trial
from evertune.types import FloatArray

CONFIDENCE = 0.95
MIN_SEEDS = 2
MAX_CURVE_POINTS = 120
SLOW_SHARE = 0.9  # the quantile of the times of suggestions that is shown beside the median


@dataclass(frozen=True)
class ComparisonSettings:
    """What a comparison runs.

    Attributes
    ----------
    searchers, schedulers : tuple of str
        As `search.searcher` and `search.scheduler` in params.yaml take them; each searcher runs
        with each scheduler.
    n_seeds : int
        Each method runs with the seeds 0, 1, ..., n_seeds - 1.
    budget_trials, budget_seconds : optional
        Of each run; at least one is given.
    """

    searchers: tuple[str, ...]
    schedulers: tuple[str, ...]
    n_seeds: int
    budget_trials: int | None = None
    budget_seconds: float | None = None

    @property
    def methods(self) -> tuple[tuple[str, str], ...]:
        """Each searcher with each scheduler."""
        return tuple(product(self.searchers, self.schedulers))

    def label(self, searcher: str, scheduler: str) -> str:
        """Return what a method is called: its searcher, and its scheduler where there are more."""
        return searcher if len(self.schedulers) == 1 else f"{searcher}, {scheduler}"

    def runs(self) -> Iterator[tuple[str, str, int]]:
        """Yield searcher, scheduler and seed of each run, in the order in which they run.

        Seed by seed, so that whatever changes on the machine meets all methods; each seed begins
        with another method, so that none has always the first place.
        """
        for seed in range(self.n_seeds):
            start = seed % len(self.methods)
            for searcher, scheduler in self.methods[start:] + self.methods[:start]:
                yield searcher, scheduler, seed

    def budget_text(self) -> str:
        """Return the budget of each run in words."""
        parts = []
        if self.budget_trials is not None:
            parts.append(f"{self.budget_trials} trials")
        if self.budget_seconds is not None:
            parts.append(f"{self.budget_seconds:g} seconds")
        return " or ".join(parts)


def check_settings(settings: ComparisonSettings) -> None:
    """Check what a comparison is to run.

    Raises
    ------
    InputError
        A searcher or a scheduler is not known or named twice, there is nothing to compare, no
        budget, or fewer than two seeds; the message has all faults.
    """
    faults = [
        *_name_faults("--searchers", settings.searchers, known_names("searcher")),
        *_name_faults("--schedulers", settings.schedulers, known_names("scheduler")),
    ]
    if not faults and len(settings.methods) < 2:
        only = ", ".join((*settings.searchers, *settings.schedulers)) or "none"
        faults.append(
            f"--searchers: expected at least two searchers, or one with two schedulers, but got"
            f" {only}; name them with a comma between, such as --searchers tpe,random"
        )
    if settings.n_seeds < MIN_SEEDS:
        faults.append(
            f"--seeds: expected at least {MIN_SEEDS}, since intervals are over seeds, but got"
            f" {settings.n_seeds}"
        )
    if settings.budget_trials is None and settings.budget_seconds is None:
        faults.append(
            "--trials or --budget: expected one of them, but got neither; give the trials of each"
            " run, such as --trials 40, or its seconds, such as --budget 60"
        )
    if settings.budget_trials is not None and settings.budget_trials < 1:
        faults.append(f"--trials: expected at least 1, but got {settings.budget_trials}")
    if settings.budget_seconds is not None and not 0 < settings.budget_seconds < math.inf:
        faults.append(f"--budget: expected seconds above 0, but got {settings.budget_seconds:g}")
    if faults:
        raise InputError("; ".join(faults) + ".")


def known_names(key: Literal["searcher", "scheduler"]) -> tuple[str, ...]:
    """Return what params.yaml accepts under `search.searcher` or `search.scheduler`."""
    return tuple(_literals(SearchSection.model_fields[key].annotation))


@dataclass(frozen=True)
class SearchRun:
    """One search of a comparison.

    Attributes
    ----------
    digest : str
        Of all that its result depends on: the table, the settings and the code.
    ended_seconds : tuple of float
        The search's clock when each trial ended, in the order in which they ended.
    best_scores : tuple of float or None
        The best score over all folds that was known then; None before the first.
    suggestion_milliseconds : tuple of float
        Inside the searcher, for each suggestion: proposing it, and learning what ended before.
    seconds : float
        Of the whole search.
    """

    searcher: str
    scheduler: str
    seed: int
    digest: str
    ended_seconds: tuple[float, ...]
    best_scores: tuple[float | None, ...]
    complete: int
    stopped: int
    failed: int
    suggestion_milliseconds: tuple[float, ...]
    seconds: float

    @property
    def best(self) -> float | None:
        """The best score over all folds; None if no trial ran on all of them."""
        return self.best_scores[-1] if self.best_scores else None


def summarize_run(
    trials: Sequence[Trial],
    *,
    searcher: str,
    scheduler: str,
    seed: int,
    digest: str,
    greater_is_better: bool,
    suggestion_milliseconds: Sequence[float],
    seconds: float,
) -> SearchRun:
    """Return the record of a search from its trials, in the order in which they ended."""
    best: float | None = None
    best_scores: list[float | None] = []
    for trial in trials:
        if trial.status == "complete" and trial.score is not None:
            pick = max if greater_is_better else min
            best = trial.score if best is None else pick(best, trial.score)
        best_scores.append(best)
    statuses = [trial.status for trial in trials]
    return SearchRun(
        searcher=searcher,
        scheduler=scheduler,
        seed=seed,
        digest=digest,
        # trials that end together are recorded in the order of their numbers
        ended_seconds=tuple(accumulate((trial.elapsed_seconds for trial in trials), max)),
        best_scores=tuple(best_scores),
        complete=statuses.count("complete"),
        stopped=statuses.count("stopped"),
        failed=statuses.count("failed"),
        suggestion_milliseconds=tuple(suggestion_milliseconds),
        seconds=seconds,
    )


@dataclass(frozen=True)
class CurvePoint:
    """The best score so far at a number of trials, or of seconds: mean over seeds, interval."""

    at: float
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class MethodResult:
    """What one method reached.

    Attributes
    ----------
    best : tuple of float or None
        The best score of each run, in the order of the seeds.
    mean, low, high : float, optional
        Of the best scores, with the interval over seeds; None unless two runs have a score.
    trials : float
        Of a run, the mean over seeds; so for `complete`, `stopped`, `failed` and `seconds`.
    suggestions : int
        Of all runs.
    median_milliseconds, slow_milliseconds : float, optional
        Inside the searcher for one suggestion: the median, and what nine of ten stay below.
    over_trials, over_seconds : tuple of CurvePoint
        From the first point at which all runs have a score.
    """

    label: str
    searcher: str
    scheduler: str
    best: tuple[float | None, ...]
    mean: float | None
    low: float | None
    high: float | None
    trials: float
    complete: float
    stopped: float
    failed: float
    seconds: float
    suggestions: int
    median_milliseconds: float | None
    slow_milliseconds: float | None
    over_trials: tuple[CurvePoint, ...] = ()
    over_seconds: tuple[CurvePoint, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """What the runs of a comparison show.

    Attributes
    ----------
    methods : tuple of MethodResult
        The best mean rank first.
    n_rows, n_folds : int
        Of the training table, on whose folds the searches ran.
    """

    metric: str
    greater_is_better: bool
    confidence: float
    settings: ComparisonSettings
    n_rows: int
    n_folds: int
    methods: tuple[MethodResult, ...]
    ranks: RankComparison
    families: tuple[str, ...] = ()
    schema_version: int = field(default=1)

    @property
    def sentence(self) -> str:
        """The result in plain words."""
        return comparison_sentence(self.ranks, self.methods)


def compare_runs(
    runs: Sequence[SearchRun],
    settings: ComparisonSettings,
    *,
    metric: str,
    greater_is_better: bool,
    n_rows: int,
    n_folds: int,
    families: tuple[str, ...] = (),
) -> Comparison:
    """Return what the runs of a comparison show.

    Parameters
    ----------
    runs : sequence of SearchRun
        One of each method and seed.
    """
    most_trials = max(len(run.best_scores) for run in runs)
    longest = max((max(run.ended_seconds, default=0.0) for run in runs), default=0.0)
    trial_grid = np.unique(np.linspace(1, max(most_trials, 1), MAX_CURVE_POINTS).round())
    second_grid = np.linspace(0, longest, MAX_CURVE_POINTS)
    found: dict[str, MethodResult] = {}
    for searcher, scheduler in settings.methods:
        own = sorted(
            (run for run in runs if (run.searcher, run.scheduler) == (searcher, scheduler)),
            key=lambda run: run.seed,
        )
        label = settings.label(searcher, scheduler)
        numbered = [np.arange(1.0, len(run.best_scores) + 1) for run in own]
        ended = [np.array(run.ended_seconds) for run in own]
        times = np.array([each for run in own for each in run.suggestion_milliseconds])
        scores = tuple(run.best for run in own)
        mean, low, high = _score_interval(scores)
        found[label] = MethodResult(
            label=label,
            searcher=searcher,
            scheduler=scheduler,
            best=scores,
            mean=mean,
            low=low,
            high=high,
            trials=float(np.mean([len(run.best_scores) for run in own])),
            complete=float(np.mean([run.complete for run in own])),
            stopped=float(np.mean([run.stopped for run in own])),
            failed=float(np.mean([run.failed for run in own])),
            seconds=float(np.mean([run.seconds for run in own])),
            suggestions=len(times),
            median_milliseconds=float(np.median(times)) if len(times) else None,
            slow_milliseconds=float(np.quantile(times, SLOW_SHARE)) if len(times) else None,
            over_trials=_curve(own, numbered, trial_grid),
            over_seconds=_curve(own, ended, second_grid),
        )
    ranks = compare_ranks(
        {label: each.best for label, each in found.items()},
        greater_is_better=greater_is_better,
        confidence=CONFIDENCE,
    )
    return Comparison(
        metric=metric,
        greater_is_better=greater_is_better,
        confidence=CONFIDENCE,
        settings=settings,
        n_rows=n_rows,
        n_folds=n_folds,
        methods=tuple(found[label] for label in ranks.names),
        ranks=ranks,
        families=families,
    )


def comparison_sentence(ranks: RankComparison, methods: Sequence[MethodResult]) -> str:
    """Return the result of a comparison in plain words.

    Examples
    --------
    >>> ranks = compare_ranks({"tpe": [0.9] * 3, "random": [0.8] * 3}, greater_is_better=True)
    >>> comparison_sentence(ranks, ()).split(";")[0]
    'No difference is shown, and none could have been'
    """
    test = f"Friedman test over {ranks.n_blocks} seeds, p = {ranks.p_value:.3g}"
    without = [each.label for each in methods if all(score is None for score in each.best)]
    note = f" No trial of {', '.join(without)} ran on all folds." if without else ""
    if not ranks.can_find_difference:
        n_needed = _seeds_needed(len(ranks.names), ranks.confidence)
        return (
            f"No difference is shown, and none could have been; with {len(ranks.names)} methods at"
            f" least {n_needed} seeds are needed, even if the same method always wins ({test})."
            f"{note}"
        )
    if not ranks.finds_difference:
        return f"No difference between the methods is shown ({test}).{note}"
    pairs = ranks.different_pairs()
    if not pairs:
        return (
            f"The methods are not all alike ({test}), but no two of them differ by more than the"
            f" critical difference of {ranks.critical_difference:.2f} ranks.{note}"
        )
    told = [
        f"{better} is better than {' and '.join(worse for b, worse in pairs if b == better)}"
        for better in dict.fromkeys(better for better, _ in pairs)
    ]
    first, *rest = ranks.groups[0]
    beside = f" {first} is not told apart from {' and '.join(rest)}." if rest else ""
    return (
        f"On this table {'; '.join(told)} ({test}; mean ranks differ by more than"
        f" {ranks.critical_difference:.2f}).{beside}{note}"
    )


def _seeds_needed(n_methods: int, confidence: float) -> int:
    smallest = 1 - math.log(1 - confidence) / math.log(math.factorial(n_methods))
    return math.ceil(smallest - 1e-9)


def _score_interval(
    scores: Sequence[float | None],
) -> tuple[float | None, float | None, float | None]:
    known = np.array([score for score in scores if score is not None])
    if len(known) < MIN_SEEDS:
        return None, None, None
    mean, low, high = mean_intervals(known[:, None], confidence=CONFIDENCE)
    return float(mean[0]), float(low[0]), float(high[0])


def _curve(
    runs: Sequence[SearchRun], moments: Sequence[FloatArray], grid: FloatArray
) -> tuple[CurvePoint, ...]:
    """Return the best score so far on a grid, as far as every run has one."""
    values = np.full((len(runs), len(grid)), np.nan)
    for row, (run, ends) in enumerate(zip(runs, moments, strict=True)):
        known = np.array([np.nan, *(np.nan if s is None else s for s in run.best_scores)])
        values[row] = known[np.searchsorted(ends, grid, side="right")]
    is_known = np.isfinite(values).all(axis=0)
    if len(runs) < MIN_SEEDS or not is_known.any():
        return ()
    mean, low, high = mean_intervals(values[:, is_known], confidence=CONFIDENCE)
    return tuple(
        CurvePoint(*map(float, point))
        for point in zip(grid[is_known], mean, low, high, strict=True)
    )


def _name_faults(option: str, names: Sequence[str], known: Sequence[str]) -> Iterator[str]:
    for name in dict.fromkeys(names):
        if name not in known:
            hint = did_you_mean(name, known)
            yield f"{option}: expected some of {', '.join(known)}, but got '{name}'.{hint}"
        if names.count(name) > 1:
            yield f"{option}: '{name}' is named {names.count(name)} times"


def _literals(annotation: Any) -> Iterator[str]:
    if get_origin(annotation) is Literal:
        yield from (str(value) for value in get_args(annotation))
        return
    for part in get_args(annotation):
        yield from _literals(part)
