"""Change the champion: apply the gate's decision, promote, approve, reject, roll back.

`apply_decision` is the only place that moves aliases. It writes the record first (to the
database, to the version's run as decision/<id>.json and .html, and to its tags), then moves the
aliases, and last extends the history of champions. Killed at any point it can be run again;
`resume_decision` finishes a decision that was cut short. `promote`, `approve`, `reject` and
`roll_back` are decisions by a person, `roll_back_on_decision` one by monitoring. Before a
version becomes champion by one of these, `smoke_test` checks that it predicts the rows that it
was registered with; a rollback is checked again afterwards. `smoke_test_in_subprocess` does so
in another process that imports what it needs meanwhile, to save time in an emergency: keep
heavy imports inside the functions.
"""

import getpass
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from evertune.config.loader import load_params
from evertune.database import ModelLog, closing_log, record_to_json
from evertune.decisions import DecisionOutcome, MonitoringDecision
from evertune.errors import InputError, StageError
from evertune.registry import versions as registry
from evertune.registry.decision_log import (
    append_champion,
    read_champion_changes,
    read_decision_records,
    read_outcomes,
    record_outcome,
    save_record,
)
from evertune.registry.mlflow_client import TrackingStore, open_tracking_store
from evertune.registry.records import (
    ChampionChange,
    DecisionKind,
    DecisionRecord,
    RecordVerdict,
    aliases_after_promotion,
    aliases_after_rollback,
    make_record_id,
    merge_champion_history,
    record_html,
)
from evertune.registry.runs import log_text
from evertune.registry.smoke_test import SmokeTest, smoke_test
from evertune.registry.versions import ModelVersion, move_aliases, read_aliases
from evertune.types import Predictions

DECISION_FOLDER = "decision"
DECISION_TAG = "evertune.decision"


def apply_decision(store: TrackingStore, log: ModelLog, record: DecisionRecord) -> DecisionRecord:
    """Return the record as it is kept, once all that it says is done.

    Parameters
    ----------
    store : TrackingStore
    log : ModelLog
    record : DecisionRecord
        One whose id is kept already is shown as it was kept; the aliases go where this one says.

    Raises
    ------
    BusyError
        Another version has become champion in the meantime; the aliases stay.
    """
    kept = _saved_record(log, record)
    _log_decision(store, kept)
    _append_unrecorded_champion(store, log, record)
    if record.changes_champion:
        _update_rolled_back_tags(store, record)
    move_aliases(store, before=record.aliases_before, after=record.aliases_after)
    _append_champion(log, record)
    return kept


def resume_decision(
    store: TrackingStore,
    log: ModelLog,
    *,
    act: DecisionKind | None = None,
    version: str | None = None,
) -> DecisionRecord | None:
    """Return the newest decision if it was cut short, once it is done; None where none is.

    A new champion that is in use already is always completed. One that is not yet is completed
    only for the command that it came from, else it is left: the next decision takes its place.

    Parameters
    ----------
    store : TrackingStore
    log : ModelLog
    act : str, optional
        What is to be done now.
    version : str, optional
        With which version; None: with any.
    """
    newest = next(reversed(read_decision_records(log)), None)
    if newest is None or not newest.changes_champion or _is_applied(log, newest):
        return None
    standing = read_aliases(store).get("champion")
    moved = standing == newest.aliases_after.get("champion")
    same = newest.act == act and version in (None, newest.version)
    if moved or (same and standing == newest.aliases_before.get("champion")):
        return apply_decision(store, log, newest)
    return None


def _saved_record(log: ModelLog, record: DecisionRecord) -> DecisionRecord:
    if save_record(log, record):
        return record
    return next(
        each for each in read_decision_records(log, version=record.version) if each.id == record.id
    )


def _log_decision(store: TrackingStore, record: DecisionRecord) -> None:
    version = registry.get_version(store, record.version)
    if version.run_id:
        for kind, text in (("json", record_to_json(record)), ("html", record_html(record))):
            log_text(store, version.run_id, name=f"{DECISION_FOLDER}/{record.id}.{kind}", text=text)
    tags = {DECISION_TAG: record.id, "decision": record.verdict, "decision.by": record.by}
    registry.tag_version(store, record.version, {**tags, "decision.act": record.act})


def _append_unrecorded_champion(
    store: TrackingStore, log: ModelLog, record: DecisionRecord
) -> None:
    """Add the champion that no record made: it was before there were any, or set by hand."""
    standing = record.aliases_before.get("champion")
    reigns = read_champion_changes(log)
    if standing is None or (reigns and reigns[-1].version == standing):
        return
    if reigns and reigns[-1].record_id == record.id:
        return
    made = registry.get_version(store, standing).created_seconds
    moment = record.moment if reigns else datetime.fromtimestamp(made, UTC)
    last = reigns[-1].version if reigns else None
    append_champion(log, version=standing, previous=last, record_id=None, moment=moment)


def _update_rolled_back_tags(store: TrackingStore, record: DecisionRecord) -> None:
    over = record.aliases_before.get("champion")
    if record.act == "rollback" and over is not None:
        registry.set_rolled_back_tag(store, over, number=record.version)
    registry.clear_rolled_back_tag(store, record.version)


def _append_champion(log: ModelLog, record: DecisionRecord) -> None:
    champion = record.aliases_after.get("champion")
    if champion is not None and record.changes_champion:
        over = record.aliases_before.get("champion")
        append_champion(
            log, version=champion, previous=over, record_id=record.id, moment=record.moment
        )


def _is_applied(log: ModelLog, record: DecisionRecord) -> bool:
    return any(reign.record_id == record.id for reign in read_champion_changes(log))


VERDICT_TAG = "evertune.verdict"
DATA_TAG_PREFIX = "dvc."
COMMIT_TAG = "mlflow.source.git.commit"


@dataclass(frozen=True)
class ManualDecision:
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

    act: DecisionKind
    verdict: RecordVerdict
    reasons: tuple[str, ...]
    by: str
    moment: datetime
    occasion: str | None = None


@contextmanager
def open_registry(root: Path) -> Iterator[tuple[TrackingStore, ModelLog]]:
    """Give the registry and the log of a project."""
    params = load_params(root)
    state, name = params.paths.state, params.registry.name
    store = open_tracking_store(state, name)
    with closing_log(state, model=name, variable=params.scoring.log_variable) as log:
        yield store, log


def find_version(store: TrackingStore, number: str) -> ModelVersion:
    """Return a version by its number.

    Raises
    ------
    InputError
        There is none; the message lists the last ten.
    """
    found = registry.list_versions(store)
    for version in found:
        if version.number == number:
            return version
    known = ", ".join(version.number for version in found[-10:]) or "none yet"
    raise InputError(
        f"expected the number of a version of {store.name}, but got {number!r}; its versions:"
        f" {known}"
    )


def check_reason(reason: str) -> str:
    """Return why a person decides so.

    Raises
    ------
    InputError
        It says nothing.
    """
    if not reason.strip():
        raise InputError("expected --reason to say why, for those who read the record; got nothing")
    return reason.strip()


def decider_name(by: str | None) -> str:
    """Return the name of the person who decides: the one given, else that of the login."""
    return by or getpass.getuser()


def read_champion_history(store: TrackingStore, log: ModelLog) -> tuple[ChampionChange, ...]:
    """Return which versions became champion, oldest first, those before there were records too."""
    earlier = [
        (datetime.fromtimestamp(version.created_seconds, UTC), version.number)
        for version in registry.list_versions(store)
        if _was_promoted(version)
    ]
    back = [
        (outcome.moment, outcome.version)
        for outcome in read_outcomes(log)
        if outcome.kind == "rolled back" and outcome.version is not None
    ]
    return merge_champion_history(read_champion_changes(log), [*earlier, *back])


def last_gate_record(log: ModelLog, version: str) -> DecisionRecord | None:
    """Return what the gate said last of a version, None where there is no record of it."""
    found = [each for each in read_decision_records(log, version=version) if each.act == "gate"]
    return found[-1] if found else None


def make_decision_record(
    log: ModelLog,
    version: ModelVersion,
    ruling: ManualDecision,
    *,
    before: Mapping[str, str],
    after: Mapping[str, str],
) -> DecisionRecord:
    """Return the record of a decision that is not the gate's, with what the gate found before.

    Parameters
    ----------
    log : ModelLog
    version : ModelVersion
        The one that it is about.
    ruling : ManualDecision
    before, after : mapping of str to str
        The version that has each alias.
    """
    number, now = version.number, f"champion {len(read_champion_changes(log))}"
    occasion = ruling.occasion or now
    evidence = [ruling.verdict, before.get("champion"), ruling.by, occasion, *ruling.reasons]
    made = DecisionRecord(
        id=make_record_id(ruling.act, model=log.model, version=number, evidence=evidence),
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
    return _with_origin(_with_evidence(made, last_gate_record(log, number)), version)


def gate_verdict_text(version: ModelVersion, judged: DecisionRecord | None) -> str:
    """Return what the gate said last of a version, in one line."""
    if judged is not None:
        return f"the gate said: {judged.verdict}: {'; '.join(judged.reasons)}"
    if VERDICT_TAG in version.tags:
        told = json.loads(version.tags[VERDICT_TAG])
        return f"the gate said: {told['decision']}: {'; '.join(told['reasons'])}"
    return "the gate has not judged it"


def _was_promoted(version: ModelVersion) -> bool:
    told = json.loads(version.tags.get(VERDICT_TAG, "{}"))
    was = told.get("decision") == "promote" or registry.ROLLED_BACK_TAG in version.tags
    return was or not {"champion", "previous"}.isdisjoint(version.aliases)


def _with_evidence(made: DecisionRecord, judged: DecisionRecord | None) -> DecisionRecord:
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


def _with_origin(made: DecisionRecord, version: ModelVersion) -> DecisionRecord:
    data = {
        name.removeprefix(DATA_TAG_PREFIX): md5
        for name, md5 in version.tags.items()
        if name.startswith(DATA_TAG_PREFIX)
    }
    return replace(
        made,
        data=data,
        commit=version.tags.get(COMMIT_TAG),
        run_id=version.run_id or None,
        identity=version.identity or None,
    )


def promote(
    root: Path, number: str, *, reason: str, by: str | None = None, now: datetime
) -> DecisionRecord:
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
    ruling = ManualDecision("promotion", "promote", (check_reason(reason),), decider_name(by), now)
    with open_registry(root) as (store, log):
        done = resume_decision(store, log, act="promotion", version=number)
        return done or _promote_by_hand(store, log, number, ruling)


def _promote_by_hand(
    store: TrackingStore, log: ModelLog, number: str, ruling: ManualDecision
) -> DecisionRecord:
    version, before = find_version(store, number), read_aliases(store)
    if before.get("champion") == number:
        raise InputError(
            f"expected a version to promote, but version {number} of {store.name} is the champion"
            " already; nothing was changed"
        )
    smoke_test(store, version)
    said = gate_verdict_text(version, last_gate_record(log, number))
    ruling = replace(ruling, reasons=(*ruling.reasons, said))
    after = aliases_after_promotion(before, number)
    return apply_decision(
        store, log, make_decision_record(log, version, ruling, before=before, after=after)
    )


def approve(
    root: Path, number: str, *, reason: str, by: str | None = None, now: datetime
) -> DecisionRecord:
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
    ruling = ManualDecision("approval", "promote", (check_reason(reason),), decider_name(by), now)
    with open_registry(root) as (store, log):
        done = resume_decision(store, log, act="approval", version=number)
        return done or _approve_waiting(store, log, number, ruling)


def reject(
    root: Path, number: str, *, reason: str, by: str | None = None, now: datetime
) -> DecisionRecord:
    """Return the record of the decision that a version which waited is not to be champion.

    It stays challenger until there is a newer one. Parameters and failures are those of
    `approve`.

    Raises
    ------
    InputError
        The version does not wait for approval, or no reason is given.
    """
    ruling = ManualDecision("approval", "keep", (check_reason(reason),), decider_name(by), now)
    with open_registry(root) as (store, log):
        version, before = find_version(store, number), read_aliases(store)
        waiting = _waiting_record(log, version)
        ruling = replace(ruling, occasion=waiting.id)
        record = make_decision_record(log, version, ruling, before=before, after=before)
        _check_unanswered(log, waiting, record)
        return apply_decision(store, log, record)


def _approve_waiting(
    store: TrackingStore, log: ModelLog, number: str, ruling: ManualDecision
) -> DecisionRecord:
    version, before = find_version(store, number), read_aliases(store)
    waiting = _waiting_record(log, version)
    if before.get("champion") != waiting.rival:
        raise InputError(
            f"expected {_version_text(waiting.rival)} of {store.name} to be champion still, with which"
            f" version {number} was compared, but it is {_version_text(before.get('champion'))} now; run"
            " `evertune train` to compare it with that one"
        )
    ruling, after = replace(ruling, occasion=waiting.id), aliases_after_promotion(before, number)
    record = make_decision_record(log, version, ruling, before=before, after=after)
    _check_unanswered(log, waiting, record)
    smoke_test(store, version)
    return apply_decision(store, log, record)


def _waiting_record(log: ModelLog, version: ModelVersion) -> DecisionRecord:
    judged = last_gate_record(log, version.number)
    if judged is None or not judged.waits_for_approval:
        raise InputError(
            f"expected a version of {log.model} that waits for approval, but version"
            f" {version.number} does not: {gate_verdict_text(version, judged)}. `evertune promote"
            f" {version.number} --reason TEXT` overrules the gate"
        )
    return judged


def _check_unanswered(log: ModelLog, waiting: DecisionRecord, record: DecisionRecord) -> None:
    about = read_decision_records(log, version=waiting.version)
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


def _version_text(version: str | None) -> str:
    return "no version" if version is None else f"version {version}"


NO_REASON = "no reason was given"
MONITOR_COMMAND = "evertune monitor"


def roll_back_on_decision(
    root: Path, decision: MonitoringDecision, *, now: datetime
) -> DecisionOutcome:
    """Return the outcome, once the version before the champion is champion again.

    Parameters
    ----------
    root : Path
        The project's folder; the caller holds its lock.
    decision : MonitoringDecision
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
    with open_registry(root) as (store, log):
        version, over = _rollback_target(log, store, decision), str(decision.champion)
        said = smoke_test(store, version)
        record_outcome(
            log, DecisionOutcome(decision.id, now, "started", version.number, "a rollback")
        )
        ruling = ManualDecision(
            "rollback", "promote", decision.reasons, MONITOR_COMMAND, now, decision.id
        )
        before = {**read_aliases(store), "champion": over}
        apply_decision(store, log, _rollback_record(log, version, ruling, before=before))
        check_same_predictions(store, version.number, said, prove=smoke_test)
        detail = f"version {version.number} is champion again in place of version {over}"
        outcome = DecisionOutcome(decision.id, now, "rolled back", version.number, detail)
        record_outcome(log, outcome)
        return outcome


def roll_back(
    root: Path,
    *,
    to: str | None = None,
    reason: str | None = None,
    by: str | None = None,
    now: datetime,
    prove: SmokeTest = smoke_test,
) -> DecisionRecord:
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
    ruling = ManualDecision("rollback", "promote", (reason or NO_REASON,), decider_name(by), now)
    with open_registry(root) as (store, log):
        done = resume_decision(store, log, act="rollback", version=to)
        if done is not None:
            prove(store, registry.get_version(store, done.version))
            return done
        before = read_aliases(store)
        version = _chosen_version(store, log, before, to=to)
        made = _rollback_record(log, version, ruling, before=before)
        said = prove(store, version)
        kept = apply_decision(store, log, made)
        check_same_predictions(store, version.number, said, prove=prove)
        return kept


def check_same_predictions(
    store: TrackingStore, number: str, said: Predictions, *, prove: SmokeTest
) -> None:
    """Return if the champion, found by its alias, predicts its example as the version did before.

    Raises
    ------
    StageError
        It does not.
    """
    champion = registry.get_champion(store)
    found = None if champion is None else prove(store, champion)
    if found is None or not np.array_equal(found.values, said.values, equal_nan=True):
        raise StageError(
            f"expected the champion of {store.name} to predict what version {number} did before it"
            " was champion again, but it does not; look at `evertune history` and at the service"
        )


def _rollback_record(
    log: ModelLog, version: ModelVersion, ruling: ManualDecision, *, before: Mapping[str, str]
) -> DecisionRecord:
    after = aliases_after_rollback(before, version.number)
    return make_decision_record(log, version, ruling, before=before, after=after)


def _rollback_target(
    log: ModelLog, store: TrackingStore, decision: MonitoringDecision
) -> ModelVersion:
    # A killed rollback has moved `previous`; what it began with is in its record.
    begun = [each.version for each in read_outcomes(log) if each.decision_id == decision.id]
    named = [number for number in begun if number is not None]
    if named:
        return registry.get_version(store, named[0])
    return _previous_version(store, champion=decision.champion)


def _chosen_version(
    store: TrackingStore, log: ModelLog, before: Mapping[str, str], *, to: str | None
) -> ModelVersion:
    champion = before.get("champion")
    if to is None:
        return _check_not_rolled_back(_previous_version(store, champion=champion), store, champion)
    version = find_version(store, to)
    if to == champion:
        raise InputError(
            f"expected a former champion of {store.name} to go back to, but version {to} is the"
            " champion; nothing was changed"
        )
    former = {reign.version for reign in read_champion_history(store, log)}
    if to not in former:
        raise InputError(
            f"expected a former champion of {store.name} to go back to, but version {to} never was"
            f" one ({_former_champions_text(former - {str(champion)})}); to make it champion:"
            f" `evertune promote {to} --reason TEXT`"
        )
    return version


def _previous_version(store: TrackingStore, *, champion: str | None) -> ModelVersion:
    previous = registry.get_version_by_alias(store, "previous")
    if previous is None or previous.number == champion:
        raise InputError(
            f"expected a version of {store.name} with the alias `previous` to go back to, but there"
            " is none; the champion stays"
        )
    return previous


def _check_not_rolled_back(
    previous: ModelVersion, store: TrackingStore, champion: str | None
) -> ModelVersion:
    if registry.ROLLED_BACK_TAG in previous.tags:
        raise InputError(
            f"expected a version of {store.name} to go back to, but version {previous.number}, the"
            f" champion before, was itself rolled back; version {champion} stays champion:"
            f" `evertune rollback --to {previous.number}` makes that one champion again"
        )
    return previous


def _former_champions_text(versions: set[str]) -> str:
    known = sorted(versions, key=int)
    return f"former champions: {', '.join(known)}" if known else "there is no former champion"
