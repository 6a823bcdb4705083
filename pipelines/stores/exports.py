"""The prediction log as a file."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.core.log_frames import effective, frame_of
from pipelines.stores.database import Log, reading
from pipelines.stores.log_tables import PREDICTIONS
from pipelines.stores.predictions import ANSWER, AT_ONCE, labelled_query, within
from pipelines.stores.replacing import replaced_file


def export_log(
    log: Log, path: Path, *, start: datetime | None, end: datetime | None, classes: Sequence[str]
) -> int:
    """Return how many predictions were written to a Parquet file, as `read_log` with inputs."""
    query = labelled_query(ANSWER, [PREDICTIONS.c.inputs]).where(*within(log, start, end))
    n_rows = 0
    with reading(log) as connection, replaced_file(path) as file:
        result = connection.execute(query, execution_options={"stream_results": True})
        names = list(result.keys())
        schema = pa.Schema.from_pandas(frame_of([], names, classes=classes))
        with pq.ParquetWriter(file, schema) as writer:
            for rows in _whole_ids(result):
                frame = effective(frame_of(rows, names, classes=classes))
                writer.write_table(pa.Table.from_pandas(frame, schema, preserve_index=False))
                n_rows += len(frame)
    return n_rows


def _whole_ids(result: Any) -> Iterator[list[Any]]:
    """Yield rows some at a time, never parting those of one id."""
    rest: list[Any] = []
    for some in result.partitions(AT_ONCE):
        rows = [*rest, *some]
        cut = next((n for n in range(len(rows), 0, -1) if rows[n - 1].id != rows[-1].id), 0)
        rest = rows[cut:]
        yield rows[:cut]
    yield rest
