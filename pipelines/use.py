"""Point the project at a table.

Reads the table. Writes the section `data` of params.yaml, and registry.name. A table that cannot be
used changes nothing.
"""

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from pipelines.core.declared import Declared
from pipelines.core.prepared import Prepared
from pipelines.core.profiles import Profile, likely_identifier, profile
from pipelines.core.schema import Schema
from pipelines.errors import TableError
from pipelines.example import training_table
from pipelines.params import load_params
from pipelines.sections import Data
from pipelines.stores.documents import edit_section
from pipelines.stores.sources import Looked, declared_of, look_at_source, usable

EXAMPLE = "example"
ENDINGS = re.compile(r"(\.(csv|tsv|txt|gz|parquet|pq|sql))+$", re.IGNORECASE)


def use(  # noqa: PLR0913
    root: Path,
    file: str,
    *,
    target: str,
    positive: str | None = None,
    identifier: str | None = None,
    time: str | None = None,
    group: str | None = None,
    address_variable: str | None = None,
) -> Profile:
    """Look at a table, write what was found to params.yaml, and return it.

    What params.yaml says about the same source beyond the arguments (kinds of columns, columns to
    ignore, words that mean missing, the dialect) stays as it is.

    Parameters
    ----------
    root : Path
        The project's folder.
    file : str
        A CSV, Parquet or .sql file, from the working directory or absolute; or `example`.
    target, identifier, time, group : str
        Names of columns.
    positive : str, optional
        The class of interest; the rarer one where it is None.
    address_variable : str, optional
        Of a .sql file: the environment variable that holds the database's address.

    Raises
    ------
    TableError
        Where the table cannot be used; params.yaml stays as it was.
    """
    roles = {"target": target, "identifier": identifier, "time": time, "group": group}
    said = _standing(root, source_of(file, root), target).model_copy(
        update=roles | {"positive": positive or "auto", "address_variable": address_variable}
    )
    looked = look(said, root)
    prepared, declared = _prepared(
        looked.table, said.model_copy(update={"dialect": looked.dialect})
    )
    section = _section(said, prepared, looked)
    edit_section(root / "params.yaml", "data", section)
    edit_section(root / "params.yaml", "registry", {"name": registry_name(file)})
    found = profile(looked.table, prepared, declared, today=datetime.now(UTC).replace(tzinfo=None))
    return replace(found, notes=(*looked.notes, *found.notes))


def source_of(file: str, root: Path) -> str:
    """Return how params.yaml names a file: from the project's folder where it lies inside it."""
    if file == EXAMPLE:
        return file
    path = Path(file).absolute()
    return str(path.relative_to(root.absolute()) if path.is_relative_to(root.absolute()) else path)


def registry_name(file: str) -> str:
    """Return a file's name without its endings, as a name that the registry accepts."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", ENDINGS.sub("", Path(file).name)).strip("-_.")
    return plain or "model"


def _standing(root: Path, source: str, target: str) -> Data:
    """Return what params.yaml says about this very source, else nothing but source and target."""
    known = load_params(root).data
    if known.source != source:
        return Data(source=source, target=target)
    return known if known.target == target else known.model_copy(update={"task": "auto"})


def look(data: Data, root: Path) -> Looked:
    """Return the table that is to be used, and how it is written."""
    return Looked(training_table()) if data.source == EXAMPLE else look_at_source(data, root)


def _prepared(raw: pd.DataFrame, data: Data) -> tuple[Prepared, Declared]:
    declared = declared_of(data, raw)
    if declared.target in raw.columns and declared.identifier is None:
        declared = replace(declared, identifier=likely_identifier(raw, declared))
    prepared = usable(raw, declared, source=data.source)
    _check_positive(data, prepared.schema)
    return prepared, declared


def _check_positive(data: Data, schema: Schema) -> None:
    if data.positive == "auto" or schema.task == "binary":
        return
    raise TableError(
        f"{data.source}: expected a target with two classes, one of them {data.positive!r}, but"
        f" {schema.target!r} makes a {schema.task} task. Leave --positive out, or choose a target"
        " with two values."
    )


def _section(data: Data, prepared: Prepared, looked: Looked) -> dict[str, object]:
    schema = prepared.schema
    return data.model_dump(mode="json") | {
        "identifier": schema.identifier,
        "task": schema.task,
        "positive": schema.classes[1] if schema.task == "binary" else "auto",
        "columns": {column.name: column.kind for column in schema.features},
        "dialect": looked.dialect.model_dump(exclude_none=True),
    }
