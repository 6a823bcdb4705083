"""Remove from the prediction log what is older than its retention.

Reads and changes the prediction log alone: rows that were absorbed stay in their data versions.
"""

from datetime import datetime, timedelta
from pathlib import Path

from pipelines.params import load_params
from pipelines.stores.database import opened_log
from pipelines.stores.predictions import remove_older


def forget(root: Path, *, now: datetime) -> int:
    """Return how many predictions were removed, with their labels.

    Parameters
    ----------
    root : Path
        The project's folder.
    now : datetime
        What is older than `scoring.retention_days` before it goes; nothing where that is null.

    Raises
    ------
    BusyError
        The log's database does not answer.
    """
    params = load_params(root)
    days, state = params.scoring.retention_days, params.paths.state
    if days is None:
        return 0
    with opened_log(state, model=params.registry.name, variable=params.scoring.log_variable) as log:
        return remove_older(log, now - timedelta(days=days))
