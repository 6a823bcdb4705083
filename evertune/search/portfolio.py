"""The default sampler: strong defaults first, then new trials of the most useful families.

`PortfolioSampler` runs the cheapest default on all folds, so that a model exists early. Of
every other default it first evaluates one fold; those that fit into the budget then complete
their folds, the best first. The rest of the budget goes to new configurations of the families
that have weight in the ensemble so far: in turn a mutation of the family's best configuration
and a TPE proposal based on all known trials. If the budget is a number of trials, every default
runs on all folds.
"""

import math
from collections.abc import Sequence

import numpy as np
import optuna

from evertune.ensemble.selection import select_ensemble
from evertune.models.families import FAMILIES
from evertune.search.default_space import default_portfolio
from evertune.search.objective import Job, Objective
from evertune.search.samplers import (
    SamplerContext,
    add_past_trial,
    enqueue_configurations,
    mutate_configuration,
    new_study,
    search_space,
    suggest_configuration,
    tell_study,
)
from evertune.search.study import (
    PastTrials,
    RunningTrial,
    SearchConfig,
    maximized_mean_score,
    maximized_score,
)
from evertune.trials import Configuration, Trial, TrialSource

CHEAP_SHARE = 0.02  # of the budget: what a configuration may cost and still be completed at once
PORTFOLIO_START_SHARE = 0.5  # of the budget, after which no default is begun
COMPLETION_SHARE = 0.8  # of what is left, that one default's other folds may take
LONG_FIT_SECONDS = (
    1.0  # a fit that takes longer is a unit of its own, so that workers share the folds
)
TIME_SAFETY_FACTOR = 1.3  # how much longer than the first fold the others may take
EXPLORATION_WEIGHT = 0.01  # what a family without weight counts
REWEIGHT_AFTER_TRIALS = 3  # that have to end before the weights are looked at again
FAMILY_STARTUP_TRIALS = 4


class PortfolioSampler:
    """Proposes units; see the module.

    Parameters
    ----------
    work : Objective
    strategy : SearchConfig
        Its warm starts stand before the portfolio.
    start : SamplerContext
    """

    def __init__(self, work: Objective, strategy: SearchConfig, start: SamplerContext) -> None:
        self._work, self._account, self._clock = work, start.account, start.clock
        self._metric, self._n_folds = start.history.metric, start.history.n_folds
        self._left, self._number = start.n_trials, start.first_number()
        self._space = search_space(work, strategy)
        self._past = start.history.finished
        self._seed = strategy.seed + len(self._past)
        self._draws = np.random.default_rng(self._seed)
        self._waiting = _pending_configurations(work, strategy, start.history)
        self._studies: dict[str, optuna.Study] = {}
        self._asked: dict[int, tuple[str, optuna.Trial]] = {}
        self._weights: dict[str, float] = {}
        self._weighed = 0

    @property
    def ended(self) -> bool:
        """Whether no unit will come any more."""
        return self._left == 0 or self._clock.left() <= 0

    def next_unit(self, *, endable: bool = True) -> Job | None:
        """Return the next unit; None where there is none now.

        Parameters
        ----------
        endable : bool
            Whether the worker can be ended: fits without a deadline of their own need that.
        """
        if self.ended:
            return None
        if math.isinf(self._clock.seconds):
            opening = self._opening(endable=endable, folds=self._n_folds)
            return opening or self._proposal(endable=endable)
        return (
            self._completion(CHEAP_SHARE * self._clock.seconds)
            or self._timely_opening(endable=endable)
            or self._completion(COMPLETION_SHARE * self._clock.workers * self._clock.left())
            or self._proposal(endable=endable)
        )

    def tell(self, number: int, trial: Trial | None) -> None:
        """Take what came of a unit; None where its trial goes on."""
        if number in self._asked:
            family, asked = self._asked.pop(number)
            tell_study(self._studies[family], asked, trial, self._metric)

    def _timely_opening(self, *, endable: bool) -> Job | None:
        if self._clock.used() > PORTFOLIO_START_SHARE:
            return None
        is_first = not (self._past or self._account.trials or self._account.progress())
        return self._opening(endable=endable, folds=self._n_folds if is_first else 1)

    def _opening(self, *, endable: bool, folds: int) -> Job | None:
        for place, point in enumerate(self._waiting):
            if endable or not FAMILIES[point.family].endless:
                del self._waiting[place]
                return self._begun(point, "portfolio", folds=folds)
        return None

    def _completion(self, most_seconds: float) -> Job | None:
        """Return more folds of the best default whose missing folds fit into some seconds."""
        begun = [
            (number, each)
            for number, each in self._account.progress().items()
            if each.results
            and self._missing(each)
            and each.phase == "portfolio"
            and self._seconds(each) * len(self._missing(each)) <= most_seconds
        ]
        if not begun:
            return None
        number, best = max(begun, key=lambda item: self._rank(item[1]))
        folds = self._missing(best)
        if self._seconds(best) > LONG_FIT_SECONDS:
            folds = folds[:1]
        unit = Job(number, best.configuration, folds, best.phase, best.iterations)
        return self._clock.timed(unit, self._n_folds)

    def _missing(self, begun: RunningTrial) -> tuple[int, ...]:
        had = {result.fold for result in begun.results} | begun.running
        return tuple(fold for fold in range(self._n_folds) if fold not in had)

    def _seconds(self, begun: RunningTrial) -> float:
        """Return what a fold more is expected to take, at most."""
        return TIME_SAFETY_FACTOR * begun.seconds / len(begun.results)

    def _rank(self, begun: RunningTrial) -> float:
        score = maximized_mean_score(begun.results, self._metric)
        return -math.inf if score is None else score

    def _proposal(self, *, endable: bool) -> Job | None:
        family = self._family(endable=endable)
        if family is None:
            return None
        study, best = self._study(family), self._best(family)
        if best is not None and self._number % 2 == 0:
            enqueue_configurations(
                study, [mutate_configuration(best, {family: self._space[family]}, self._draws)]
            )
        asked = study.ask()
        point = suggest_configuration(asked, {family: self._space[family]})
        unit = self._begun(point, "search", folds=self._n_folds)
        self._asked[unit.number] = (family, asked)
        return unit

    def _begun(self, point: Configuration, phase: TrialSource, *, folds: int) -> Job:
        self._left = None if self._left is None else self._left - 1
        self._number += 1
        unit = Job(self._number - 1, point, tuple(range(folds)), phase)
        return self._clock.timed(unit, self._n_folds)

    def _family(self, *, endable: bool) -> str | None:
        """Return the family that has had the least time for its weight, of those that fit in."""
        self._weigh()
        fitting = [
            family
            for family in self._weights
            if self._fits(family) and (endable or not FAMILIES[family].endless)
        ]
        if not fitting:
            return None
        return max(fitting, key=lambda each: self._weights[each] / (1 + self._spent(each)))

    def _spent(self, family: str) -> float:
        """Return the time that the family's trials took, those that run now included."""
        own = [t for t in self._trials() if t.configuration.family == family]
        asked = sum(each == family for each, _ in self._asked.values())
        if math.isinf(self._clock.seconds):
            return float(len(own) + asked)
        return sum(map(_trial_seconds, own)) + asked * self._cost(family)

    def _fits(self, family: str) -> bool:
        return (
            family in self._space and TIME_SAFETY_FACTOR * self._cost(family) <= self._clock.left()
        )

    def _cost(self, family: str) -> float:
        """Return the mean time of the family's trials on all folds; 1 in a budget of trials."""
        if math.isinf(self._clock.seconds):
            return 1.0
        known = [t for t in self._trials() if t.configuration.family == family]
        times = [_trial_seconds(trial) for trial in known if trial.status == "complete"]
        return sum(times) / len(times) if times else 0.0

    def _weigh(self) -> None:
        """Look at the ensemble of the trials so far, when some are new."""
        n_known = len(self._account.entries)
        if n_known == 0 or (self._weights and n_known < self._weighed + REWEIGHT_AFTER_TRIALS):
            return
        self._weighed = n_known
        entries = tuple(entry for _, entry in sorted(self._account.entries.items()))
        found = select_ensemble(
            entries, self._work.truth, self._metric, folds=self._work.folds, seed=self._seed
        )
        families = {entry.number: entry.configuration.family for entry in entries}
        self._weights = dict.fromkeys(families.values(), EXPLORATION_WEIGHT)
        if found is None:
            return
        for number, weight in found.weights:
            self._weights[families[number]] += weight

    def _study(self, family: str) -> optuna.Study:
        if family not in self._studies:
            made = new_study("tpe", self._seed, startup_trials=FAMILY_STARTUP_TRIALS)
            searched = {family: self._space[family]}
            for trial in self._trials():
                if trial.configuration.family == family:
                    add_past_trial(made, trial, searched=searched, metric=self._metric)
            self._studies[family] = made
        return self._studies[family]

    def _best(self, family: str) -> Configuration | None:
        own = [t for t in self._trials() if t.configuration.family == family]
        scored = [t for t in own if t.status == "complete" and t.score is not None]
        best = max(
            scored, key=lambda t: maximized_score(t.score or 0.0, self._metric), default=None
        )
        return None if best is None else best.configuration

    def _trials(self) -> Sequence[Trial]:
        return (*self._past, *sorted(self._account.trials, key=lambda trial: trial.number))


def _trial_seconds(trial: Trial) -> float:
    return sum(fold.fit_seconds + fold.predict_seconds for fold in trial.folds)


def _pending_configurations(
    work: Objective, strategy: SearchConfig, history: PastTrials
) -> list[Configuration]:
    """Return warm starts and defaults that were not evaluated yet, each once."""
    rows, schema = len(work.table), work.schema
    strong = default_portfolio(
        schema.task,
        n_rows=rows,
        n_features=len(schema.features),
        n_classes=len(schema.classes),
    )
    wanted = [point for point in strong if point.family in strategy.families]
    done = [trial.configuration for trial in history.finished]
    found: list[Configuration] = []
    for point in (*strategy.warm_starts, *wanted):
        if point not in done and point not in found:
            found.append(point)
    return found
