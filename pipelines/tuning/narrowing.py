"""What of a space a table's columns would notice."""

from collections.abc import Sequence
from dataclasses import replace

from pipelines.core.encoding import has_many_levels
from pipelines.core.schema import Column
from pipelines.core.trials import Value
from pipelines.tuning.parameters import Choice, Parameters

LEAST_PAIRED = 2  # numbers that make a pair


def noticed(parameters: Parameters, columns: Sequence[Column]) -> Parameters:
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
    >>> from pipelines.tuning.ranges import EVERYWHERE
    >>> "text" in noticed(EVERYWHERE, [Column("note", "text")]), "text" in noticed(EVERYWHERE, [])
    (True, False)
    """
    kinds = [column.kind for column in columns]
    n_numbers = sum(kind in ("number", "boolean") for kind in kinds)
    dropped = {"text": "text" not in kinds, "pairs": n_numbers < LEAST_PAIRED}
    found = {name: part for name, part in parameters.items() if not dropped.get(name)}
    levels = found.get("levels")
    if isinstance(levels, Choice) and not any(has_many_levels(column) for column in columns):
        found["levels"] = replace(levels, values=_without(levels.values, "hashed"))
    return found


def _without(values: tuple[Value, ...], value: Value) -> tuple[Value, ...]:
    return tuple(each for each in values if each != value)
