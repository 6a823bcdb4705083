"""Read JSON rows as feature columns, a few rows at a time, without pandas where possible.

`read_rows` gives the same values as `feature_frame(conform(row))` for each row alone, so that a
prediction never depends on the other rows of a batch. `make_cell_reader` returns a reader of
single cells; cells that it does not recognise (`NOT_PARSED`) are read with pandas.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache, partial

import pandas as pd

from evertune.data.cleaning import conform_to_schema
from evertune.data.number_formats import PLAIN, NumberFormat
from evertune.data.parsing import (
    FALSE_WORDS,
    MAX_ABSOLUTE_VALUE,
    MISSING_WORDS,
    NUMBER_PATTERN,
    TRUE_WORDS,
    as_date,
    as_number,
)
from evertune.data.schema import Column, TableSchema
from evertune.data.validation import DataIssue
from evertune.preprocessing.encoders import (
    feature_column_names,
    feature_frame,
    time_feature_names,
)
from evertune.preprocessing.text import count_words
from evertune.preprocessing.transformers import MAX_MAGNITUDE, date_cells
from evertune.unicode_text import clean_text

Cell = str | float | bool | None
CellValue = float | str
CellReader = Callable[[Cell], "tuple[CellValue, ...] | None"]

NOT_PARSED = None
NAN = float("nan")
TYPED_NUMBER_PATTERN = re.compile(NUMBER_PATTERN)
WHOLE_NUMBER_PATTERN = re.compile(r"(-?(?:0|[1-9][0-9]*))\.0+")
DAY_REGEX = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
# Python accepts more than tables do: an offset of 75 minutes, and newer versions the hour 24
MINUTES_REGEX = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
SECONDS_REGEX = r":[0-9]{2}(?:\.(?:[0-9]{3}){1,2})?"
TIME_REGEX = f"[T ]{MINUTES_REGEX}(?:{SECONDS_REGEX})?(?:Z|[+-]{MINUTES_REGEX})?"
DATETIME_PATTERN = re.compile(f"{DAY_REGEX}(?:{TIME_REGEX})?")
DATE_CACHE_SIZE = 10_000


def make_cell_reader(column: Column, schema: TableSchema) -> CellReader:
    """Return the reader of one cell of a feature, to its columns of `feature_frame`."""
    missing = frozenset(map(clean_text, schema.missing_values))
    if column.kind == "number":
        return partial(
            _read_number,
            missing=missing,
            numbers=_missing_numbers(missing),
            written=schema.format_of(column.number_format),
        )
    if column.kind == "boolean":
        return partial(_read_boolean, missing=missing, numbers=_missing_numbers(missing))
    if column.kind == "date":
        return partial(_read_date, days_first=column.day_first, missing=schema.missing_values)
    if column.kind == "text":
        return partial(_read_text, missing=missing)
    return partial(_read_category, missing=missing, own=column.own_spelling)


def _read_number(
    cell: Cell, *, missing: frozenset[str], numbers: frozenset[float], written: NumberFormat
) -> tuple[CellValue, ...] | None:
    if isinstance(cell, bool):
        return NOT_PARSED
    if cell is None or isinstance(cell, str):
        text = clean_text(cell or "")
        if _is_missing(text, missing):
            return (NAN,)
        if written == PLAIN and TYPED_NUMBER_PATTERN.fullmatch(text):
            value = float(text)
        else:
            number = written.parse(text)
            if number is None:
                return NOT_PARSED
            value = number
    else:
        value = float(cell)
        if value in numbers:
            return (NAN,)
    if not abs(value) <= MAX_ABSOLUTE_VALUE:
        return NOT_PARSED
    return (min(max(value, -MAX_MAGNITUDE), MAX_MAGNITUDE),)


def _read_boolean(
    cell: Cell, *, missing: frozenset[str], numbers: frozenset[float]
) -> tuple[CellValue, ...] | None:
    if cell is None or isinstance(cell, str):
        word = clean_text(cell or "")
        if _is_missing(word, missing):
            return (NAN,)
        word = word.lower()
        if word in TRUE_WORDS:
            return (1.0,)
        return (0.0,) if word in FALSE_WORDS else NOT_PARSED
    value = float(cell)
    if value in numbers:
        return (NAN,)
    return (value,) if value in (0.0, 1.0) else NOT_PARSED


def _read_category(
    cell: Cell, *, missing: frozenset[str], own: Mapping[str, str]
) -> tuple[CellValue, ...]:
    if cell is None:
        return ("",)
    word = clean_text(cell if isinstance(cell, str) else str(cell))
    if word in missing:
        return ("",)
    # a number is written the same however it came
    whole = WHOLE_NUMBER_PATTERN.fullmatch(word) if word.endswith("0") else None
    return (whole.group(1) if whole else own.get(word, word),)


def _read_text(cell: Cell, *, missing: frozenset[str]) -> tuple[CellValue, ...]:
    (word,) = _read_category(cell, missing=missing, own={})
    if not word:
        return ("", NAN, NAN)
    return (word, float(len(str(word))), float(count_words(str(word))))


def _read_date(
    cell: Cell, *, days_first: bool | None, missing: tuple[str, ...]
) -> tuple[CellValue, ...] | None:
    if cell is None:
        return (NAN, NAN, NAN, NAN)
    if not isinstance(cell, str):
        return NOT_PARSED
    moment = parse_date_cell(cell, days_first, missing)
    if moment is None:
        return (NAN, NAN, NAN, NAN) if _is_missing(clean_text(cell), missing) else NOT_PARSED
    return date_cells(moment)


def parse_date_cell(
    text: str, days_first: bool | None, missing: tuple[str, ...]
) -> datetime | None:
    """Return the moment of a text; None if it is blank or no date."""
    if DATETIME_PATTERN.fullmatch(text) and text not in missing:
        try:
            moment = datetime.fromisoformat(text)
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except (ValueError, OverflowError):
            return _parse_date_cached(text, days_first, missing)
    return _parse_date_cached(text, days_first, missing)


@lru_cache(maxsize=DATE_CACHE_SIZE)
def _parse_date_cached(
    text: str, days_first: bool | None, missing: tuple[str, ...]
) -> datetime | None:
    values, _ = as_date(pd.Series([text], dtype="str"), days_first=days_first, missing=missing)
    if pd.isna(values[0]):
        return None
    return pd.Timestamp(values[0]).to_pydatetime().replace(tzinfo=UTC)


def _is_missing(word: str, missing: Collection[str]) -> bool:
    return not word or word in missing or word.lower() in MISSING_WORDS


def _missing_numbers(missing: frozenset[str]) -> frozenset[float]:
    """Return the declared missing words that are numbers: typed cells with them are missing."""
    values, bad = as_number(pd.Series(sorted(missing), dtype="str"))
    return frozenset(values[~bad].dropna().tolist())


Row = Mapping[str, Cell]
CellColumns = dict[str, list[CellValue]]


@dataclass(frozen=True, eq=False)
class RowReader:
    """Reads rows of one schema.

    Attributes
    ----------
    features : tuple of (Column, tuple of str, CellReader)
        Each feature, its columns of `feature_frame`, and the reader of its cells.
    time : Column, optional
        The time column, if there is one.
    """

    schema: TableSchema
    features: tuple[tuple[Column, tuple[str, ...], CellReader], ...]
    time: Column | None


def make_row_reader(schema: TableSchema) -> RowReader:
    """Return the reader of rows of a schema."""
    features = tuple(
        (column, feature_column_names(column, schema), make_cell_reader(column, schema))
        for column in schema.features
    )
    time = None
    if schema.time is not None:
        time = schema.time_column or Column(schema.time, "date")
    return RowReader(schema, features, time)


def read_rows(
    rows: Sequence[Row], reading: RowReader
) -> tuple[CellColumns, dict[int, tuple[DataIssue, ...]]]:
    """Return n rows as columns of `feature_frame`, and the issues of rows that cannot be read.

    Parameters
    ----------
    rows : sequence of n mappings
        Raw cells by column name; columns that the schema does not name are ignored.

    Returns
    -------
    dict of lists of n, dict of tuples of DataIssue
        The columns by name; the issues by the row's index. The cells of a faulty row have no
        meaning.

    Examples
    --------
    >>> schema = TableSchema((Column("age", "number"), Column("plan", "category")), "y", "binary")
    >>> rows = [{"age": 31, "plan": "a"}, {"age": "x"}]
    >>> columns, faults = read_rows(rows, make_row_reader(schema))
    >>> columns["plan"][0], [issue.column for issue in faults[1]]
    ('a', ['age', 'plan'])
    """
    columns: CellColumns = {}
    faults: dict[int, list[DataIssue]] = {}

    def read_column(column: Column, read: CellReader) -> list[tuple[CellValue, ...]]:
        parsed: list[tuple[CellValue, ...]] = []
        for index, row in enumerate(rows):
            values = read(row[column.name]) if column.name in row else NOT_PARSED
            if values is None:
                values, issues = _read_with_pandas(row, column, reading.schema)
                if issues:
                    faults.setdefault(index, []).extend(issues)
            parsed.append(values)
        return parsed

    for column, names, read in reading.features:
        parts = zip(*read_column(column, read), strict=True)
        columns |= {name: list(cells) for name, cells in zip(names, parts, strict=True)}
    if reading.time is not None:
        parsed = read_column(reading.time, make_cell_reader(reading.time, reading.schema))
        dated = reading.time.kind == "date"
        clock = [values[2:] if dated else (NAN, NAN) for values in parsed]
        names = time_feature_names(reading.schema)
        parts = zip(*clock, strict=True)
        columns |= {name: list(cells) for name, cells in zip(names, parts, strict=True)}
    return columns, {index: tuple(faults[index]) for index in sorted(faults)}


def event_time(row: Row, reading: RowReader) -> datetime | None:
    """Return the moment in a row's time column; None if there is no such date."""
    if reading.time is None or reading.time.kind != "date":
        return None
    cell = row.get(reading.time.name)
    if not isinstance(cell, str):
        return None
    return parse_date_cell(cell, reading.time.day_first, reading.schema.missing_values)


def _read_with_pandas(
    row: Row, column: Column, schema: TableSchema
) -> tuple[tuple[CellValue, ...], tuple[DataIssue, ...]]:
    """Read one cell as cells of tables are read; return its issues, too."""
    alone = replace(schema, features=(column,), time=None)
    cells = {name: [cell] for name, cell in row.items() if name == column.name}
    clean, issues = conform_to_schema(pd.DataFrame(cells), alone)
    if issues:
        return (NAN,) * len(feature_column_names(column, alone)), issues
    return tuple(feature_frame(clean, alone).iloc[0]), ()
