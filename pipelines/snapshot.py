"""Take a version of the source table.

Reads the source that params.yaml names. Writes paths.source and its DVC pointer, and paths.plan
where there is none; copies versions to DVC's remote where there is one. A source that has not
changed gives the same version. Where data.existing_model is set, that model's predictions become
the column `existing_system`.
"""

import filecmp
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipelines.core.plans import Plan
from pipelines.example import training_table
from pipelines.params import load_params
from pipelines.sections import Params
from pipelines.stores import versions
from pipelines.stores.files import write_record, write_table
from pipelines.stores.sources import EXISTING, read_source

EXAMPLE = "example"


@dataclass(frozen=True)
class Snapshot:
    """A version of the source table.

    Attributes
    ----------
    version : str
        The md5 that DVC keeps it under.
    changed : bool
        Whether it differs from the last one.
    rows : int
    pushed : bool, optional
        Whether anything had to be copied to the remote; None without a remote.
    """

    version: str
    changed: bool
    rows: int
    pushed: bool | None


def take_snapshot(root: Path) -> Snapshot:
    """Take a version of the project's source table.

    Parameters
    ----------
    root : Path
        The project's folder.

    Raises
    ------
    TableError
        Where the source cannot be read.
    BusyError
        Where the remote cannot be reached; the version is kept here and copied next time.
    """
    params = load_params(root)
    table = _source_table(params, root)
    changed = _replace_if_changed(params.paths.source, table)
    if not params.paths.plan.exists():
        write_record(params.paths.plan, Plan())
    versions.ensure_project(root)
    version = versions.add(root, params.paths.source)
    return Snapshot(version, changed, len(table), versions.push(root))


def _source_table(params: Params, root: Path) -> pd.DataFrame:
    data = params.data
    table = training_table() if data.source == EXAMPLE else read_source(data, root)
    if data.existing_model is None:
        return table
    from pipelines.stores.existing import existing_predictions
    from pipelines.stores.tracking import open_store

    store = open_store(params.paths.state, params.registry.name)
    said = existing_predictions(store, data.existing_model, table=table, positive=data.positive)
    return table.assign(**{EXISTING: said.to_numpy()})


def _replace_if_changed(path: Path, table: pd.DataFrame) -> bool:
    beside = path.with_name(f".{path.name}.new")
    write_table(beside, table)
    if path.is_file() and filecmp.cmp(beside, path, shallow=False):
        beside.unlink()
        return False
    beside.replace(path)
    return True
