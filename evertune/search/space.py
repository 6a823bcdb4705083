"""Build and use a search space: families, their parameters and the user's overrides.

A space maps each family to its parameters, so a parameter is searched only once its family is
chosen. A parameter may have one more condition, on another parameter of the same family that
stands before it. `build_space` combines the default ranges with the overrides from params.yaml
(`override_parameters`) and drops parameters that cannot matter for the given columns
(`relevant_parameters`). `draw_values`, `nearest_configuration` and `grid_points` produce
configurations of a space. Nothing here depends on Optuna or Ray.
"""

import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import cast

from evertune.data.schema import Column
from evertune.models.embedding_mlp import check_installed
from evertune.models.families import COMMON_DEFAULTS, FAMILIES, default_configuration
from evertune.preprocessing.encoders import has_high_cardinality
from evertune.search.default_space import (
    ALL_SPACES,
    OPTIONAL_PARAMETERS,
    SHARED_PARAMETERS,
    Choice,
    Float,
    Integer,
    Parameter,
    Parameters,
    Space,
)
from evertune.trials import Configuration, ParameterValue
from evertune.types import Task

MIN_NUMERIC_FOR_PAIRS = 2  # numbers that make a pair


def relevant_parameters(parameters: Parameters, columns: Sequence[Column]) -> Parameters:
    """Return a family's parameters without those that would change nothing for some columns.

    Ways to read texts are for tables with texts, the hash of levels for those with a category of
    many levels, and products for those with two numbers or more.

    Parameters
    ----------
    parameters : dict
    columns : sequence of Column
        The features; none where they are not known.

    Examples
    --------
    >>> from evertune.search.default_space import SHARED_PARAMETERS
    >>> "text" in relevant_parameters(SHARED_PARAMETERS, [Column("note", "text")]), "text" in relevant_parameters(SHARED_PARAMETERS, [])
    (True, False)
    """
    kinds = [column.kind for column in columns]
    n_numbers = sum(kind in ("number", "boolean") for kind in kinds)
    dropped = {"text": "text" not in kinds, "pairs": n_numbers < MIN_NUMERIC_FOR_PAIRS}
    found = {name: part for name, part in parameters.items() if not dropped.get(name)}
    levels = found.get("levels")
    if isinstance(levels, Choice) and not any(has_high_cardinality(column) for column in columns):
        found["levels"] = replace(levels, values=_remove_value(levels.values, "hashed"))
    return found


def _remove_value(
    values: tuple[ParameterValue, ...], value: ParameterValue
) -> tuple[ParameterValue, ...]:
    return tuple(each for each in values if each != value)


Overrides = Mapping[str, Mapping[str, Sequence[ParameterValue]]]

N_BOUNDS = 2  # of a range


def override_parameters(family: str, changes: Mapping[str, Sequence[ParameterValue]]) -> Parameters:
    """Return the parameters of a family that are asked for otherwise than the space has them.

    Parameters
    ----------
    family : str
    changes : mapping from parameter to values
        Two numbers are the ends of a range; anything else is a list of values to choose from.

    Raises
    ------
    ValueError
        If the family has no such parameter, or the values do not fit.

    Examples
    --------
    >>> override_parameters("tree", {"max_depth": [2, 4], "pairs": ["none", "numbers"]})["pairs"].values
    ('none', 'numbers')
    """
    known = COMMON_DEFAULTS | FAMILIES[family].defaults
    if not set(changes) <= set(known):
        raise ValueError(
            f"space of {family} must be of its parameters {', '.join(known)}, but got "
            f"{sorted(set(changes) - set(known))}."
        )
    declared = ALL_SPACES[family] | SHARED_PARAMETERS | OPTIONAL_PARAMETERS
    return {
        name: _override_parameter(f"{family}.{name}", declared.get(name), known[name], values)
        for name, values in changes.items()
    }


def _override_parameter(
    name: str, allowed: Parameter | None, default: ParameterValue, values: Sequence[ParameterValue]
) -> Parameter:
    """Return a parameter with the bounds or choices that are asked for."""
    if isinstance(default, str | bool):
        choices = allowed.values if isinstance(allowed, Choice) else tuple(values)
        return Choice(
            _check_choices(name, choices, values), None if allowed is None else allowed.when
        )
    numbers = _check_numbers(name, values)
    when = None if allowed is None else allowed.when
    if len(numbers) != N_BOUNDS or numbers[0] == numbers[1]:
        return Choice(tuple(values), when)
    low, high = numbers
    log = allowed.log if isinstance(allowed, Float | Integer) else low > 0
    if low > high or (log and low <= 0):
        raise ValueError(
            f"space of {name} must be two bounds, the lower one first"
            f"{' and above 0' if log else ''}, but got {list(values)}."
        )
    if isinstance(default, int):
        return Integer(int(low), int(high), log, when)
    return Float(low, high, log, when)


def _check_choices(
    name: str, choices: tuple[ParameterValue, ...], values: Sequence[ParameterValue]
) -> tuple[ParameterValue, ...]:
    if not values or not set(values) <= set(choices):
        known = ", ".join(str(choice) for choice in choices)
        raise ValueError(f"space of {name} must be some of {known}, but got {list(values)}.")
    return tuple(values)


def _check_numbers(name: str, values: Sequence[ParameterValue]) -> list[float]:
    wrong = [value for value in values if isinstance(value, str | bool) or value is None]
    if wrong or not values:
        raise ValueError(f"space of {name} must be numbers, but got {list(values)}.")
    return [float(cast(float, value)) for value in values]


MAX_GRID_POINTS = 1000  # points of one family
LABEL_METRICS = ("accuracy", "balanced_accuracy", "precision", "recall", "f1")


def build_space(
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
    >>> list(build_space(["random_forest", "linear"]))
    ['linear', 'random_forest']
    >>> build_space(["tree"], {"tree": {"max_depth": [2, 4]}})["tree"]["max_depth"]
    Integer(low=2, high=4, log=True, when=None)
    """
    wanted, changes = set(families), overrides or {}
    if not wanted or not wanted <= set(ALL_SPACES):
        names = ", ".join(ALL_SPACES)
        raise ValueError(f"families must be some of {names}, but got {sorted(wanted)}.")
    if not set(changes) <= set(ALL_SPACES):
        names = ", ".join(ALL_SPACES)
        raise ValueError(f"space must be of families {names}, but got {sorted(changes)}.")
    check_installed(wanted)
    weighed = task != "regression" and metric in LABEL_METRICS
    parts = {
        name: part for name, part in SHARED_PARAMETERS.items() if name != "class_weight" or weighed
    }
    found: Space = {}
    for family in (each for each in ALL_SPACES if each in wanted):
        own = relevant_parameters(ALL_SPACES[family] | parts, columns)
        found[family] = own | override_parameters(family, changes.get(family, {}))
    return found


def default_configurations(families: Iterable[str]) -> tuple[Configuration, ...]:
    """Return the default configuration of each family, cheapest first."""
    return tuple(default_configuration(family) for family in build_space(families))


def draw_values(
    parameters: Parameters, draw: Callable[[str, Parameter], ParameterValue]
) -> dict[str, ParameterValue]:
    """Return values of a family's parameters, drawn in order; those that do not count are left out.

    Parameters
    ----------
    parameters : dict
    draw : callable
        Takes a name and a parameter, and returns a value of it.

    Examples
    --------
    >>> from evertune.search.default_space import DEFAULT_SPACES
    >>> space = DEFAULT_SPACES["neural_network"]
    >>> found = draw_values(space, lambda name, parameter: first_value(parameter))
    >>> found["solver"], "beta_1" in found, "momentum" in found
    ('adam', True, False)
    """
    values: dict[str, ParameterValue] = {}
    for name, parameter in parameters.items():
        if _is_active(parameter, values):
            values[name] = draw(name, parameter)
    return values


def first_value(parameter: Parameter) -> ParameterValue:
    """Return the first choice, or the lower end."""
    return parameter.values[0] if isinstance(parameter, Choice) else parameter.low


def nearest_values(configuration: Configuration, searched: Space) -> dict[str, ParameterValue]:
    """Return the values of the searched parameters that are nearest to a configuration's.

    Parameters that it does not name take their defaults.

    Examples
    --------
    >>> narrow = build_space(["svm"], {"svm": {"select": ["none"]}})
    >>> nearest_values(Configuration("svm", {"C": 1e9}), narrow)["C"]
    100.0
    """
    given = (
        COMMON_DEFAULTS | FAMILIES[configuration.family].defaults | configuration.hyperparameters
    )
    parameters = searched[configuration.family]
    return draw_values(parameters, lambda name, part: _clip_value(given.get(name), part))


def nearest_configuration(configuration: Configuration, searched: Space) -> Configuration | None:
    """Return the configuration of the space that is nearest, or None if its family is not in it.

    Parameters that are not named take their defaults; those that are not searched stay as they
    are named.

    Examples
    --------
    >>> found = nearest_configuration(Configuration("linear", {"regularisation": 1e9}), build_space(["linear"]))
    >>> found.hyperparameters["regularisation"], found.hyperparameters["numbers"]
    (1000.0, 'scaled')
    """
    if configuration.family not in searched:
        return None
    own = configuration.hyperparameters
    kept = {name: own[name] for name in own if name not in searched[configuration.family]}
    return Configuration(configuration.family, kept | nearest_values(configuration, searched))


def grid_points(searched: Space, n_levels: int = 3) -> tuple[Configuration, ...]:
    """Return combinations of `n_levels` values of each parameter, family by family.

    Of a family with more than 1,000 combinations, so many are drawn, the same each time.

    Examples
    --------
    >>> narrow = {"tree": {"select": ["none"]}}
    >>> len(grid_points(build_space(["tree"], narrow)))
    18
    """
    points = (point for family in searched for point in _family_grid(family, searched, n_levels))
    known = {tuple(sorted(flat_parameters(point).items(), key=str)): point for point in points}
    return tuple(known.values())


def flat_parameters(configuration: Configuration) -> Mapping[str, ParameterValue]:
    """Return a flat picture of a configuration, its parameters named `family.parameter`.

    Examples
    --------
    >>> flat_parameters(Configuration("linear", {"regularisation": 1.0}))
    {'family': 'linear', 'linear.regularisation': 1.0}
    """
    family = configuration.family
    values = {f"{family}.{name}": value for name, value in configuration.hyperparameters.items()}
    return {"family": family} | values


def _is_active(parameter: Parameter, values: Mapping[str, ParameterValue]) -> bool:
    """Return whether the condition of a parameter holds; one that is not searched is left open."""
    when = parameter.when
    return when is None or when.name not in values or values[when.name] in when.values


def _family_grid(family: str, searched: Space, n_levels: int) -> Iterator[Configuration]:
    parameters = searched[family]
    lists = [_grid_values(part, n_levels) for part in parameters.values()]
    total = math.prod(len(values) for values in lists)
    if total <= MAX_GRID_POINTS:
        combinations: Iterable[tuple[ParameterValue, ...]] = product(*lists)
    else:
        drawn = sorted(random.Random(0).sample(range(total), MAX_GRID_POINTS))
        combinations = (_nth_combination(lists, place) for place in drawn)
    for values in combinations:
        yield Configuration(family, _active_values(parameters, values))


def _active_values(
    parameters: Parameters, values: Iterable[ParameterValue]
) -> dict[str, ParameterValue]:
    given = dict(zip(parameters, values, strict=True))
    return draw_values(parameters, lambda name, _: given[name])


def _nth_combination(
    lists: Sequence[tuple[ParameterValue, ...]], place: int
) -> tuple[ParameterValue, ...]:
    """Return the combination with this number, the last list's value changing fastest."""
    found: list[ParameterValue] = []
    for values in reversed(lists):
        place, index = divmod(place, len(values))
        found.append(values[index])
    return tuple(reversed(found))


def _grid_values(parameter: Parameter, n: int) -> tuple[ParameterValue, ...]:
    if isinstance(parameter, Choice):
        return parameter.values
    values = [_interpolate(parameter, step / (n - 1)) for step in range(n)]
    if isinstance(parameter, Integer):
        return tuple(dict.fromkeys(round(value) for value in values))
    return tuple(values)


def _interpolate(parameter: Float | Integer, share: float) -> float:
    low, high = parameter.low, parameter.high
    if parameter.log:
        between = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
    else:
        between = low + share * (high - low)
    return float(f"{between:.6g}")


def _clip_value(value: ParameterValue, parameter: Parameter) -> ParameterValue:
    if isinstance(parameter, Choice):
        return value if value in parameter.values else parameter.values[0]
    if value is None:
        return parameter.low
    number = min(max(float(cast(float, value)), parameter.low), parameter.high)
    return round(number) if isinstance(parameter, Integer) else number
