from pathlib import Path

import pytest

from evertune.errors import InputError
from evertune.registry import versions
from evertune.registry.decision_log import read_champion_changes, read_decision_records, save_record
from evertune.registry.promotion import promote
from evertune.registry.records import DecisionRecord
from tests import production, versioned

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return versioned.learned(tmp_path_factory.mktemp("learned"))


@pytest.fixture
def root(tmp_path: Path, state: Path, model: Path) -> Path:
    assert state.is_dir()
    return versioned.project(tmp_path, model)


def promoted(root: Path, number: str = "3", **changed: str) -> DecisionRecord:
    given = {"reason": "the campaign needs it", "by": "ada", **changed}
    return promote(root, number, now=versioned.NOW, **given)


def test_a_person_overrules_the_gate_and_is_recorded(root: Path) -> None:
    record = promoted(root)
    assert versioned.aliases_of(root) == {"champion": "3", "previous": "2"}
    assert (record.act, record.by, record.reasons[0]) == (
        "promotion", "ada", "the campaign needs it",
    )  # fmt: skip


def test_the_record_shows_what_the_gate_said(root: Path) -> None:
    save_record(production.log_of(root), versioned.judged())
    record = promoted(root)
    assert record.reasons[1] == "the gate said: not enough evidence: roc_auc is hardly better"
    assert (record.gates, record.rival) == ((versioned.GATE,), "2")


def test_the_record_of_an_older_project_shows_what_its_tag_says(root: Path) -> None:
    tag = '{"decision": "keep", "reasons": ["worse"]}'
    versions.tag_version(versioned.store_of(root), "3", {"evertune.verdict": tag})
    assert promoted(root).reasons[1] == "the gate said: keep: worse"


def test_the_record_names_what_the_version_came_from(root: Path) -> None:
    record = promoted(root)
    assert (record.data, record.identity) == ({"training": "5d41"}, "3")
    assert record.reasons[1] == "the gate has not judged it"


def test_a_promotion_that_was_killed_is_taken_up_by_the_same_command(root: Path) -> None:
    log = production.log_of(root)
    first = promoted(root)
    assert read_champion_changes(log)[-1].record_id == first.id
    versioned.take_back(root, log)
    assert promoted(root) == first
    assert (len(read_decision_records(log)), versioned.aliases_of(root)["champion"]) == (1, "3")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("9", "a version of churn, but got '9'; its versions: 1, 2, 3"),
        ("2", "version 2 of churn is the champion already"),
    ],
)
def test_what_cannot_be_promoted_is_refused(root: Path, number: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        promoted(root, number)


def test_a_reason_is_asked_for(root: Path) -> None:
    with pytest.raises(InputError, match="expected --reason to say why"):
        promoted(root, reason="  ")


def test_a_version_that_cannot_predict_its_example_is_refused(root: Path) -> None:
    versioned.broken(root)
    with pytest.raises(InputError, match="version 3 of churn to predict its own example, but"):
        promoted(root)
    assert versioned.aliases_of(root) == versioned.ALIASES
    assert read_decision_records(production.log_of(root)) == ()


def test_a_version_that_was_rolled_back_is_wanted_again(root: Path) -> None:
    store = versioned.store_of(root)
    versions.set_rolled_back_tag(store, "3", number="2")
    promoted(root)
    assert versions.ROLLED_BACK_TAG not in versions.get_version(store, "3").tags
