from datetime import timedelta
from pathlib import Path

import pytest

from evertune.decisions import DecisionOutcome, MonitoringDecision
from evertune.errors import InputError
from evertune.files import project_lock
from evertune.registry.overview import list_models, read_history, read_status
from evertune.registry.promotion import promote
from evertune.terminal import model_lines
from evertune.versioning import dvc
from tests.support import production, versioned

pytestmark = pytest.mark.slow
DVC = """stages:
  prepare:
    cmd: "true"
    deps: [data/raw/source.parquet]
"""
TAGS = {
    "1": {"dvc.source": "aaaa1111", "dvc.absorbed": "eeee0000", "figure.roc_auc": "0.91"},
    "2": {"dvc.source": "aaaa2222", "dvc.absorbed": "eeee0000", "evertune.mode": "refit"},
    "3": {},
}


@pytest.fixture
def tagged(root: Path) -> Path:
    """Return a project whose versions tell of their data."""
    registry = versioned.store_of(root)
    for number, tags in TAGS.items():
        registry.tag_version(number, tags)
    return root


# History


def test_champions_of_before_the_records_are_told_by_tags_and_outcomes(root, decisions):
    assert [period.version for period in read_history(root).periods] == ["1", "2"]
    later = production.day(400) + timedelta(days=3650)
    decisions.record_outcome(DecisionOutcome("r", later, "rolled back", "1"))
    found = read_history(root)
    assert [period.version for period in found.periods] == ["1", "2", "1"]
    assert (found.champion, found.decisions) == ("2", ())


def test_a_champion_is_shown_with_its_decision_and_its_score(root):
    promote(root, "3", reason="the campaign needs it", by="ada", now=versioned.NOW)
    last = read_history(root).periods[-1]
    assert (last.version, last.act, last.by, last.until) == ("3", "promotion", "ada", None)
    assert (last.reason, last.score) == ("the campaign needs it", "roc_auc 0.9")
    before = {"champion": "3", "previous": "2"}
    versioned.store_of(root).move_aliases(before=before, after={**before, "champion": "1"})
    found = read_history(root)
    assert (found.champion, found.periods[-1].version) == ("1", "3")


def test_the_history_has_decisions_about_versions_and_of_monitoring(root, decisions):
    decisions.record_decision(
        MonitoringDecision("m", production.day(1), "churn", "2", "retune", ("the loss rose",))
    )
    promote(root, "3", reason="the campaign needs it", by="ada", now=versioned.NOW)
    first, second = read_history(root).decisions
    assert (first.id, first.kind, first.decision, first.reason) == (
        "m", "monitoring", "retune", "the loss rose",
    )  # fmt: skip
    assert (second.kind, second.version, second.by) == ("promotion", "3", "ada")


# Versions


def test_versions_are_listed_the_newest_first_with_their_aliases(tagged):
    third, second, first = list_models(tagged)
    assert (third.number, third.aliases, third.mode) == ("3", ("challenger",), None)
    assert (second.number, second.aliases, second.mode) == ("2", ("champion",), "refit")
    assert (first.number, first.aliases, first.score) == ("1", ("previous",), 0.91)


def test_versions_are_shown_in_the_time_zone_of_the_business(root):
    created = list_models(root)[0].created
    production.project(root, timezone="Asia/Tokyo")
    there = list_models(root)[0].created
    assert there == created
    assert (f"{created:%Z}", f"{there:%Z}") == ("UTC", "Asia/Tokyo")
    assert "registered (Asia/Tokyo)" in model_lines(list_models(root))[0]


@pytest.mark.parametrize(
    ("used", "found"), [("aaaa1", ["1"]), ("AAAA2222", ["2"]), ("eeee", ["2", "1"])]
)
def test_the_beginning_of_a_hash_tells_who_learned_from_it(tagged, used, found):
    assert [each.number for each in list_models(tagged, used=used)] == found


@pytest.mark.parametrize(
    ("used", "words"),
    [
        ("aaaa", "aaaa1111, aaaa2222 all begin with aaaa; give more of it"),
        ("ffff", "at least 4 characters of it, but got 'ffff'; known are 5d41, aaaa1111"),
        ("aaa", "at least 4 characters of it, but got"),
        ("", "at least 4 characters of it, but got"),
    ],
)
def test_a_hash_that_names_no_data_or_several_is_refused(tagged, used, words):
    with pytest.raises(InputError, match=words):
        list_models(tagged, used=used)


def test_a_project_without_versions_has_none(tmp_path, state):
    assert state.exists()
    assert list_models(production.project(tmp_path)) == ()


# Status


def test_the_status_says_what_the_champion_does_and_what_is_out_of_date(root):
    (root / "dvc.yaml").write_text(DVC)
    registry = versioned.store_of(root)
    registry.tag_version("2", {"dvc.source": "0" * 32})
    registry.open_run("digest", title="linear mae 0.5")
    found = read_status(root)
    champion = found.champion
    assert (champion.version, champion.metrics) == ("2", {"roc_auc": 0.9})
    assert (champion.metric, champion.data) == ("roc_auc", "0" * 32)
    assert 0 <= champion.age_seconds < 3600
    assert (found.challenger, found.previous, found.last_run.title) == ("3", "1", "linear mae 0.5")
    assert (found.has_remote, found.stale, found.data) == (False, ("prepare",), None)


def test_a_run_whose_process_is_gone_reads_as_interrupted(root):
    (root / "dvc.yaml").write_text(DVC)
    registry = versioned.store_of(root)
    registry.tag_version("2", {"dvc.source": "0" * 32})
    run_id = registry.open_run("digest", title="search")
    with project_lock(root / "state", "evertune train"):
        running = read_status(root).last_run.status
    gone = read_status(root).last_run.status
    registry.finish_run(run_id)
    assert (running, gone, read_status(root).last_run.status) == (
        "RUNNING",
        "INTERRUPTED",
        "FINISHED",
    )


def test_the_status_of_a_new_project_has_the_last_snapshot_only(tmp_path, state):
    assert state.exists()
    production.project(tmp_path)
    (tmp_path / "dvc.yaml").write_text(DVC)
    source = tmp_path / "data/raw/source.parquet"
    source.parent.mkdir(parents=True)
    source.write_text("rows")
    dvc.ensure_project(tmp_path)
    md5 = dvc.add_file(tmp_path, source)
    found = read_status(tmp_path)
    assert (found.champion, found.data, found.last_run) == (None, md5, None)
