"""What a search may choose from, free of any searcher.

A space is a choice of a family and, once that is made, of the family's own parameters: the family
is the condition under which a parameter is looked at. A parameter may have one more condition, on
another parameter of its family that stands before it.
"""

import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import cast

from pipelines.core.predictions import Task
from pipelines.core.schema import Column
from pipelines.core.trials import Configuration, Value
from pipelines.tuning.defaults import portfolio
from pipelines.tuning.families import FAMILIES, PARTS, default_configuration
from pipelines.tuning.installed import check_installed
from pipelines.tuning.narrowing import noticed
from pipelines.tuning.overrides import Overrides, overridden
from pipelines.tuning.parameters import Choice, Float, Integer, Parameter, Parameters, Space, When
from pipelines.tuning.ranges import EVERYWHERE, KNOWN, SPACES

__all__ = [
    "KNOWN",
    "SPACES",
    "Choice",
    "Float",
    "Integer",
    "Parameter",
    "Parameters",
    "Space",
    "When",
    "default_points",
    "grid",
    "named",
    "nearest",
    "portfolio",
    "sampled",
    "searched_values",
    "space",
]

MOST_OF_A_GRID = 1000  # points of one family
METRICS_OF_LABELS = ("accuracy", "balanced_accuracy", "precision", "recall", "f1")


def space(
    families: Iterable[str],
    overrides: Overrides | None = None,
    *,
    task: Task | None = None,
    metric: str = "",
    columns: Sequence[Column] = (),
) -> Space:
    """Return the space of some families, in the order of their cost.

    Parameters
    ----------
    families : iterable of str
    overrides : mapping from family to parameter to values, optional
        Two numbers are the ends of a range; anything else is a list of values to choose from.
    task, metric : str, optional
        Class weights are searched where the metric looks at labels, or where `overrides` ask.
    columns : sequence of Column
        The features: ways to encode what none of them is are searched only where `overrides` ask.

    Raises
    ------
    ValueError
        If there is no family, one of them cannot be searched, an override does not fit, or a family
        needs a library that is not installed.

    Examples
    --------
    >>> list(space(["random_forest", "linear"]))
    ['linear', 'random_forest']
    >>> space(["tree"], {"tree": {"max_depth": [2, 4]}})["tree"]["max_depth"]
    Integer(low=2, high=4, log=True, when=None)
    """
    wanted, changes = set(families), overrides or {}
    if not wanted or not wanted <= set(KNOWN):
        names = ", ".join(KNOWN)
        raise ValueError(f"families must be some of {names}, but got {sorted(wanted)}.")
    if not set(changes) <= set(KNOWN):
        names = ", ".join(KNOWN)
        raise ValueError(f"space must be of families {names}, but got {sorted(changes)}.")
    check_installed(wanted)
    weighed = task != "regression" and metric in METRICS_OF_LABELS
    parts = {name: part for name, part in EVERYWHERE.items() if name != "class_weight" or weighed}
    found: Space = {}
    for family in (each for each in KNOWN if each in wanted):
        own = noticed(KNOWN[family] | parts, columns)
        found[family] = own | overridden(family, changes.get(family, {}))
    return found


def default_points(families: Iterable[str]) -> tuple[Configuration, ...]:
    """Return the default configuration of each family, cheapest first."""
    return tuple(default_configuration(family) for family in space(families))


def sampled(parameters: Parameters, draw: Callable[[str, Parameter], Value]) -> dict[str, Value]:
    """Return values of a family's parameters, drawn in order; those that do not count are left out.

    Parameters
    ----------
    parameters : dict
    draw : callable
        Takes a name and a parameter, and returns a value of it.

    Examples
    --------
    >>> found = sampled(SPACES["neural_network"], lambda name, part: first_value(part))
    >>> found["solver"], "beta_1" in found, "momentum" in found
    ('adam', True, False)
    """
    values: dict[str, Value] = {}
    for name, parameter in parameters.items():
        if _counts(parameter, values):
            values[name] = draw(name, parameter)
    return values


def first_value(parameter: Parameter) -> Value:
    """Return the first choice, or the lower end."""
    return parameter.values[0] if isinstance(parameter, Choice) else parameter.low


def searched_values(configuration: Configuration, searched: Space) -> dict[str, Value]:
    """Return the values of the searched parameters that are nearest to a configuration's.

    Parameters that it does not name take their defaults.

    Examples
    --------
    >>> narrow = space(["svm"], {"svm": {"select": ["none"]}})
    >>> searched_values(Configuration("svm", {"C": 1e9}), narrow)["C"]
    100.0
    """
    given = PARTS | FAMILIES[configuration.family].defaults | configuration.hyperparameters
    parameters = searched[configuration.family]
    return sampled(parameters, lambda name, part: _within(given.get(name), part))


def nearest(configuration: Configuration, searched: Space) -> Configuration | None:
    """Return the configuration of the space that is nearest, or None if its family is not in it.

    Parameters that are not named take their defaults; those that are not searched stay as they
    are named.

    Examples
    --------
    >>> found = nearest(Configuration("linear", {"regularisation": 1e9}), space(["linear"]))
    >>> found.hyperparameters["regularisation"], found.hyperparameters["numbers"]
    (1000.0, 'scaled')
    """
    if configuration.family not in searched:
        return None
    own = configuration.hyperparameters
    kept = {name: own[name] for name in own if name not in searched[configuration.family]}
    return Configuration(configuration.family, kept | searched_values(configuration, searched))


def grid(searched: Space, n_levels: int = 3) -> tuple[Configuration, ...]:
    """Return combinations of `n_levels` values of each parameter, family by family.

    Of a family with more than 1,000 combinations, so many are drawn, the same each time.

    Examples
    --------
    >>> narrow = {"tree": {"select": ["none"]}}
    >>> len(grid(space(["tree"], narrow)))
    18
    """
    points = (point for family in searched for point in _combined(family, searched, n_levels))
    known = {tuple(sorted(named(point).items(), key=str)): point for point in points}
    return tuple(known.values())


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


def _counts(parameter: Parameter, values: Mapping[str, Value]) -> bool:
    """Return whether the condition of a parameter holds; one that is not searched is left open."""
    when = parameter.when
    return when is None or when.name not in values or values[when.name] in when.values


def _combined(family: str, searched: Space, n_levels: int) -> Iterator[Configuration]:
    parameters = searched[family]
    lists = [_levels(part, n_levels) for part in parameters.values()]
    total = math.prod(len(values) for values in lists)
    if total <= MOST_OF_A_GRID:
        combinations: Iterable[tuple[Value, ...]] = product(*lists)
    else:
        drawn = sorted(random.Random(0).sample(range(total), MOST_OF_A_GRID))
        combinations = (_combination(lists, place) for place in drawn)
    for values in combinations:
        yield Configuration(family, _counting(parameters, values))


def _counting(parameters: Parameters, values: Iterable[Value]) -> dict[str, Value]:
    given = dict(zip(parameters, values, strict=True))
    return sampled(parameters, lambda name, _: given[name])


def _combination(lists: Sequence[tuple[Value, ...]], place: int) -> tuple[Value, ...]:
    """Return the combination with this number, the last list's value changing fastest."""
    found: list[Value] = []
    for values in reversed(lists):
        place, index = divmod(place, len(values))
        found.append(values[index])
    return tuple(reversed(found))


def _levels(parameter: Parameter, n: int) -> tuple[Value, ...]:
    if isinstance(parameter, Choice):
        return parameter.values
    values = [_between(parameter, step / (n - 1)) for step in range(n)]
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
    if value is None:
        return parameter.low
    number = min(max(float(cast(float, value)), parameter.low), parameter.high)
    return round(number) if isinstance(parameter, Integer) else number
