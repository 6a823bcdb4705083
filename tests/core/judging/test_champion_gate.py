from dataclasses import replace

import pytest

from evertune.registry.evidence import ChampionComparison
from evertune.registry.gates import champion_gate, is_finite_difference
from evertune.stats.bootstrap import PairedDifference
from tests.core.judging.evaluated import EVIDENCE, rival


def said(other):
    return champion_gate(replace(EVIDENCE, rival=other), "f1")


@pytest.mark.parametrize(
    ("other", "outcome"),
    [
        (None, "pass"),
        (rival(0.1, 0.05, 0.15), "pass"),
        (rival(0.1, -0.05, 0.25), "unknown"),
        (rival(0.1, 0.0, 0.2), "unknown"),
        (rival(0.0, 0.0, 0.0), "fail"),
        (rival(-0.1, -0.3, 0.1), "fail"),
        (ChampionComparison("3"), "unknown"),
        (rival(None, None, None), "unknown"),
        (rival(0.1, None, None), "unknown"),
        (rival(0.1, float("nan"), 0.2), "unknown"),
    ],
)
def test_the_whole_interval_has_to_speak_for_the_new_model(other, outcome):
    assert said(other).outcome == outcome


@pytest.mark.parametrize(
    ("loss", "share", "outcome"),
    [
        (PairedDifference(0.03, 0.01, 0.05, None, 100), 0.4, "pass"),
        (PairedDifference(0.03, 0.01, 0.05, None, 100), 0.2, "fail"),
        (PairedDifference(0.03, -0.01, 0.05, None, 100), 0.4, "fail"),
        (PairedDifference(None, None, None, None, 0), 0.4, "fail"),
    ],
)
def test_a_lower_loss_decides_where_the_metric_tells_the_two_hardly_apart(loss, share, outcome):
    found = said(
        ChampionComparison("3", PairedDifference(-0.001, -0.02, 0.02, share, 100), loss=loss)
    )
    assert found.outcome == outcome
    assert ("its loss is lower (+0.03, +0.01 to +0.05" in found.reason) == (outcome == "pass")


def test_few_rows_never_tell_however_alike_their_draws_are():
    found = said(ChampionComparison("3", PairedDifference(0.1, 0.05, 0.15, 1.0, 29)))
    assert found.outcome == "unknown"
    assert "29 rows cannot tell it from the champion, version 3, 30 are needed" in found.reason


def test_the_reason_gives_the_difference_with_its_interval_and_the_look():
    reason = said(rival(0.1, -0.05, 0.25)).reason
    assert "f1 is better (+0.1, -0.05 to +0.25, 100 rows)" in reason
    assert reason.endswith("(look 1 at these rows: 95 % interval)")


def test_rows_that_were_left_out_are_counted_in_the_reason():
    found = said(replace(rival(0.1, 0.05, 0.15), n_seen=7))
    assert "7 hold-out rows that one of the two was trained on" in found.reason


def test_a_champion_that_cannot_be_compared_stays_and_the_reason_says_what_to_do():
    reason = said(ChampionComparison("3", obstacle="it predicts 'left'")).reason
    assert "version 3: it predicts 'left'; give a new question a name of its own" in reason


@pytest.mark.parametrize("odd", [None, float("nan"), float("inf")])
def test_a_difference_is_known_by_all_three_of_its_figures(odd):
    assert not is_finite_difference(PairedDifference(0.1, 0.0, odd, None, 50))
