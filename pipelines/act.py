"""Do what a decision about a version says: the one place that moves aliases.

Reads the record of the decision. Writes it to the log's database, to the version's run in MLflow
(decision/<id>.json and decision/<id>.html) and to the version's tags; only then moves the
aliases, and last adds to the history of champions. Killed at any point it is simply run again.
"""

from datetime import UTC, datetime

from pipelines.core.judging.record_page import record_html
from pipelines.core.judging.records import Act, Record
from pipelines.stores import registry
from pipelines.stores.aliases import aliases, move_aliases
from pipelines.stores.database import Log
from pipelines.stores.log_records import record_text
from pipelines.stores.pages import log_text
from pipelines.stores.records import champions, keep_champion, keep_record, records
from pipelines.stores.tracking import Store

FOLDER = "decision"
DECISION_TAG = "evertune.decision"


def acted(store: Store, log: Log, record: Record) -> Record:
    """Return the record as it is kept, once all that it says is done.

    Parameters
    ----------
    store : Store
    log : Log
    record : Record
        One whose id is kept already is shown as it was kept; the aliases go where this one says.

    Raises
    ------
    BusyError
        Another version has become champion in the meantime; the aliases stay.
    """
    kept = _kept(log, record)
    _show(store, kept)
    _begin_history(store, log, record)
    if record.changes_champion:
        _mark(store, record)
    move_aliases(store, before=record.aliases_before, after=record.aliases_after)
    _crown(log, record)
    return kept


def completed(
    store: Store, log: Log, *, act: Act | None = None, version: str | None = None
) -> Record | None:
    """Return the newest decision if it was cut short, once it is done; None where none is.

    A new champion that is in use already is always completed. One that is not yet is completed
    only for the command that it came from, else it is left: the next decision takes its place.

    Parameters
    ----------
    store : Store
    log : Log
    act : str, optional
        What is to be done now.
    version : str, optional
        With which version; None: with any.
    """
    newest = next(reversed(records(log)), None)
    if newest is None or not newest.changes_champion or _is_crowned(log, newest):
        return None
    standing = aliases(store).get("champion")
    moved = standing == newest.aliases_after.get("champion")
    same = newest.act == act and version in (None, newest.version)
    if moved or (same and standing == newest.aliases_before.get("champion")):
        return acted(store, log, newest)
    return None


def _kept(log: Log, record: Record) -> Record:
    if keep_record(log, record):
        return record
    return next(each for each in records(log, version=record.version) if each.id == record.id)


def _show(store: Store, record: Record) -> None:
    version = registry.version_numbered(store, record.version)
    if version.run_id:
        for kind, text in (("json", record_text(record)), ("html", record_html(record))):
            log_text(store, version.run_id, name=f"{FOLDER}/{record.id}.{kind}", text=text)
    tags = {DECISION_TAG: record.id, "decision": record.verdict, "decision.by": record.by}
    registry.tag_version(store, record.version, {**tags, "decision.act": record.act})


def _begin_history(store: Store, log: Log, record: Record) -> None:
    """Add the champion that no record made: it was before there were any, or set by hand."""
    standing = record.aliases_before.get("champion")
    reigns = champions(log)
    if standing is None or (reigns and reigns[-1].version == standing):
        return
    if reigns and reigns[-1].record_id == record.id:
        return
    made = registry.version_numbered(store, standing).created_seconds
    moment = record.moment if reigns else datetime.fromtimestamp(made, UTC)
    last = reigns[-1].version if reigns else None
    keep_champion(log, version=standing, previous=last, record_id=None, moment=moment)


def _mark(store: Store, record: Record) -> None:
    over = record.aliases_before.get("champion")
    if record.act == "rollback" and over is not None:
        registry.mark_rolled_back(store, over, number=record.version)
    registry.mark_wanted(store, record.version)


def _crown(log: Log, record: Record) -> None:
    champion = record.aliases_after.get("champion")
    if champion is not None and record.changes_champion:
        over = record.aliases_before.get("champion")
        keep_champion(
            log, version=champion, previous=over, record_id=record.id, moment=record.moment
        )


def _is_crowned(log: Log, record: Record) -> bool:
    return any(reign.record_id == record.id for reign in champions(log))
