"""A genetic algorithm over the conditional space."""

from collections.abc import Sequence

import numpy as np

from evertune.search.configurations import draw_values, nearest_values
from evertune.search.samplers.base import (
    Observation,
    PointSampler,
    mutate_configuration,
    observations,
    random_configuration,
)
from evertune.search.space import Parameter, Space
from evertune.search.study import Study
from evertune.trials import Configuration, ParameterValue

POPULATION = 16  # best points, of which parents are chosen
STARTUP_TRIALS = 8  # first points and random ones
TOURNAMENT = 3  # points of which the best becomes a parent
CROSSOVER = 0.7  # probability that a child has two parents
RANDOM_SHARE = 0.1  # of the children, drawn anew ("immigrants")


class GeneticSampler(PointSampler):
    """Children of the best points so far: tournament, uniform crossover, mutation (steady state).

    The population is the 16 best points of all families; each child replaces the worst one as soon
    as it is better. A child is of its first parent's family. It takes each parameter from one of
    the parents; the second parent is one of the same family if there is one. Numbers then move by a
    normal step, choices stay with probability 0.8. One child in ten is drawn at random.
    """

    def propose(self, study: Study) -> Configuration:
        """Return a child of two good points that is not known yet."""
        rng = self.random_generator(study)
        known = observations(self.known_trials(study), (), self.metric)
        population = sorted(known, key=lambda each: -each.score)[:POPULATION]
        child = random_configuration(self.space, rng)
        if len(known) >= STARTUP_TRIALS and rng.random() >= RANDOM_SHARE:
            first = _tournament(population, rng)
            relatives = [each for each in population if each.point.family == first.family]
            second = _tournament(relatives, rng)
            if rng.random() < CROSSOVER:
                first = cross_configurations(first, second, self.space, rng)
            child = mutate_configuration(first, self.space, rng)
        return self.mutate_known(study, child, rng)


def cross_configurations(
    first: Configuration, second: Configuration, space: Space, rng: np.random.Generator
) -> Configuration:
    """Return a point that has each parameter from one of two points of a family.

    Examples
    --------
    >>> from evertune.search.configurations import build_space
    >>> tree = build_space(["tree"], {"tree": {"max_depth": [2, 9], "min_samples_leaf": [2, 9]}})
    >>> parents = [Configuration("tree", {"max_depth": n, "min_samples_leaf": n}) for n in (3, 8)]
    >>> child = cross_configurations(*parents, tree, np.random.default_rng(3)).hyperparameters
    >>> child["max_depth"], child["min_samples_leaf"]
    (3, 8)
    """
    values = [nearest_values(parent, space) for parent in (first, second)]

    def inherit(name: str, parameter: Parameter) -> ParameterValue:
        own, other = values if rng.random() < 0.5 else reversed(values)
        if name in own or name in other:
            return own.get(name, other.get(name))
        return random_configuration({first.family: {name: parameter}}, rng).hyperparameters[name]

    return Configuration(first.family, draw_values(space[first.family], inherit))


def _tournament(population: Sequence[Observation], rng: np.random.Generator) -> Configuration:
    rivals = rng.integers(len(population), size=min(TOURNAMENT, len(population)))
    return population[int(rivals.min())].point  # the population is sorted, best first
