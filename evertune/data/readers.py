"""Read source tables: CSV files as text cells, Parquet files and SQL queries with their types.

`read_source` reads what params.yaml names; `inspect_source` also detects the dialect that it
leaves open. The address of a database is read from an environment variable and never shown.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from evertune.config.schema import DataSection, DialectSection
from evertune.data.cleaning import prepare_table
from evertune.data.csv_dialects import (
    CsvText,
    bom_encoding,
    check_file,
    check_memory,
    csv_notes,
    decode_csv,
    detect_encoding,
    parse_csv,
    read_csv_bytes,
)
from evertune.data.inference import detect_decimal_sign
from evertune.data.schema import PreparedTable, TableSpec
from evertune.data.validation import format_issues, quote_list
from evertune.errors import TableError

PARQUET_SUFFIXES = frozenset({".parquet", ".pq"})
QUERY_SUFFIX = ".sql"
EXISTING_SYSTEM_COLUMN = "existing_system"


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
    data : DataSection
        `source` is relative to the project's folder.
    root : Path
        The project's folder.

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
    path = check_file(root / data.source, root)
    if _is_typed(path):
        return _read_typed(path, data)
    return parse_csv(_read_csv_text(path, data.dialect, encoding_of=bom_encoding), path.name)


def inspect_source(data: DataSection, root: Path) -> SourceTable:
    """Return the source table, and detect the dialect that params.yaml leaves open.

    Raises
    ------
    TableError
        The source cannot be read, or its header or layout has faults.
    """
    path = check_file(root / data.source, root)
    if _is_typed(path):
        return SourceTable(_read_typed(path, data))
    written = _read_csv_text(path, data.dialect, encoding_of=detect_encoding)
    table = parse_csv(written, path.name)
    decimal = data.dialect.decimal or detect_decimal_sign(table)
    dialect = DialectSection(
        delimiter=written.delimiter, encoding=written.encoding, decimal=decimal
    )
    return SourceTable(table, dialect, csv_notes(written))


def spec_from_params(data: DataSection, raw: pd.DataFrame) -> TableSpec:
    """Return the table spec of params.yaml; the decimal sign is detected if it is open."""
    return TableSpec(
        target=data.target,
        task=data.task,
        positive=data.positive,
        identifier=data.identifier,
        time=data.time,
        group=data.group,
        human=data.human_column,
        existing=EXISTING_SYSTEM_COLUMN if data.existing_model else data.existing_column,
        ignore=data.ignore,
        columns=data.columns,
        missing_values=data.missing_values,
        decimal=data.dialect.decimal or detect_decimal_sign(raw),
    )


def clean_or_raise(raw: pd.DataFrame, spec: TableSpec, *, source: str) -> PreparedTable:
    """Return the clean table of a raw one.

    Parameters
    ----------
    source : str
        Where it comes from, as params.yaml names it.

    Raises
    ------
    TableError
        The table has faults; the message lists them.
    """
    prepared, issues = prepare_table(raw, spec)
    if prepared is None:
        raise TableError(f"{source}: the table cannot be used.\n{format_issues(issues)}")
    return prepared


def _is_typed(path: Path) -> bool:
    return path.suffix.lower() in {QUERY_SUFFIX, *PARQUET_SUFFIXES}


def _read_csv_text(
    path: Path, dialect: DialectSection, *, encoding_of: Callable[[bytes], str]
) -> CsvText:
    content = read_csv_bytes(path)
    encoding = dialect.encoding or encoding_of(content)
    return decode_csv(content, path.name, encoding=encoding, delimiter=dialect.delimiter)


def _read_typed(path: Path, data: DataSection) -> pd.DataFrame:
    if path.suffix.lower() == QUERY_SUFFIX:
        table = _read_query(path, data.address_variable)
    else:
        check_memory(path)
        try:
            table = pq.read_table(path).to_pandas(ignore_metadata=True)
        except (pa.ArrowException, OSError) as error:
            raise TableError(f"{path.name}: expected a Parquet file, but {error}.") from error
    names = pd.Index([str(column).strip() for column in table.columns])
    twice = sorted(set(names[names.str.lower().duplicated(keep=False)]))
    if twice:
        raise TableError(
            f"{path.name}: names of columns are nearly equal: {quote_list(twice)}; rename them."
        )
    if "" in names:
        raise TableError(f"{path.name}: a column has no name; name it.")
    if table.empty:
        raise TableError(f"{path.name}: 0 rows; expected at least one.")
    return table.set_axis(names, axis="columns")


def _read_query(path: Path, address_variable: str | None) -> pd.DataFrame:
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import SQLAlchemyError

    if address_variable is None:
        raise TableError(
            f"{path.name}: a query needs a database; set data.address_variable in params.yaml to "
            "the name of the environment variable that holds its address."
        )
    address = os.environ.get(address_variable)
    if not address:
        raise TableError(
            f"{path.name}: the environment variable {address_variable} is not set; it has to hold "
            "the address of the database."
        )
    try:
        engine = create_engine(address)
        with engine.connect() as connection:
            table = pd.read_sql_query(text(path.read_text(encoding="utf-8")), connection)
        engine.dispose()
    except (SQLAlchemyError, pd.errors.DatabaseError, ImportError) as error:
        cause = error.__cause__ if isinstance(error, pd.errors.DatabaseError) else error
        reason = str(getattr(cause, "orig", None) or type(cause).__name__).replace(address, "...")
        raise TableError(
            f"{path.name}: the query failed: {reason}. Check the query, and the address in the "
            f"environment variable {address_variable}."
        ) from error
    return table
