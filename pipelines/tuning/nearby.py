"""Points near a good one: where only few trials fit in, small steps gain more than a model does."""

import math

import numpy as np

from pipelines.core.trials import Configuration, Value
from pipelines.tuning.parameters import Choice, Float, Integer, Parameter, Space
from pipelines.tuning.spaces import sampled, searched_values

STEP = 0.2  # of a parameter's range, as a standard deviation
KEEP = 0.8  # how likely a choice stays as it is


def near(point: Configuration, searched: Space, draws: np.random.Generator) -> Configuration:
    """Return a point a step away from another, in the space of its family.

    Parameters
    ----------
    point : Configuration
        Of a family of the space; values that it does not name count as their defaults.
    searched : Space
    draws : Generator

    Examples
    --------
    >>> from pipelines.tuning.spaces import space
    >>> linear = space(["linear"], {"linear": {"regularisation": [1.0, 2.0]}})
    >>> step = near(Configuration("linear"), linear, np.random.default_rng(0))
    >>> 1.0 <= step.hyperparameters["regularisation"] <= 2.0
    True
    """
    known = searched_values(point, searched)

    def draw(name: str, parameter: Parameter) -> Value:
        return _moved(known.get(name), parameter, draws)

    return Configuration(point.family, sampled(searched[point.family], draw))


def _moved(value: Value, parameter: Parameter, draws: np.random.Generator) -> Value:
    if isinstance(parameter, Choice):
        stays = value in parameter.values and draws.random() < KEEP
        return value if stays else parameter.values[int(draws.integers(len(parameter.values)))]
    share = _share(value, parameter) + STEP * float(draws.normal())
    return _at(min(max(share, 0.0), 1.0), parameter)


def _share(value: Value, parameter: Float | Integer) -> float:
    """Return how far a value lies between the ends, 0.5 where there is none."""
    if not isinstance(value, int | float):
        return 0.5
    low, high = _scaled(parameter.low, parameter), _scaled(parameter.high, parameter)
    return (_scaled(value, parameter) - low) / (high - low)


def _at(share: float, parameter: Float | Integer) -> Value:
    low, high = _scaled(parameter.low, parameter), _scaled(parameter.high, parameter)
    place = low + share * (high - low)
    number = math.exp(place) if parameter.log else place
    number = min(max(number, parameter.low), parameter.high)
    return round(number) if isinstance(parameter, Integer) else number


def _scaled(number: float, parameter: Float | Integer) -> float:
    return math.log(number) if parameter.log else float(number)
