from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evertune.decisions import DecisionOutcome, MonitoringDecision
from evertune.errors import BusyError, InputError, StageError
from evertune.registry import versions
from evertune.registry.decision_log import (
    read_champion_changes,
    read_decision_records,
    read_outcomes,
    record_outcome,
)
from evertune.registry.mlflow_client import create_client
from evertune.registry.promotion import check_same_predictions, roll_back, roll_back_on_decision
from evertune.registry.records import DecisionRecord
from evertune.registry.smoke_test import smoke_test, smoke_test_in_subprocess
from evertune.types import Predictions
from tests import production, versioned

pytestmark = pytest.mark.slow
NOW = production.day(9)
DECISION = MonitoringDecision("r", NOW, "churn", "2", "rollback", ("it is worse",))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return versioned.learned(tmp_path_factory.mktemp("learned"))


@pytest.fixture
def root(tmp_path: Path, state: Path, model: Path) -> Path:
    """Return a project in which version 2 took the place of version 1, and 3 is challenger."""
    assert state == tmp_path / "state"
    return versioned.project(tmp_path, model)


def test_the_version_before_is_champion_again_and_the_challenger_stays(root: Path) -> None:
    outcome = roll_back_on_decision(root, DECISION, now=NOW)
    assert (outcome.kind, outcome.version) == ("rolled back", "1")
    assert versioned.aliases_of(root) == {"champion": "1", "previous": "2", "challenger": "3"}


def test_it_is_recorded_before_and_after(root: Path) -> None:
    roll_back_on_decision(root, DECISION, now=NOW)
    kept = read_outcomes(production.log_of(root))
    assert [(each.kind, each.version) for each in kept] == [("started", "1"), ("rolled back", "1")]


def test_a_rollback_killed_between_two_aliases_is_finished(root: Path) -> None:
    record_outcome(production.log_of(root), DecisionOutcome("r", NOW, "started", "1"))
    create_client(versioned.store_of(root).address).set_registered_model_alias(
        "churn", "previous", "2"
    )
    roll_back_on_decision(root, DECISION, now=NOW)
    assert versioned.aliases_of(root) == {"champion": "1", "previous": "2", "challenger": "3"}


def test_a_champion_that_was_not_judged_is_not_replaced(root: Path) -> None:
    with pytest.raises(BusyError, match=r"expected version 3 .* champion, but it is version 2 now"):
        roll_back_on_decision(root, replace(DECISION, champion="3"), now=NOW)
    assert versioned.aliases_of(root)["champion"] == "2"


def test_without_a_version_before_the_champion_stays(root: Path) -> None:
    known = create_client(versioned.store_of(root).address)
    known.delete_registered_model_alias("churn", "previous")
    with pytest.raises(InputError, match="to go back to, but there is none; the champion stays"):
        roll_back_on_decision(root, DECISION, now=NOW)


def test_a_version_that_cannot_predict_is_not_gone_back_to(root: Path) -> None:
    versioned.broken(root)
    with pytest.raises(InputError, match="version 1 of churn to predict its own example, but"):
        roll_back_on_decision(root, DECISION, now=NOW)
    assert read_outcomes(production.log_of(root)) == ()


def test_what_monitoring_decided_leaves_a_record_however_often_it_is_run(root: Path) -> None:
    for _ in range(2):
        roll_back_on_decision(root, DECISION, now=NOW)
    (record,) = read_decision_records(production.log_of(root))
    assert (record.act, record.version, record.by) == ("rollback", "1", "evertune monitor")
    assert record.reasons == ("it is worse",)


def back(root: Path, **given: str) -> DecisionRecord:
    return roll_back(root, by="ada", now=NOW, **given)


def test_a_person_goes_back_to_the_champion_before(root: Path) -> None:
    record = back(root, reason="complaints")
    assert versioned.aliases_of(root) == {"champion": "1", "previous": "2", "challenger": "3"}
    assert (record.act, record.by, record.reasons) == ("rollback", "ada", ("complaints",))


def test_the_version_that_was_rolled_back_is_not_promoted_by_the_gate_again(root: Path) -> None:
    back(root)
    tags = versions.get_version(versioned.store_of(root), "2").tags
    assert tags[versions.ROLLED_BACK_TAG] == "to version 1"


def test_a_second_rollback_does_not_go_forward(root: Path) -> None:
    back(root)
    with pytest.raises(InputError, match="version 2, the champion before, was itself rolled back"):
        back(root)
    assert back(root, to="2").aliases_after["champion"] == "2"


def test_a_rollback_that_was_killed_is_taken_up_by_the_same_command(root: Path) -> None:
    log, first = production.log_of(root), back(root)
    versioned.take_back(root, log)
    assert back(root) == first
    assert [each.version for each in read_champion_changes(log)] == ["2", "1"]


@pytest.mark.parametrize(
    ("to", "words"),
    [
        ("2", "to go back to, but version 2 is the champion; nothing was changed"),
        ("3", r"version 3 never was one \(former champions: 1\); to make it champion"),
        ("9", "a version of churn, but got '9'; its versions: 1, 2, 3"),
    ],
)
def test_what_cannot_be_gone_back_to_is_refused(root: Path, to: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        back(root, to=to)
    assert versioned.aliases_of(root) == versioned.ALIASES


def test_a_champion_that_predicts_otherwise_than_before_is_told(root: Path) -> None:
    store, said = versioned.store_of(root), Predictions(np.array([1.0, 1.0]))
    with pytest.raises(StageError, match="predict what version 2 did before it was champion ag"):
        check_same_predictions(store, "2", said, prove=smoke_test)


def test_a_version_is_proved_in_a_process_of_its_own(root: Path) -> None:
    with smoke_test_in_subprocess() as prove:
        record = roll_back(root, now=NOW, prove=prove)
    assert record.aliases_after["champion"] == "1"


def test_a_version_that_cannot_be_proved_beside_is_told_alike(root: Path) -> None:
    versioned.broken(root)
    with (
        smoke_test_in_subprocess() as prove,
        pytest.raises(InputError, match="predict its own example, but"),
    ):
        roll_back(root, now=NOW, prove=prove)
