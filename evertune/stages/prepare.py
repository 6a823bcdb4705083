"""Stage `prepare`: make the clean table and its schema from the source and production rows.

Reads paths.source and paths.production_labels (labelled rows of production). Writes paths.clean and
paths.schema. All faults of the source are reported in one error. Columns that cannot be
features are left out and rows without a target are dropped; both are printed.
"""

import sys

from evertune.config.schema import DataSection, PathsSection
from evertune.data.feedback import MergedTable, merge_feedback
from evertune.data.readers import clean_or_raise, spec_from_params
from evertune.data.schema import PreparedTable
from evertune.files import read_table, write_record, write_table


def run(*, paths: PathsSection, data: DataSection) -> None:
    """Prepare the source table.

    Raises
    ------
    TableError
        Where the table has faults; the message lists them.
    """
    raw = read_table(paths.source)
    declared = spec_from_params(data, raw)
    prepared = clean_or_raise(raw, declared, source=data.source)
    found = merge_feedback(prepared, read_table(paths.production_labels), declared)
    write_table(paths.clean, found.clean)
    write_record(paths.table_schema, found.schema)
    sys.stdout.writelines(
        f"{line}\n" for line in [*preparation_summary(prepared), *production_summary(found)]
    )


def preparation_summary(prepared: PreparedTable) -> list[str]:
    """Return what was prepared and what was left out, as lines of text."""
    schema, clean = prepared.schema, prepared.clean
    lines = [f"{len(clean)} rows, {len(schema.features)} features, task {schema.task}"]
    if prepared.n_unlabelled:
        lines.append(f"{prepared.n_unlabelled} rows without a target were dropped")
    return [*lines, *(f"left out {name}: {why}" for name, why in prepared.excluded.items())]


def production_summary(found: MergedTable) -> list[str]:
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
