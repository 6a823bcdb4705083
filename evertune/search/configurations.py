"""Build and use a search space: families, their parameters and the user's overrides.

A space maps each family to its parameters, so a parameter is searched only once its family is
chosen. A parameter may have one more condition, on a parameter of the same family that stands
before it. `build_space` combines the default ranges with the overrides from params.yaml and drops
parameters that cannot matter for the given columns. `draw_values`, `nearest_configuration` and
`grid_points` produce configurations of a space. Nothing here depends on Optuna or Ray.
"""

import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import cast

import numpy as np

from evertune.data.schema import Column
from evertune.messages import did_you_mean
from evertune.metrics.metrics import LABEL_METRICS
from evertune.models.embedding_network import check_installed
from evertune.models.families import (
    COMMON_DEFAULTS,
    FAMILIES,
    MONOTONE_FAMILIES,
    default_configuration,
)
from evertune.preprocessing.encoders import has_high_cardinality
from evertune.search.space import (
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

# parameters that a family with monotone columns leaves at values that keep them so
NOT_MONOTONE = ("interactions", "grow_policy")
MAX_GRID_POINTS = 1000  # of one family

Overrides = Mapping[str, Mapping[str, Sequence[ParameterValue]]]


def build_space(
    families: Iterable[str],
    overrides: Overrides | None = None,
    *,
    task: Task | None = None,
    metric: str = "",
    columns: Sequence[Column] = (),
) -> Space:
    """Return the space of some families, in the order of `ALL_SPACES`.

    Parameters
    ----------
    overrides : mapping from family to parameter to values, optional
        Two numbers are the bounds of a range; anything else is a list of choices. A parameter that
        is named here is searched in any case.
    task, metric : str, optional
        Class weights are searched if the metric judges labels.
    columns : sequence of Column
        The features: encodings of kinds that none of them has are not searched. If one is
        monotone, only families and parameters that keep it so are.

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
    wanted, overrides = set(families), overrides or {}
    names = ", ".join(ALL_SPACES)
    if not wanted or not wanted <= set(ALL_SPACES):
        raise ValueError(f"families must be some of {names}, but got {sorted(wanted)}.")
    if not set(overrides) <= set(ALL_SPACES):
        raise ValueError(f"space must be of families {names}, but got {sorted(overrides)}.")
    check_installed(wanted)
    if any(column.monotone for column in columns):
        wanted &= set(MONOTONE_FAMILIES)
        if not wanted:
            raise ValueError(
                "families must have one that can be monotone, as data.monotone asks, of"
                f" {', '.join(MONOTONE_FAMILIES)}, but got {sorted(families)}."
            )
    weighted = task != "regression" and metric in LABEL_METRICS
    shared = {k: v for k, v in SHARED_PARAMETERS.items() if k != "class_weight" or weighted}
    return {
        family: relevant_parameters(ALL_SPACES[family] | shared, columns)
        | _override_parameters(family, overrides.get(family, {}))
        for family in ALL_SPACES
        if family in wanted
    }


def space_faults(overrides: Overrides) -> Iterator[tuple[str, str, str]]:
    """Yield the family, the name and the fault of each override that cannot be searched.

    Examples
    --------
    >>> next(space_faults({"tree": {"max_depth": [4, 2]}}))[:2]
    ('tree', 'max_depth')
    """
    for family, values in overrides.items():
        for name, choices in values.items():
            try:
                _override_parameters(family, {name: choices})
            except ValueError as error:
                yield family, name, str(error)


def configuration_fault(configuration: Configuration) -> str | None:
    """Return what is wrong with a configuration that a person wrote, or None.

    Its values may lie outside the ranges that are searched.

    Examples
    --------
    >>> configuration_fault(Configuration("tree", {"max_depth": 40}))
    >>> print(configuration_fault(Configuration("tree", {"depth": 4}))[:46])
    configuration of tree must be of its parameter
    """
    family, values = configuration.family, configuration.hyperparameters
    if family not in ALL_SPACES:
        return f"family must be one of {', '.join(ALL_SPACES)}, but got '{family}'."
    try:
        check_installed({family})
        _override_parameters(family, {name: [value] for name, value in values.items()})
    except ValueError as error:
        return str(error).replace("space of", "configuration of", 1)
    return None


def relevant_parameters(parameters: Parameters, columns: Sequence[Column]) -> Parameters:
    """Return the parameters of a family that can matter for some columns.

    Encodings of texts need a column of texts, hashed categories a column of many categories, and
    products of numbers two numbers.
    """
    kinds = [column.kind for column in columns]
    if any(column.monotone for column in columns):
        parameters = {k: v for k, v in parameters.items() if k not in NOT_MONOTONE}
    n_numbers = sum(kind in ("number", "boolean") for kind in kinds)
    relevant = {"text_encoding": "text" in kinds, "interactions": n_numbers > 1}
    left = {name: part for name, part in parameters.items() if relevant.get(name, True)}
    encoding = left.get("categorical_encoding")
    if isinstance(encoding, Choice) and not any(map(has_high_cardinality, columns)):
        left["categorical_encoding"] = replace(
            encoding, values=tuple(v for v in encoding.values if v != "hashed")
        )
    return left


def monotone_configuration(configuration: Configuration) -> Configuration:
    """Return a configuration without what keeps a model from being monotone.

    Examples
    --------
    >>> monotone_configuration(Configuration("lightgbm", {"interactions": "arithmetic"}))
    Configuration(family='lightgbm', hyperparameters={})
    """
    kept = {k: v for k, v in configuration.hyperparameters.items() if k not in NOT_MONOTONE}
    return Configuration(configuration.family, kept)


def default_configurations(families: Iterable[str]) -> tuple[Configuration, ...]:
    """Return the default configuration of each family, in the order of `ALL_SPACES`."""
    wanted = set(families)
    return tuple(default_configuration(family) for family in ALL_SPACES if family in wanted)


def draw_values(
    parameters: Parameters, draw: Callable[[str, Parameter], ParameterValue]
) -> dict[str, ParameterValue]:
    """Return values of a family's parameters, without those whose condition does not hold.

    `draw` takes a name and a parameter, and returns a value; it is called in the order of the
    parameters. A condition on a parameter that is not searched holds.

    Examples
    --------
    >>> from evertune.search.space import DEFAULT_SPACES
    >>> values = draw_values(
    ...     DEFAULT_SPACES["mlp"],
    ...     lambda name, parameter: getattr(parameter, "values", [1])[0],
    ... )
    >>> values["solver"], "beta_1" in values, "momentum" in values
    ('adam', True, False)
    """
    values: dict[str, ParameterValue] = {}
    for name, parameter in parameters.items():
        when = parameter.when
        if when is None or when.name not in values or values[when.name] in when.values:
            values[name] = draw(name, parameter)
    return values


def nearest_values(configuration: Configuration, space: Space) -> dict[str, ParameterValue]:
    """Return the values of the searched parameters that are nearest to a configuration's.

    Parameters that it does not name count as their defaults.

    Examples
    --------
    >>> narrow = build_space(["svm"], {"svm": {"feature_selection": ["none"]}})
    >>> nearest_values(Configuration("svm", {"C": 1e9}), narrow)["C"]
    100.0
    """
    family, own = configuration.family, configuration.hyperparameters
    given = COMMON_DEFAULTS | FAMILIES[family].defaults | own
    return draw_values(space[family], lambda name, part: clip_value(given.get(name), part))


def nearest_configuration(configuration: Configuration, space: Space) -> Configuration | None:
    """Return the nearest configuration of the space, or None if its family is not in it.

    Parameters that are not searched stay as they are named.

    Examples
    --------
    >>> far = Configuration("linear", {"alpha": 1e9})
    >>> near = nearest_configuration(far, build_space(["linear"]))
    >>> near.hyperparameters["alpha"], near.hyperparameters["numeric_transform"]
    (1000.0, 'scaled')
    """
    family, own = configuration.family, configuration.hyperparameters
    if family not in space:
        return None
    others = {name: own[name] for name in own if name not in space[family]}
    return Configuration(family, others | nearest_values(configuration, space))


def grid_points(space: Space, n_values: int = 3) -> tuple[Configuration, ...]:
    """Return all combinations of `n_values` values of each parameter, family by family.

    Of a family with more than 1,000 combinations, so many are drawn, the same each time.

    Examples
    --------
    >>> len(grid_points(build_space(["tree"], {"tree": {"feature_selection": ["none"]}})))
    18
    """
    points = (point for family in space for point in _family_grid(family, space, n_values))
    unique = {tuple(sorted(flat_parameters(point).items(), key=str)): point for point in points}
    return tuple(unique.values())


def flat_parameters(configuration: Configuration) -> Mapping[str, ParameterValue]:
    """Return a configuration as one flat mapping, its parameters named `family.parameter`.

    Examples
    --------
    >>> flat_parameters(Configuration("linear", {"alpha": 1.0}))
    {'family': 'linear', 'linear.alpha': 1.0}
    """
    family = configuration.family
    values = {f"{family}.{name}": value for name, value in configuration.hyperparameters.items()}
    return {"family": family} | values


def clip_value(value: ParameterValue, parameter: Parameter) -> ParameterValue:
    """Return the value of a parameter that is nearest to a given one, whatever its condition.

    Examples
    --------
    >>> clip_value(7.6, Integer(1, 5)), clip_value("odd", Choice(("a", "b")))
    (5, 'a')
    """
    if isinstance(parameter, Choice):
        return value if value in parameter.values else parameter.values[0]
    if value is None:
        return parameter.low
    number = min(max(float(cast(float, value)), parameter.low), parameter.high)
    return round(number) if isinstance(parameter, Integer) else number


def _override_parameters(
    family: str, overrides: Mapping[str, Sequence[ParameterValue]]
) -> Parameters:
    defaults = COMMON_DEFAULTS | FAMILIES[family].defaults
    unknown = sorted(set(overrides) - set(defaults))
    if unknown:
        raise ValueError(
            f"space of {family} must be of its parameters {', '.join(defaults)}, but got {unknown}."
            f"{did_you_mean(unknown[0], defaults)}"
        )
    declared = ALL_SPACES[family] | SHARED_PARAMETERS | OPTIONAL_PARAMETERS
    return {
        name: _override_parameter(f"{family}.{name}", declared.get(name), defaults[name], values)
        for name, values in overrides.items()
    }


def _override_parameter(
    name: str, declared: Parameter | None, default: ParameterValue, values: Sequence[ParameterValue]
) -> Parameter:
    """Return a parameter with the bounds or choices that a user asks for."""
    when = None if declared is None else declared.when
    if isinstance(default, str | bool):
        choices = declared.values if isinstance(declared, Choice) else tuple(values)
        if not values or not set(values) <= set(choices):
            known = ", ".join(map(str, choices))
            raise ValueError(f"space of {name} must be some of {known}, but got {list(values)}.")
        return Choice(tuple(values), when)
    if not values or any(isinstance(value, str | bool) or value is None for value in values):
        raise ValueError(f"space of {name} must be numbers, but got {list(values)}.")
    numbers = [float(cast(float, value)) for value in values]
    if isinstance(default, int) and any(number % 1 for number in numbers):
        raise ValueError(f"space of {name} must be whole numbers, but got {list(values)}.")
    if isinstance(declared, Float | Integer) and declared.log and min(numbers) <= 0:
        raise ValueError(f"space of {name} must be numbers above 0, but got {list(values)}.")
    if len(numbers) != 2 or numbers[0] == numbers[1]:
        return Choice(tuple(values), when)
    low, high = numbers
    log = declared.log if isinstance(declared, Float | Integer) else low > 0
    if low > high:
        raise ValueError(
            f"space of {name} must be two bounds, the lower one first, but got {list(values)}."
        )
    if isinstance(default, int):
        return Integer(int(low), int(high), log, when)
    return Float(low, high, log, when)


def _family_grid(family: str, space: Space, n_values: int) -> Iterator[Configuration]:
    parameters = space[family]
    axes = [_grid_values(part, n_values) for part in parameters.values()]
    sizes = [len(values) for values in axes]
    total = math.prod(sizes)
    numbers: Sequence[int] = range(total)
    if total > MAX_GRID_POINTS:
        numbers = sorted(random.Random(0).sample(numbers, MAX_GRID_POINTS))
    for number in numbers:  # the last parameter changes fastest
        indices = np.unravel_index(number, sizes)
        given = {
            name: values[index]
            for name, values, index in zip(parameters, axes, indices, strict=True)
        }
        yield Configuration(family, draw_values(parameters, lambda name, _: given[name]))  # noqa: B023


def _grid_values(parameter: Parameter, n: int) -> tuple[ParameterValue, ...]:
    if isinstance(parameter, Choice):
        return parameter.values
    spaced = np.geomspace if parameter.log else np.linspace
    values = [float(f"{number:.6g}") for number in spaced(parameter.low, parameter.high, n)]
    if isinstance(parameter, Integer):
        return tuple(dict.fromkeys(round(value) for value in values))
    return tuple(values)
