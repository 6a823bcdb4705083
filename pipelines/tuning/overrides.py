"""What a user asks of a space: bounds and choices in place of its own."""

from collections.abc import Mapping, Sequence
from typing import cast

from pipelines.core.trials import Value
from pipelines.tuning.families import FAMILIES, PARTS
from pipelines.tuning.parameters import Choice, Float, Integer, Parameter, Parameters
from pipelines.tuning.ranges import EVERYWHERE, KNOWN, ON_REQUEST

Overrides = Mapping[str, Mapping[str, Sequence[Value]]]

ENDS = 2  # of a range


def overridden(family: str, changes: Mapping[str, Sequence[Value]]) -> Parameters:
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
    >>> overridden("tree", {"max_depth": [2, 4], "pairs": ["none", "numbers"]})["pairs"].values
    ('none', 'numbers')
    """
    known = PARTS | FAMILIES[family].defaults
    if not set(changes) <= set(known):
        raise ValueError(
            f"space of {family} must be of its parameters {', '.join(known)}, but got "
            f"{sorted(set(changes) - set(known))}."
        )
    declared = KNOWN[family] | EVERYWHERE | ON_REQUEST
    return {
        name: _override(f"{family}.{name}", declared.get(name), known[name], values)
        for name, values in changes.items()
    }


def _override(
    name: str, allowed: Parameter | None, default: Value, values: Sequence[Value]
) -> Parameter:
    """Return a parameter with the bounds or choices that are asked for."""
    if isinstance(default, str | bool):
        choices = allowed.values if isinstance(allowed, Choice) else tuple(values)
        return Choice(_known(name, choices, values), None if allowed is None else allowed.when)
    numbers = _numbers(name, values)
    when = None if allowed is None else allowed.when
    if len(numbers) != ENDS or numbers[0] == numbers[1]:
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


def _known(name: str, choices: tuple[Value, ...], values: Sequence[Value]) -> tuple[Value, ...]:
    if not values or not set(values) <= set(choices):
        known = ", ".join(str(choice) for choice in choices)
        raise ValueError(f"space of {name} must be some of {known}, but got {list(values)}.")
    return tuple(values)


def _numbers(name: str, values: Sequence[Value]) -> list[float]:
    wrong = [value for value in values if isinstance(value, str | bool) or value is None]
    if wrong or not values:
        raise ValueError(f"space of {name} must be numbers, but got {list(values)}.")
    return [float(cast(float, value)) for value in values]
