from dataclasses import replace
from datetime import UTC, datetime

import pytest

from evertune.registry.decision_page import interval_bar, record_headline, record_html
from evertune.registry.promotion import (
    aliases_after_promotion,
    aliases_after_rollback,
    aliases_with_challenger,
)
from evertune.registry.promotion_records import (
    ChampionChange,
    DecisionRecord,
    GateResult,
    champion_periods,
    holdout_fingerprint,
    make_record_id,
    merge_champion_history,
)
from evertune.stats.results import PairedDifference, TestResult

ALIASES = {"champion": "2", "previous": "1", "challenger": "3"}


@pytest.mark.parametrize(
    ("before", "version", "after"),
    [
        ({}, "1", {"champion": "1"}),
        ({"challenger": "1"}, "1", {"champion": "1"}),
        (ALIASES, "3", {"champion": "3", "previous": "2"}),
        (ALIASES, "4", {"champion": "4", "previous": "2"}),
        (ALIASES, "1", {"champion": "1", "previous": "2", "challenger": "3"}),
        (ALIASES, "2", ALIASES),
    ],
)
def test_a_promotion_sets_previous_and_removes_a_challenger_that_is_not_newer(
    before, version, after
):
    assert aliases_after_promotion(before, version) == after


@pytest.mark.parametrize(
    ("version", "after"), [("4", {**ALIASES, "challenger": "4"}), ("2", ALIASES)]
)
def test_a_refused_version_is_challenger_until_the_next_one(version, after):
    assert aliases_with_challenger(ALIASES, version) == after


@pytest.mark.parametrize(
    ("version", "after"),
    [
        ("1", {"champion": "1", "previous": "2", "challenger": "3"}),
        ("3", {"champion": "3", "previous": "2"}),
        ("2", ALIASES),
    ],
)
def test_a_rollback_leaves_another_challenger(version, after):
    assert aliases_after_rollback(ALIASES, version) == after


def test_the_id_tells_evidence_apart():
    def made(**changed):
        given = {"model": "churn", "version": "2", "evidence": ["promote", "1"], **changed}
        return make_record_id("gate", **given)

    others = {made(model="sales"), made(version="3"), made(evidence=["keep", "1"])}
    assert made() == made()
    assert len({made(), *others}) == 4


def test_the_fingerprint_is_that_of_the_rows_in_any_order():
    assert holdout_fingerprint(["b", "a"]) == holdout_fingerprint(["a", "b"])
    assert holdout_fingerprint(["a"]) != holdout_fingerprint(["a", "b"])


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
CHANGES = (ChampionChange(1, "1", None, day(1)), ChampionChange(2, "2", "1", day(3), "a"))


def test_what_is_recorded_comes_after_what_tags_of_older_versions_tell():
    found = merge_champion_history(CHANGES[1:], [(day(2), "4"), (day(1), "1"), (day(5), "9")])
    changes = [(change.number, change.version, change.previous) for change in found]
    assert changes == [(1, "1", None), (2, "4", "1"), (3, "2", "4")]


def test_a_version_that_stays_champion_is_one_period():
    found = merge_champion_history(CHANGES, [(datetime(2024, 4, 30, tzinfo=UTC), "1")])
    assert [change.version for change in found] == ["1", "2"]


def test_a_version_that_was_registered_a_moment_before_has_the_record_that_made_it():
    registered = datetime(2024, 4, 30, tzinfo=UTC)
    found = merge_champion_history([ChampionChange(1, "1", None, day(1), "a")], [(registered, "1")])
    assert [(change.record_id, change.moment) for change in found] == [("a", day(1))]


def test_a_period_ends_where_the_next_begins_and_names_what_made_it():
    first, second = champion_periods(CHANGES, [RECORD], {"2": "roc_auc 0.9"})
    assert (first.until, first.act, first.score) == (day(3), "unknown", "")
    assert (second.act, second.by, second.reason, second.until) == (
        "promotion", "ada", "the campaign needs it", None,
    )  # fmt: skip
    assert second.score == "roc_auc 0.9"


PLAIN = DecisionRecord(
    id="9f86d081884c7d65",
    moment=datetime(2024, 5, 1, 12, tzinfo=UTC),
    model="churn",
    act="gate",
    version="3",
    verdict="promote",
    reasons=("better than <b>version 2</b>",),
    by="evertune train",
    aliases_before={"champion": "2", "challenger": "3"},
    aliases_after={"champion": "3", "previous": "2"},
)
FULL = replace(
    PLAIN,
    gates=(GateResult("slices", "unknown", "too few rows"),),
    tests=(TestResult("DeLong", 0.01, 0.001, 0.02, 0.0123, 4401, "on ranks"),),
    metric="roc_auc",
    difference=PairedDifference(0.01, 0.001, 0.02, 0.99, 4401),
    rival="2",
    n_rows=4401,
    n_left_out=12,
    look=2,
    confidence=0.975,
    data={"training": "5d41402a"},
    search_seconds=61.2,
    search_trials=40,
)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, "Version 3 becomes champion"),
        ({"verdict": "not enough evidence", "waits_for_approval": True}, "waits for approval"),
        ({"act": "approval", "verdict": "keep"}, "Version 3 is rejected"),
        ({"act": "rollback"}, "Version 3 is champion again"),
        ({"act": "promotion", "waits_for_approval": True}, "is made champion by hand"),
    ],
)
def test_the_headline_says_what_was_decided(changed, words):
    assert words in record_headline(replace(PLAIN, **changed))


def test_the_page_shows_every_gate_every_test_and_what_is_needed_to_check_it():
    page = record_html(FULL)
    for words in ("slices", "unknown", "too few rows", "DeLong", "0.0123", "97.5 % interval"):
        assert words in page
    for words in ("4,401; 12 were left out", "number 2", "5d41402a", "61 s, 40 trials", FULL.id):
        assert words in page


def test_the_page_shows_the_time_in_the_zone_of_the_business():
    record = replace(PLAIN, moment=datetime(2024, 5, 1, 22, 30, tzinfo=UTC))
    assert "Decided on 2024-05-01 at 22:30:00 (UTC)" in record_html(record)
    assert "on 2024-05-02 at 00:30:00 (Europe/Berlin)" in record_html(record, "Europe/Berlin")


def test_the_page_shows_the_aliases_before_and_after():
    page = " ".join(record_html(PLAIN).split())
    assert "Version 3 is the champion in place of version 2." in page
    assert '<td class="said">version 3</td> <td class="said"><b>none</b></td>' in page


def test_the_page_loads_nothing_and_keeps_reasons_as_text():
    page = record_html(FULL)
    assert "default-src 'none'" in page
    assert "&lt;b&gt;version 2&lt;/b&gt;" in page


def test_a_first_champion_that_nothing_was_compared_with_has_a_page():
    first = replace(PLAIN, aliases_before={}, aliases_after={"champion": "3"})
    assert "Beside" not in record_html(first)
    assert "No gate was asked." in record_html(first)


def test_a_difference_without_ends_has_no_picture():
    assert interval_bar(PairedDifference(0.1, None, None, None, 3)) is None
    assert "<svg" not in record_html(
        replace(FULL, difference=PairedDifference(None, None, None, None, 0))
    )
