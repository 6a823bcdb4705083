"""Take a version of the source table.

Reads the source that params.yaml names. Writes paths.source and its DVC pointer, and where there
are none paths.plan and an empty paths.absorbed; copies versions to DVC's remote where there is one.
A source that has not changed gives the same version. Where data.existing_model is set, that model's
predictions become the column `existing_system`.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipelines.core.declared import MOMENT
from pipelines.core.plans import Plan
from pipelines.example import training_table
from pipelines.params import load_params
from pipelines.sections import Data, Params
from pipelines.stores import versions
from pipelines.stores.files import write_record
from pipelines.stores.snapshots import replaced_if_changed
from pipelines.stores.sources import EXISTING, declared_of, read_source, usable

EXAMPLE = "example"
QUICK_BYTES = 50_000_000


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
    table = _source_table(params.data, root)
    if params.data.existing_model is not None:
        table = _with_existing(table, params)
    changed = replaced_if_changed(params.paths.source, table)
    if not params.paths.plan.exists():
        write_record(params.paths.plan, Plan())
    versions.ensure_project(root)
    if not params.paths.absorbed.exists():
        nothing = pd.DataFrame({MOMENT: pd.Series(dtype="datetime64[us]")})
        replaced_if_changed(params.paths.absorbed, nothing)
        versions.add(root, params.paths.absorbed)
    version = versions.add(root, params.paths.source)
    return Snapshot(version, changed, len(table), versions.push(root))


def check_source(root: Path) -> None:
    """Refuse a table that cannot be used before anything is started for it; nothing is written.

    A query, and a file of more than 50 MB, is left to `take_snapshot`.

    Raises
    ------
    TableError
        Where the source cannot be read, or the table has faults.
    """
    data = load_params(root).data.model_copy(update={"existing_model": None})
    file = root / data.source
    if data.address_variable is None and not (file.is_file() and file.stat().st_size > QUICK_BYTES):
        raw = _source_table(data, root)
        usable(raw, declared_of(data, raw), source=data.source)


def _source_table(data: Data, root: Path) -> pd.DataFrame:
    return training_table() if data.source == EXAMPLE else read_source(data, root)


def _with_existing(table: pd.DataFrame, params: Params) -> pd.DataFrame:
    from pipelines.stores.existing import existing_predictions
    from pipelines.stores.tracking import open_store

    data, store = params.data, open_store(params.paths.state, params.registry.name)
    said = existing_predictions(
        store, str(data.existing_model), table=table, positive=data.positive
    )
    return table.assign(**{EXISTING: said.to_numpy()})
