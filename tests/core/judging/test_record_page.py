from dataclasses import replace
from datetime import UTC, datetime

import pytest

from evertune.registry.gates import GateResult
from evertune.registry.records import DecisionRecord, interval_bar, record_headline, record_html
from evertune.stats.bootstrap import PairedDifference, TestResult

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


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, "Verdict: promote."),
        ({"act": "rollback"}, "Rolled back."),
        ({"act": "approval", "verdict": "keep"}, "Rejected."),
        (
            {"verdict": "not enough evidence", "waits_for_approval": True},
            "a person has to approve.",
        ),
    ],
)
def test_the_ruling_is_in_the_words_of_who_gave_it(changed, words):
    assert f"{words}</b>" in record_html(replace(PLAIN, **changed))


def test_the_page_shows_every_gate_every_test_and_what_is_needed_to_check_it():
    page = record_html(FULL)
    for told in ("slices", "unknown", "too few rows", "DeLong", "0.0123", "97.5 % interval"):
        assert told in page
    for told in ("4,401; 12 were left out", "number 2", "5d41402a", "61 s, 40 trials", FULL.id):
        assert told in page


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
