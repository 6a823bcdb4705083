from dataclasses import replace
from pathlib import Path

import pytest

from evertune.errors import InputError
from evertune.registry.decision_log import read_champion_changes, read_decision_records, save_record
from evertune.registry.promotion import approve, reject
from evertune.registry.records import DecisionRecord
from tests import production, versioned

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return versioned.learned(tmp_path_factory.mktemp("learned"))


@pytest.fixture
def root(tmp_path: Path, state: Path, model: Path) -> Path:
    """Return a project whose version 3 waits for approval."""
    assert state.is_dir()
    made = versioned.project(tmp_path, model)
    save_record(production.log_of(made), versioned.waiting())
    return made


def approved(root: Path, number: str = "3") -> DecisionRecord:
    return approve(root, number, reason="looked at slices", by="ada", now=versioned.NOW)


def rejected(root: Path, reason: str = "not before the audit") -> DecisionRecord:
    return reject(root, "3", reason=reason, by="ada", now=versioned.NOW)


def test_a_version_that_waited_is_champion_once_it_is_approved(root: Path) -> None:
    record = approved(root)
    assert versioned.aliases_of(root) == {"champion": "3", "previous": "2"}
    assert (record.act, record.verdict, record.by) == ("approval", "promote", "ada")
    assert read_champion_changes(production.log_of(root))[-1].record_id == record.id


def test_a_version_that_was_rejected_stays_challenger(root: Path) -> None:
    record = rejected(root)
    assert versioned.aliases_of(root) == versioned.ALIASES
    assert (record.act, record.verdict) == ("approval", "keep")


def test_a_rejection_that_was_killed_is_run_again(root: Path) -> None:
    assert rejected(root) == rejected(root)
    assert len(read_decision_records(production.log_of(root), version="3")) == 2


def test_an_approval_that_was_killed_is_taken_up_by_the_same_command(root: Path) -> None:
    log, first = production.log_of(root), approved(root)
    versioned.take_back(root, log)
    assert approved(root) == first
    assert versioned.aliases_of(root)["champion"] == "3"


def test_a_version_is_not_approved_after_it_was_rejected(root: Path) -> None:
    rejected(root)
    with pytest.raises(InputError, match="version 3 was rejected by ada on 2024-05-01: not before"):
        approved(root)
    with pytest.raises(InputError, match="version 3 was rejected by ada"):
        rejected(root, "another reason")


def test_a_version_is_not_rejected_after_it_was_approved(root: Path) -> None:
    approved(root)
    with pytest.raises(InputError, match="version 3 was approved by ada on 2024-05-01: looked at"):
        rejected(root)


def test_a_version_that_does_not_wait_is_refused(root: Path) -> None:
    save_record(production.log_of(root), versioned.judged("1", verdict="keep"))
    with pytest.raises(InputError, match="version 1 does not: the gate said: keep: roc_auc is har"):
        approved(root, "1")


def test_another_champion_than_the_one_compared_with_is_told(root: Path) -> None:
    save_record(production.log_of(root), replace(versioned.waiting("1"), rival="3"))
    with pytest.raises(InputError, match="version 3 of churn to be champion still, with which"):
        approved(root, "1")


def test_a_version_that_cannot_predict_its_example_is_not_approved(root: Path) -> None:
    versioned.broken(root)
    with pytest.raises(InputError, match="version 3 of churn to predict its own example, but"):
        approved(root)
    assert versioned.aliases_of(root) == versioned.ALIASES


@pytest.mark.parametrize("decide", [approve, reject])
def test_a_reason_is_asked_for(root: Path, decide: object) -> None:
    with pytest.raises(InputError, match="expected --reason to say why"):
        decide(root, "3", reason="", now=versioned.NOW)  # type: ignore[operator]
