"""Make the clean table and its schema from the source table and labelled rows of production.

Reads paths.source and paths.absorbed. Writes paths.clean and paths.schema. Every fault of the
source is told in one error; columns that cannot be features are left out, rows without a target are
dropped, and both are printed.
"""

import sys

from pipelines.core.joining import Joined, joined
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
    declared = declared_of(data, raw)
    prepared = usable(raw, declared, source=data.source)
    found = joined(prepared, read_table(paths.absorbed), declared)
    write_table(paths.clean, found.clean)
    write_record(paths.table_schema, found.schema)
    sys.stdout.writelines(f"{line}\n" for line in [*summary(prepared), *absorbed_lines(found)])


def summary(prepared: Prepared) -> list[str]:
    """Return what was prepared and what was left out, as lines of text."""
    schema, clean = prepared.schema, prepared.clean
    lines = [f"{len(clean)} rows, {len(schema.features)} features, task {schema.task}"]
    if prepared.n_unlabelled:
        lines.append(f"{prepared.n_unlabelled} rows without a target were dropped")
    return [*lines, *(f"left out {name}: {why}" for name, why in prepared.excluded.items())]


def absorbed_lines(found: Joined) -> list[str]:
    """Return what came from production, as lines of text; none where nothing did."""
    lines = []
    if found.n_absorbed:
        again = f", {found.n_replaced} of them in the source too" if found.n_replaced else ""
        lines.append(f"{found.n_absorbed} rows of production{again}: {len(found.clean)} in all")
    if found.n_unusable:
        lines.append(f"{found.n_unusable} rows of production without time, group or known label")
    return lines + [
        f"production, {breach.column}: {breach.problem}; they count as missing"
        for breach in found.breaches
    ]


if __name__ == "__main__":
    raise SystemExit(run_stage(run))
