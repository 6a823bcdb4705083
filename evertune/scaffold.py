"""Configure a project for a table: inspect it and write what was found to params.yaml.

`configure_project` writes the section `data` and `registry.name`. A table that cannot be used
changes nothing. What params.yaml already says about the same source stays as it is.
"""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from evertune.config.loader import load_params
from evertune.config.schema import DataSection
from evertune.config.yaml_file import edit_section
from evertune.data.example import training_table
from evertune.data.profiling import TableProfile, find_identifier, profile_table
from evertune.data.readers import SourceTable, clean_or_raise, inspect_source, spec_from_params
from evertune.data.schema import PreparedTable, TableSchema, TableSpec
from evertune.errors import TableError
from evertune.project import registry_name

EXAMPLE_SOURCE = "example"
PACKAGED_FOLDER = Path(__file__).parent / "_project"


def template_folder() -> Path:
    """Return the folder whose flows, pipelines and dvc.yaml a new project gets.

    It is part of the wheel. An editable installation has them beside the package.
    """
    return PACKAGED_FOLDER if PACKAGED_FOLDER.is_dir() else Path(__file__).parents[1]


def configure_project(
    root: Path,
    file: str,
    *,
    target: str,
    positive: str | None = None,
    identifier: str | None = None,
    time: str | None = None,
    group: str | None = None,
    address_variable: str | None = None,
) -> TableProfile:
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
    said = _current_data_section(root, source_from_root(file, root), target).model_copy(
        update=roles | {"positive": positive or "auto", "address_variable": address_variable}
    )
    looked = load_source(said, root)
    prepared, declared = _prepare_source(
        looked.table, said.model_copy(update={"dialect": looked.dialect})
    )
    section = _data_section_values(said, prepared, looked)
    edit_section(root / "params.yaml", "data", section)
    edit_section(root / "params.yaml", "registry", {"name": registry_name(file)})
    found = profile_table(
        looked.table, prepared, declared, today=datetime.now(UTC).replace(tzinfo=None)
    )
    return replace(found, notes=(*looked.notes, *found.notes))


def source_from_root(file: str, root: Path) -> str:
    """Return how params.yaml names a file: from the project's folder where it lies inside it."""
    if file == EXAMPLE_SOURCE:
        return file
    path = Path(file).absolute()
    return str(path.relative_to(root.absolute()) if path.is_relative_to(root.absolute()) else path)


def _current_data_section(root: Path, source: str, target: str) -> DataSection:
    """Return what params.yaml says about this very source, else nothing but source and target."""
    known = load_params(root).data
    if known.source != source:
        return DataSection(source=source, target=target)
    return known if known.target == target else known.model_copy(update={"task": "auto"})


def load_source(data: DataSection, root: Path) -> SourceTable:
    """Return the table that is to be used, and how it is written."""
    return (
        SourceTable(training_table())
        if data.source == EXAMPLE_SOURCE
        else inspect_source(data, root)
    )


def _prepare_source(raw: pd.DataFrame, data: DataSection) -> tuple[PreparedTable, TableSpec]:
    declared = spec_from_params(data, raw)
    if declared.target in raw.columns and declared.identifier is None:
        declared = replace(declared, identifier=find_identifier(raw, declared))
    prepared = clean_or_raise(raw, declared, source=data.source)
    _check_positive(data, prepared.schema)
    return prepared, declared


def _check_positive(data: DataSection, schema: TableSchema) -> None:
    if data.positive == "auto" or schema.task == "binary":
        return
    raise TableError(
        f"{data.source}: expected a target with two classes, one of them {data.positive!r}, but"
        f" {schema.target!r} makes a {schema.task} task. Leave --positive out, or choose a target"
        " with two values."
    )


def _data_section_values(
    data: DataSection, prepared: PreparedTable, looked: SourceTable
) -> dict[str, object]:
    schema = prepared.schema
    return data.model_dump(mode="json") | {
        "identifier": schema.identifier,
        "task": schema.task,
        "positive": schema.classes[1] if schema.task == "binary" else "auto",
        "columns": {column.name: column.kind for column in schema.features},
        "dialect": looked.dialect.model_dump(exclude_none=True),
    }
