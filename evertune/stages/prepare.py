"""The library's half of the stage `prepare`: the lines that it prints.

Reads and writes nothing: `pipelines/prepare.py` reads the source and the labelled rows of
production, and writes the clean table and its schema.
"""

from evertune.data.feedback import MergedTable
from evertune.data.schema import PreparedTable
from evertune.data.validation import quote_name


def describe_preparation(prepared: PreparedTable, merged: MergedTable) -> str:
    """Return what was prepared, left out and added from production, as lines of text."""
    schema, clean = prepared.schema, prepared.clean
    lines = [f"{len(clean)} rows, {len(schema.features)} features, task {schema.task}"]
    if prepared.n_unlabelled:
        lines.append(f"{prepared.n_unlabelled} rows without a target were dropped")
    if schema.weight is not None:
        lines.append(f"rows count in fits by {quote_name(schema.weight)}")
    lines += [
        f"{quote_name(name)} is left out: {reason}" for name, reason in prepared.excluded.items()
    ]
    if merged.n_absorbed:
        again = f", {merged.n_replaced} of them in the source too" if merged.n_replaced else ""
        lines.append(f"{merged.n_absorbed} rows of production{again}: {len(merged.clean)} in all")
    if merged.n_unusable:
        lines.append(f"{merged.n_unusable} rows of production without time, group or known label")
    lines += [
        f"production, {issue.column}: {issue.problem}; they count as missing"
        for issue in merged.issues
    ]
    return "".join(f"{line}\n" for line in lines)
