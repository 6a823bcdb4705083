"""Samplers: what proposes the next configuration of a study.

`Sampler` is the contract. `OptunaSampler` (tpe, random) and `GridSampler` try warm starts and the
families' defaults first, then Optuna's suggestions or the points of a grid; each trial runs on all
folds. `GivenSampler` evaluates given configurations and no others, for a refit. The default,
`PortfolioSampler`, is in `portfolio`.

`suggest_configuration`, `add_past_trial` and `tell_optuna` translate between a space and an Optuna
study, which always maximizes; stopped trials are told as pruned, failed ones as failed.
`mutate_configuration` takes a small step away from a good configuration: if only few trials fit
into the budget, that gains more than a model of the space.
"""

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

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
from evertune.search.configurations import (
    build_space,
    default_configurations,
    draw_values,
    flat_parameters,
    grid_points,
    nearest_configuration,
    nearest_values,
)
from evertune.search.objective import Job, Objective, maximized_score
from evertune.search.space import Choice, Float, Integer, Parameter, Space
from evertune.trials import Configuration, ParameterValue, Trial

if TYPE_CHECKING:
    from evertune.search.study import SearchConfig, Study

STARTUP_TRIALS = 10  # that are drawn at random before TPE takes over
MUTATION_SCALE = 0.2  # standard deviation, as a share of a parameter's range
KEEP_PROBABILITY = 0.8  # that a mutation keeps a choice


class Sampler(ABC):
    """Proposes jobs to one study, which calls it under its lock.

    The same seed, trials and order of calls give the same proposals.
    """

    @property
    def exhausted(self) -> bool:
        """Whether there is nothing left to propose, whatever the budget."""
        return False

    @abstractmethod
    def ask(self, study: "Study", *, killable: bool) -> Job | None:
        """Return a job made by `study.new_job`, or None if there is none now.

        If the worker is not `killable`, its family must be able to end a fit by a deadline.
        """

    def tell(self, study: "Study", number: int, trial: Trial | None) -> None:  # noqa: B027
        """Learn how the trial of a job went; None if it goes on, or ended before the job did."""


class GivenSampler(Sampler):
    """Proposes given configurations; each trial has its configuration's position as number."""

    def __init__(
        self, configurations: Sequence[Configuration], past_trials: Sequence[Trial] = ()
    ) -> None:
        done = {trial.number for trial in past_trials}
        self._waiting = [each for each in enumerate(configurations) if each[0] not in done]

    @property
    def exhausted(self) -> bool:
        """Whether all were proposed."""
        return not self._waiting

    def ask(self, study: "Study", *, killable: bool) -> Job | None:  # noqa: ARG002
        """Return the next configuration; nothing could take its place, so killable or not."""
        number, configuration = self._waiting.pop(0)
        return study.new_job(configuration, "given", number=number)


class OptunaSampler(Sampler):
    """Warm starts and defaults, then what Optuna's TPE or random sampler suggests.

    A first point outside the space counts for Optuna as the nearest one inside. First points that
    an earlier run finished are not proposed again.
    """

    def __init__(
        self, objective: Objective, config: "SearchConfig", past_trials: Sequence[Trial]
    ) -> None:
        self._space = search_space(objective, config)
        self._metric = objective.metrics[0]
        self._study = new_optuna_study(config.searcher, config.seed + len(past_trials))
        for trial in past_trials:
            add_past_trial(self._study, trial, space=self._space, metric=self._metric)
        first = (*config.warm_starts, *default_configurations(config.families))
        points = [nearest_configuration(point, self._space) for point in first]
        seen = [trial.configuration for trial in past_trials]
        self._waiting: list[Configuration] = []
        for point in [*filter(None, points), *self._grid(config.seed)]:
            if point not in seen:
                self._waiting.append(point)
                seen.append(point)
        self._asked: dict[int, optuna.Trial] = {}

    def _grid(self, seed: int) -> list[Configuration]:  # noqa: ARG002
        return []

    def ask(self, study: "Study", *, killable: bool) -> Job | None:  # noqa: ARG002
        """Return a job on all folds."""
        given = self._waiting.pop(0) if self._waiting else None
        if given is not None:
            searched = Configuration(given.family, nearest_values(given, self._space))
            enqueue_configuration(self._study, searched)
        asked = self._study.ask()
        # Suggesting is also what makes Optuna record the point; a given one may have more values.
        suggested = suggest_configuration(asked, self._space)
        job = study.new_job(given or suggested, "portfolio" if given else "search")
        self._asked[job.number] = asked
        return job

    def tell(self, study: "Study", number: int, trial: Trial | None) -> None:  # noqa: ARG002
        """Pass the score on to Optuna."""
        tell_optuna(self._study, self._asked.pop(number), trial, self._metric)


class GridSampler(OptunaSampler):
    """Warm starts and defaults, then all points of a grid, in an order drawn with the seed."""

    @property
    def exhausted(self) -> bool:
        """Whether the grid is used up."""
        return not self._waiting

    def _grid(self, seed: int) -> list[Configuration]:
        points = grid_points(self._space)
        return [points[index] for index in np.random.default_rng(seed).permutation(len(points))]


def search_space(objective: Objective, config: "SearchConfig") -> Space:
    """Return the space of a search: the families' ranges with the settings' overrides."""
    return build_space(
        config.families,
        config.space,
        task=objective.schema.task,
        metric=objective.metrics[0].name,
        columns=objective.schema.features,
    )


def new_optuna_study(kind: str, seed: int, *, startup_trials: int = STARTUP_TRIALS) -> optuna.Study:
    """Return a study that maximizes, with Optuna's TPE for `tpe`, else with its random sampler."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler: BaseSampler = RandomSampler(seed=seed)
    if kind == "tpe":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # group=True
            sampler = TPESampler(
                multivariate=True,
                group=True,
                constant_liar=True,
                n_startup_trials=startup_trials,
                seed=seed,
            )
    return optuna.create_study(sampler=sampler, direction="maximize")


def suggest_configuration(asked: optuna.Trial, space: Space) -> Configuration:
    """Return the configuration that Optuna proposes."""
    family = asked.suggest_categorical("family", list(space))

    def suggest(name: str, parameter: Parameter) -> ParameterValue:
        value: ParameterValue
        if isinstance(parameter, Choice):
            value = asked.suggest_categorical(f"{family}.{name}", list(parameter.values))
        elif isinstance(parameter, Float):
            value = asked.suggest_float(
                f"{family}.{name}", parameter.low, parameter.high, log=parameter.log
            )
        else:
            value = asked.suggest_int(
                f"{family}.{name}", parameter.low, parameter.high, log=parameter.log
            )
        return value

    return Configuration(family, draw_values(space[family], suggest))


def enqueue_configuration(study: optuna.Study, point: Configuration) -> None:
    """Have Optuna propose a point next."""
    study.enqueue_trial(dict(flat_parameters(point)))


def add_past_trial(study: optuna.Study, trial: Trial, *, space: Space, metric: Metric) -> None:
    """Tell Optuna of a trial that it did not propose, as the nearest point of the space."""
    family, complete = trial.configuration.family, trial.status == "complete"
    if trial.score is None or trial.status == "failed" or family not in space:
        return
    point = Configuration(family, nearest_values(trial.configuration, space))
    distributions: dict[str, BaseDistribution] = {"family": CategoricalDistribution(list(space))}
    for name in point.hyperparameters:
        distributions[f"{family}.{name}"] = _distribution(space[family][name])
    score = maximized_score(trial.score, metric)
    study.add_trial(
        create_trial(
            params=dict(flat_parameters(point)),
            distributions=distributions,
            state=TrialState.COMPLETE if complete else TrialState.PRUNED,
            value=score if complete else None,
            intermediate_values={} if complete else {len(trial.folds): score},
        )
    )


def tell_optuna(
    study: optuna.Study, asked: optuna.Trial, trial: Trial | None, metric: Metric
) -> None:
    """Tell Optuna how its proposal went: a stopped trial was pruned, a failed one is no news."""
    if trial is None or trial.status == "failed" or trial.score is None:
        study.tell(asked, state=TrialState.FAIL)
        return
    score = maximized_score(trial.score, metric)
    if trial.status == "stopped":
        asked.report(score, len(trial.folds))
        study.tell(asked, state=TrialState.PRUNED)
    else:
        study.tell(asked, score)


def mutate_configuration(
    point: Configuration, space: Space, rng: np.random.Generator
) -> Configuration:
    """Return a random point near another one, in the space of its family.

    Numbers move by a normal step on their scale, a fifth of the range as standard deviation; a
    choice stays with probability 0.8. Values that the point does not name count as their defaults.

    Examples
    --------
    >>> from evertune.search.configurations import build_space
    >>> linear = build_space(["linear"], {"linear": {"alpha": [1.0, 2.0]}})
    >>> step = mutate_configuration(Configuration("linear"), linear, np.random.default_rng(0))
    >>> 1.0 <= step.hyperparameters["alpha"] <= 2.0
    True
    """
    known = nearest_values(point, space)

    def mutate(name: str, parameter: Parameter) -> ParameterValue:
        value = known.get(name)
        if isinstance(parameter, Choice):
            if value in parameter.values and rng.random() < KEEP_PROBABILITY:
                return value
            return parameter.values[int(rng.integers(len(parameter.values)))]
        position = _to_unit_interval(value, parameter) + MUTATION_SCALE * float(rng.normal())
        return _from_unit_interval(min(max(position, 0.0), 1.0), parameter)

    return Configuration(point.family, draw_values(space[point.family], mutate))


def _distribution(parameter: Parameter) -> BaseDistribution:
    if isinstance(parameter, Choice):
        return CategoricalDistribution(list(parameter.values))
    kind = FloatDistribution if isinstance(parameter, Float) else IntDistribution
    return kind(parameter.low, parameter.high, log=parameter.log)


def _to_unit_interval(value: ParameterValue, parameter: Float | Integer) -> float:
    """Return where a value lies between the bounds, 0.5 if there is none."""
    if not isinstance(value, int | float):
        return 0.5
    low, high, at = (
        math.log(number) if parameter.log else float(number)
        for number in (parameter.low, parameter.high, value)
    )
    return (at - low) / (high - low)


def _from_unit_interval(position: float, parameter: Float | Integer) -> ParameterValue:
    low, high = (
        math.log(number) if parameter.log else float(number)
        for number in (parameter.low, parameter.high)
    )
    number = low + position * (high - low)
    number = math.exp(number) if parameter.log else number
    number = min(max(number, parameter.low), parameter.high)
    return round(number) if isinstance(parameter, Integer) else number
