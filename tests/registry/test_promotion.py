import json
import multiprocessing
import shutil
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

from evertune.decisions import DecisionOutcome, MonitoringDecision
from evertune.errors import BusyError, EvertuneError, InputError, StageError
from evertune.files import project_lock
from evertune.identity import is_runner_of
from evertune.registry.decision_log import DecisionLog
from evertune.registry.mlflow_registry import ROLLED_BACK_TAG, ModelRegistry
from evertune.registry.promotion import (
    aliases_after_promotion,
    apply_decision,
    approve,
    check_champion_predicts,
    promote,
    reject,
    resume_decision,
    roll_back,
    roll_back_on_decision,
)
from evertune.registry.promotion_records import DecisionRecord
from evertune.types import Predictions
from tests.conftest import forget_artifact_places
from tests.support import production, versioned
from tests.support.registries import client_of

pytestmark = pytest.mark.slow
ALIASES = versioned.ALIASES
PROMOTED = versioned.judged(verdict="promote", aliases_after=aliases_after_promotion(ALIASES, "3"))
NOW = production.day(9)
DECISION = MonitoringDecision("r", NOW, "churn", "2", "rollback", ("it is worse",))
GATE_SAID = versioned.GATE


@pytest.fixture
def registry(root: Path) -> ModelRegistry:
    return versioned.store_of(root)


def promoted(root: Path, number: str = "3", **changed: str) -> DecisionRecord:
    given = {"reason": "the campaign needs it", "by": "ada", **changed}
    return promote(root, number, now=versioned.NOW, **given)


def approved(root: Path, number: str = "3") -> DecisionRecord:
    return approve(root, number, reason="looked at slices", by="ada", now=versioned.NOW)


def rejected(root: Path, reason: str = "not before the audit") -> DecisionRecord:
    return reject(root, "3", reason=reason, by="ada", now=versioned.NOW)


def back(root: Path, **given: str) -> DecisionRecord:
    return roll_back(root, by="ada", now=NOW, **given)


# A decision that is applied


def test_a_promotion_moves_the_aliases_and_keeps_the_whole_record(
    registry: ModelRegistry, decisions: DecisionLog, tmp_path: Path
) -> None:
    for _ in range(2):
        apply_decision(registry, decisions, PROMOTED)
    assert registry.aliases() == {"champion": "3", "previous": "2"}
    assert decisions.records() == (PROMOTED,)
    history = [(each.version, each.record_id) for each in decisions.champion_changes()]
    assert history == [("2", None), ("3", PROMOTED.id)]
    version = registry.version("3")
    assert version.facts["decision"] == "promoted"
    kept = registry.download_artifact(version.run_id, name="decision", folder=tmp_path / "kept")
    assert {path.name for path in kept.iterdir()} == {f"{PROMOTED.id}.json", f"{PROMOTED.id}.html"}
    content = json.loads((kept / f"{PROMOTED.id}.json").read_text())
    assert content["gates"] == [{"name": "champion", "outcome": "pass", "reason": "better by 0.01"}]


def test_a_champion_that_somebody_else_set_is_in_the_history(
    registry: ModelRegistry, decisions: DecisionLog
) -> None:
    decisions.append_champion(version="1", previous=None, record_id="a", moment=versioned.NOW)
    apply_decision(registry, decisions, PROMOTED)
    assert [each.version for each in decisions.champion_changes()] == ["1", "2", "3"]


def test_a_refused_version_is_the_challenger_and_no_champion_is_new(
    registry: ModelRegistry, decisions: DecisionLog
) -> None:
    apply_decision(registry, decisions, versioned.judged("1", verdict="keep"))
    assert registry.aliases() == {**ALIASES, "challenger": "1"}
    assert [each.version for each in decisions.champion_changes()] == ["2"]


def test_aliases_stay_if_the_champion_changed_meanwhile(
    registry: ModelRegistry, decisions: DecisionLog
) -> None:
    after = {**ALIASES, "champion": "1"}
    registry.move_aliases(before=ALIASES, after=after)
    with pytest.raises(BusyError, match="version 2 of churn to be champion, but it is version 1"):
        apply_decision(registry, decisions, PROMOTED)
    assert registry.aliases() == after


def test_another_command_completes_only_a_champion_that_is_in_use(
    registry: ModelRegistry, decisions: DecisionLog
) -> None:
    decisions.save_record(PROMOTED)
    assert resume_decision(registry, decisions, act="rollback") is None
    assert registry.aliases() == ALIASES
    client_of(registry).set_registered_model_alias("churn", "champion", "3")
    assert resume_decision(registry, decisions, act="rollback") == PROMOTED
    assert registry.aliases() == {"champion": "3", "previous": "2"}
    assert resume_decision(registry, decisions, act="rollback") is None


# Killed after any write, and run again


WRITES = (
    (DecisionLog, ("_insert", "append_champion")),
    (
        MlflowClient,
        (
            *("log_text", "set_model_version_tag", "delete_model_version_tag", "set_tag"),
            *("update_model_version", "update_registered_model"),
            *("set_registered_model_alias", "delete_registered_model_alias"),
        ),
    ),
)


class KilledError(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def kill_after(monkeypatch: pytest.MonkeyPatch, n_writes: int) -> list[str]:
    """End the process, as it were, after so many writes; return the writes that were done."""
    done: list[str] = []

    def killing(write: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            result = write(*args, **kwargs)
            done.append(write.__name__)
            if len(done) == n_writes:
                raise KilledError
            return result

        return call

    for kind, names in WRITES:
        for name in names:
            monkeypatch.setattr(kind, name, killing(getattr(kind, name)))
    return done


def final_state(root: Path) -> dict[str, object]:
    forget_artifact_places()
    registry, decisions = versioned.store_of(root), DecisionLog(production.log_of(root))
    return {
        "aliases": registry.aliases(),
        "records": [(each.id, each.act, each.version) for each in decisions.records()],
        "history": [(each.version, each.record_id) for each in decisions.champion_changes()],
        "outcomes": [(each.kind, each.version) for each in decisions.outcomes()],
        "tags": [
            {name: text for name, text in each.facts.items() if "evertune" in name or "dec" in name}
            for each in registry.versions()
        ],
        "descriptions": [
            client_of(registry).get_registered_model("churn").description,
            *(client_of(registry).get_model_version("churn", each).description for each in "123"),
        ],
        "files": sorted(versioned.kept_files(root, "3")),
    }


COMMANDS: dict[str, Callable[[Path], object]] = {
    "promote": promoted,
    "approve": approved,
    "reject": rejected,
    "roll back": back,
    "monitoring": lambda root: roll_back_on_decision(root, DECISION, now=NOW),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_killed_after_any_write_ends_in_the_same_state(
    name: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    DecisionLog(production.log_of(root)).save_record(versioned.waiting())
    command, whole = COMMANDS[name], shutil.copytree(root, tmp_path / "whole")
    forget_artifact_places()
    with monkeypatch.context() as patch:
        writes = kill_after(patch, -1)
        command(whole)
    wanted = final_state(whole)
    assert len(writes) >= 4
    for n_writes in range(1, len(writes)):
        killed = shutil.copytree(root, tmp_path / f"killed-{n_writes}")
        forget_artifact_places()
        with monkeypatch.context() as patch:
            kill_after(patch, n_writes)
            with pytest.raises(KilledError):
                command(killed)
        forget_artifact_places()
        command(killed)
        assert final_state(killed) == wanted, f"killed after {writes[:n_writes]}"


def promote_at_once(root: str, number: str, begin: Barrier, results: "Queue[str]") -> None:
    begin.wait(120)
    try:
        with project_lock(Path(root) / "state", f"evertune promote {number}"):
            promoted(Path(root), number)
        results.put("done")
    except EvertuneError as error:
        results.put(type(error).__name__)


def test_two_processes_that_promote_at_once_leave_one_champion(root: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results, begin = context.Queue(), context.Barrier(2)
    other = context.Process(target=promote_at_once, args=(str(root), "1", begin, results))
    other.start()
    promote_at_once(str(root), "3", begin, results)
    other.join()
    outcomes = sorted(results.get() for _ in range(2))
    assert outcomes in (["BusyError", "done"], ["ProjectBusyError", "done"], ["done", "done"])
    log = DecisionLog(production.log_of(root))
    aliases, changes = versioned.aliases_of(root), log.champion_changes()
    assert changes[-1].version == aliases["champion"]
    assert len(log.records()) == outcomes.count("done") == len(changes) - 1


# By hand


def test_a_person_overrules_the_gate_and_the_record_shows_what_it_said(root: Path) -> None:
    DecisionLog(production.log_of(root)).save_record(versioned.judged())
    record = promoted(root)
    assert versioned.aliases_of(root) == {"champion": "3", "previous": "2"}
    assert (record.act, record.by) == ("promotion", "ada")
    assert record.reasons == (
        "the campaign needs it", "the gate said: not enough evidence: roc_auc is hardly better",
    )  # fmt: skip
    assert (record.gates, record.rival) == ((GATE_SAID,), "2")
    assert (record.data, record.identity) == ({"training": "5d41"}, "3")


@pytest.mark.parametrize(
    ("tag", "words"),
    [
        ({}, "the gate has not judged it"),
        (
            {"evertune.verdict": '{"decision": "keep", "reasons": ["worse"]}'},
            "the gate said: keep: worse",
        ),
    ],
)
def test_a_version_without_a_record_is_told_by_its_tag(
    root: Path, registry: ModelRegistry, tag: dict[str, str], words: str
) -> None:
    registry.tag_version("3", tag)
    assert promoted(root).reasons[1] == words


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("9", "an alias of a version of churn, but got '9'; there are"),
        ("2", "version 2 of churn is the champion already"),
    ],
)
def test_what_cannot_be_promoted_is_refused(root: Path, number: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        promoted(root, number)


@pytest.mark.parametrize("decide", [promote, approve, reject])
def test_a_reason_is_asked_for(root: Path, decide: Callable[..., object]) -> None:
    with pytest.raises(InputError, match="expected --reason to say why"):
        decide(root, "3", reason="  ", now=versioned.NOW)


@pytest.mark.parametrize("name", ["promote", "approve", "roll back", "monitoring"])
def test_a_version_that_cannot_predict_its_example_never_becomes_champion(
    root: Path, decisions: DecisionLog, name: str
) -> None:
    decisions.save_record(versioned.waiting())
    versioned.broken(root)
    with pytest.raises(InputError, match=r"version . of churn to predict its own example, but"):
        COMMANDS[name](root)
    assert versioned.aliases_of(root) == ALIASES
    assert (len(decisions.records()), decisions.outcomes()) == (1, ())


def test_a_version_that_was_rolled_back_may_be_promoted_by_hand(
    root: Path, registry: ModelRegistry
) -> None:
    registry.tag_version("3", {ROLLED_BACK_TAG: "to version 2"})
    promoted(root)
    assert ROLLED_BACK_TAG not in registry.version("3").facts


# Approval


def test_a_version_that_waits_is_champion_once_it_is_approved(
    root: Path, decisions: DecisionLog
) -> None:
    decisions.save_record(versioned.waiting())
    record = approved(root)
    assert versioned.aliases_of(root) == {"champion": "3", "previous": "2"}
    assert (record.act, record.verdict, record.by) == ("approval", "promote", "ada")
    assert decisions.champion_changes()[-1].record_id == record.id
    with pytest.raises(InputError, match="version 3 was approved by ada on 2024-05-01: looked at"):
        rejected(root)


def test_a_version_that_is_rejected_stays_challenger(root: Path, decisions: DecisionLog) -> None:
    decisions.save_record(versioned.waiting())
    assert rejected(root) == rejected(root)
    assert versioned.aliases_of(root) == ALIASES
    assert [each.verdict for each in decisions.records()][-1] == "keep"
    with pytest.raises(InputError, match="version 3 was rejected by ada on 2024-05-01: not before"):
        approved(root)
    with pytest.raises(InputError, match="version 3 was rejected by ada"):
        rejected(root, "another reason")


def test_a_version_that_does_not_wait_is_not_approved(root: Path, decisions: DecisionLog) -> None:
    decisions.save_record(versioned.judged("1", verdict="keep"))
    with pytest.raises(InputError, match="version 1 does not: the gate said: keep: roc_auc is har"):
        approved(root, "1")


def test_another_champion_than_the_compared_one_is_told(root: Path, decisions: DecisionLog) -> None:
    decisions.save_record(replace(versioned.waiting("1"), rival="3"))
    with pytest.raises(InputError, match="expected version 3 of churn, with which version 1 was"):
        approved(root, "1")


# Rollback


def test_a_rollback_brings_back_the_champion_before_and_the_challenger_stays(
    root: Path, registry: ModelRegistry
) -> None:
    record = back(root, reason="complaints")
    assert registry.aliases() == {"champion": "1", "previous": "2", "challenger": "3"}
    assert (record.act, record.by, record.reasons) == ("rollback", "ada", ("complaints",))
    assert registry.version("2").facts[ROLLED_BACK_TAG] == "to version 1"
    with pytest.raises(InputError, match="version 2, the champion before, was itself rolled back"):
        back(root)
    assert back(root, to="2").aliases_after["champion"] == "2"


@pytest.mark.parametrize(
    ("to", "words"),
    [
        ("2", "to go back to, but version 2 is the champion; nothing was changed"),
        ("3", r"version 3 never was one \(former champions: 1\); to make it champion"),
        ("9", "a version of churn, but got '9'; there are"),
    ],
)
def test_what_cannot_be_gone_back_to_is_refused(root: Path, to: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        back(root, to=to)
    assert versioned.aliases_of(root) == ALIASES


def test_a_champion_that_predicts_otherwise_than_before_is_told(registry: ModelRegistry) -> None:
    with pytest.raises(StageError, match="predict what version 2 did before it was champion ag"):
        check_champion_predicts(registry, "2", Predictions(np.array([1.0, 1.0])))


def test_monitoring_rolls_back_once_however_often_it_is_run(
    root: Path, decisions: DecisionLog
) -> None:
    for _ in range(2):
        outcome = roll_back_on_decision(root, DECISION, now=NOW)
    assert (outcome.kind, outcome.version) == ("rolled back", "1")
    assert versioned.aliases_of(root) == {"champion": "1", "previous": "2", "challenger": "3"}
    kinds = [(each.kind, each.version) for each in decisions.outcomes()]
    assert kinds == [("started", "1"), ("rolled back", "1")]
    assert is_runner_of(decisions.outcomes()[0].detail, root / "state")
    (record,) = decisions.records()
    assert (record.version, record.by, record.reasons) == (
        "1",
        "evertune monitor",
        ("it is worse",),
    )


def test_a_champion_that_was_not_judged_is_not_rolled_back(root: Path) -> None:
    with pytest.raises(BusyError, match=r"expected version 3 .* champion, but it is version 2 now"):
        roll_back_on_decision(root, replace(DECISION, champion="3"), now=NOW)
    assert versioned.aliases_of(root)["champion"] == "2"


def test_without_a_version_before_the_champion_stays(root: Path, registry: ModelRegistry) -> None:
    client_of(registry).delete_registered_model_alias("churn", "previous")
    with pytest.raises(InputError, match="to go back to, but there is none; the champion stays"):
        roll_back_on_decision(root, DECISION, now=NOW)


def test_a_rollback_killed_between_two_aliases_is_finished(
    root: Path, registry: ModelRegistry, decisions: DecisionLog
) -> None:
    decisions.record_outcome(DecisionOutcome("r", NOW, "started", "1"))
    client_of(registry).set_registered_model_alias("churn", "previous", "2")
    roll_back_on_decision(root, DECISION, now=NOW)
    assert registry.aliases() == {"champion": "1", "previous": "2", "challenger": "3"}
