from dataclasses import replace

import pytest

from evertune.registry.evidence import RateGap, SliceRegression
from evertune.registry.gates import (
    calibration_gate,
    data_gate,
    megabytes_gate,
    milliseconds_gate,
    rate_gap_gate,
    rows_gate,
    slices_gate,
)
from tests.core.judging.evaluated import EVIDENCE, difference, rival

BESIDE = replace(EVIDENCE, rival=rival(0.1, 0.05, 0.15), slice_columns=("plan",))
CALIBRATED = replace(BESIDE, has_chances=True)
FAIR = replace(EVIDENCE, sensitive=("sex",))


def fall(mean, p_value, *, value="a", figure=0.8):
    return SliceRegression(
        "plan", value, "f1", figure, difference(mean, mean - 0.1, mean + 0.1, p_value)
    )


@pytest.mark.parametrize(
    ("change", "outcome", "words"),
    [
        ({}, "pass", "100 rows judge it"),
        ({"n_holdout": 0}, "unknown", "the hold-out has no row"),
        ({"n_known": 5}, "pass", "100 rows judge it, 5 that it was trained on are left out"),
        ({"n_known": 6}, "fail", "it was trained on 6 of the 100 rows that judge it"),
        ({"n_silent": 100, "fault": "it cannot read these rows"}, "unknown", "it cannot read"),
        ({"n_silent": 2}, "unknown", "it gives no finite prediction for 2 of 100 rows"),
    ],
)
def test_the_hold_out_has_to_be_able_to_judge(change, outcome, words):
    found = rows_gate(replace(EVIDENCE, **change))
    assert found.outcome == outcome
    assert found.reason.startswith(words)


@pytest.mark.parametrize(
    ("faults", "outcome"), [((), "pass"), (("age is gone",), "fail"), (None, "unknown")]
)
def test_faults_of_the_rows_that_judge_fail(faults, outcome):
    assert data_gate(replace(EVIDENCE, faults=faults), 1.0).outcome == outcome


@pytest.mark.parametrize(
    ("falls", "outcome"),
    [
        ([fall(0.1, 0.001)], "fail"),
        ([fall(0.1, 0.2)], "pass"),
        ([fall(0.03, 0.001)], "pass"),
        ([fall(-0.1, None)], "pass"),
        ([fall(0.1, None)], "unknown"),
        ([fall(0.1, 0.001, figure=None)], "unknown"),
        ([fall(0.1, 0.001, figure=float("nan"))], "unknown"),
        ([], "unknown"),
        (None, "unknown"),
    ],
)
def test_a_slice_falls_by_more_than_the_tolerance_and_beyond_chance(falls, outcome):
    found = None if falls is None else tuple(falls)
    assert slices_gate(replace(BESIDE, falls=found), 0.05).outcome == outcome


def test_chance_is_corrected_for_the_number_of_slices():
    many = tuple(fall(0.1, 0.03, value=str(each)) for each in range(5))
    assert slices_gate(replace(BESIDE, falls=many), 0.05).outcome == "pass"


def test_the_slice_that_fell_is_named_with_its_figures():
    reason = slices_gate(replace(BESIDE, falls=(fall(0.1, 0.001, value="b"),)), 0.05).reason
    assert reason == (
        "worse where plan is b: f1 is worse by 0.1 than the champion's 0.8 (100 rows, p 0.001"
        " after Holm)"
    )


@pytest.mark.parametrize(
    ("change", "outcome"), [({"slice_columns": ()}, "off"), ({"rival": None}, "pass")]
)
def test_slices_are_judged_where_they_are_declared_and_there_is_a_champion(change, outcome):
    assert slices_gate(replace(BESIDE, **change), 0.05).outcome == outcome


@pytest.mark.parametrize(
    ("rise", "outcome"),
    [
        (difference(0.05, 0.01, 0.09), "fail"),
        (difference(0.05, -0.01, 0.11), "pass"),
        (difference(0.01, 0.005, 0.02), "pass"),
        (difference(0.05, None, None), "unknown"),
        (None, "unknown"),
    ],
)
def test_calibration_fails_where_its_error_rises_beyond_chance(rise, outcome):
    assert calibration_gate(replace(CALIBRATED, calibration=rise), 0.02).outcome == outcome


@pytest.mark.parametrize(
    ("change", "outcome"), [({"has_chances": False}, "off"), ({"rival": None}, "pass")]
)
def test_calibration_is_judged_where_there_are_probabilities_and_a_champion(change, outcome):
    assert calibration_gate(replace(CALIBRATED, **change), 0.02).outcome == outcome


@pytest.mark.parametrize(
    ("gaps", "outcome"),
    [([0.1], "pass"), ([0.1, 0.3], "fail"), ([float("nan")], "unknown"), ([], "unknown")],
)
def test_the_widest_gap_of_rates_counts(gaps, outcome):
    found = tuple(RateGap("sex", "yes", "f", "m", gap) for gap in gaps)
    assert rate_gap_gate(replace(FAIR, rate_gaps=found), 0.2).outcome == outcome


def test_a_gap_of_rates_without_a_sensitive_column_is_not_known():
    assert rate_gap_gate(EVIDENCE, 0.2).outcome == "unknown"


def test_the_gap_is_told_with_its_values():
    gap = RateGap("sex", "yes", "f", "m", 0.25)
    reason = rate_gap_gate(replace(FAIR, rate_gaps=(gap,)), 0.2).reason
    assert reason == (
        "yes is predicted 25.0% more often where sex is m than where it is f; at most 20.0% is"
        " allowed"
    )


@pytest.mark.parametrize(
    ("found", "outcome"),
    [(0.5, "pass"), (1.5, "fail"), (None, "unknown"), (float("nan"), "unknown")],
)
def test_what_predicting_and_storing_cost_is_held_to_a_limit(found, outcome):
    costs = replace(EVIDENCE, milliseconds_a_row=found, megabytes=found)
    assert milliseconds_gate(costs, 1.0).outcome == outcome
    assert megabytes_gate(costs, 1.0).outcome == outcome
