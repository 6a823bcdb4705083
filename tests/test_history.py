from datetime import timedelta
from pathlib import Path

import pytest

from evertune.decisions import DecisionOutcome
from evertune.registry import versions
from evertune.registry.decision_log import record_outcome
from evertune.registry.overview import read_history
from evertune.registry.promotion import promote
from evertune.registry.versions import move_aliases
from tests import production, versioned

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return versioned.learned(tmp_path_factory.mktemp("learned"))


@pytest.fixture
def root(tmp_path: Path, state: Path, model: Path) -> Path:
    """Return a project in which no decision is recorded."""
    assert state.is_dir()
    return versioned.project(tmp_path, model)


def test_versions_of_before_there_were_records_are_told_from_their_tags(root: Path) -> None:
    tag = '{"decision": "promote", "reasons": []}'
    versions.tag_version(versioned.store_of(root), "1", {"evertune.verdict": tag})
    found = read_history(root)
    assert [turn.version for turn in found.turns] == ["1", "2"]
    assert (found.champion, found.decisions) == ("2", ())


def test_a_rollback_of_before_there_were_records_is_told(root: Path) -> None:
    later = production.day(400) + timedelta(days=3650)
    log = production.log_of(root)
    record_outcome(log, DecisionOutcome("r", later, "rolled back", "1"))
    assert [turn.version for turn in read_history(root).turns] == ["1", "2", "1"]


def test_a_champion_is_shown_with_what_made_it_one_and_its_figure(root: Path) -> None:
    promote(root, "3", reason="the campaign needs it", by="ada", now=versioned.NOW)
    last = read_history(root).turns[-1]
    assert (last.version, last.act, last.by, last.until) == ("3", "promotion", "ada", None)
    assert (last.reason, last.figure) == ("the campaign needs it", "roc_auc 0.9")


def test_a_champion_that_another_hand_set_is_seen(root: Path) -> None:
    promote(root, "3", reason="the campaign needs it", by="ada", now=versioned.NOW)
    before = {"champion": "3", "previous": "2"}
    after = {**before, "champion": "1"}
    move_aliases(versioned.store_of(root), before=before, after=after)
    found = read_history(root)
    assert (found.champion, found.turns[-1].version) == ("1", "3")
