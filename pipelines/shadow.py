"""Have another version predict a scored table beside the champion.

Reads the table, the champion before or a challenger. Writes what it says to the log, beside what
was answered: from both, monitoring tells whether the champion is worse.
"""

from datetime import datetime
from pathlib import Path

import pandas as pd

from pipelines.core.conforming import conform
from pipelines.core.log_frames import Logged, Shadow
from pipelines.core.model import predict
from pipelines.core.scored import logged_rows, named_rows
from pipelines.params import load_params
from pipelines.stores.champions import InUse, shadow_in_use
from pipelines.stores.database import opened_log
from pipelines.stores.predictions import append_shadow
from pipelines.stores.registry import champion
from pipelines.stores.tracking import Store, open_store


def shadow(root: Path, table: pd.DataFrame, *, now: datetime) -> int:
    """Return for how many rows another version's prediction is new in the log.

    Parameters
    ----------
    root : Path
        The project's folder.
    table : DataFrame of n rows
        As it was scored.
    now : datetime

    Raises
    ------
    StageError
        The other version's files are gone, or it does not predict its own example.
    """
    params = load_params(root)
    store = open_store(params.paths.state, params.registry.name)
    days = params.monitoring.policy.shadow_days
    other = _other(store, now, days=days) if params.scoring.shadow else None
    if other is None:
        return 0
    rows = [_said(row) for row in _logged(table, other, now)]
    variable = params.scoring.log_variable
    with opened_log(params.paths.state, model=store.name, variable=variable) as log:
        return append_shadow(log, rows, version=other.version.number)


def _other(store: Store, now: datetime, *, days: float) -> InUse | None:
    standing = champion(store)
    if standing is None:
        return None
    return shadow_in_use(store, None, beside=standing, now=now, days=days)


def _logged(table: pd.DataFrame, other: InUse, now: datetime) -> list[Logged]:
    clean, _ = conform(table, other.model.schema)
    said = predict(other.model.fitted, clean, other.model.schema)
    named = named_rows(table, other.model.schema)
    return logged_rows(named, clean, said, other.model.schema, now=now)


def _said(row: Logged) -> Shadow:
    return Shadow(row.id, row.value, row.probabilities)
