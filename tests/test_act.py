import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from evertune.database import ModelLog, close_log
from evertune.errors import BusyError
from evertune.registry import versions
from evertune.registry.decision_log import (
    append_champion,
    read_champion_changes,
    read_decision_records,
    save_record,
)
from evertune.registry.mlflow_client import create_client
from evertune.registry.promotion import apply_decision, resume_decision
from evertune.registry.records import DecisionRecord, aliases_after_promotion
from evertune.registry.runs import download_artifact
from evertune.registry.versions import move_aliases
from tests import production, versioned

pytestmark = pytest.mark.slow
PROMOTED = versioned.judged(
    verdict="promote", aliases_after=aliases_after_promotion(versioned.ALIASES, "3")
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return versioned.learned(tmp_path_factory.mktemp("learned"))


@pytest.fixture
def root(tmp_path: Path, state: Path, model: Path) -> Path:
    assert state.is_dir()
    return versioned.project(tmp_path, model)


@pytest.fixture
def log(root: Path) -> Iterator[ModelLog]:
    opened = production.log_of(root)
    yield opened
    close_log(opened)


def act(root: Path, log: ModelLog, record: DecisionRecord) -> DecisionRecord:
    return apply_decision(versioned.store_of(root), log, record)


def test_a_promotion_removes_the_challenger_and_sets_previous(root: Path, log: ModelLog) -> None:
    act(root, log, PROMOTED)
    assert versioned.aliases_of(root) == {"champion": "3", "previous": "2"}


def test_a_decision_is_kept_with_its_page_among_the_artifacts_of_the_run(
    root: Path, log: ModelLog
) -> None:
    kept = act(root, log, PROMOTED)
    names = versioned.kept_files(root, "3")
    assert names == {f"decision/{kept.id}.{kind}" for kind in ("json", "html")}
    assert read_decision_records(log) == (PROMOTED,)


def test_a_version_is_tagged_with_what_was_decided_about_it(root: Path, log: ModelLog) -> None:
    kept = act(root, log, PROMOTED)
    tags = versions.get_version(versioned.store_of(root), "3").tags
    assert (tags["evertune.decision"], tags["decision"]) == (kept.id, "promote")
    assert (tags["decision.by"], tags["decision.act"]) == ("evertune train", "gate")


def test_the_history_begins_with_the_champion_that_no_record_made(
    root: Path, log: ModelLog
) -> None:
    act(root, log, PROMOTED)
    told = [(each.version, each.previous, each.record_id) for each in read_champion_changes(log)]
    assert told == [("2", None, None), ("3", "2", PROMOTED.id)]


def test_a_champion_that_another_hand_set_is_in_the_history(root: Path, log: ModelLog) -> None:
    append_champion(log, version="1", previous=None, record_id="a", moment=versioned.NOW)
    act(root, log, PROMOTED)
    assert [each.version for each in read_champion_changes(log)] == ["1", "2", "3"]


def test_a_decision_is_done_once_however_often_it_is_tried(root: Path, log: ModelLog) -> None:
    for _ in range(2):
        act(root, log, PROMOTED)
    assert len(read_decision_records(log)) == 1
    assert len(read_champion_changes(log)) == 2


def test_a_refused_version_is_the_challenger_and_no_champion_is_new(
    root: Path, log: ModelLog
) -> None:
    act(root, log, versioned.judged("1", verdict="keep"))
    assert versioned.aliases_of(root) == {**versioned.ALIASES, "challenger": "1"}
    assert [each.version for each in read_champion_changes(log)] == ["2"]


def test_aliases_stay_where_the_champion_changed_meanwhile(root: Path, log: ModelLog) -> None:
    store = versioned.store_of(root)
    after = {**versioned.ALIASES, "champion": "1"}
    move_aliases(store, before=versioned.ALIASES, after=after)
    with pytest.raises(BusyError, match="version 2 of churn to be champion, but it is version 1"):
        apply_decision(store, log, PROMOTED)
    assert versioned.aliases_of(root) == after


@pytest.mark.parametrize("moved", [{}, {"previous": "2"}, {"previous": "2", "champion": "3"}])
def test_a_promotion_that_was_killed_is_completed(
    root: Path, log: ModelLog, moved: dict[str, str]
) -> None:
    store = versioned.store_of(root)
    save_record(log, PROMOTED)
    for alias, number in moved.items():
        create_client(store.address).set_registered_model_alias("churn", alias, number)
    assert resume_decision(store, log, act="gate", version="3") == PROMOTED
    assert versioned.aliases_of(root) == {"champion": "3", "previous": "2"}
    assert read_champion_changes(log)[-1].record_id == PROMOTED.id


def test_another_command_leaves_what_was_not_begun(root: Path, log: ModelLog) -> None:
    save_record(log, PROMOTED)
    assert resume_decision(versioned.store_of(root), log, act="rollback") is None
    assert versioned.aliases_of(root) == versioned.ALIASES


def test_another_command_completes_a_champion_that_is_in_use(root: Path, log: ModelLog) -> None:
    store = versioned.store_of(root)
    save_record(log, PROMOTED)
    create_client(store.address).set_registered_model_alias("churn", "champion", "3")
    assert resume_decision(store, log, act="rollback") == PROMOTED
    assert "challenger" not in versioned.aliases_of(root)


def test_nothing_is_to_be_completed_once_it_is_done(root: Path, log: ModelLog) -> None:
    act(root, log, PROMOTED)
    assert resume_decision(versioned.store_of(root), log, act="gate", version="3") is None


def test_the_kept_file_is_the_whole_record(root: Path, log: ModelLog, tmp_path: Path) -> None:
    kept, store = act(root, log, PROMOTED), versioned.store_of(root)
    run_id = versions.get_version(store, "3").run_id
    assert download_artifact(store, run_id, name="decision", folder=tmp_path / "kept") is not None
    told = json.loads((tmp_path / f"kept/decision/{kept.id}.json").read_text())
    assert told["gates"] == [{"name": "champion", "outcome": "pass", "reason": "better by 0.01"}]
