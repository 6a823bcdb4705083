"""What every decision by hand shares: its project, the version that it names, and its record."""

import getpass
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from pipelines.core.judging.records import Act, Record, RecordVerdict, Reign, record_id
from pipelines.core.judging.reigns import whole_history
from pipelines.errors import InputError
from pipelines.params import load_params
from pipelines.stores import registry
from pipelines.stores.database import Log, opened_log
from pipelines.stores.decisions import outcomes
from pipelines.stores.records import champions, records
from pipelines.stores.registry import Version
from pipelines.stores.tracking import Store, open_store

VERDICT_TAG = "evertune.verdict"
DATA_TAGS = "dvc."
COMMIT_TAG = "mlflow.source.git.commit"


@dataclass(frozen=True)
class Ruling:
    """What is decided about a version, and by whom.

    Attributes
    ----------
    act : str
    verdict : str
    reasons : tuple of str
    by : str
    moment : datetime
    occasion : str, optional
        What tells it from the same ruling at another time; None: the reign of the champion.
    """

    act: Act
    verdict: RecordVerdict
    reasons: tuple[str, ...]
    by: str
    moment: datetime
    occasion: str | None = None


@contextmanager
def opened(root: Path) -> Iterator[tuple[Store, Log]]:
    """Give the registry and the log of a project."""
    params = load_params(root)
    state, name = params.paths.state, params.registry.name
    store = open_store(state, name)
    with opened_log(state, model=name, variable=params.scoring.log_variable) as log:
        yield store, log


def named_version(store: Store, number: str) -> Version:
    """Return a version by its number.

    Raises
    ------
    InputError
        There is none; the message lists the last ten.
    """
    found = registry.all_versions(store)
    for version in found:
        if version.number == number:
            return version
    known = ", ".join(version.number for version in found[-10:]) or "none yet"
    raise InputError(
        f"expected the number of a version of {store.name}, but got {number!r}; its versions:"
        f" {known}"
    )


def checked_reason(reason: str) -> str:
    """Return why a person decides so.

    Raises
    ------
    InputError
        It says nothing.
    """
    if not reason.strip():
        raise InputError("expected --reason to say why, for those who read the record; got nothing")
    return reason.strip()


def who(by: str | None) -> str:
    """Return the name of the person who decides: the one given, else that of the login."""
    return by or getpass.getuser()


def reigns(store: Store, log: Log) -> tuple[Reign, ...]:
    """Return which versions became champion, oldest first, those before there were records too."""
    earlier = [
        (datetime.fromtimestamp(version.created_seconds, UTC), version.number)
        for version in registry.all_versions(store)
        if _was_promoted(version)
    ]
    back = [
        (outcome.moment, outcome.version)
        for outcome in outcomes(log)
        if outcome.kind == "rolled back" and outcome.version is not None
    ]
    return whole_history(champions(log), [*earlier, *back])


def last_judged(log: Log, version: str) -> Record | None:
    """Return what the gate said last of a version, None where there is no record of it."""
    found = [each for each in records(log, version=version) if each.act == "gate"]
    return found[-1] if found else None


def decided(
    log: Log,
    version: Version,
    ruling: Ruling,
    *,
    before: Mapping[str, str],
    after: Mapping[str, str],
) -> Record:
    """Return the record of a decision that is not the gate's, with what the gate found before.

    Parameters
    ----------
    log : Log
    version : Version
        The one that it is about.
    ruling : Ruling
    before, after : mapping of str to str
        The version that has each alias.
    """
    number, now = version.number, f"champion {len(champions(log))}"
    occasion = ruling.occasion or now
    evidence = [ruling.verdict, before.get("champion"), ruling.by, occasion, *ruling.reasons]
    made = Record(
        id=record_id(ruling.act, model=log.model, version=number, evidence=evidence),
        moment=ruling.moment,
        model=log.model,
        act=ruling.act,
        version=number,
        verdict=ruling.verdict,
        reasons=ruling.reasons,
        by=ruling.by,
        aliases_before=dict(before),
        aliases_after=dict(after),
    )
    return _with_origin(_with_evidence(made, last_judged(log, number)), version)


def gate_said(version: Version, judged: Record | None) -> str:
    """Return what the gate said last of a version, in one line."""
    if judged is not None:
        return f"the gate said: {judged.verdict}: {'; '.join(judged.reasons)}"
    if VERDICT_TAG in version.tags:
        told = json.loads(version.tags[VERDICT_TAG])
        return f"the gate said: {told['decision']}: {'; '.join(told['reasons'])}"
    return "the gate has not judged it"


def _was_promoted(version: Version) -> bool:
    told = json.loads(version.tags.get(VERDICT_TAG, "{}"))
    was = told.get("decision") == "promote" or registry.ROLLED_BACK_TAG in version.tags
    return was or not {"champion", "previous"}.isdisjoint(version.aliases)


def _with_evidence(made: Record, judged: Record | None) -> Record:
    if judged is None:
        return made
    return replace(
        made,
        gates=judged.gates,
        tests=judged.tests,
        metric=judged.metric,
        difference=judged.difference,
        rival=judged.rival,
        holdout=judged.holdout,
        n_rows=judged.n_rows,
        n_left_out=judged.n_left_out,
        look=judged.look,
        confidence=judged.confidence,
        rows_needed=judged.rows_needed,
        search_seconds=judged.search_seconds,
        search_trials=judged.search_trials,
    )


def _with_origin(made: Record, version: Version) -> Record:
    data = {
        name.removeprefix(DATA_TAGS): md5
        for name, md5 in version.tags.items()
        if name.startswith(DATA_TAGS)
    }
    return replace(
        made,
        data=data,
        commit=version.tags.get(COMMIT_TAG),
        run_id=version.run_id or None,
        identity=version.identity or None,
    )
