from dataclasses import replace

import pytest

from evertune.config.schema import GatesSection
from evertune.evaluation.evaluation_record import BaselineRow, Guard
from evertune.registry.evidence import ChampionComparison, RateGap, SliceRegression
from evertune.registry.gates import (
    baselines_gate,
    calibration_gate,
    champion_gate,
    data_gate,
    evaluate_gates,
    existing_gate,
    guards_gate,
    is_finite_difference,
    megabytes_gate,
    milliseconds_gate,
    rate_gap_gate,
    rows_gate,
    slices_gate,
)
from evertune.stats.results import PairedDifference
from tests.registry.evaluated import EVALUATION, EVIDENCE, GUESS, baseline, difference, rival

BETTER = replace(EVIDENCE, champion=rival(0.1, 0.05, 0.15))
BELOW_GUESS = replace(EVALUATION, baselines=(baseline("zero_rule", "none", 0.6, -0.1),))


def outcomes(verdict):
    return {each.name: each.outcome for each in verdict.gates}


def test_the_first_model_that_beats_the_baselines_is_promoted():
    verdict = evaluate_gates(EVALUATION, EVIDENCE, GatesSection())
    assert verdict.promoted
    assert "there is no champion yet" in verdict.reasons


def test_every_gate_gives_its_outcome_and_a_reason():
    verdict = evaluate_gates(EVALUATION, BETTER, GatesSection())
    assert all(each.reason for each in verdict.gates)
    assert outcomes(verdict) == {
        "rows": "pass", "baselines": "pass", "existing": "off", "guards": "off",
        "champion": "pass", "data": "pass", "slices": "off", "calibration": "off",
        "rate_gap": "off", "milliseconds_a_row": "off", "megabytes": "off", "approval": "off",
    }  # fmt: skip


def test_a_failing_gate_keeps_the_champion_whatever_is_unknown():
    unknown = replace(EVIDENCE, champion=rival(0.1, -0.05, 0.25))
    verdict = evaluate_gates(BELOW_GUESS, unknown, GatesSection())
    assert (verdict.decision, verdict.rows_needed) == ("keep", None)
    assert verdict.reasons == (
        "f1 must be better than that of the baseline zero_rule, 0.6, but is 0.6",
    )


@pytest.mark.parametrize("gone", ["data", "megabytes", "rate_gap", "milliseconds_a_row"])
def test_missing_evidence_is_never_a_pass(gone):
    rules = GatesSection(rate_gap=0.1, milliseconds_a_row=1.0, megabytes=10.0)
    verdict = evaluate_gates(EVALUATION, replace(BETTER, faults=None), rules)
    assert verdict.decision == "not enough evidence"
    assert outcomes(verdict)[gone] == "unknown"


def test_a_gate_that_is_switched_off_lets_pass():
    verdict = evaluate_gates(BELOW_GUESS, BETTER, GatesSection(baselines=False))
    assert verdict.promoted
    assert outcomes(verdict)["baselines"] == "off"


def test_a_verdict_says_how_many_rows_would_tell():
    verdict = evaluate_gates(
        EVALUATION, replace(EVIDENCE, champion=rival(0.1, -0.05, 0.25)), GatesSection()
    )
    assert (verdict.rows_needed, verdict.n_rows) == (pytest.approx(225, abs=1), 100)


def test_what_is_unknown_for_another_reason_needs_no_number_of_rows():
    verdict = evaluate_gates(EVALUATION, replace(BETTER, faults=None), GatesSection())
    assert (verdict.rows_needed, verdict.n_rows) == (None, None)


def test_a_version_that_passes_waits_where_a_person_has_to_approve():
    verdict = evaluate_gates(EVALUATION, BETTER, GatesSection(), approval=True)
    assert (verdict.decision, verdict.waits_for_approval) == ("not enough evidence", True)
    assert verdict.reasons[0] == "waits for `evertune approve 4 --reason ...`"


def test_a_version_that_fails_does_not_wait_for_a_person():
    verdict = evaluate_gates(BELOW_GUESS, BETTER, GatesSection(), approval=True)
    assert (verdict.decision, verdict.waits_for_approval) == ("keep", False)


def test_the_verdict_carries_the_look_and_its_confidence():
    verdict = evaluate_gates(EVALUATION, replace(BETTER, look=3, confidence=0.9917), GatesSection())
    assert (verdict.look, verdict.confidence) == (3, 0.9917)
    assert any("look 3 at these rows: 99.2 % interval" in each for each in verdict.reasons)


def test_figures_that_are_not_numbers_are_no_pass():
    nan = replace(EVALUATION, holdout={"f1": float("nan")}, baselines=(GUESS,))
    verdict = evaluate_gates(nan, EVIDENCE, GatesSection())
    assert verdict.decision == "not enough evidence"
    assert verdict.reasons == ("f1 cannot be compared with that of the baseline zero_rule",)


def beside(*rows):
    return replace(EVALUATION, baselines=rows)


def test_a_model_that_is_not_better_than_a_baseline_fails():
    found = baselines_gate(beside(baseline("zero_rule", "none", 0.6, -0.1)))
    assert found.outcome == "fail"
    assert "baseline zero_rule, 0.6, but is 0.6" in found.reason


def test_a_model_that_is_not_better_than_the_system_in_use_fails():
    found = existing_gate(beside(GUESS, baseline("existing", "given", 0.7, -0.2)))
    assert found.outcome == "fail"
    assert "baseline existing, 0.7, but is 0.6" in found.reason


def test_a_model_below_people_passes_all_the_same():
    human = baseline("human", "given", 0.9, -0.4)
    assert baselines_gate(beside(GUESS, human)).outcome == "pass"


def test_the_gate_of_the_system_in_use_is_off_where_none_is_known():
    assert existing_gate(EVALUATION).outcome == "off"


def test_a_lift_that_may_be_chance_is_not_known():
    found = baselines_gate(beside(baseline("zero_rule", "none", 0.5, -0.1)))
    assert found.outcome == "unknown"
    assert found.reason.endswith("by 0.1, but by chance it could be -0.1")


@pytest.mark.parametrize("low", [None, float("nan")])
def test_a_lift_without_an_interval_is_not_known(low):
    found = baselines_gate(beside(replace(GUESS, low=low)))
    assert found.outcome == "unknown"
    assert found.reason.endswith("but by chance it could be anything")


@pytest.mark.parametrize("figure", [None, float("nan"), float("inf")])
def test_a_baseline_without_a_figure_cannot_be_compared(figure):
    found = baselines_gate(beside(BaselineRow("zero_rule", "none", "", {"f1": figure}, {})))
    assert (found.outcome, found.reason) == (
        "unknown", "f1 cannot be compared with that of the baseline zero_rule"
    )  # fmt: skip


def test_a_model_without_any_baseline_is_not_known_to_be_better():
    assert baselines_gate(beside()).outcome == "unknown"


@pytest.mark.parametrize(
    ("guard", "outcome", "words"),
    [
        (Guard("log_loss", 0.4, 0.5, False), "fail", "log_loss must be at most 0.4, but is 0.5"),
        (Guard("f1", 0.7, 0.6, False), "fail", "f1 must be at least 0.7, but is 0.6"),
        (Guard("f1", 0.5, 0.6, True), "pass", "every guard is kept"),
    ],
)
def test_a_guard_is_kept_or_broken_by_its_direction(guard, outcome, words):
    found = guards_gate(replace(EVALUATION, guards=(guard,)))
    assert (found.outcome, found.reason) == (outcome, words)


@pytest.mark.parametrize("figure", [None, float("nan")])
def test_a_guard_of_an_undefined_figure_is_not_known_to_be_kept(figure):
    guarded = replace(EVALUATION, guards=(Guard("f1", 0.5, None, False),), holdout={"f1": figure})
    assert guards_gate(guarded).outcome == "unknown"


def test_the_simplest_model_is_judged_by_its_own_figures():
    guard = Guard("f1", 0.65, 0.6, False)
    chosen = replace(EVALUATION, chosen="simplest:small_tree", guards=(guard,))
    assert (guards_gate(chosen).outcome, baselines_gate(chosen).outcome) == ("pass", "pass")


def test_smaller_is_better_where_the_metric_says_so():
    guess = BaselineRow("zero_rule", "none", "", {"log_loss": 0.7}, {}, 0.2, 0.1, 0.3)
    smaller = replace(EVALUATION, metric="log_loss", greater_is_better=False, baselines=(guess,))
    assert baselines_gate(smaller).outcome == "pass"


def test_the_most_rows_that_any_baseline_needs_are_told():
    near, nearer = (baseline(name, "none", 0.5, low) for name, low in [("a", -0.1), ("b", -0.2)])
    verdict = evaluate_gates(beside(near, nearer), EVIDENCE, GatesSection())
    assert verdict.rows_needed == pytest.approx(900, abs=1)


def said(other):
    return champion_gate(replace(EVIDENCE, champion=other), "f1")


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
    found = said(replace(rival(0.1, 0.05, 0.15), n_left_out=7))
    assert "7 hold-out rows that one of the two was trained on" in found.reason


def test_a_champion_that_cannot_be_compared_stays_and_the_reason_says_what_to_do():
    reason = said(ChampionComparison("3", obstacle="it predicts 'left'")).reason
    assert "version 3: it predicts 'left'; give a new question a name of its own" in reason


@pytest.mark.parametrize("odd", [None, float("nan"), float("inf")])
def test_a_difference_is_known_by_all_three_of_its_figures(odd):
    assert not is_finite_difference(PairedDifference(0.1, 0.0, odd, None, 50))


BESIDE = replace(EVIDENCE, champion=rival(0.1, 0.05, 0.15), slice_columns=("plan",))
CALIBRATED = replace(BESIDE, has_probabilities=True)
FAIR = replace(EVIDENCE, sensitive=("sex",))


def fall(mean, p_value, *, value="a", score=0.8):
    return SliceRegression(
        "plan", value, "f1", score, difference(mean, mean - 0.1, mean + 0.1, p_value)
    )


@pytest.mark.parametrize(
    ("change", "outcome", "words"),
    [
        ({}, "pass", "100 rows judge it"),
        ({"n_holdout": 0}, "unknown", "the hold-out has no row"),
        ({"n_trained": 5}, "pass", "100 rows judge it, 5 that it was trained on are left out"),
        ({"n_trained": 6}, "fail", "it was trained on 6 of the 100 hold-out rows"),
        ({"n_missing": 100, "fault": "it cannot read these rows"}, "unknown", "it cannot read"),
        ({"n_missing": 2}, "unknown", "it gives no finite prediction for 2 of 100 rows"),
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
        ([fall(0.1, 0.001, score=None)], "unknown"),
        ([fall(0.1, 0.001, score=float("nan"))], "unknown"),
        ([], "unknown"),
        (None, "unknown"),
    ],
)
def test_a_slice_falls_by_more_than_the_tolerance_and_beyond_chance(falls, outcome):
    found = None if falls is None else tuple(falls)
    assert slices_gate(replace(BESIDE, regressions=found), 0.05).outcome == outcome


def test_chance_is_corrected_for_the_number_of_slices():
    many = tuple(fall(0.1, 0.03, value=str(each)) for each in range(5))
    assert slices_gate(replace(BESIDE, regressions=many), 0.05).outcome == "pass"


def test_the_slice_that_fell_is_named_with_its_figures():
    reason = slices_gate(replace(BESIDE, regressions=(fall(0.1, 0.001, value="b"),)), 0.05).reason
    assert reason == (
        "worse where plan is b: f1 is worse by 0.1 than the champion's 0.8 (100 rows, p 0.001"
        " after Holm)"
    )


@pytest.mark.parametrize(
    ("change", "outcome"), [({"slice_columns": ()}, "off"), ({"champion": None}, "pass")]
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
    ("change", "outcome"), [({"has_probabilities": False}, "off"), ({"champion": None}, "pass")]
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
