import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.act import acted, completed
from pipelines.core.judging.records import Record, promoted_aliases
from pipelines.errors import BusyError
from pipelines.stores import registry
from pipelines.stores.aliases import move_aliases
from pipelines.stores.database import Log, close_log
from pipelines.stores.pages import kept_file
from pipelines.stores.records import champions, keep_champion, keep_record, records
from pipelines.stores.tracking import client
from tests import production, versioned

pytestmark = pytest.mark.slow
PROMOTED = versioned.judged(
    verdict="promote", aliases_after=promoted_aliases(versioned.ALIASES, "3")
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return versioned.learned(tmp_path_factory.mktemp("learned"))


@pytest.fixture
def root(tmp_path: Path, state: Path, model: Path) -> Path:
    assert state.is_dir()
    return versioned.project(tmp_path, model)


@pytest.fixture
def log(root: Path) -> Iterator[Log]:
    opened = production.log_of(root)
    yield opened
    close_log(opened)


def act(root: Path, log: Log, record: Record) -> Record:
    return acted(versioned.store_of(root), log, record)


def test_a_promotion_removes_the_challenger_and_sets_previous(root: Path, log: Log) -> None:
    act(root, log, PROMOTED)
    assert versioned.aliases_of(root) == {"champion": "3", "previous": "2"}


def test_a_decision_is_kept_with_its_page_among_the_artifacts_of_the_run(
    root: Path, log: Log
) -> None:
    kept = act(root, log, PROMOTED)
    names = versioned.kept_files(root, "3")
    assert names == {f"decision/{kept.id}.{kind}" for kind in ("json", "html")}
    assert records(log) == (PROMOTED,)


def test_a_version_is_tagged_with_what_was_decided_about_it(root: Path, log: Log) -> None:
    kept = act(root, log, PROMOTED)
    tags = registry.version_numbered(versioned.store_of(root), "3").tags
    assert (tags["evertune.decision"], tags["decision"]) == (kept.id, "promote")
    assert (tags["decision.by"], tags["decision.act"]) == ("evertune train", "gate")


def test_the_history_begins_with_the_champion_that_no_record_made(root: Path, log: Log) -> None:
    act(root, log, PROMOTED)
    told = [(each.version, each.previous, each.record_id) for each in champions(log)]
    assert told == [("2", None, None), ("3", "2", PROMOTED.id)]


def test_a_champion_that_another_hand_set_is_in_the_history(root: Path, log: Log) -> None:
    keep_champion(log, version="1", previous=None, record_id="a", moment=versioned.NOW)
    act(root, log, PROMOTED)
    assert [each.version for each in champions(log)] == ["1", "2", "3"]


def test_a_decision_is_done_once_however_often_it_is_tried(root: Path, log: Log) -> None:
    for _ in range(2):
        act(root, log, PROMOTED)
    assert len(records(log)) == 1
    assert len(champions(log)) == 2


def test_a_refused_version_is_the_challenger_and_no_champion_is_new(root: Path, log: Log) -> None:
    act(root, log, versioned.judged("1", verdict="keep"))
    assert versioned.aliases_of(root) == {**versioned.ALIASES, "challenger": "1"}
    assert [each.version for each in champions(log)] == ["2"]


def test_aliases_stay_where_the_champion_changed_meanwhile(root: Path, log: Log) -> None:
    store = versioned.store_of(root)
    after = {**versioned.ALIASES, "champion": "1"}
    move_aliases(store, before=versioned.ALIASES, after=after)
    with pytest.raises(BusyError, match="version 2 of churn to be champion, but it is version 1"):
        acted(store, log, PROMOTED)
    assert versioned.aliases_of(root) == after


@pytest.mark.parametrize("moved", [{}, {"previous": "2"}, {"previous": "2", "champion": "3"}])
def test_a_promotion_that_was_killed_is_completed(
    root: Path, log: Log, moved: dict[str, str]
) -> None:
    store = versioned.store_of(root)
    keep_record(log, PROMOTED)
    for alias, number in moved.items():
        client(store.address).set_registered_model_alias("churn", alias, number)
    assert completed(store, log, act="gate", version="3") == PROMOTED
    assert versioned.aliases_of(root) == {"champion": "3", "previous": "2"}
    assert champions(log)[-1].record_id == PROMOTED.id


def test_another_command_leaves_what_was_not_begun(root: Path, log: Log) -> None:
    keep_record(log, PROMOTED)
    assert completed(versioned.store_of(root), log, act="rollback") is None
    assert versioned.aliases_of(root) == versioned.ALIASES


def test_another_command_completes_a_champion_that_is_in_use(root: Path, log: Log) -> None:
    store = versioned.store_of(root)
    keep_record(log, PROMOTED)
    client(store.address).set_registered_model_alias("churn", "champion", "3")
    assert completed(store, log, act="rollback") == PROMOTED
    assert "challenger" not in versioned.aliases_of(root)


def test_nothing_is_to_be_completed_once_it_is_done(root: Path, log: Log) -> None:
    act(root, log, PROMOTED)
    assert completed(versioned.store_of(root), log, act="gate", version="3") is None


def test_the_kept_file_is_the_whole_record(root: Path, log: Log, tmp_path: Path) -> None:
    kept, store = act(root, log, PROMOTED), versioned.store_of(root)
    run_id = registry.version_numbered(store, "3").run_id
    assert kept_file(store, run_id, name="decision", folder=tmp_path / "kept") is not None
    told = json.loads((tmp_path / f"kept/decision/{kept.id}.json").read_text())
    assert told["gates"] == [{"name": "champion", "outcome": "pass", "reason": "better by 0.01"}]
