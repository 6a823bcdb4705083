"""One family's parameters as a cube: the view of the space for methods that know only numbers."""

import math
from collections.abc import Sequence

import numpy as np

from evertune.search.configurations import clip_value, draw_values
from evertune.search.samplers.base import default_values, has_single_value, number_at
from evertune.search.space import Choice, Float, Integer, Parameter, Parameters
from evertune.trials import Configuration, ParameterValue
from evertune.types import FloatArray


class UnitCube:
    """The parameters of one family as the cube [0, 1]^d.

    Numbers are spread on their scale: of a logarithmic one evenly by the logarithm; each whole
    number has an interval of its own. Choices are steps of equal width, in their order. Parameters
    with a single value have no dimension. A parameter whose condition does not hold has its default
    in the cube, and is left out of a configuration.

    Parameters
    ----------
    family : str
    parameters : mapping from name to parameter

    Attributes
    ----------
    names : tuple of str, of length d
        Of the parameters with a dimension.
    n_choices : tuple of int or None, of length d
        How many values a choice has; None of a number.
    defaults : dict
        The family's defaults, moved into the ranges.

    Examples
    --------
    >>> cube = UnitCube("svm", {"C": Float(0.01, 100.0, log=True), "kernel": Choice(("a", "b"))})
    >>> point = Configuration("svm", {"C": 1.0, "kernel": "b"})
    >>> cube.to_unit(point).round(9).tolist()
    [0.5, 0.75]
    >>> cube.from_unit([0.5, 0.6]).hyperparameters["kernel"]
    'b'
    """

    def __init__(self, family: str, parameters: Parameters) -> None:
        self.family, self._parameters = family, parameters
        self.defaults = default_values(family, parameters)
        self.names = tuple(name for name, part in parameters.items() if not has_single_value(part))
        self.n_choices = tuple(
            len(part.values) if isinstance(part := parameters[name], Choice) else None
            for name in self.names
        )
        self._positions = {name: position for position, name in enumerate(self.names)}

    @property
    def n_dimensions(self) -> int:
        """Length of a point."""
        return len(self.names)

    def to_unit(self, point: Configuration) -> FloatArray:
        """Return the point of a configuration, which may lie outside the ranges: the nearest."""
        values = self.defaults | point.hyperparameters
        units = [
            _to_unit(clip_value(values[n], self._parameters[n]), self._parameters[n])
            for n in self.names
        ]
        return np.array(units, dtype=float)

    def from_unit(self, unit: Sequence[float] | FloatArray) -> Configuration:
        """Return the configuration of a point, without parameters whose condition fails."""

        def value(name: str, parameter: Parameter) -> ParameterValue:
            if name not in self._positions:
                return self.defaults[name]
            return _from_unit(float(unit[self._positions[name]]), parameter)

        return Configuration(self.family, draw_values(self._parameters, value))

    def to_mixed(self, unit: FloatArray) -> list[float | int]:
        """Return a point with the number of the value in the place of each choice.

        For libraries that know categories.
        """
        return [
            float(x) if n is None else min(int(x * n), n - 1)
            for x, n in zip(unit, self.n_choices, strict=True)
        ]

    def from_mixed(self, mixed: Sequence[float | int]) -> FloatArray:
        """Return the point of what `to_mixed` returns."""
        units = [
            float(x) if n is None else (int(x) + 0.5) / n
            for x, n in zip(mixed, self.n_choices, strict=True)
        ]
        return np.array(units, dtype=float)


def _to_unit(value: ParameterValue, parameter: Parameter) -> float:
    if isinstance(parameter, Choice):
        return (parameter.values.index(value) + 0.5) / len(parameter.values)
    low, high = _bounds(parameter)
    number = math.log(_number(value)) if parameter.log else _number(value)
    return min(max((number - low) / (high - low), 0.0), 1.0)


def _from_unit(unit: float, parameter: Parameter) -> ParameterValue:
    unit = min(max(unit, 0.0), 1.0)
    if isinstance(parameter, Choice):
        n = len(parameter.values)
        return parameter.values[min(int(unit * n), n - 1)]
    low, high = _bounds(parameter)
    return number_at(parameter, low + unit * (high - low))


def _bounds(parameter: Float | Integer) -> tuple[float, float]:
    """Return the bounds on the scale; half a step more of whole numbers."""
    margin = 0.5 if isinstance(parameter, Integer) else 0.0
    low, high = parameter.low - margin, parameter.high + margin
    return (math.log(low), math.log(high)) if parameter.log else (low, high)


def _number(value: ParameterValue) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
