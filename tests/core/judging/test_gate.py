from dataclasses import replace

import pytest

from evertune.evaluation.records import Guard
from evertune.registry.evidence import ChampionComparison, GateRules
from evertune.registry.gates import evaluate_gates
from tests.core.judging.evaluated import EVALUATION, EVIDENCE, GUESS, baseline, rival

BETTER = replace(EVIDENCE, rival=rival(0.1, 0.05, 0.15))
BELOW_GUESS = replace(EVALUATION, baselines=(baseline("zero_rule", "none", 0.6, -0.1),))


def outcomes(verdict):
    return {each.name: each.outcome for each in verdict.gates}


def test_the_first_model_that_beats_the_baselines_is_promoted():
    verdict = evaluate_gates(EVALUATION, EVIDENCE, GateRules())
    assert verdict.promoted
    assert "there is no champion yet" in verdict.reasons


def test_every_gate_gives_its_outcome_and_a_reason():
    verdict = evaluate_gates(EVALUATION, BETTER, GateRules())
    assert all(each.reason for each in verdict.gates)
    assert outcomes(verdict) == {
        "rows": "pass", "baselines": "pass", "existing": "off", "guards": "off",
        "champion": "pass", "data": "pass", "slices": "off", "calibration": "off",
        "rate_gap": "off", "milliseconds_a_row": "off", "megabytes": "off", "approval": "off",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("other", "decision"),
    [
        (rival(0.1, 0.05, 0.15), "promote"),
        (rival(0.1, -0.05, 0.25), "not enough evidence"),
        (rival(0.1, 0.0, 0.2), "not enough evidence"),
        (rival(0.0, 0.0, 0.0), "keep"),
        (rival(-0.1, -0.3, 0.1), "keep"),
        (rival(float("nan"), float("nan"), float("nan")), "not enough evidence"),
        (ChampionComparison("3", obstacle="it predicts 'left'"), "not enough evidence"),
    ],
)
def test_the_verdict_follows_the_comparison_with_the_champion(other, decision):
    assert (
        evaluate_gates(EVALUATION, replace(EVIDENCE, rival=other), GateRules()).decision == decision
    )


def test_a_failing_gate_keeps_the_champion_whatever_is_unknown():
    unknown = replace(EVIDENCE, rival=rival(0.1, -0.05, 0.25))
    verdict = evaluate_gates(BELOW_GUESS, unknown, GateRules())
    assert (verdict.decision, verdict.rows_needed) == ("keep", None)
    assert verdict.reasons == (
        "f1 must be better than that of the baseline zero_rule, 0.6, but is 0.6",
    )


@pytest.mark.parametrize("gone", ["data", "megabytes", "rate_gap", "milliseconds_a_row"])
def test_missing_evidence_is_never_a_pass(gone):
    rules = GateRules(rate_gap=0.1, milliseconds_a_row=1.0, megabytes=10.0)
    verdict = evaluate_gates(EVALUATION, replace(BETTER, faults=None), rules)
    assert verdict.decision == "not enough evidence"
    assert outcomes(verdict)[gone] == "unknown"


def test_a_gate_that_is_switched_off_lets_pass():
    verdict = evaluate_gates(BELOW_GUESS, BETTER, GateRules(baselines=False))
    assert verdict.promoted
    assert outcomes(verdict)["baselines"] == "off"


def test_a_verdict_says_how_many_rows_would_tell():
    verdict = evaluate_gates(
        EVALUATION, replace(EVIDENCE, rival=rival(0.1, -0.05, 0.25)), GateRules()
    )
    assert (verdict.rows_needed, verdict.n_rows) == (pytest.approx(225, abs=1), 100)


def test_rows_for_a_doubtful_baseline_are_told_too():
    doubtful = replace(EVALUATION, baselines=(baseline("zero_rule", "none", 0.5, -0.1),))
    verdict = evaluate_gates(doubtful, EVIDENCE, GateRules())
    assert verdict.decision == "not enough evidence"
    assert (verdict.rows_needed, verdict.n_rows) == (pytest.approx(400, abs=1), 100)


def test_what_is_unknown_for_another_reason_needs_no_number_of_rows():
    verdict = evaluate_gates(EVALUATION, replace(BETTER, faults=None), GateRules())
    assert (verdict.rows_needed, verdict.n_rows) == (None, None)


def test_a_version_that_passes_waits_where_a_person_has_to_approve():
    verdict = evaluate_gates(EVALUATION, BETTER, GateRules(approval=True))
    assert (verdict.decision, verdict.waits_for_approval) == ("not enough evidence", True)
    assert verdict.reasons[0] == "waits for `evertune approve 4 --reason ...`"


def test_a_version_that_fails_does_not_wait_for_a_person():
    verdict = evaluate_gates(BELOW_GUESS, BETTER, GateRules(approval=True))
    assert (verdict.decision, verdict.waits_for_approval) == ("keep", False)


def test_a_broken_guard_keeps_the_champion():
    guarded = replace(EVALUATION, guards=(Guard("log_loss", 0.4, 0.5, False),))
    verdict = evaluate_gates(guarded, BETTER, GateRules())
    assert (verdict.decision, verdict.reasons) == (
        "keep", ("log_loss must be at most 0.4, but is 0.5",)
    )  # fmt: skip


def test_the_verdict_carries_the_look_and_its_confidence():
    verdict = evaluate_gates(EVALUATION, replace(BETTER, look=3, confidence=0.9917), GateRules())
    assert (verdict.look, verdict.confidence) == (3, 0.9917)
    assert any("look 3 at these rows: 99.2 % interval" in each for each in verdict.reasons)


def test_a_leaking_model_is_refused_however_good_it_looks():
    verdict = evaluate_gates(EVALUATION, replace(BETTER, n_known=6), GateRules())
    assert verdict.decision == "keep"
    assert verdict.reasons[0].startswith("it was trained on 6 of the 100 rows that judge it")


def test_figures_that_are_not_numbers_are_no_pass():
    nan = replace(EVALUATION, holdout={"f1": float("nan")}, baselines=(GUESS,))
    verdict = evaluate_gates(nan, EVIDENCE, GateRules())
    assert verdict.decision == "not enough evidence"
    assert verdict.reasons == ("f1 cannot be compared with that of the baseline zero_rule",)
