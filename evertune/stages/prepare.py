"""The library's half of the stage `prepare`: what it reports."""

from evertune.data.feedback import MergedTable
from evertune.data.schema import PreparedTable


def describe_preparation(prepared: PreparedTable, merged: MergedTable) -> str:
    """Return what was prepared, left out and added from production, as lines of text."""
    lines = [*preparation_summary(prepared), *production_summary(merged)]
    return "".join(f"{line}\n" for line in lines)


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
        f"production, {issue.column}: {issue.problem}; they count as missing"
        for issue in found.issues
    ]
