"""Take a version of the labelled rows of production, as rows to learn from.

Reads the prediction log and the champion's schema. Writes paths.absorbed and its DVC pointer. The
same rows give the same version; rows that retention has removed from the log stay, and those of
windows whose data broke its contract are left out.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pandas as pd

from pipelines.core.absorbing import absorbed_rows, blocked_windows, outside
from pipelines.core.declared import MOMENT
from pipelines.core.findings import naive
from pipelines.core.log_frames import read_inputs
from pipelines.core.schema import Schema
from pipelines.errors import StageError
from pipelines.params import load_params
from pipelines.sections import Params
from pipelines.stores import registry, versions
from pipelines.stores.database import opened_log
from pipelines.stores.decisions import decisions
from pipelines.stores.files import read_table
from pipelines.stores.predictions import oldest_event, read_log
from pipelines.stores.snapshots import replaced_if_changed
from pipelines.stores.tracking import open_store


@dataclass(frozen=True)
class Absorbed:
    """A version of the labelled rows of production.

    Attributes
    ----------
    version : str
        The md5 that DVC keeps it under.
    changed : bool
        Whether it differs from the last one.
    rows : int
    """

    version: str
    changed: bool
    rows: int


def absorb(root: Path, *, now: datetime) -> Absorbed:
    """Take a version of the labelled rows of production.

    Parameters
    ----------
    root : Path
        The project's folder, of which a snapshot was taken; the caller holds its lock.
    now : datetime
        Later labels are not known yet.

    Raises
    ------
    StageError
        There is no champion, or it predicts something else than params.yaml says.
    BusyError
        MLflow or the log's database does not answer.
    """
    params = load_params(root)
    store = open_store(params.paths.state, params.registry.name)
    schema = registry.champion_model(store).schema
    if schema.target != params.data.target:
        raise StageError(
            f"expected the champion to predict '{params.data.target}', as data.target says, but it"
            f" predicts '{schema.target}': its labels cannot be learned from; run `evertune train`"
        )
    columns = list(read_table(params.paths.source).columns)
    rows = _labelled(params, schema, columns=columns, now=now)
    changed = replaced_if_changed(params.paths.absorbed, rows)
    version = versions.add(root, params.paths.absorbed)
    versions.push(root)
    return Absorbed(version, changed, len(rows))


def _labelled(
    params: Params, schema: Schema, *, columns: Collection[str], now: datetime
) -> pd.DataFrame:
    state, variable = params.paths.state, params.scoring.log_variable
    with opened_log(state, model=params.registry.name, variable=variable) as log:
        frame = read_log(log, None, None, classes=schema.classes, with_inputs=True, known_at=now)
        blocked = blocked_windows(decisions(log))
        oldest = oldest_event(log)
    frame = outside(frame, blocked).reset_index(drop=True)
    rows = absorbed_rows(frame, read_inputs(frame), schema, columns=columns)
    return _with_removed(rows, params.paths.absorbed, oldest=oldest)


def _with_removed(rows: pd.DataFrame, path: Path, *, oldest: datetime | None) -> pd.DataFrame:
    if not path.is_file():
        return rows
    before = read_table(path)
    removed = before if oldest is None else before[before[MOMENT] < naive(oldest)]
    return pd.concat([removed, rows], ignore_index=True) if len(removed) else rows
