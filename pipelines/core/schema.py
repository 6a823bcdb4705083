"""The picture of a table that every later step and every model holds to."""

from dataclasses import dataclass
from typing import Literal

from pipelines.core.predictions import Task

Kind = Literal["number", "boolean", "category", "text", "date"]


@dataclass(frozen=True)
class Column:
    """One column that a model may learn from.

    Attributes
    ----------
    name : str
    kind : str
        `number` and `boolean` are float64 in a clean table (0, 1 and NaN for booleans),
        `category` and `text` are str with NaN for missing, `date` is datetime64.
    categories : tuple of str
        The values seen, sorted, of a category; empty for other kinds.
    minimum, maximum : float, optional
        The range seen, of a number.
    day_first : bool, optional
        Of dates that end with the year: whether the day comes before the month.
    """

    name: str
    kind: Kind
    categories: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    day_first: bool | None = None


@dataclass(frozen=True)
class Schema:
    """What the columns of a clean table are.

    Attributes
    ----------
    features : tuple of Column
        What models learn from, in the table's order.
    target : str
    task : str
    classes : tuple of str
        The target's values as text, in the order of their codes; in a binary task the second is
        the positive class. Empty in regression.
    identifier, group, human, existing : str, optional
        Columns with a role; they are no features. `human` and `existing` hold predictions made
        by people and by the system in use.
    time : str, optional
        The column that orders the rows: datetime64, or float64 where it is a counter.
    time_column : Column, optional
        What that column is: of kind `date`, or `number`.
    missing_values : tuple of str
        What means "missing" in a raw table, beside a blank cell.
    decimal : str
        The decimal sign of a raw table's text cells, `.` or `,`.
    """

    features: tuple[Column, ...]
    target: str
    task: Task
    classes: tuple[str, ...] = ()
    identifier: str | None = None
    time: str | None = None
    group: str | None = None
    human: str | None = None
    existing: str | None = None
    time_column: Column | None = None
    missing_values: tuple[str, ...] = ()
    decimal: str = "."
