"""Change the champion: apply the gate's decision, promote, approve, reject, roll back.

`apply_decision` is the only place that moves aliases. It writes the record first (to the
database, to the version's run as decision/<id>.json and .html, and as a tag), then moves the
aliases, describes the versions and the registered model anew, and last extends the history of
champions. Killed at any point it can be run again;
`resume_decision` finishes a decision that was cut short.

`promote`, `approve`, `reject` and `roll_back` are decisions by a person, `roll_back_on_decision`
one by monitoring. Before a version becomes champion by one of these, `smoke_test` checks that it
predicts the rows that it was registered with; after a rollback the champion is checked again.
"""

import getpass
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
from threadpoolctl import threadpool_limits

from evertune.config.loader import load_params
from evertune.database import database_url, open_log, record_to_json
from evertune.decisions import DecisionOutcome, GateVerdict, MonitoringDecision
from evertune.errors import InputError, StageError
from evertune.failpoints import failpoint
from evertune.identity import runner_name
from evertune.registry.decision_log import DecisionLog
from evertune.registry.decision_page import short_verdict
from evertune.registry.mlflow_pages import version_description
from evertune.registry.mlflow_registry import (
    ROLLED_BACK_TAG,
    ModelRegistry,
    ModelVersion,
    model_folder,
    open_registry,
    read_example_rows,
    version_text,
)
from evertune.registry.promotion_records import (
    ChampionChange,
    DecisionKind,
    DecisionRecord,
    make_record_id,
    merge_champion_history,
)
from evertune.registry.run_page import NOTE_TAG
from evertune.types import Predictions

DECISION_FOLDER = "decision"  # among the artifacts of a version's run
VERDICT_FILE = "verdict.json"  # the gate's last one, among the artifacts of a version's run
VERDICT_TAG = "evertune.verdict"  # the same in versions of earlier releases
DECISION_TAG = "decision"
FORMER_DECISION_TAGS = ("evertune.decision", "decision.by", "decision.act")
COMMIT_TAG = "mlflow.source.git.commit"
NO_REASON = "no reason was given"
MONITOR_COMMAND = "evertune monitor"
# What a decision by hand repeats of the gate's record, so that it can be read alone.
EVIDENCE_FIELDS = (
    *("gates", "tests", "metric", "difference", "rival", "holdout", "n_rows", "n_left_out"),
    *("look", "confidence", "rows_needed", "search_seconds", "search_trials"),
)


@contextmanager
def open_decisions(root: Path) -> Iterator[tuple[ModelRegistry, DecisionLog]]:
    """Give the registry and the decisions of a project."""
    params = load_params(root)
    registry, variable = open_registry(params), params.scoring.log_variable
    address = database_url(variable)
    with open_log(params.paths.state, model=registry.name, address=address) as log:
        yield registry, DecisionLog(log)


def promote(
    root: Path, number: str, *, reason: str, by: str | None = None, now: datetime
) -> DecisionRecord:
    """Make a version champion by hand, and return the record of the decision.

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

    Raises
    ------
    InputError
        There is no such version, it is the champion, it cannot predict its example, or no reason
        is given; the champion stays.
    BusyError
        Another version has become champion in the meantime.
    """
    reason = _required_reason(reason)
    with open_decisions(root) as (registry, log):
        done = resume_decision(registry, log, act="promotion", version=number)
        if done is not None:
            return done
        version = registry.version(number)
        if "champion" in version.aliases:
            raise InputError(
                f"expected a version to promote, but version {version.number} of {registry.name}"
                " is the champion already; nothing was changed"
            )
        smoke_test(registry, version)
        judged = gate_verdict_text(version, log.last_gate_record(version.number))
        record = _make_record(
            registry, log, version, act="promotion", reasons=(reason, judged), by=by, now=now
        )
        return apply_decision(registry, log, record)


def approve(
    root: Path, number: str, *, reason: str, by: str | None = None, now: datetime
) -> DecisionRecord:
    """Make a version that waits for approval champion; parameters are those of `promote`.

    Raises
    ------
    InputError
        The version does not wait for approval, another version is champion than the one that it
        was compared with, it cannot predict its example, or no reason is given; the champion
        stays.
    BusyError
        Another version has become champion in the meantime.
    """
    return _answer(root, number, "promote", reason=reason, by=by, now=now)


def reject(
    root: Path, number: str, *, reason: str, by: str | None = None, now: datetime
) -> DecisionRecord:
    """Record that a version that waits for approval is not to be champion.

    It stays challenger until there is a newer one. Parameters are those of `promote`.

    Raises
    ------
    InputError
        The version does not wait for approval, or no reason is given.
    """
    return _answer(root, number, "keep", reason=reason, by=by, now=now)


def roll_back(
    root: Path,
    *,
    to: str | None = None,
    reason: str | None = None,
    by: str | None = None,
    now: datetime,
) -> DecisionRecord:
    """Make a former champion champion again, and return the record of the decision.

    Parameters
    ----------
    to : str, optional
        The version to go back to; None: the one with the alias `previous`.

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
    with open_decisions(root) as (registry, log):
        done = resume_decision(registry, log, act="rollback", version=to)
        if done is not None:
            smoke_test(registry, registry.version(done.version))
            return done
        version = _former_champion(registry, log, registry.aliases().get("champion"), to=to)
        expected = smoke_test(registry, version)
        reasons = (reason or NO_REASON,)
        record = _make_record(
            registry, log, version, act="rollback", reasons=reasons, by=by, now=now
        )
        applied = apply_decision(registry, log, record)
        check_champion_predicts(registry, version.number, expected)
        return applied


def roll_back_on_decision(
    root: Path, decision: MonitoringDecision, *, now: datetime
) -> DecisionOutcome:
    """Make the version before the champion champion again, and return the outcome.

    Parameters
    ----------
    decision : MonitoringDecision
        Its `champion` is the version to be replaced.

    Raises
    ------
    InputError
        There is no version to go back to, or it cannot predict; the champion stays.
    StageError
        It is champion again and does not predict what it did before.
    BusyError
        Another version is champion than the one that was judged.
    """
    with open_decisions(root) as (registry, log):
        # A rollback that was killed has moved `previous`; its first outcome names the version.
        begun = [each.version for each in log.outcomes(decision.id) if each.version is not None]
        version = registry.version(begun[0]) if begun else _previous(registry, decision.champion)
        number, expected = version.number, smoke_test(registry, version)
        if not begun:
            runner = runner_name(load_params(root).paths.state)
            log.record_outcome(DecisionOutcome(decision.id, now, "started", number, runner))
        record = _make_record(
            registry,
            log,
            version,
            act="rollback",
            reasons=decision.reasons,
            by=MONITOR_COMMAND,
            now=now,
            occasion=decision.id,
            before={**registry.aliases(), "champion": str(decision.champion)},
        )
        apply_decision(registry, log, record)
        check_champion_predicts(registry, number, expected)
        detail = f"version {number} is champion again in place of version {decision.champion}"
        outcome = DecisionOutcome(decision.id, now, "rolled back", number, detail)
        log.record_outcome(outcome)
        return outcome


def apply_decision(
    registry: ModelRegistry, log: DecisionLog, record: DecisionRecord
) -> DecisionRecord:
    """Do all that a record says, and return it as it is stored.

    A record whose id is stored already is shown as it was stored; the aliases go where this one
    says.

    Raises
    ------
    BusyError
        Another version has become champion in the meantime; the aliases stay.
    """
    from evertune.registry.decision_page import record_html

    stored = record
    if not log.save_record(record):
        stored = next(each for each in log.records(version=record.version) if each.id == record.id)
    failpoint("promotion.recorded")
    version = registry.version(record.version)
    if version.run_id:
        page = record_html(stored, registry.timezone)
        for kind, text in (("json", record_to_json(stored)), ("html", page)):
            name = f"{DECISION_FOLDER}/{record.id}.{kind}"
            registry.log_text(version.run_id, name=name, text=text)
    registry.untag_version(record.version, *FORMER_DECISION_TAGS)
    registry.tag_version(record.version, {DECISION_TAG: short_verdict(stored)})
    _append_unrecorded_champion(registry, log, record)
    champion, replaced = (
        aliases.get("champion") for aliases in (record.aliases_after, record.aliases_before)
    )
    if record.changes_champion:
        if record.act == "rollback" and replaced is not None:
            registry.tag_version(replaced, {ROLLED_BACK_TAG: f"to version {record.version}"})
        registry.untag_version(record.version, ROLLED_BACK_TAG)
    failpoint("promotion.tagged")
    registry.move_aliases(before=record.aliases_before, after=record.aliases_after)
    failpoint("promotion.aliases_moved")
    _describe(registry, log, record)
    failpoint("promotion.described")
    if record.changes_champion and champion is not None:
        log.append_champion(
            version=champion, previous=replaced, record_id=record.id, moment=record.moment
        )
    return stored


def resume_decision(
    registry: ModelRegistry,
    log: DecisionLog,
    *,
    act: DecisionKind | None = None,
    version: str | None = None,
) -> DecisionRecord | None:
    """Complete the newest decision if it was cut short, and return it; None if none was.

    A new champion that is in use already is always completed. One that is not yet is completed
    only for the command that it came from (`act`, and `version` unless it is None); else it is
    left, and the next decision takes its place.
    """
    newest = next(reversed(log.records()), None)
    if newest is None or not newest.changes_champion:
        return None
    if any(change.record_id == newest.id for change in log.champion_changes()):
        return None
    champion = registry.aliases().get("champion")
    moved = champion == newest.aliases_after.get("champion")
    same_command = newest.act == act and version in (None, newest.version)
    if moved or (same_command and champion == newest.aliases_before.get("champion")):
        return apply_decision(registry, log, newest)
    return None


def aliases_after_promotion(before: Mapping[str, str], version: str) -> dict[str, str]:
    """Return the aliases once a version is champion.

    The champion before it is `previous`. A challenger stays only if it is newer than the new
    champion: it waits for the next comparison.

    Examples
    --------
    >>> aliases_after_promotion({"champion": "1", "challenger": "2"}, "2")
    {'champion': '2', 'previous': '1'}
    """
    after = _with_champion(before, version)
    waiting = before.get("challenger")
    if waiting is not None and int(waiting) <= int(version):
        del after["challenger"]
    return after


def aliases_with_challenger(before: Mapping[str, str], version: str) -> dict[str, str]:
    """Return the aliases once a version is challenger; the champion is never its own.

    Examples
    --------
    >>> aliases_with_challenger({"champion": "1"}, "2")
    {'champion': '1', 'challenger': '2'}
    """
    return dict(before) if before.get("champion") == version else {**before, "challenger": version}


def aliases_after_rollback(before: Mapping[str, str], version: str) -> dict[str, str]:
    """Return the aliases once a former champion is champion again; another challenger stays."""
    after = _with_champion(before, version)
    return {alias: v for alias, v in after.items() if (alias, v) != ("challenger", version)}


def smoke_test(registry: ModelRegistry, version: ModelVersion) -> Predictions:
    """Return what a version predicts for the rows that it was registered with."""
    from evertune.models.persistence import load_model, predict_rows

    try:
        with TemporaryDirectory() as beside, threadpool_limits(1):  # for a few rows
            files = registry.download_version(version, folder=Path(beside))
            return predict_rows(load_model(model_folder(files)), read_example_rows(files))
    except (StageError, InputError, ValueError) as error:
        raise InputError(
            f"expected version {version.number} of {registry.name} to predict its own example,"
            f" but: {error}; the champion stays"
        ) from error


def check_champion_predicts(registry: ModelRegistry, number: str, expected: Predictions) -> None:
    """Check that the champion predicts its example as a version did before it was champion."""
    champion = registry.champion()
    found = None if champion is None else smoke_test(registry, champion)
    if found is None or not np.array_equal(found.values, expected.values, equal_nan=True):
        raise StageError(
            f"expected the champion of {registry.name} to predict what version {number} did before"
            " it was champion again, but it does not; look at `evertune history` and at the"
            " service"
        )


def read_champion_history(registry: ModelRegistry, log: DecisionLog) -> tuple[ChampionChange, ...]:
    """Return the versions that became champion, oldest first, also those before the records."""
    earlier = [
        (datetime.fromtimestamp(version.created_seconds, UTC), version.number)
        for version in registry.versions()
        if ROLLED_BACK_TAG in version.facts
        or not {"champion", "previous"}.isdisjoint(version.aliases)
        or json.loads(version.facts.get(VERDICT_TAG, "{}")).get("decision") == "promote"
    ]
    rolled_back = [
        (outcome.moment, outcome.version)
        for outcome in log.outcomes()
        if outcome.kind == "rolled back" and outcome.version is not None
    ]
    return merge_champion_history(log.champion_changes(), [*earlier, *rolled_back])


def gate_verdict_text(version: ModelVersion, judged: DecisionRecord | None) -> str:
    """Return the gate's last verdict about a version, in one line."""
    if judged is not None:
        return f"the gate said: {judged.verdict}: {'; '.join(judged.reasons)}"
    if VERDICT_TAG in version.facts:
        verdict = json.loads(version.facts[VERDICT_TAG])
        return f"the gate said: {verdict['decision']}: {'; '.join(verdict['reasons'])}"
    return "the gate has not judged it"


def _answer(
    root: Path,
    number: str,
    verdict: Literal["promote", "keep"],
    *,
    reason: str,
    by: str | None,
    now: datetime,
) -> DecisionRecord:
    """Approve or reject a version that waits for a person."""
    reason, approves = _required_reason(reason), verdict == "promote"
    with open_decisions(root) as (registry, log):
        if approves:
            done = resume_decision(registry, log, act="approval", version=number)
            if done is not None:
                return done
        version, champion = registry.version(number), registry.aliases().get("champion")
        waiting = log.last_gate_record(version.number)
        if waiting is None or not waiting.waits_for_approval:
            raise InputError(
                f"expected a version of {log.model} that waits for approval, but version"
                f" {version.number} does not: {gate_verdict_text(version, waiting)}."
                f" `evertune promote {version.number} --reason TEXT` overrules the gate"
            )
        if approves and champion != waiting.rival:
            raise InputError(
                f"expected {version_text(waiting.rival)} of {registry.name}, with which version"
                f" {version.number} was compared, to be champion still, but it is"
                f" {version_text(champion)} now; run `evertune train` to compare with that one"
            )
        record = _make_record(
            registry,
            log,
            version,
            act="approval",
            verdict=verdict,
            reasons=(reason,),
            by=by,
            now=now,
            occasion=waiting.id,
        )
        about = log.records(version=version.number)
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
        if approves:
            smoke_test(registry, version)
        return apply_decision(registry, log, record)


def _make_record(
    registry: ModelRegistry,
    log: DecisionLog,
    version: ModelVersion,
    *,
    act: DecisionKind,
    verdict: GateVerdict = "promote",
    reasons: tuple[str, ...],
    by: str | None,
    now: datetime,
    before: Mapping[str, str] | None = None,
    occasion: str | None = None,
) -> DecisionRecord:
    """Return the record of a decision that is not the gate's, with the gate's last evidence."""
    number, by = version.number, by or getpass.getuser()
    before = dict(registry.aliases() if before is None else before)
    move = aliases_after_rollback if act == "rollback" else aliases_after_promotion
    occasion = occasion or f"champion {len(log.champion_changes())}"
    evidence = [verdict, before.get("champion"), by, occasion, *reasons]
    record = DecisionRecord(
        id=make_record_id(act, model=log.model, version=number, evidence=evidence),
        moment=now,
        model=log.model,
        act=act,
        version=number,
        verdict=verdict,
        reasons=reasons,
        by=by,
        aliases_before=before,
        aliases_after=before if verdict == "keep" else move(before, number),
        data=version.data_md5s,
        commit=version.facts.get(COMMIT_TAG),
        run_id=version.run_id or None,
        identity=version.identity or None,
    )
    judged = log.last_gate_record(number)
    if judged is None:
        return record
    return replace(record, **{name: getattr(judged, name) for name in EVIDENCE_FIELDS})


def _required_reason(reason: str) -> str:
    if not reason.strip():
        raise InputError("expected --reason to say why, for those who read the record; got nothing")
    return reason.strip()


def _with_champion(before: Mapping[str, str], version: str) -> dict[str, str]:
    replaced = before.get("champion")
    if replaced == version:
        return dict(before)
    previous = {} if replaced is None else {"previous": replaced}
    return {**before, "champion": version, **previous}


def _describe(registry: ModelRegistry, log: DecisionLog, record: DecisionRecord) -> None:
    """Bring descriptions in MLflow in line with a decision that has moved the aliases.

    They are those of the version that it is about, of the champion that it replaced, and of the
    registered model.
    """
    champion, name = registry.champion(), registry.name
    replaced = record.aliases_before.get("champion") if record.changes_champion else None
    for number in {record.version, replaced} - {None}:
        version = registry.version(str(number))
        if "champion" in version.aliases:
            standing = "In use."
        elif number == replaced:
            standing = f"Not in use any more: version {record.version} took its place."
        else:
            standing = "Not in use."
        text = _description(registry, log, version, standing, f"models:/{name}/{number}")
        registry.describe_version(version.number, text)
    if champion is None:
        registry.describe_model("No version is in use yet. Each says why in its description.")
        return
    standing = f"Version {champion.number} is in use."
    text = _description(registry, log, champion, standing, f"models:/{name}@champion")
    registry.describe_model(text)


def _description(
    registry: ModelRegistry, log: DecisionLog, version: ModelVersion, standing: str, uri: str
) -> str:
    about = log.records(version=version.number)
    return version_description(
        about[-1] if about else None,
        version.facts.get(NOTE_TAG, ""),
        standing=standing,
        uri=uri,
        store=registry.address_for_readers,
        timezone=registry.timezone,
    )


def _append_unrecorded_champion(
    registry: ModelRegistry, log: DecisionLog, record: DecisionRecord
) -> None:
    """Add the champion that no record made: it was before there were any, or set by hand."""
    champion, changes = record.aliases_before.get("champion"), log.champion_changes()
    if champion is None:
        return
    if changes and (changes[-1].version == champion or changes[-1].record_id == record.id):
        return
    created = registry.version(champion).created_seconds
    log.append_champion(
        version=champion,
        previous=changes[-1].version if changes else None,
        record_id=None,
        moment=record.moment if changes else datetime.fromtimestamp(created, UTC),
    )


def _former_champion(
    registry: ModelRegistry, log: DecisionLog, champion: str | None, *, to: str | None
) -> ModelVersion:
    if to is None:
        previous = _previous(registry, champion)
        if ROLLED_BACK_TAG in previous.facts:
            raise InputError(
                f"expected a version of {registry.name} to go back to, but version"
                f" {previous.number}, the champion before, was itself rolled back; version"
                f" {champion} stays champion: `evertune rollback --to {previous.number}` makes"
                " that one champion again"
            )
        return previous
    version = registry.version(to)
    if version.number == champion:
        raise InputError(
            f"expected a former champion of {registry.name} to go back to, but version {champion}"
            " is the champion; nothing was changed"
        )
    former = {change.version for change in read_champion_history(registry, log)}
    if version.number not in former:
        known = ", ".join(sorted(former - {str(champion)}, key=int))
        raise InputError(
            f"expected a former champion of {registry.name} to go back to, but version"
            f" {version.number} never was one"
            f" ({f'former champions: {known}' if known else 'there is no former champion'}); to"
            f" make it champion: `evertune promote {version.number} --reason TEXT`"
        )
    return version


def _previous(registry: ModelRegistry, champion: str | None) -> ModelVersion:
    previous = registry.find("previous")
    if previous is None or previous.number == champion:
        raise InputError(
            f"expected a version of {registry.name} with the alias `previous` to go back to, but"
            " there is none; the champion stays"
        )
    return previous
