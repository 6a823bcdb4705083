"""Approve or reject a version that passed the gate and waits for a person.

Reads the registry and what the gate said. Writes the record of the decision and, where it is
approved, the aliases and the history of champions. Killed at any point it is simply run again.
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
from pipelines.stores.records import records
from pipelines.stores.registry import Version
from pipelines.stores.tracking import Store


def approve(
    root: Path, number: str, *, reason: str, by: str | None = None, now: datetime
) -> Record:
    """Return the record of the decision, once the version that waited is champion.

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
        The version does not wait for approval, another version is champion than the one that it
        was compared with, it cannot predict its example, or no reason is given; the champion
        stays.
    BusyError
        Another version has become champion in the meantime.
    """
    ruling = Ruling("approval", "promote", (checked_reason(reason),), who(by), now)
    with opened(root) as (store, log):
        done = completed(store, log, act="approval", version=number)
        return done or _approved(store, log, number, ruling)


def reject(root: Path, number: str, *, reason: str, by: str | None = None, now: datetime) -> Record:
    """Return the record of the decision that a version which waited is not to be champion.

    It stays challenger until there is a newer one. Parameters and failures are those of
    `approve`.

    Raises
    ------
    InputError
        The version does not wait for approval, or no reason is given.
    """
    ruling = Ruling("approval", "keep", (checked_reason(reason),), who(by), now)
    with opened(root) as (store, log):
        version, before = named_version(store, number), aliases(store)
        waiting = _waiting(log, version)
        ruling = replace(ruling, occasion=waiting.id)
        record = decided(log, version, ruling, before=before, after=before)
        _check_unanswered(log, waiting, record)
        return acted(store, log, record)


def _approved(store: Store, log: Log, number: str, ruling: Ruling) -> Record:
    version, before = named_version(store, number), aliases(store)
    waiting = _waiting(log, version)
    if before.get("champion") != waiting.rival:
        raise InputError(
            f"expected {_named(waiting.rival)} of {store.name} to be champion still, with which"
            f" version {number} was compared, but it is {_named(before.get('champion'))} now; run"
            " `evertune train` to compare it with that one"
        )
    ruling, after = replace(ruling, occasion=waiting.id), promoted_aliases(before, number)
    record = decided(log, version, ruling, before=before, after=after)
    _check_unanswered(log, waiting, record)
    proved(store, version)
    return acted(store, log, record)


def _waiting(log: Log, version: Version) -> Record:
    judged = last_judged(log, version.number)
    if judged is None or not judged.waits_for_approval:
        raise InputError(
            f"expected a version of {log.model} that waits for approval, but version"
            f" {version.number} does not: {gate_said(version, judged)}. `evertune promote"
            f" {version.number} --reason TEXT` overrules the gate"
        )
    return judged


def _check_unanswered(log: Log, waiting: Record, record: Record) -> None:
    about = records(log, version=waiting.version)
    later = about[[each.id for each in about].index(waiting.id) + 1 :]
    answers = [each for each in later if each.act == "approval" and each.id != record.id]
    if answers:
        last = answers[-1]
        word = "approved" if last.verdict == "promote" else "rejected"
        raise InputError(
            f"expected a version of {log.model} that waits for approval, but version"
            f" {last.version} was {word} by {last.by} on {last.moment:%Y-%m-%d}:"
            f" {last.reasons[0]}. `evertune promote {last.version} --reason TEXT` makes it"
            " champion all the same"
        )


def _named(version: str | None) -> str:
    return "no version" if version is None else f"version {version}"
