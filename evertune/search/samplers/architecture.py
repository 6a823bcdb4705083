"""Two searchers of architecture search, over the ordinary space: networks and all other families.

`EvolutionSampler` is regularized evolution (Real et al. 2019, Regularized evolution for image
classifier architecture search), `ReinforceSampler` a controller that is trained by policy gradient
(Zoph and Le 2017, Neural architecture search with reinforcement learning), with a table of
preferences in place of a recurrent network.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from evertune.search.configurations import draw_values, nearest_values
from evertune.search.samplers.base import (
    Observation,
    PointSampler,
    has_single_value,
    number_at,
    observations,
    random_configuration,
    scaled_bounds,
)
from evertune.search.space import Choice, Parameter, Space
from evertune.search.study import Study
from evertune.trials import Configuration, ParameterValue
from evertune.types import FloatArray

STARTUP_TRIALS = 10  # first points and random ones
POPULATION = 20  # the newest trials, of which parents are chosen
TOURNAMENT = 5
N_BINS = 6  # of a number's range, of which the controller prefers some
LEARNING_RATE = 0.3
UNIFORM_SHARE = 0.1  # of every choice of the controller, whatever it prefers


class EvolutionSampler(PointSampler):
    """Regularized evolution: the best of five of the newest 20 trials, with one value changed.

    The oldest trial leaves the population however good it is: what lasts are values that are good
    again and again, not a lucky trial. The first ten trials are first points and random ones.
    """

    def propose(self, study: Study) -> Configuration:
        """Return a child of a good and recent point, that is not known yet."""
        rng = self.random_generator(study)
        known = observations(self.known_trials(study), (), self.metric)
        if len(known) < STARTUP_TRIALS:
            return random_configuration(self.space, rng)
        population = known[-POPULATION:]
        rivals = rng.choice(len(population), size=TOURNAMENT, replace=False)
        parent = max((population[index] for index in rivals), key=lambda each: each.score)
        child = change_one_value(parent.point, self.space, rng)
        return self.draw_new(study, child, lambda each: change_one_value(each, self.space, rng))


class ReinforceSampler(PointSampler):
    """A controller that learns by REINFORCE which families and values give good scores.

    It prefers the values of each parameter independently; a number's range has six parts. After
    each trial the preferences of its values move by the rank of its score among all, less a half.
    A tenth of its choices are uniform. The first ten trials are first points and random ones.
    """

    def propose(self, study: Study) -> Configuration:
        """Return a point drawn from the controller that is not known yet."""
        rng = self.random_generator(study)
        known = observations(self.known_trials(study), (), self.metric)
        if len(known) < STARTUP_TRIALS:
            return random_configuration(self.space, rng)
        controller = _Controller(self.space, known)
        return self.draw_new(study, controller.draw(rng), lambda _: controller.draw(rng))


def change_one_value(point: Configuration, space: Space, rng: np.random.Generator) -> Configuration:
    """Return a point with one parameter drawn anew, and those that it makes conditional.

    Examples
    --------
    >>> from evertune.search.configurations import build_space
    >>> space = build_space(["tree"], {"tree": {"feature_selection": ["none"]}})
    >>> old = Configuration("tree", {"max_depth": 4, "min_samples_leaf": 20})
    >>> new = change_one_value(old, space, np.random.default_rng(0)).hyperparameters
    >>> sum(new[name] != value for name, value in old.hyperparameters.items()) <= 1
    True
    """
    parameters, known = space[point.family], nearest_values(point, space)
    open_names = [name for name in known if not has_single_value(parameters[name])]
    if not open_names:
        return random_configuration(space, rng)
    changed = open_names[int(rng.integers(len(open_names)))]

    def inherit(name: str, parameter: Parameter) -> ParameterValue:
        if name in known and name != changed:
            return known[name]
        fresh = random_configuration({point.family: {name: replace(parameter, when=None)}}, rng)
        return fresh.hyperparameters[name]

    return Configuration(point.family, draw_values(parameters, inherit))


class _Controller:
    """Preferences of families and of values, learned from trials in the order of their numbers."""

    def __init__(self, space: Space, known: Sequence[Observation]) -> None:
        self._space = space
        self._families = np.zeros(len(space))
        self._values = {
            family: {name: np.zeros(_n_values(part)) for name, part in parameters.items()}
            for family, parameters in space.items()
        }
        scores = np.array([each.score for each in known])
        for each in known:
            below, equal = (scores < each.score).mean(), (scores == each.score).mean()
            self._learn(each.point, float(below + equal / 2 - 0.5))

    def draw(self, rng: np.random.Generator) -> Configuration:
        """Return a point drawn by the preferences."""
        family = list(self._space)[_draw_index(self._families, rng)]
        logits = self._values[family]

        def draw(name: str, parameter: Parameter) -> ParameterValue:
            return _value_of(parameter, _draw_index(logits[name], rng), rng)

        return Configuration(family, draw_values(self._space[family], draw))

    def _learn(self, point: Configuration, advantage: float) -> None:
        names = list(self._space)
        _reinforce(self._families, names.index(point.family), advantage)
        values: Mapping[str, ParameterValue] = nearest_values(point, self._space)
        for name, value in values.items():
            index = _index_of(self._space[point.family][name], value)
            _reinforce(self._values[point.family][name], index, advantage)


def _reinforce(logits: FloatArray, chosen: int, advantage: float) -> None:
    """Move logits along the gradient of the chosen one's log probability, in place."""
    proba = _softmax(logits)
    logits -= LEARNING_RATE * advantage * proba
    logits[chosen] += LEARNING_RATE * advantage


def _draw_index(logits: FloatArray, rng: np.random.Generator) -> int:
    proba = (1 - UNIFORM_SHARE) * _softmax(logits) + UNIFORM_SHARE / len(logits)
    return int(rng.choice(len(logits), p=proba / proba.sum()))


def _softmax(logits: FloatArray) -> FloatArray:
    powers = np.exp(logits - logits.max())
    proba: FloatArray = powers / powers.sum()
    return proba


def _n_values(parameter: Parameter) -> int:
    return len(parameter.values) if isinstance(parameter, Choice) else N_BINS


def _index_of(parameter: Parameter, value: ParameterValue) -> int:
    """Return the number of a choice, or of the part of a range that a number lies in."""
    if isinstance(parameter, Choice):
        return parameter.values.index(value)
    low, high = scaled_bounds(parameter)
    assert isinstance(value, int | float)
    place = math.log(value) if parameter.log else value
    share = (place - low) / (high - low) if high > low else 0.0
    return min(int(share * N_BINS), N_BINS - 1)


def _value_of(parameter: Parameter, index: int, rng: np.random.Generator) -> ParameterValue:
    """Return a choice, or a random number of a part of a range."""
    if isinstance(parameter, Choice):
        return parameter.values[index]
    low, high = scaled_bounds(parameter)
    return number_at(parameter, low + (high - low) * (index + float(rng.random())) / N_BINS)
