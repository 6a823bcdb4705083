"""Take a version of the source table with DVC.

Reads the source that params.yaml names, and the model data.existing_model, whose predictions become
the column `existing_system`. Writes paths.source with its DVC pointer and, where there is none yet,
an empty paths.production_labels; copies versions to the DVC remote if there is one. A source that
has not changed gives the same version; new rows begin a new search, for which paths.plan is
written anew.

`check_source` finds faults of the table before anything is started, and writes nothing.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from evertune.config.loader import load_params
from evertune.config.schema import DataSection, Params, PathsSection
from evertune.data.example import training_table
from evertune.data.readers import (
    EXISTING_SYSTEM_COLUMN,
    clean_or_raise,
    read_source,
    spec_from_params,
)
from evertune.data.schema import MOMENT_COLUMN
from evertune.failpoints import failpoint
from evertune.files import write_record, write_table_if_changed
from evertune.plan import Plan
from evertune.versioning import dvc

EXAMPLE = "example"
MAX_CHECKED_BYTES = 50_000_000


@dataclass(frozen=True)
class Snapshot:
    """A version of the source table.

    Attributes
    ----------
    version : str
        The md5 that DVC keeps it under.
    changed : bool
        Whether it differs from the last one.
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
        table = _with_existing_predictions(table, params)
    changed = write_snapshot(params.paths, table)
    dvc.ensure_project(root)
    labels = params.paths.production_labels
    if not labels.with_name(f"{labels.name}.dvc").exists():
        dvc.add_file(root, labels)
    version = dvc.add_file(root, params.paths.source)
    failpoint("snapshot.versioned")
    return Snapshot(version, changed, len(table), dvc.push_to_remote(root))


def write_snapshot(paths: PathsSection, table: pd.DataFrame) -> bool:
    """Write the source table and, where it is new, the plan of a new search before it.

    Where there are none yet, a plan and an empty table of labels are written, too.

    Returns
    -------
    bool
        Whether the source table is another than before.
    """

    def begin_new_search() -> None:
        write_record(paths.plan, Plan())
        failpoint("snapshot.plan_reset")

    changed = write_table_if_changed(paths.source, table, before=begin_new_search)
    failpoint("snapshot.written")
    if not paths.plan.exists():
        write_record(paths.plan, Plan())
    if not paths.production_labels.exists():
        nothing = pd.DataFrame({MOMENT_COLUMN: pd.Series(dtype="datetime64[us]")})
        write_table_if_changed(paths.production_labels, nothing)
    return changed


def preview_source(root: Path) -> pd.DataFrame | None:
    """Return the table that a snapshot would take now, refused as `check_source` refuses it.

    None where only a snapshot can tell: of a query, and where `data.existing_model` predicts.

    Raises
    ------
    TableError
        Where the source cannot be read, or the table has faults.
    """
    data = load_params(root).data
    if data.address_variable is not None or data.existing_model is not None:
        return None
    raw = _source_table(data, root)
    if data.source == EXAMPLE or (root / data.source).stat().st_size <= MAX_CHECKED_BYTES:
        clean_or_raise(raw, spec_from_params(data, raw), source=data.source)
    return raw


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
    if data.address_variable is None and not (
        file.is_file() and file.stat().st_size > MAX_CHECKED_BYTES
    ):
        raw = _source_table(data, root)
        clean_or_raise(raw, spec_from_params(data, raw), source=data.source)


def _source_table(data: DataSection, root: Path) -> pd.DataFrame:
    return training_table() if data.source == EXAMPLE else read_source(data, root)


def _with_existing_predictions(table: pd.DataFrame, params: Params) -> pd.DataFrame:
    from evertune.registry.mlflow_registry import open_registry, predict_with_registered_model

    data, store = params.data, open_registry(params)
    predictions = predict_with_registered_model(
        store, str(data.existing_model), table=table, positive=data.positive
    )
    return table.assign(**{EXISTING_SYSTEM_COLUMN: predictions.to_numpy()})
