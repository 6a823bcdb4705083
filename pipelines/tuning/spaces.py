"""What a search may choose from, free of any searcher.

A space is a choice of a family and, once that is made, of the family's own parameters: the family
is the condition under which a parameter is looked at.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import cast

from pipelines.core.trials import Configuration, Value
from pipelines.tuning.families import FAMILIES, default_configuration


@dataclass(frozen=True)
class Float:
    """A number between two bounds, both included; `log` where ratios matter more than steps."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Integer:
    """A whole number between two bounds, both included."""

    low: int
    high: int
    log: bool = False


@dataclass(frozen=True)
class Choice:
    """One of a few values."""

    values: tuple[Value, ...]


Parameter = Float | Integer | Choice
Space = dict[str, dict[str, Parameter]]

SPACES: Space = {
    "linear": {
        "numbers": Choice(("scaled", "power", "spline", "binned")),
        "regularisation": Float(1e-3, 1e3, log=True),
    },
    "random_forest": {
        "max_features": Float(0.1, 1.0),
        "min_samples_leaf": Integer(1, 32, log=True),
    },
    "extra_trees": {
        "max_features": Float(0.1, 1.0),
        "min_samples_leaf": Integer(1, 32, log=True),
    },
    "hist_boosting": {
        "max_iter": Integer(50, 500, log=True),
        "learning_rate": Float(0.01, 0.3, log=True),
        "max_leaf_nodes": Integer(3, 64, log=True),
        "min_samples_leaf": Integer(2, 100, log=True),
        "l2_regularization": Float(1e-3, 10.0, log=True),
    },
    "lightgbm": {
        "n_estimators": Integer(50, 800, log=True),
        "learning_rate": Float(0.01, 0.2, log=True),
        "num_leaves": Integer(3, 100, log=True),
        "min_data_in_leaf": Integer(2, 64, log=True),
        "feature_fraction": Float(0.3, 1.0),
        "bagging_fraction": Float(0.6, 1.0),
        "lambda_l2": Float(1e-3, 10.0, log=True),
    },
}
CHEAPEST_FIRST = ("linear", "lightgbm", "hist_boosting", "extra_trees", "random_forest")


def space(families: Iterable[str]) -> Space:
    """Return the space of some families, in the order of their cost.

    Raises
    ------
    ValueError
        If there is no family, or one of them cannot be searched.

    Examples
    --------
    >>> list(space(["random_forest", "linear"]))
    ['linear', 'random_forest']
    """
    wanted = set(families)
    if not wanted or not wanted <= set(SPACES):
        names = ", ".join(SPACES)
        raise ValueError(f"families must be some of {names}, but got {sorted(wanted)}.")
    return {family: SPACES[family] for family in CHEAPEST_FIRST if family in wanted}


def default_points(families: Iterable[str]) -> tuple[Configuration, ...]:
    """Return the default configuration of each family, cheapest first."""
    return tuple(default_configuration(family) for family in space(families))


def nearest(configuration: Configuration, searched: Space) -> Configuration | None:
    """Return the configuration of the space that is nearest, or None if its family is not in it.

    Parameters that are not named take their defaults, and those that are not searched are dropped.

    Examples
    --------
    >>> nearest(Configuration("linear", {"regularisation": 1e9}), space(["linear"]))
    Configuration(family='linear', hyperparameters={'numbers': 'scaled', 'regularisation': 1000.0})
    """
    if configuration.family not in searched:
        return None
    given = FAMILIES[configuration.family].defaults | configuration.hyperparameters
    parameters = searched[configuration.family]
    values = {name: _within(given[name], parameter) for name, parameter in parameters.items()}
    return Configuration(configuration.family, values)


def grid(searched: Space, n_levels: int = 3) -> tuple[Configuration, ...]:
    """Return every combination of `n_levels` values of each parameter, family by family.

    Examples
    --------
    >>> len(grid(space(["linear", "extra_trees"])))
    21
    """
    return tuple(
        Configuration(family, dict(zip(parameters, values, strict=True)))
        for family, parameters in searched.items()
        for values in product(*(_levels(part, n_levels) for part in parameters.values()))
    )


def _levels(parameter: Parameter, n: int) -> tuple[Value, ...]:
    if isinstance(parameter, Choice):
        return parameter.values
    steps = [step / (n - 1) for step in range(n)]
    values = [_between(parameter, step) for step in steps]
    if isinstance(parameter, Integer):
        return tuple(dict.fromkeys(round(value) for value in values))
    return tuple(values)


def _between(parameter: Float | Integer, share: float) -> float:
    low, high = parameter.low, parameter.high
    if parameter.log:
        between = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
    else:
        between = low + share * (high - low)
    return float(f"{between:.6g}")


def _within(value: Value, parameter: Parameter) -> Value:
    if isinstance(parameter, Choice):
        return value if value in parameter.values else parameter.values[0]
    number = min(max(float(cast(float, value)), parameter.low), parameter.high)
    return round(number) if isinstance(parameter, Integer) else number


def named(configuration: Configuration) -> Mapping[str, Value]:
    """Return a flat picture of a configuration, its parameters named `family.parameter`.

    Examples
    --------
    >>> named(Configuration("linear", {"regularisation": 1.0}))
    {'family': 'linear', 'linear.regularisation': 1.0}
    """
    family = configuration.family
    values = {f"{family}.{name}": value for name, value in configuration.hyperparameters.items()}
    return {"family": family} | values
