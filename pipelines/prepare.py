"""Make the clean table and its schema from the source table.

Reads paths.source. Writes paths.clean and paths.schema. Every fault of the table is told in one
error; columns that cannot be features are left out, rows without a target are dropped, and both are
printed.
"""

import sys

from pipelines.core.prepared import Prepared
from pipelines.params import run_stage
from pipelines.sections import Data, Paths
from pipelines.stores.files import read_table, write_record, write_table
from pipelines.stores.sources import declared_of, usable


def run(*, paths: Paths, data: Data) -> None:
    """Prepare the source table.

    Raises
    ------
    TableError
        Where the table has faults; the message lists them.
    """
    raw = read_table(paths.source)
    prepared = usable(raw, declared_of(data, raw), source=data.source)
    write_table(paths.clean, prepared.clean)
    write_record(paths.table_schema, prepared.schema)
    sys.stdout.writelines(f"{line}\n" for line in summary(prepared))


def summary(prepared: Prepared) -> list[str]:
    """Return what was prepared and what was left out, as lines of text."""
    schema, clean = prepared.schema, prepared.clean
    lines = [f"{len(clean)} rows, {len(schema.features)} features, task {schema.task}"]
    if prepared.n_unlabelled:
        lines.append(f"{prepared.n_unlabelled} rows without a target were dropped")
    return [*lines, *(f"left out {name}: {why}" for name, why in prepared.excluded.items())]


if __name__ == "__main__":
    raise SystemExit(run_stage(run))
