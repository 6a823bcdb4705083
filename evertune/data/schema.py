"""Table schemas, the user's table spec, and the target as an array.

`TableSpec` is what the user declares about a raw table, `TableSchema` what all later steps and
all models rely on, `PreparedTable` a clean table with its schema.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd

from evertune.data.number_formats import DecimalSign, NumberFormat
from evertune.types import ColumnKind, FloatArray, Predictions, Task, encode_classes
from evertune.unicode_text import clean_text

Trend = Literal["up", "down"]  # of predictions, as the values of a column rise
NO_COLUMN = "null"  # given to `evertune use` instead of a column: none has the role
MOMENT_COLUMN = "moment"  # of a clean table: when a row of production happened
RESERVED_COLUMNS = ("row_key", "prediction", "existing_system", "run_id", "index", MOMENT_COLUMN)


@dataclass(frozen=True)
class Column:
    """One column that a model may learn from.

    Attributes
    ----------
    kind : str
        `number` and `boolean` are float64 in a clean table (0, 1 and NaN for booleans),
        `category` and `text` are str with NaN for missing, `date` is datetime64.
    categories : tuple of str
        The sorted values of a category; empty for other kinds.
    minimum, maximum : float, optional
        The range of a number.
    day_first : bool, optional
        Of dates that end with the year: whether the day comes before the month.
    number_format : NumberFormat, optional
        How the text cells of a number are written; None: as numbers of the table without a format
        of their own.
    monotone : str, optional
        `up` or `down`: where predictions may only rise, or fall, with the values of a number.
    """

    name: str
    kind: ColumnKind
    categories: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    day_first: bool | None = None
    number_format: NumberFormat | None = None
    monotone: Trend | None = None

    @property
    def own_spelling(self) -> dict[str, str]:
        """How the column's categories are spelt, by the one form in which text is read today.

        Empty but for models of releases that kept text as it came, such as `é` as two characters.
        """
        clean = {clean_text(name): name for name in self.categories if not name.isascii()}
        return {
            text: name
            for text, name in clean.items()
            if text != name and text not in self.categories
        }


@dataclass(frozen=True)
class TableSchema:
    """The columns of a clean table.

    Attributes
    ----------
    features : tuple of Column
        In the table's order.
    classes : tuple of str
        The target's values as text, in the order of their codes; in a binary task the second is
        the positive class. Empty in regression.
    identifier, group, weight, human, existing : str, optional
        Columns with a role; they are not features. `weight` says how much a row counts in fits
        (see `fit_weights`); `human` and `existing` hold predictions by people and by the system in
        use.
    time : str, optional
        The column that orders the rows: datetime64, or float64 if it is a counter.
    time_column : Column, optional
        Its description, of kind `date` or `number`.
    missing_values : tuple of str
        Cells of a raw table that mean "missing", besides a blank cell.
    decimal : str
        The decimal sign of numbers without a format of their own, `.` or `,`.
    target_format : NumberFormat, optional
        How the text cells of the target are written in regression; None: as such numbers.
    """

    features: tuple[Column, ...]
    target: str
    task: Task
    classes: tuple[str, ...] = ()
    identifier: str | None = None
    time: str | None = None
    group: str | None = None
    weight: str | None = None
    human: str | None = None
    existing: str | None = None
    time_column: Column | None = None
    missing_values: tuple[str, ...] = ()
    decimal: DecimalSign = "."
    target_format: NumberFormat | None = None

    @property
    def is_monotone(self) -> bool:
        """Whether predictions may only rise, or fall, with some column."""
        return any(column.monotone for column in self.features)

    def format_of(self, written: NumberFormat | None) -> NumberFormat:
        """Return a column's or the target's format, or the one of numbers that have none."""
        return written or NumberFormat(self.decimal)


@dataclass(frozen=True)
class TableSpec:
    """Roles and kinds of columns as far as the user declares them; the rest is inferred.

    `task` and `positive` are inferred if they are `auto`; `ignore` names columns that are not
    features. With `labels` exact, labels are classes as they are written. `decimal` is None where
    it is not declared. `column_kinds.detect_formats` adds `number_formats`, those that the cells of
    the columns show, and `open_numbers`, the columns whose cells can be read in two ways, each with
    the sign that is the reason. See `evertune.data.readers.spec_from_params`.
    """

    target: str
    task: str = "auto"
    positive: str | float | bool = "auto"
    labels: str = "auto"
    identifier: str | None = None
    time: str | None = None
    group: str | None = None
    weight: str | None = None
    human: str | None = None
    existing: str | None = None
    ignore: tuple[str, ...] = ()
    columns: Mapping[str, ColumnKind] = field(default_factory=dict)
    missing_values: tuple[str, ...] = ()
    decimal: DecimalSign | None = None
    number_formats: Mapping[str, NumberFormat] | None = None
    open_numbers: Mapping[str, str] = field(default_factory=dict)
    monotone: Mapping[str, Trend] = field(default_factory=dict)

    def format_of(self, name: object) -> NumberFormat:
        """Return how the numbers of a column are written."""
        return (self.number_formats or {}).get(str(name)) or NumberFormat(self.decimal or ".")

    @property
    def roles(self) -> dict[str, str]:
        """Names of the columns with a role, by the key of params.yaml."""
        named = {
            "target": self.target,
            "identifier": self.identifier,
            "time": self.time,
            "group": self.group,
            "weight": self.weight,
            "human_column": self.human,
            "existing_column": self.existing,
        }
        return {role: name for role, name in named.items() if name is not None}


@dataclass(frozen=True, eq=False)
class PreparedTable:
    """A clean table and how it came about.

    Attributes
    ----------
    clean : DataFrame
        Features, target and columns with a role; only rows with a target.
    excluded : dict
        Columns that are not features, each with the reason.
    n_unlabelled : int
        Rows that were dropped because they have no target.
    """

    clean: pd.DataFrame
    schema: TableSchema
    excluded: dict[str, str]
    n_unlabelled: int


def fit_weights(table: pd.DataFrame, schema: TableSchema) -> FloatArray | None:
    """Return how much each row of a clean table counts in fits, of shape (n,).

    None without a column of weights. A row without a weight, such as one of production, counts as
    much as the others on average.

    Examples
    --------
    >>> table = pd.DataFrame({"share": [1.0, 3.0, np.nan]})
    >>> fit_weights(table, TableSchema((), "left", "binary", weight="share")).tolist()
    [1.0, 3.0, 2.0]
    """
    if schema.weight is None:
        return None
    weights = table[schema.weight].to_numpy(dtype=np.float64)
    known = weights[~np.isnan(weights)]
    return np.where(np.isnan(weights), known.mean() if known.size else 1.0, weights)


def encode_target(table: pd.DataFrame, schema: TableSchema) -> FloatArray:
    """Return the target of a clean table, shape (n,): class codes, or values in regression.

    Raises
    ------
    ValueError
        A row has no target or a class that the schema does not know.

    Examples
    --------
    >>> schema = TableSchema((), "churned", "binary", ("no", "yes"))
    >>> encode_target(pd.DataFrame({"churned": ["yes", "no"]}), schema)
    array([1., 0.])
    """
    y_true = _encode_column(table[schema.target], schema)
    unknown = np.flatnonzero(np.isnan(y_true))
    if unknown.size:
        value = table[schema.target].iloc[unknown[0]]
        raise ValueError(
            f"Every row must have a known target in column {schema.target!r}. Got {value!r} in "
            f"row {unknown[0]} ({unknown.size} such rows) instead."
        )
    return y_true


def encode_predictions(column: pd.Series, schema: TableSchema) -> Predictions:
    """Return the predictions in a column of labels, or of numbers in regression.

    Missing and unknown labels become NaN: no prediction.
    """
    return Predictions(_encode_column(column, schema))


def _encode_column(column: pd.Series, schema: TableSchema) -> FloatArray:
    if schema.task == "regression":
        return np.asarray(column, dtype=np.float64)
    return encode_classes(column, schema.classes)
