"""Which version was champion when, and what was decided, in lines for a person."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from pipelines.core.judging.records import Record
from pipelines.core.judging.reigns import Turn
from pipelines.history import History

LONGEST_REASON = 70
HOUR = timedelta(hours=1)
TURNS = ("since (UTC)", "version", "by", "for", "figure", "why")
DECISIONS = ("when (UTC)", "version", "decided", "by", "id", "why")


def history_lines(found: History, *, now: datetime) -> list[str]:
    """Return the champions as a table, the newest first."""
    rows = [
        (
            _moment(turn.since),
            turn.version,
            _maker(turn),
            _span((turn.until or now) - turn.since),
            turn.figure,
            _short(turn.reason),
        )
        for turn in reversed(found.turns)
    ]
    return [*_standing(found), *(_table(TURNS, rows) if rows else [])]


def decision_lines(found: History) -> list[str]:
    """Return every decision as a table, the newest first."""
    rows = [
        (
            _moment(each.moment),
            each.version,
            _ruling(each),
            each.by,
            each.id,
            _short(each.reasons[0] if each.reasons else ""),
        )
        for each in reversed(found.decisions)
    ]
    if not rows:
        return [*_standing(found), "no decision is recorded yet"]
    return [*_standing(found), *_table(DECISIONS, rows)]


def done_line(record: Record, name: str) -> str:
    """Return what a decision did, in one line."""
    champion = record.aliases_after.get("champion")
    standing = f"version {champion} is the champion" if champion else "there is no champion"
    over = record.aliases_before.get("champion")
    instead = f" in place of version {over}" if record.changes_champion and over else ""
    return f"{name}: {standing}{instead}; decision {record.id} by {record.by}"


def _standing(found: History) -> Iterator[str]:
    if found.champion is None:
        yield f"{found.name}: no champion yet"
        return
    yield f"{found.name}: version {found.champion} is the champion"
    if found.turns and found.turns[-1].version != found.champion:
        yield "  it has the alias from another hand than Evertune's; no decision says why"


def _maker(turn: Turn) -> str:
    if turn.record_id is None:
        return "before there were records"
    return f"{turn.act} ({turn.by})"


def _ruling(record: Record) -> str:
    waits = ", waits for approval" if record.waits_for_approval else ""
    return f"{record.act}: {record.verdict}{waits}"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def _span(passed: timedelta) -> str:
    hours = passed / HOUR
    return f"{hours / 24:.0f} days" if hours > 48 else f"{hours:.1f} h"  # noqa: PLR2004


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_REASON else f"{text[: LONGEST_REASON - 1]}…"


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [names, *rows]
    ]
