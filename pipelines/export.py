"""Write the prediction log to a Parquet file.

Reads the prediction log and the champion. Writes the file that is named.
"""

from datetime import datetime
from pathlib import Path

from pipelines.params import load_params
from pipelines.stores.database import opened_log
from pipelines.stores.exports import export_log
from pipelines.stores.schemas import champion_schema
from pipelines.stores.tracking import open_store


def export(
    root: Path, path: Path, *, start: datetime | None = None, end: datetime | None = None
) -> int:
    """Return how many predictions were written, with their inputs and labels.

    Parameters
    ----------
    root : Path
        The project's folder.
    path : Path
        A Parquet file.
    start, end : datetime, optional
        Only predictions whose moment is at or after `start` and before `end`.

    Raises
    ------
    StageError
        Where there is no champion yet, whose classes the columns are about.
    """
    params = load_params(root)
    state, name = params.paths.state, params.registry.name
    classes = champion_schema(open_store(state, name)).classes
    with opened_log(state, model=name, variable=params.scoring.log_variable) as log:
        return export_log(log, path, start=start, end=end, classes=classes)
