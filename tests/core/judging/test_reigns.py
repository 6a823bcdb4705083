from datetime import UTC, datetime

from evertune.registry.records import (
    ChampionChange,
    DecisionRecord,
    champion_periods,
    merge_champion_history,
)


def day(number: int) -> datetime:
    return datetime(2024, 5, number, tzinfo=UTC)


RECORD = DecisionRecord(
    id="a",
    moment=day(3),
    model="churn",
    act="promotion",
    version="2",
    verdict="promote",
    reasons=("the campaign needs it", "the gate said: keep"),
    by="ada",
    aliases_before={"champion": "1"},
    aliases_after={"champion": "2"},
)
REIGNS = (ChampionChange(1, "1", None, day(1)), ChampionChange(2, "2", "1", day(3), "a"))


def test_what_is_recorded_comes_after_what_older_versions_tell():
    found = merge_champion_history(REIGNS[1:], [(day(2), "4"), (day(1), "1"), (day(5), "9")])
    told = [(reign.number, reign.version, reign.previous) for reign in found]
    assert told == [(1, "1", None), (2, "4", "1"), (3, "2", "4")]


def test_a_version_that_stays_champion_is_one_reign():
    found = merge_champion_history(REIGNS, [(datetime(2024, 4, 30, tzinfo=UTC), "1")])
    assert [reign.version for reign in found] == ["1", "2"]


def test_a_version_that_was_registered_a_moment_before_has_the_record_that_made_it():
    registered = datetime(2024, 4, 30, tzinfo=UTC)
    found = merge_champion_history([ChampionChange(1, "1", None, day(1), "a")], [(registered, "1")])
    assert [(reign.record_id, reign.moment) for reign in found] == [("a", day(1))]


def test_a_turn_ends_where_the_next_begins_and_names_what_made_it():
    first, second = champion_periods(REIGNS, [RECORD], {"2": "roc_auc 0.9"})
    assert (first.until, first.act, first.figure) == (day(3), "unknown", "")
    assert (second.act, second.by, second.reason, second.until) == (
        "promotion", "ada", "the campaign needs it", None,
    )  # fmt: skip
    assert second.figure == "roc_auc 0.9"
