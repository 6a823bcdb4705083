"""What keeping versions came to, in lines for a person."""

from collections.abc import Sequence

from pipelines.collect import Collected, Part
from pipelines.core.rebuilding import Compared
from pipelines.models import Listed
from pipelines.reproduce import Reproduction

SHORT = 8
MODELS = ("version", "aliases", "registered (UTC)", "figure", "data", "mode")
HEAD = ("", "what", "recorded", "made again", "difference", "may be")


def comparison_lines(found: Reproduction) -> list[str]:
    """Return a table of what was compared, and what it comes to."""
    lines = table_lines([HEAD, *(_cells(row) for row in found.rows)])
    differing = sum(not row.equal for row in found.rows)
    if found.equal:
        return [*lines, "", f"version {found.version} was made again: nothing differs"]
    count = f"{differing} of {len(found.rows)}"
    return [*lines, "", f"version {found.version} was not made again: {count} differ"]


def model_lines(found: Sequence[Listed]) -> list[str]:
    """Return versions as a table."""
    if not found:
        return ["no version yet; `evertune train` makes one"]
    rows = [
        (
            each.number,
            ", ".join(each.aliases),
            f"{each.created:%Y-%m-%d %H:%M}",
            "" if each.figure is None else f"{each.metric} {each.figure}",
            each.data.get("source", "")[:SHORT],
            each.mode or "",
        )
        for each in found
    ]
    return table_lines([MODELS, *rows])


def collected_lines(found: Collected, did: str) -> list[str]:
    """Return what was removed and what was kept.

    Parameters
    ----------
    found : Collected
    did : str
        `freed`, or `would free`.
    """
    removed = [f"  {_part(part)}" for part in found.removed]
    kept = [f"  {_part(part)}" for part in found.kept]
    total = sum(part.megabytes for part in found.kept)
    return [
        f"{did} {found.megabytes:.1f} MB{':' if removed else ''}",
        *removed,
        f"kept {total:.1f} MB in DVC's store:",
        *kept,
    ]


def table_lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of texts as lines with columns of one width.

    Examples
    --------
    >>> table_lines([("a", "bc"), ("def", "g")])
    ['a    bc', 'def  g']
    """
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _cells(row: Compared) -> tuple[str, ...]:
    difference = "" if row.difference is None else f"{row.difference:.2g}"
    tolerance = "" if row.tolerance is None else f"{row.tolerance:.2g}"
    mark = "ok" if row.equal else "DIFFERS"
    return (mark, row.what, row.recorded, row.rebuilt, difference, tolerance)


def _part(part: Part) -> str:
    return f"{part.megabytes:.1f} MB in {part.count}: {part.what}"
