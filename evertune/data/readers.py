"""Read source tables: CSV files as text cells, Parquet files and SQL queries with their types.

`read_source` reads what params.yaml names; `inspect_source` also detects the dialect that it
leaves open. The address of a database is read from an environment variable and never shown.
"""

import os
import shlex
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pandas.api.types import infer_dtype

from evertune.config.schema import DataSection, DialectSection
from evertune.data.cleaning import prepare_table
from evertune.data.column_kinds import detect_decimal_sign, detect_formats
from evertune.data.csv_dialects import read_csv
from evertune.data.schema import PreparedTable, TableSpec
from evertune.data.validation import DataIssue, format_issues, quote_list
from evertune.errors import TableError
from evertune.unicode_text import clean_text

PARQUET_SUFFIXES = frozenset({".parquet", ".pq"})
QUERY_SUFFIX = ".sql"
MEMORY_PER_FILE_BYTE = 6
EXISTING_SYSTEM_COLUMN = "existing_system"
LARGEST_EXACT_INTEGER = 2**53  # of float64


@dataclass(frozen=True, eq=False)
class SourceTable:
    """A source table, the dialect of its file, and notes about that for a person."""

    table: pd.DataFrame
    dialect: DialectSection = field(default_factory=DialectSection)
    notes: tuple[str, ...] = ()


def read_source(data: DataSection, root: Path) -> pd.DataFrame:
    """Return the source table that params.yaml names.

    Parameters
    ----------
    root : Path
        The project's folder, which `data.source` is relative to.

    Returns
    -------
    DataFrame
        From a CSV file every cell is text exactly as written, an empty cell "". From a Parquet
        file or a query the types are those of the source.

    Raises
    ------
    TableError
        The source cannot be read, or its header or layout has faults.
    """
    return _read(data, root, inspect=False).table


def inspect_source(data: DataSection, root: Path) -> SourceTable:
    """Return the source table, and detect the dialect that params.yaml leaves open.

    Raises
    ------
    TableError
        The source cannot be read, or its header or layout has faults.
    """
    return _read(data, root, inspect=True)


def spec_from_params(data: DataSection, raw: pd.DataFrame) -> TableSpec:
    """Return the table spec of params.yaml, with the formats of numbers that the table shows."""
    spec = TableSpec(
        target=data.target,
        task=data.task,
        positive=data.positive,
        labels=data.labels,
        identifier=data.identifier,
        time=data.time,
        group=data.group,
        weight=data.weight,
        human=data.human_column,
        existing=EXISTING_SYSTEM_COLUMN if data.existing_model else data.existing_column,
        ignore=tuple(map(clean_text, data.ignore)),
        columns={clean_text(name): kind for name, kind in data.columns.items()},
        monotone={clean_text(name): trend for name, trend in data.monotone.items()},
        missing_values=data.missing_values,
        decimal=data.dialect.decimal,
    )
    return detect_formats(raw, spec)


def clean_or_raise(raw: pd.DataFrame, spec: TableSpec, *, source: str) -> PreparedTable:
    """Return the clean table of a raw one; `source` is its name in params.yaml, for messages.

    The message says what `evertune use` could be told about the table; that keeps to whatever else
    params.yaml says.

    Raises
    ------
    TableError
        The table has faults; the message lists them.
    """
    prepared, issues = prepare_table(raw, spec)
    if prepared is None:
        command = shlex.join(["evertune", "use", source, "--target", spec.target])
        raise table_error(issues, source=source, command=f"`{command}`")
    return prepared


def table_error(issues: Sequence[DataIssue], *, source: str, command: str) -> TableError:
    """Return the error that lists the faults of a table.

    Parameters
    ----------
    command : str
        What the options in the message are to be added to.
    """
    text = format_issues(issues, with_options=True)
    hint = f"\nOptions in backticks are added to {command}." if "`--" in text else ""
    return TableError(f"{source}: the table cannot be used.\n{text}{hint}")


def _read(data: DataSection, root: Path, *, inspect: bool) -> SourceTable:
    path = root / data.source
    _check_file(path, root)
    suffix = path.suffix.lower()
    if suffix == QUERY_SUFFIX:
        return SourceTable(_check_typed(_read_query(path, data.address_variable), path.name))
    if suffix in PARQUET_SUFFIXES:
        try:
            table = _to_pandas(pq.read_table(path))
        except (pa.ArrowException, OSError) as error:
            raise TableError(f"{path.name}: expected a Parquet file, but {error}.") from error
        return SourceTable(_check_typed(table, path.name))
    given = data.dialect
    csv = read_csv(
        path,
        encoding=given.encoding,
        delimiter=given.delimiter,
        guess_encoding=inspect,
    )
    decimal = given.decimal
    if inspect and decimal is None and detect_decimal_sign(csv.table) == ",":
        decimal = ","
    dialect = DialectSection(delimiter=csv.delimiter, encoding=csv.encoding, decimal=decimal)
    return SourceTable(csv.table, dialect, csv.notes)


def _check_file(path: Path, root: Path) -> None:
    """Raise TableError unless a file can be read, lies in the project and fits in memory."""
    shown = path.relative_to(root) if path.is_relative_to(root) else path
    try:
        state = path.stat()
    except FileNotFoundError as error:
        raise TableError(f"{shown}: no such file (looked in {root}). Check its name.") from error
    except OSError as error:
        raise TableError(f"{shown}: cannot be reached: {error.strerror}.") from error
    if not stat.S_ISREG(state.st_mode):
        raise TableError(f"{shown}: expected a file, found a folder or a device.")
    if path.is_relative_to(root) and not path.resolve().is_relative_to(root.resolve()):
        raise TableError(f"{shown}: a link that leaves the project; give the path it points to.")
    if not os.access(path, os.R_OK):
        raise TableError(f"{shown}: may not be read; check its permissions.")
    if state.st_size == 0:
        raise TableError(f"{shown}: the file is empty; expected a header and rows.")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    needed = state.st_size * MEMORY_PER_FILE_BYTE
    if needed > memory:
        raise TableError(
            f"{path.name}: needs about {needed / 2**30:.0f} GB of memory, this machine has "
            f"{memory / 2**30:.0f}; use Parquet or a sample."
        )


def _check_typed(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return a table of a Parquet file or a query: names in one form, and bytes as text."""
    names = pd.Index([clean_text(str(column)) for column in table.columns])
    twice = sorted(set(names[names.str.casefold().duplicated(keep=False)]))
    if twice:
        raise TableError(
            f"{name}: names of columns are nearly equal: {quote_list(twice)}; rename them."
        )
    if "" in names:
        raise TableError(f"{name}: a column has no name; name it.")
    if table.empty:
        raise TableError(f"{name}: 0 rows; expected at least one.")
    table = table.set_axis(names, axis="columns")
    for index, (column, cells) in enumerate(table.items()):
        if cells.dtype == object and infer_dtype(cells, skipna=True) == "bytes":
            try:
                words = cells.map(bytes.decode, na_action="ignore")
            except UnicodeDecodeError as error:
                raise TableError(
                    f"{name}: column {column!r} holds bytes that are no text in UTF-8; write it as "
                    "text or numbers, or leave it out."
                ) from error
            table.isetitem(index, words.array)
    return table


def _to_pandas(content: pa.Table) -> pd.DataFrame:
    """Return a table of Parquet; integers with gaps become floats where no digit is lost."""
    table: pd.DataFrame = content.to_pandas(ignore_metadata=True)
    for index, cells in enumerate(content.columns):
        if pa.types.is_integer(cells.type) and cells.null_count:
            whole = pd.Series(cells.to_pylist(), dtype=object).astype(
                "UInt64" if pa.types.is_unsigned_integer(cells.type) else "Int64"
            )
            if _is_long(whole):
                table.isetitem(index, whole.array)
    return table


def _is_long(whole: pd.Series) -> bool:
    """Return whether float64 cannot hold all integers of a column."""
    return bool((whole.abs() > LARGEST_EXACT_INTEGER).any())


def _decimals_to_floats(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose decimals are floats, except where digits would be lost."""
    for index, (_, cells) in enumerate(table.items()):
        if infer_dtype(cells, skipna=True) == "decimal":
            floats = cells.astype("float64")
            pairs = zip(cells[floats.notna()], floats.dropna(), strict=True)
            if all(Decimal(repr(number)) == cell for cell, number in pairs):
                table.isetitem(index, floats.to_numpy())
    return table


def _read_query(path: Path, address_variable: str | None) -> pd.DataFrame:
    from sqlalchemy import create_engine, make_url, text
    from sqlalchemy.exc import SQLAlchemyError

    if address_variable is None:
        raise TableError(
            f"{path.name}: a query needs a database; name the environment variable that holds its "
            "address, as in `--address-variable DATABASE_URL`."
        )
    address = os.environ.get(address_variable)
    if not address:
        raise TableError(
            f"{path.name}: the environment variable {address_variable} is not set; it has to hold "
            "the address of the database."
        )
    try:
        url = make_url(address)
        if url.drivername in ("postgresql", "postgres"):  # without a driver: the one we install
            url = url.set(drivername="postgresql+psycopg")
        engine = create_engine(url)
        with engine.connect() as connection:
            # a colon is a part of the query: none of its words is a parameter
            query = path.read_text(encoding="utf-8").replace(":", r"\:")
            found = connection.execute(text(query))
            rows, names = [tuple(row) for row in found], list(found.keys())
        engine.dispose()
    except (SQLAlchemyError, ImportError) as error:
        reason = str(getattr(error, "orig", None) or type(error).__name__).replace(address, "...")
        if isinstance(error, ModuleNotFoundError):
            reason = f"the library {error.name} is not installed"
        raise TableError(
            f"{path.name}: the query failed: {reason}. Check the query, and the address in the "
            f"environment variable {address_variable}."
        ) from error
    # pandas' own reader makes floats of integers beside NULL, which loses digits of long ones
    table = pd.DataFrame(rows, columns=names, dtype=object)
    for index, (_, cells) in enumerate(list(table.items())):
        is_integer = infer_dtype(cells, skipna=True) == "integer"
        known = cells.dropna()
        if is_integer and len(known) < len(cells) and _is_long(known):
            whole = cells.astype("Int64" if (known < 0).any() else "UInt64")
        else:
            whole = cells.infer_objects()
        table.isetitem(index, whole.array)
    return _decimals_to_floats(table)
