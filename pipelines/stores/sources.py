"""Source tables: CSV files cell by cell, Parquet files and SQL queries typed as they come."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.core.breaches import breach_text, listed
from pipelines.core.declared import Declared
from pipelines.core.kinds import decimal_of
from pipelines.core.prepared import Prepared
from pipelines.core.preparing import prepare
from pipelines.errors import TableError
from pipelines.sections import Data, Dialect
from pipelines.stores.dialects import (
    Written,
    check_memory,
    checked_file,
    csv_bytes,
    likely_encoding,
    marked_encoding,
    writing_notes,
    written,
)
from pipelines.stores.layouts import table_of

PARQUET = frozenset({".parquet", ".pq"})
QUERY = ".sql"
EXISTING = "existing_system"


@dataclass(frozen=True, eq=False)
class Looked:
    """A source table, how its file is written, and what is worth a note about that."""

    table: pd.DataFrame
    dialect: Dialect = field(default_factory=Dialect)
    notes: tuple[str, ...] = ()


def read_source(data: Data, root: Path) -> pd.DataFrame:
    """Return the source table that params.yaml names.

    Parameters
    ----------
    data : Data
        `source` is a path, seen from the project's folder.
    root : Path
        The project's folder.

    Returns
    -------
    DataFrame
        From a CSV file every cell is text exactly as it is written, an empty cell "". From a
        Parquet file or a query the types are those of the source.

    Raises
    ------
    TableError
        Where the source cannot be read, or its header or layout has faults.
    """
    path = checked_file(root / data.source, root)
    if _is_csv(path):
        return table_of(_written(path, data.dialect, encoding_of=marked_encoding), path.name)
    return _typed(path, data)


def look_at_source(data: Data, root: Path) -> Looked:
    """Return the source table, and by a look what its dialect leaves open, its encoding included.

    Raises
    ------
    TableError
        Where the source cannot be read, or its header or layout has faults.
    """
    path = checked_file(root / data.source, root)
    if not _is_csv(path):
        return Looked(_typed(path, data))
    how = _written(path, data.dialect, encoding_of=likely_encoding)
    table = table_of(how, path.name)
    decimal = data.dialect.decimal or decimal_of(table)
    dialect = Dialect(delimiter=how.delimiter, encoding=how.encoding, decimal=decimal)
    return Looked(table, dialect, writing_notes(how))


def _is_csv(path: Path) -> bool:
    return path.suffix.lower() not in {QUERY, *PARQUET}


def _written(path: Path, dialect: Dialect, *, encoding_of: Callable[[bytes], str]) -> Written:
    content = csv_bytes(path)
    encoding = dialect.encoding or encoding_of(content)
    return written(content, path.name, encoding=encoding, delimiter=dialect.delimiter)


def _typed(path: Path, data: Data) -> pd.DataFrame:
    if path.suffix.lower() == QUERY:
        return _checked(read_query(path, data.address_variable), path.name)
    return _checked(read_parquet(path), path.name)


def read_parquet(path: Path) -> pd.DataFrame:
    """Return the table of a Parquet file, its index, if any, as a column.

    Raises
    ------
    TableError
        Where it is no Parquet file, or too large for memory.
    """
    check_memory(path)
    try:
        table: pd.DataFrame = pq.read_table(path).to_pandas(ignore_metadata=True)
    except (pa.ArrowException, OSError) as error:
        raise TableError(f"{path.name}: expected a Parquet file, but {error}.") from error
    return table


def read_query(path: Path, address_variable: str | None) -> pd.DataFrame:
    """Return what the query in a .sql file gives; put ORDER BY in it for rows in a stable order.

    Parameters
    ----------
    path : Path
    address_variable : str
        The environment variable that holds the database's address, which is never shown.

    Raises
    ------
    TableError
        Where no variable is named or set, or the database refuses the query.
    """
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import SQLAlchemyError

    address = _address(path, address_variable)
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


def _address(path: Path, address_variable: str | None) -> str:
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
    return address


def _checked(table: pd.DataFrame, name: str) -> pd.DataFrame:
    names = pd.Index([str(column).strip() for column in table.columns])
    twice = sorted(set(names[names.str.lower().duplicated(keep=False)]))
    if twice:
        raise TableError(
            f"{name}: names of columns are nearly equal: {listed(twice)}; rename them."
        )
    if "" in names:
        raise TableError(f"{name}: a column has no name; name it.")
    if table.empty:
        raise TableError(f"{name}: 0 rows; expected at least one.")
    return table.set_axis(names, axis="columns")


def usable(raw: pd.DataFrame, declared: Declared, *, source: str) -> Prepared:
    """Return the clean table of a raw one.

    Parameters
    ----------
    raw : DataFrame
    declared : Declared
    source : str
        Where it comes from, as params.yaml names it.

    Raises
    ------
    TableError
        Where the table has faults; the message lists them.
    """
    prepared, breaches = prepare(raw, declared)
    if prepared is None:
        raise TableError(f"{source}: the table cannot be used.\n{breach_text(breaches)}")
    return prepared


def declared_of(data: Data, raw: pd.DataFrame) -> Declared:
    """Return what params.yaml says about a table, its decimal sign by a look where it is open."""
    return Declared(
        target=data.target,
        task=data.task,
        positive=data.positive,
        identifier=data.identifier,
        time=data.time,
        group=data.group,
        human=data.human_column,
        existing=EXISTING if data.existing_model else data.existing_column,
        ignore=data.ignore,
        columns=data.columns,
        missing_values=data.missing_values,
        decimal=data.dialect.decimal or decimal_of(raw),
    )
