"""Rows as JSON has them, read as the columns that encoders take, a few rows at a time.

What comes out equals `matrix(conform(row))` of each row by itself, so that what a row is predicted
to be never depends on the rows that it happens to be gathered with.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import pandas as pd

from pipelines.core.breaches import Breach
from pipelines.core.conforming import conform
from pipelines.core.encoding import clock_names, matrix, matrix_names
from pipelines.core.row_cells import NAN, Cell, Read, Reader, date_of, reader
from pipelines.core.schema import Column, Schema

Row = Mapping[str, Cell]
Columns = dict[str, list[Read]]


@dataclass(frozen=True, eq=False)
class RowReader:
    """What reads rows of one schema.

    Attributes
    ----------
    schema : Schema
    features : tuple of (Column, tuple of str, Reader)
        Each feature, its columns in the matrix, and the reader of its cells.
    time : Column, optional
        The time column, where there is one.
    """

    schema: Schema
    features: tuple[tuple[Column, tuple[str, ...], Reader], ...]
    time: Column | None


def row_reader(schema: Schema) -> RowReader:
    """Return what reads rows of a schema."""
    features = tuple(
        (column, matrix_names(column, schema), reader(column, schema)) for column in schema.features
    )
    time = None
    if schema.time is not None:
        time = schema.time_column or Column(schema.time, "date")
    return RowReader(schema, features, time)


def read_rows(
    rows: Sequence[Row], reading: RowReader
) -> tuple[Columns, dict[int, tuple[Breach, ...]]]:
    """Return n rows as columns of the matrix, and the faults of rows that cannot be read.

    Parameters
    ----------
    rows : sequence of n mappings
        Raw cells by the names of their columns; columns that the schema does not name are left
        out.
    reading : RowReader

    Returns
    -------
    dict of lists of n, dict of tuples of Breach
        The columns of `matrix` by name; the breaches by the row's place. What a faulty row has in
        the columns means nothing.

    Examples
    --------
    >>> schema = Schema((Column("age", "number"), Column("plan", "category")), "y", "binary")
    >>> columns, faults = read_rows([{"age": 31, "plan": "a"}, {"age": "x"}], row_reader(schema))
    >>> columns["plan"][0], [breach.column for breach in faults[1]]
    ('a', ['age', 'plan'])
    """
    columns: Columns = {}
    faults: dict[int, list[Breach]] = {}
    for column, parts, read in reading.features:
        found = [read(row[column.name]) if column.name in row else None for row in rows]
        for place in [place for place, values in enumerate(found) if values is None]:
            found[place], breaches = _read_slowly(rows[place], column, reading.schema)
            if breaches:
                faults.setdefault(place, []).extend(breaches)
        for part, cells in zip(parts, zip(*found, strict=True), strict=True):
            columns[part] = list(cells)
    if reading.time is not None:
        _add_clock(columns, faults, rows, reading)
    return columns, {place: tuple(faults[place]) for place in sorted(faults)}


def event_time(row: Row, reading: RowReader) -> datetime | None:
    """Return the moment in a row's time column, None where there is no such date.

    Examples
    --------
    >>> schema = Schema((), "y", "binary", time="day")
    >>> event_time({"day": "2024-12-31"}, row_reader(schema)).isoformat()
    '2024-12-31T00:00:00+00:00'
    """
    if reading.time is None or reading.time.kind != "date":
        return None
    cell = row.get(reading.time.name)
    if not isinstance(cell, str):
        return None
    return date_of(cell, reading.time.day_first, reading.schema.missing_values)


def _add_clock(
    columns: Columns, faults: dict[int, list[Breach]], rows: Sequence[Row], reading: RowReader
) -> None:
    """Add weekday and hour of the time column, and the faults of its cells."""
    time = reading.time
    assert time is not None
    read = reader(time, reading.schema)
    dated = time.kind == "date"
    clock: list[tuple[Read, ...]] = []
    for place, row in enumerate(rows):
        values = read(row[time.name]) if time.name in row else None
        if values is None:
            values, breaches = _read_slowly(row, time, reading.schema)
            if breaches:
                faults.setdefault(place, []).extend(breaches)
        clock.append(values[2:] if dated else (NAN, NAN))
    names = clock_names(reading.schema)
    for name, cells in zip(names, zip(*clock, strict=True), strict=True):
        columns[name] = list(cells)


def _read_slowly(
    row: Row, column: Column, schema: Schema
) -> tuple[tuple[Read, ...], tuple[Breach, ...]]:
    """Read one cell as those of tables are read; return what is wrong with it, too."""
    alone = replace(schema, features=(column,), time=None)
    cells = {name: [cell] for name, cell in row.items() if name == column.name}
    clean, breaches = conform(pd.DataFrame(cells), alone)
    if breaches:
        return (NAN,) * len(matrix_names(column, alone)), breaches
    return tuple(matrix(clean, alone).iloc[0]), ()
