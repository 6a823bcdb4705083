"""Make a version champion by hand: a person overrules the gate.

Reads the registry and what the gate said. Writes the record of the decision, the aliases and the
history of champions. Killed at any point it is simply run again.
"""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

from pipelines.act import acted, completed
from pipelines.core.judging.records import Record, promoted_aliases
from pipelines.deciding import (
    Ruling,
    checked_reason,
    decided,
    gate_said,
    last_judged,
    named_version,
    opened,
    who,
)
from pipelines.errors import InputError
from pipelines.proving import proved
from pipelines.stores.aliases import aliases
from pipelines.stores.database import Log
from pipelines.stores.tracking import Store


def promote(
    root: Path, number: str, *, reason: str, by: str | None = None, now: datetime
) -> Record:
    """Return the record of the decision, once the version is champion.

    Parameters
    ----------
    root : Path
        The project's folder; the caller holds its lock.
    number : str
        Of the version.
    reason : str
        Why, for those who read the record.
    by : str, optional
        Who decides; None: the name of the login.
    now : datetime

    Raises
    ------
    InputError
        There is no such version, it is the champion, it cannot predict its example, or no reason
        is given; the champion stays.
    BusyError
        Another version has become champion in the meantime.
    """
    ruling = Ruling("promotion", "promote", (checked_reason(reason),), who(by), now)
    with opened(root) as (store, log):
        done = completed(store, log, act="promotion", version=number)
        return done or _promoted(store, log, number, ruling)


def _promoted(store: Store, log: Log, number: str, ruling: Ruling) -> Record:
    version, before = named_version(store, number), aliases(store)
    if before.get("champion") == number:
        raise InputError(
            f"expected a version to promote, but version {number} of {store.name} is the champion"
            " already; nothing was changed"
        )
    proved(store, version)
    said = gate_said(version, last_judged(log, number))
    ruling = replace(ruling, reasons=(*ruling.reasons, said))
    after = promoted_aliases(before, number)
    return acted(store, log, decided(log, version, ruling, before=before, after=after))
