from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.core.findings import Decision, Outcome
from pipelines.core.judging.records import Record
from pipelines.core.predictions import Predictions
from pipelines.errors import BusyError, InputError, StageError
from pipelines.proving import proved, proving_beside
from pipelines.rollback import check_same, roll_back, rollback
from pipelines.stores import registry
from pipelines.stores.decisions import outcomes, record_outcome
from pipelines.stores.records import champions, records
from pipelines.stores.tracking import client
from tests import production, versioned

pytestmark = pytest.mark.slow
NOW = production.day(9)
DECISION = Decision("r", NOW, "churn", "2", "rollback", ("it is worse",))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return versioned.learned(tmp_path_factory.mktemp("learned"))


@pytest.fixture
def root(tmp_path: Path, state: Path, model: Path) -> Path:
    """Return a project in which version 2 took the place of version 1, and 3 is challenger."""
    assert state == tmp_path / "state"
    return versioned.project(tmp_path, model)


def test_the_version_before_is_champion_again_and_the_challenger_stays(root: Path) -> None:
    outcome = rollback(root, DECISION, now=NOW)
    assert (outcome.kind, outcome.version) == ("rolled back", "1")
    assert versioned.aliases_of(root) == {"champion": "1", "previous": "2", "challenger": "3"}


def test_it_is_recorded_before_and_after(root: Path) -> None:
    rollback(root, DECISION, now=NOW)
    kept = outcomes(production.log_of(root))
    assert [(each.kind, each.version) for each in kept] == [("started", "1"), ("rolled back", "1")]


def test_a_rollback_killed_between_two_aliases_is_finished(root: Path) -> None:
    record_outcome(production.log_of(root), Outcome("r", NOW, "started", "1"))
    client(versioned.store_of(root).address).set_registered_model_alias("churn", "previous", "2")
    rollback(root, DECISION, now=NOW)
    assert versioned.aliases_of(root) == {"champion": "1", "previous": "2", "challenger": "3"}


def test_a_champion_that_was_not_judged_is_not_replaced(root: Path) -> None:
    with pytest.raises(BusyError, match=r"expected version 3 .* champion, but it is version 2 now"):
        rollback(root, replace(DECISION, champion="3"), now=NOW)
    assert versioned.aliases_of(root)["champion"] == "2"


def test_without_a_version_before_the_champion_stays(root: Path) -> None:
    known = client(versioned.store_of(root).address)
    known.delete_registered_model_alias("churn", "previous")
    with pytest.raises(InputError, match="to go back to, but there is none; the champion stays"):
        rollback(root, DECISION, now=NOW)


def test_a_version_that_cannot_predict_is_not_gone_back_to(root: Path) -> None:
    versioned.broken(root)
    with pytest.raises(InputError, match="version 1 of churn to predict its own example, but"):
        rollback(root, DECISION, now=NOW)
    assert outcomes(production.log_of(root)) == ()


def test_what_monitoring_decided_leaves_a_record_however_often_it_is_run(root: Path) -> None:
    for _ in range(2):
        rollback(root, DECISION, now=NOW)
    (record,) = records(production.log_of(root))
    assert (record.act, record.version, record.by) == ("rollback", "1", "evertune monitor")
    assert record.reasons == ("it is worse",)


def back(root: Path, **given: str) -> Record:
    return roll_back(root, by="ada", now=NOW, **given)


def test_a_person_goes_back_to_the_champion_before(root: Path) -> None:
    record = back(root, reason="complaints")
    assert versioned.aliases_of(root) == {"champion": "1", "previous": "2", "challenger": "3"}
    assert (record.act, record.by, record.reasons) == ("rollback", "ada", ("complaints",))


def test_the_version_that_was_rolled_back_is_not_promoted_by_the_gate_again(root: Path) -> None:
    back(root)
    tags = registry.version_numbered(versioned.store_of(root), "2").tags
    assert tags[registry.ROLLED_BACK_TAG] == "to version 1"


def test_a_second_rollback_does_not_go_forward(root: Path) -> None:
    back(root)
    with pytest.raises(InputError, match="version 2, the champion before, was itself rolled back"):
        back(root)
    assert back(root, to="2").aliases_after["champion"] == "2"


def test_a_rollback_that_was_killed_is_taken_up_by_the_same_command(root: Path) -> None:
    log, first = production.log_of(root), back(root)
    versioned.take_back(root, log)
    assert back(root) == first
    assert [each.version for each in champions(log)] == ["2", "1"]


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
        check_same(store, "2", said, prove=proved)


def test_a_version_is_proved_in_a_process_of_its_own(root: Path) -> None:
    with proving_beside() as prove:
        record = roll_back(root, now=NOW, prove=prove)
    assert record.aliases_after["champion"] == "1"


def test_a_version_that_cannot_be_proved_beside_is_told_alike(root: Path) -> None:
    versioned.broken(root)
    with proving_beside() as prove, pytest.raises(InputError, match="predict its own example, but"):
        roll_back(root, now=NOW, prove=prove)
