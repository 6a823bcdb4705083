"""Make a former champion the champion again, by hand or since monitoring decided so.

Reads the registry and the log. Writes the record of the decision, the aliases champion and
previous, the history of champions and, where monitoring decided, the outcome; challenger stays
where it is. The version has to predict its own example before, and the same again as the
champion. Killed at any point it is simply run again.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import numpy as np

from pipelines.act import acted, completed
from pipelines.core.findings import Decision, Outcome
from pipelines.core.judging.records import Record, rolled_back_aliases
from pipelines.core.predictions import Predictions
from pipelines.deciding import Ruling, decided, named_version, opened, reigns, who
from pipelines.errors import InputError, StageError
from pipelines.proving import Prove, proved
from pipelines.stores import registry
from pipelines.stores.aliases import aliases
from pipelines.stores.database import Log
from pipelines.stores.decisions import outcomes, record_outcome
from pipelines.stores.registry import Version
from pipelines.stores.tracking import Store

UNSAID = "no reason was given"
WATCH = "evertune monitor"


def rollback(root: Path, decision: Decision, *, now: datetime) -> Outcome:
    """Return the outcome, once the version before the champion is champion again.

    Parameters
    ----------
    root : Path
        The project's folder; the caller holds its lock.
    decision : Decision
        Its `champion` is the version to be replaced.
    now : datetime

    Raises
    ------
    InputError
        There is no version to go back to, or it cannot predict; the champion stays.
    StageError
        It is champion again and does not predict what it did before.
    BusyError
        Another version is champion than the one that was judged.
    """
    with opened(root) as (store, log):
        version, over = _target(log, store, decision), str(decision.champion)
        said = proved(store, version)
        record_outcome(log, Outcome(decision.id, now, "started", version.number, "a rollback"))
        ruling = Ruling("rollback", "promote", decision.reasons, WATCH, now, decision.id)
        before = {**aliases(store), "champion": over}
        acted(store, log, _record(log, version, ruling, before=before))
        check_same(store, version.number, said, prove=proved)
        detail = f"version {version.number} is champion again in place of version {over}"
        outcome = Outcome(decision.id, now, "rolled back", version.number, detail)
        record_outcome(log, outcome)
        return outcome


def roll_back(  # noqa: PLR0913
    root: Path,
    *,
    to: str | None = None,
    reason: str | None = None,
    by: str | None = None,
    now: datetime,
    prove: Prove = proved,
) -> Record:
    """Return the record of the decision, once a former champion is champion again.

    Parameters
    ----------
    root : Path
        The project's folder; the caller holds its lock.
    to : str, optional
        The version to go back to; None: the one with the alias `previous`.
    reason : str, optional
    by : str, optional
        Who decides; None: the name of the login.
    now : datetime
    prove : callable
        How a version's example is predicted: here, or beside this process.

    Raises
    ------
    InputError
        There is nothing to go back to, the version was never champion, or it cannot predict its
        example; the champion stays.
    StageError
        It is champion again and does not predict what it did before.
    BusyError
        Another version has become champion in the meantime.
    """
    ruling = Ruling("rollback", "promote", (reason or UNSAID,), who(by), now)
    with opened(root) as (store, log):
        done = completed(store, log, act="rollback", version=to)
        if done is not None:
            prove(store, registry.version_numbered(store, done.version))
            return done
        before = aliases(store)
        version = _chosen(store, log, before, to=to)
        made = _record(log, version, ruling, before=before)
        said = prove(store, version)
        kept = acted(store, log, made)
        check_same(store, version.number, said, prove=prove)
        return kept


def check_same(store: Store, number: str, said: Predictions, *, prove: Prove) -> None:
    """Return if the champion, found by its alias, predicts its example as the version did before.

    Raises
    ------
    StageError
        It does not.
    """
    champion = registry.champion(store)
    found = None if champion is None else prove(store, champion)
    if found is None or not np.array_equal(found.values, said.values, equal_nan=True):
        raise StageError(
            f"expected the champion of {store.name} to predict what version {number} did before it"
            " was champion again, but it does not; look at `evertune history` and at the service"
        )


def _record(log: Log, version: Version, ruling: Ruling, *, before: Mapping[str, str]) -> Record:
    after = rolled_back_aliases(before, version.number)
    return decided(log, version, ruling, before=before, after=after)


def _target(log: Log, store: Store, decision: Decision) -> Version:
    # A killed rollback has moved `previous`; what it began with is in its record.
    begun = [each.version for each in outcomes(log) if each.decision_id == decision.id]
    named = [number for number in begun if number is not None]
    if named:
        return registry.version_numbered(store, named[0])
    return _previous(store, champion=decision.champion)


def _chosen(store: Store, log: Log, before: Mapping[str, str], *, to: str | None) -> Version:
    champion = before.get("champion")
    if to is None:
        return _not_rolled_back(_previous(store, champion=champion), store, champion)
    version = named_version(store, to)
    if to == champion:
        raise InputError(
            f"expected a former champion of {store.name} to go back to, but version {to} is the"
            " champion; nothing was changed"
        )
    former = {reign.version for reign in reigns(store, log)}
    if to not in former:
        raise InputError(
            f"expected a former champion of {store.name} to go back to, but version {to} never was"
            f" one ({_listed(former - {str(champion)})}); to make it champion:"
            f" `evertune promote {to} --reason TEXT`"
        )
    return version


def _previous(store: Store, *, champion: str | None) -> Version:
    previous = registry.version_with_alias(store, "previous")
    if previous is None or previous.number == champion:
        raise InputError(
            f"expected a version of {store.name} with the alias `previous` to go back to, but there"
            " is none; the champion stays"
        )
    return previous


def _not_rolled_back(previous: Version, store: Store, champion: str | None) -> Version:
    if registry.ROLLED_BACK_TAG in previous.tags:
        raise InputError(
            f"expected a version of {store.name} to go back to, but version {previous.number}, the"
            f" champion before, was itself rolled back; version {champion} stays champion:"
            f" `evertune rollback --to {previous.number}` makes that one champion again"
        )
    return previous


def _listed(versions: set[str]) -> str:
    known = sorted(versions, key=int)
    return f"former champions: {', '.join(known)}" if known else "there is no former champion"
