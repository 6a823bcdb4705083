"""Propose configurations with Optuna (TPE or random), a grid, or local mutation.

`SequentialSampler` proposes warm starts and defaults first, then Optuna's suggestions or all
points of a grid; each trial runs on all folds. `suggest_configuration`, `add_past_trial` and
`tell_study` translate between a space and an Optuna study, which always maximizes; stopped
trials are told as pruned, failed ones as failed. `mutate_configuration` takes a small step away
from a good configuration: where only few trials fit into the budget, that gains more than a
model of the space. `SamplerContext` is what every sampler starts from.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import TrialState, create_trial

from evertune.metrics.metrics import Metric
from evertune.search.default_space import Choice, Float, Integer, Parameter, Space
from evertune.search.objective import Job, Objective
from evertune.search.space import (
    build_space,
    draw_values,
    flat_parameters,
    grid_points,
    nearest_configuration,
    nearest_values,
)
from evertune.search.study import (
    PastTrials,
    SearchConfig,
    TimeBudget,
    TrialTracker,
    first_configurations,
    maximized_score,
)
from evertune.trials import Configuration, ParameterValue, Trial, TrialSource

STARTUP_TRIALS = 10  # before TPE has seen so many, it draws at random


def new_study(kind: str, seed: int, *, startup_trials: int = STARTUP_TRIALS) -> optuna.Study:
    """Return a study that maximises, with the sampler of a searcher: `tpe`, else random."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = _optuna_sampler(kind, seed, startup_trials)
    return optuna.create_study(sampler=sampler, direction="maximize")


def suggest_configuration(asked: optuna.Trial, searched: Space) -> Configuration:
    """Return the configuration that a study proposes."""
    family = asked.suggest_categorical("family", list(searched))

    def draw(name: str, parameter: Parameter) -> ParameterValue:
        return _suggest_value(asked, f"{family}.{name}", parameter)

    return Configuration(family, draw_values(searched[family], draw))


def add_past_trial(study: optuna.Study, trial: Trial, *, searched: Space, metric: Metric) -> None:
    """Tell a study of a trial that it did not ask for, as the nearest point of its space."""
    family, complete = trial.configuration.family, trial.status == "complete"
    if trial.score is None or trial.status == "failed" or family not in searched:
        return
    point = Configuration(family, nearest_values(trial.configuration, searched))
    score = maximized_score(trial.score, metric)
    past = create_trial(
        params=dict(flat_parameters(point)),
        distributions=_distributions(point, searched),
        state=TrialState.COMPLETE if complete else TrialState.PRUNED,
        value=score if complete else None,
        intermediate_values={} if complete else {len(trial.folds): score},
    )
    study.add_trial(past)


def tell_study(
    study: optuna.Study, asked: optuna.Trial, trial: Trial | None, metric: Metric
) -> None:
    """Tell a study how its proposal went: a stopped trial was pruned, a failed one is no news."""
    if trial is None or trial.status == "failed" or trial.score is None:
        study.tell(asked, state=TrialState.FAIL)
    elif trial.status == "stopped":
        asked.report(maximized_score(trial.score, metric), len(trial.folds))
        study.tell(asked, state=TrialState.PRUNED)
    else:
        study.tell(asked, maximized_score(trial.score, metric))


def enqueue_configurations(study: optuna.Study, points: Sequence[Configuration]) -> None:
    """Have a study propose these points first."""
    for point in points:
        study.enqueue_trial(dict(flat_parameters(point)))


def _optuna_sampler(kind: str, seed: int, startup_trials: int) -> BaseSampler:
    if kind != "tpe":
        return RandomSampler(seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # group=True
        return TPESampler(
            multivariate=True,
            group=True,
            constant_liar=True,
            n_startup_trials=startup_trials,
            seed=seed,
        )


def _suggest_value(asked: optuna.Trial, name: str, parameter: Parameter) -> ParameterValue:
    drawn: ParameterValue
    if isinstance(parameter, Choice):
        drawn = asked.suggest_categorical(name, list(parameter.values))
    elif isinstance(parameter, Float):
        drawn = asked.suggest_float(name, parameter.low, parameter.high, log=parameter.log)
    else:
        drawn = asked.suggest_int(name, parameter.low, parameter.high, log=parameter.log)
    return drawn


def _distributions(point: Configuration, searched: Space) -> dict[str, BaseDistribution]:
    parameters = searched[point.family]
    own = {
        f"{point.family}.{name}": _distribution(parameters[name]) for name in point.hyperparameters
    }
    return {"family": CategoricalDistribution(list(searched))} | own


def _distribution(parameter: Parameter) -> BaseDistribution:
    if isinstance(parameter, Choice):
        return CategoricalDistribution(list(parameter.values))
    kind = FloatDistribution if isinstance(parameter, Float) else IntDistribution
    return kind(parameter.low, parameter.high, log=parameter.log)


@dataclass(frozen=True, eq=False)
class SamplerContext:
    """What was done before, what is being done, and what may be used up.

    Attributes
    ----------
    history : PastTrials
        Of earlier runs; numbers go on from it.
    account : TrialTracker
        Of the trials of this run.
    clock : TimeBudget
    n_trials : int, optional
        Trials to start at most.
    """

    history: PastTrials
    account: TrialTracker
    clock: TimeBudget
    n_trials: int | None

    def first_number(self) -> int:
        """Return the number of the next trial."""
        return 1 + max((trial.number for trial in self.history.finished), default=-1)


def search_space(work: Objective, strategy: SearchConfig) -> Space:
    """Return what is searched for some work: the families' ranges with the strategy's changes."""
    schema = work.schema
    return build_space(
        strategy.families,
        strategy.space,
        task=schema.task,
        metric=work.metrics[0].name,
        columns=schema.features,
    )


class SequentialSampler:
    """What a searcher without a portfolio proposes: each trial is one unit on all folds.

    Parameters
    ----------
    work : Objective
    strategy : SearchConfig
        First points that were finished are not proposed again; values outside the space are moved
        to its edge.
    start : SamplerContext
    """

    def __init__(self, work: Objective, strategy: SearchConfig, start: SamplerContext) -> None:
        history = self._history = start.history
        self._clock, self._left = start.clock, start.n_trials
        self._space = search_space(work, strategy)
        self._study = new_study(strategy.searcher, strategy.seed + len(history.finished))
        for trial in history.finished:
            add_past_trial(self._study, trial, searched=self._space, metric=history.metric)
        self._points = _initial_configurations(strategy, self._space, history=history)
        self._samples = strategy.searcher in ("tpe", "random")
        self._number = start.first_number()
        self._asked: dict[int, optuna.Trial] = {}

    @property
    def ended(self) -> bool:
        """Whether no unit will come any more."""
        used_up = self._left == 0 or self._clock.left() <= 0
        return used_up or not (self._points or self._samples)

    def next_unit(self, *, endable: bool = True) -> Job | None:  # noqa: ARG002
        """Return the next unit; None where there is none now."""
        if self.ended:
            return None
        given = self._points.pop(0) if self._points else None
        if given is not None:
            searched = nearest_values(given, self._space)
            enqueue_configurations(self._study, [Configuration(given.family, searched)])
        asked = self._asked[self._number] = self._study.ask()
        self._left = None if self._left is None else self._left - 1
        self._number += 1
        folds = tuple(range(self._history.n_folds))
        phase: TrialSource = "search" if given is None else "portfolio"
        drawn = suggest_configuration(
            asked, self._space
        )  # of a given point what is searched of it alone
        point = drawn if given is None else given
        return self._clock.timed(Job(self._number - 1, point, folds, phase), self._history.n_folds)

    def tell(self, number: int, trial: Trial | None) -> None:
        """Take what came of a unit; None where nothing did."""
        tell_study(self._study, self._asked.pop(number), trial, self._history.metric)


def _initial_configurations(
    strategy: SearchConfig, searched: Space, *, history: PastTrials
) -> list[Configuration]:
    first = first_configurations(strategy)
    given = [point for raw in first if (point := nearest_configuration(raw, searched)) is not None]
    if strategy.searcher == "grid":
        combinations = grid_points(searched)
        order = np.random.default_rng(strategy.seed).permutation(len(combinations))
        given += [combinations[index] for index in order]
    done = [trial.configuration for trial in history.finished]
    return [point for index, point in enumerate(given) if point not in done + given[:index]]


MUTATION_SCALE = 0.2  # of a parameter's range, as a standard deviation
KEEP_PROBABILITY = 0.8  # how likely a choice stays as it is


def mutate_configuration(
    point: Configuration, searched: Space, draws: np.random.Generator
) -> Configuration:
    """Return a point a step away from another, in the space of its family.

    Parameters
    ----------
    point : Configuration
        Of a family of the space; values that it does not name count as their defaults.
    searched : Space
    draws : Generator

    Examples
    --------
    >>> from evertune.search.space import build_space
    >>> linear = build_space(["linear"], {"linear": {"regularisation": [1.0, 2.0]}})
    >>> step = mutate_configuration(Configuration("linear"), linear, np.random.default_rng(0))
    >>> 1.0 <= step.hyperparameters["regularisation"] <= 2.0
    True
    """
    known = nearest_values(point, searched)

    def draw(name: str, parameter: Parameter) -> ParameterValue:
        return _mutate_value(known.get(name), parameter, draws)

    return Configuration(point.family, draw_values(searched[point.family], draw))


def _mutate_value(
    value: ParameterValue, parameter: Parameter, draws: np.random.Generator
) -> ParameterValue:
    if isinstance(parameter, Choice):
        stays = value in parameter.values and draws.random() < KEEP_PROBABILITY
        return value if stays else parameter.values[int(draws.integers(len(parameter.values)))]
    share = _to_unit_interval(value, parameter) + MUTATION_SCALE * float(draws.normal())
    return _from_unit_interval(min(max(share, 0.0), 1.0), parameter)


def _to_unit_interval(value: ParameterValue, parameter: Float | Integer) -> float:
    """Return how far a value lies between the ends, 0.5 where there is none."""
    if not isinstance(value, int | float):
        return 0.5
    low, high = _log_if_needed(parameter.low, parameter), _log_if_needed(parameter.high, parameter)
    return (_log_if_needed(value, parameter) - low) / (high - low)


def _from_unit_interval(share: float, parameter: Float | Integer) -> ParameterValue:
    low, high = _log_if_needed(parameter.low, parameter), _log_if_needed(parameter.high, parameter)
    place = low + share * (high - low)
    number = math.exp(place) if parameter.log else place
    number = min(max(number, parameter.low), parameter.high)
    return round(number) if isinstance(parameter, Integer) else number


def _log_if_needed(number: float, parameter: Float | Integer) -> float:
    return math.log(number) if parameter.log else float(number)
