from dataclasses import replace

import pytest

from evertune.config.schema import GatesSection
from evertune.evaluation.evaluation_record import BaselineRow, Guard
from evertune.registry.gates import (
    ChampionComparison,
    RateGap,
    SliceRegression,
    evaluate_gates,
)
from evertune.stats.results import PairedDifference
from tests.registry.evaluated import (
    EVALUATION,
    EVIDENCE,
    GUESS,
    SIMPLE,
    baseline,
    difference,
    rival,
)

NAN, INF = float("nan"), float("inf")
BETTER = replace(EVIDENCE, champion=rival(0.1, 0.05, 0.15))
UNCLEAR = replace(EVIDENCE, champion=rival(0.1, -0.05, 0.25))
BELOW_GUESS = replace(EVALUATION, baselines=(baseline("zero_rule", "none", 0.6, -0.1),))


def outcomes(verdict):
    return {each.name: each.outcome for each in verdict.gates}


def gate(name, evaluation=EVALUATION, evidence=EVIDENCE, **limits):
    """Return what one gate says: its outcome and its reason."""
    verdict = evaluate_gates(evaluation, evidence, GatesSection(**limits))
    return next((each.outcome, each.reason) for each in verdict.gates if each.name == name)


# The verdict


def test_the_first_model_that_beats_the_baselines_is_promoted():
    verdict = evaluate_gates(EVALUATION, EVIDENCE, GatesSection())
    assert verdict.promoted
    assert verdict.is_first
    assert verdict.reasons == ("its F1 of 0.6 beats every rule that needs no model",)


def test_every_gate_gives_its_outcome_and_a_reason():
    verdict = evaluate_gates(EVALUATION, BETTER, GatesSection())
    assert all(each.reason for each in verdict.gates)
    assert outcomes(verdict) == {
        "rows": "pass", "baselines": "pass", "existing": "off", "guards": "off",
        "champion": "pass", "data": "pass", "slices": "off", "calibration": "off",
        "rate_gap": "off", "milliseconds_a_row": "off", "megabytes": "off", "approval": "off",
    }  # fmt: skip


@pytest.mark.parametrize("approval", [False, True])
def test_a_failing_gate_keeps_the_champion_whatever_is_unknown(approval):
    verdict = evaluate_gates(BELOW_GUESS, UNCLEAR, GatesSection(), approval=approval)
    assert (verdict.decision, verdict.rows_needed) == ("keep", None)
    assert not verdict.waits_for_approval
    assert verdict.reasons == ("its F1 of 0.6 is no better than the constant prediction (0.6)",)


@pytest.mark.parametrize("missing", ["data", "megabytes", "rate_gap", "milliseconds_a_row"])
def test_missing_evidence_is_never_a_pass(missing):
    limits = GatesSection(rate_gap=0.1, milliseconds_a_row=1.0, megabytes=10.0)
    verdict = evaluate_gates(EVALUATION, replace(BETTER, faults=None), limits)
    assert verdict.decision == "not enough evidence"
    assert outcomes(verdict)[missing] == "unknown"


def test_a_gate_that_is_switched_off_lets_pass():
    verdict = evaluate_gates(BELOW_GUESS, BETTER, GatesSection(baselines=False))
    assert verdict.promoted
    assert outcomes(verdict)["baselines"] == "off"


def test_a_verdict_says_how_many_rows_would_tell():
    verdict = evaluate_gates(EVALUATION, UNCLEAR, GatesSection())
    assert (verdict.rows_needed, verdict.n_rows) == (pytest.approx(225, abs=1), 100)


def test_the_most_rows_that_any_baseline_needs_are_named():
    near = tuple(baseline(name, "none", 0.5, low) for name, low in [("a", -0.1), ("b", -0.2)])
    verdict = evaluate_gates(replace(EVALUATION, baselines=near), EVIDENCE, GatesSection())
    assert verdict.rows_needed == pytest.approx(900, abs=1)


def test_what_is_unknown_for_another_reason_needs_no_number_of_rows():
    verdict = evaluate_gates(EVALUATION, replace(BETTER, faults=None), GatesSection())
    assert (verdict.rows_needed, verdict.n_rows) == (None, None)


def test_a_version_that_passes_waits_where_a_person_has_to_approve():
    verdict = evaluate_gates(EVALUATION, BETTER, GatesSection(), approval=True)
    assert (verdict.decision, verdict.waits_for_approval) == ("not enough evidence", True)
    assert verdict.reasons[0] == "waits for `evertune approve 4 --reason ...`"


# Baselines and the system in use


def test_a_model_that_is_not_better_than_the_system_in_use_fails():
    rows = (GUESS, baseline("existing", "given", 0.7, -0.2))
    outcome, reason = gate("existing", replace(EVALUATION, baselines=rows))
    assert outcome == "fail"
    assert reason == "its F1 of 0.6 is below that of the system in use (0.7)"


@pytest.mark.parametrize(
    ("rows", "outcome"),
    [
        ((GUESS, baseline("human", "given", 0.9, -0.4)), "pass"),
        ((baseline("zero_rule", "none", 0.6, -0.1),), "fail"),
        ((baseline("zero_rule", "none", 0.5, -0.1),), "unknown"),
        ((), "unknown"),
    ],
)
def test_a_model_has_to_be_surely_better_than_every_baseline_that_is_no_model(rows, outcome):
    assert gate("baselines", replace(EVALUATION, baselines=rows))[0] == outcome


@pytest.mark.parametrize(
    ("low", "words"), [(-0.1, "goes down to -0.1"), (None, "no interval"), (NAN, "no interval")]
)
def test_a_lift_that_may_be_chance_is_not_known(low, words):
    outcome, reason = gate("baselines", replace(EVALUATION, baselines=(replace(GUESS, low=low),)))
    assert outcome == "unknown"
    assert "is not clearly better than that of" in reason
    assert reason.endswith(words)


@pytest.mark.parametrize(("ours", "theirs"), [(0.6, None), (0.6, NAN), (0.6, INF), (NAN, 0.4)])
def test_scores_that_are_not_numbers_cannot_be_compared(ours, theirs):
    row = BaselineRow("zero_rule", "none", "", {"f1": theirs}, {}, n_rows=100)
    found = gate("baselines", replace(EVALUATION, holdout={"f1": ours}, baselines=(row,)))
    assert found[0] == "unknown"
    assert found[1].startswith("its F1 cannot be compared with that of the constant prediction")


def test_smaller_is_better_where_the_metric_says_so():
    guess = BaselineRow("zero_rule", "none", "", {"log_loss": 0.7}, {}, 0.2, 0.1, 0.3, n_rows=100)
    smaller = replace(EVALUATION, metric="log_loss", greater_is_better=False, baselines=(guess,))
    assert gate("baselines", smaller)[0] == "pass"


@pytest.mark.parametrize("positives", [1, 2, 6, 9])
def test_the_first_version_needs_enough_rows_of_the_rarer_class(positives):
    few = replace(EVALUATION, confusion=((100 - positives, 0), (0, positives)))
    verdict = evaluate_gates(few, EVIDENCE, GatesSection())
    assert verdict.decision == "not enough evidence"
    assert verdict.rows_needed == -(-1000 // positives)
    rows = "1 row" if positives == 1 else f"{positives} rows"
    assert verdict.reasons == (
        f"the hold-out has only {rows} of class 'yes', and at least 10 are needed to judge a model",
    )


def test_few_hold_out_rows_are_no_evidence_whatever_they_show():
    guess = replace(GUESS, n_rows=20)
    few = replace(EVALUATION, baselines=(guess,), n_holdout=20, confusion=((10, 0), (0, 10)))
    verdict = evaluate_gates(few, EVIDENCE, GatesSection())
    assert (verdict.decision, verdict.rows_needed) == ("not enough evidence", 30)


@pytest.mark.parametrize(
    ("metric", "outcome"), [("log_loss", "pass"), ("balanced_accuracy", "unknown")]
)
def test_a_rare_class_of_many_counts_where_the_metric_is_a_mean_over_classes(metric, outcome):
    guess = replace(GUESS, holdout={metric: 0.4})
    three = replace(
        EVALUATION,
        task="multiclass",
        classes=("a", "b", "c"),
        metric=metric,
        holdout={metric: 0.6 if metric != "log_loss" else 0.3},
        greater_is_better=metric != "log_loss",
        baselines=(guess,),
        confusion=((50, 0, 0), (0, 46, 0), (0, 4, 0)),
    )
    assert gate("baselines", three)[0] == outcome


def test_the_simplest_model_needs_the_interval_of_its_own_lift_too():
    chosen = replace(EVALUATION, chosen="simplest:small_tree", baselines=(GUESS, SIMPLE))
    assert gate("baselines", chosen)[0] == "pass"
    by_chance = replace(chosen, baselines=(replace(GUESS, low=-0.1), SIMPLE))
    assert gate("baselines", by_chance)[0] == "unknown"


def test_what_only_the_newest_rows_have_is_told_beside_the_verdict():
    told = replace(EVIDENCE, notes=("only the newest rows have class 'new'",))
    for evaluation in (EVALUATION, BELOW_GUESS):
        reasons = evaluate_gates(evaluation, told, GatesSection()).reasons
        assert reasons[-1] == "only the newest rows have class 'new'"


# Guards


@pytest.mark.parametrize(
    ("guard", "outcome", "words"),
    [
        (Guard("log_loss", 0.4, 0.5, False), "fail", "log loss must be at most 0.4, but is 0.5"),
        (Guard("f1", 0.7, 0.6, False), "fail", "F1 must be at least 0.7, but is 0.6"),
        (Guard("f1", 0.6, 0.6, True), "pass", "every guard is kept"),
    ],
)
def test_a_guard_is_kept_or_broken_by_its_direction(guard, outcome, words):
    assert gate("guards", replace(EVALUATION, guards=(guard,))) == (outcome, words)


@pytest.mark.parametrize("score", [None, NAN])
def test_a_guard_of_an_undefined_score_is_not_known_to_be_kept(score):
    guarded = replace(EVALUATION, guards=(Guard("f1", 0.5, None, False),), holdout={"f1": score})
    assert gate("guards", guarded)[0] == "unknown"


def test_the_simplest_model_is_judged_by_its_own_scores():
    guard = Guard("f1", 0.65, 0.6, False)
    chosen = replace(EVALUATION, chosen="simplest:small_tree", guards=(guard,))
    assert (gate("guards", chosen)[0], gate("baselines", chosen)[0]) == ("pass", "pass")


# The champion


def champion_gate(champion, **changed):
    return gate("champion", evidence=replace(EVIDENCE, champion=champion, **changed))


@pytest.mark.parametrize(
    ("champion", "outcome"),
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
        (rival(0.1, NAN, 0.2), "unknown"),
        (rival(0.1, 0.05, INF), "unknown"),
    ],
)
def test_the_whole_interval_has_to_speak_for_the_new_model(champion, outcome):
    assert champion_gate(champion)[0] == outcome


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
    metric = PairedDifference(-0.001, -0.02, 0.02, share, 100)
    found, reason = champion_gate(ChampionComparison("3", metric, loss=loss))
    assert found == outcome
    assert ("its loss is lower (+0.03, +0.01 to +0.05" in reason) == (outcome == "pass")


def test_few_rows_never_tell_however_alike_their_draws_are():
    few = ChampionComparison("3", PairedDifference(0.1, 0.05, 0.15, 1.0, 29))
    assert champion_gate(few) == (
        "unknown",
        "it cannot be compared with the champion, version 3: the hold-out has only 29 rows to"
        " compare by, and at least 30 are needed to judge a model",
    )


def test_few_rows_of_the_rarer_class_never_tell_two_models_apart():
    better = replace(rival(0.1, 0.05, 0.15), class_counts=(94, 6))
    outcome, reason = champion_gate(better)
    assert (outcome, "has only 6 rows of class 'yes'" in reason) == ("unknown", True)
    verdict = evaluate_gates(EVALUATION, replace(EVIDENCE, champion=better), GatesSection())
    assert (verdict.decision, verdict.rows_needed) == ("not enough evidence", 167)


def test_the_reason_gives_the_difference_its_interval_and_the_use_of_the_rows():
    champion = replace(rival(0.1, -0.05, 0.25), n_left_out=7)
    _, reason = champion_gate(champion, holdout_use=3, confidence=0.9917)
    assert reason == (
        "its F1 is better (+0.1, -0.05 to +0.25, 100 rows) than that of the champion, version 3;"
        " left out: 7 hold-out rows that one of the two was trained on (use 3 of these rows: 99.2"
        " % interval)"
    )


def test_a_champion_that_cannot_be_compared_stays_and_the_reason_says_what_to_do():
    _, reason = champion_gate(ChampionComparison("3", obstacle="it predicts 'left'"))
    assert "version 3: it predicts 'left'; give a new question a name of its own" in reason


# What the rows must be, and what the model may not do


@pytest.mark.parametrize(
    ("change", "outcome", "words"),
    [
        ({}, "pass", "it is judged by 100 hold-out rows"),
        ({"n_holdout": 0}, "unknown", "the hold-out has no row"),
        (
            {"n_trained": 5},
            "pass",
            "it is judged by 100 hold-out rows, 5 that it was trained on are left out",
        ),
        ({"n_trained": 6}, "fail", "it was trained on 6 of the 100 hold-out rows"),
        ({"n_missing": 100, "fault": "it cannot read these rows"}, "unknown", "it cannot read"),
        ({"n_missing": 2}, "unknown", "it gives no finite prediction for 2 of 100 rows"),
    ],
)
def test_the_hold_out_has_to_be_able_to_judge(change, outcome, words):
    found, reason = gate("rows", evidence=replace(EVIDENCE, **change))
    assert found == outcome
    assert reason.startswith(words)


@pytest.mark.parametrize(
    ("faults", "outcome"), [((), "pass"), (("age is gone",), "fail"), (None, "unknown")]
)
def test_faults_of_the_hold_out_fail(faults, outcome):
    assert gate("data", evidence=replace(EVIDENCE, faults=faults))[0] == outcome


def fall(mean, p_value, *, value="a", score=0.8):
    drop = difference(mean, mean - 0.1, mean + 0.1, p_value)
    return SliceRegression("plan", value, "f1", score, drop)


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        ({"regressions": (fall(0.1, 0.001),)}, "fail"),
        ({"regressions": (fall(0.1, 0.2),)}, "pass"),
        ({"regressions": (fall(0.03, 0.001),)}, "pass"),
        ({"regressions": (fall(-0.1, None),)}, "pass"),
        ({"regressions": (fall(0.1, None),)}, "unknown"),
        ({"regressions": (fall(0.1, 0.001, score=None),)}, "unknown"),
        ({"regressions": (fall(0.1, 0.001, score=NAN),)}, "unknown"),
        ({"regressions": ()}, "unknown"),
        ({"regressions": None}, "unknown"),
        ({"regressions": tuple(fall(0.1, 0.03, value=v) for v in "abcde")}, "pass"),  # Holm
        ({"slice_columns": ()}, "off"),
        ({"champion": None}, "pass"),
    ],
)
def test_a_slice_falls_by_more_than_the_tolerance_and_beyond_chance(change, outcome):
    evidence = replace(BETTER, slice_columns=("plan",))
    assert gate("slices", evidence=replace(evidence, **change), slices=0.05)[0] == outcome


def test_the_slice_that_fell_is_named_with_its_score():
    evidence = replace(BETTER, slice_columns=("plan",), regressions=(fall(0.1, 0.001, value="b"),))
    assert gate("slices", evidence=evidence)[1] == (
        "worse where plan is b: F1 is worse by 0.1 than the champion's 0.8 (100 rows, p 0.001"
        " after Holm)"
    )


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        ({"calibration": difference(0.05, 0.01, 0.09)}, "fail"),
        ({"calibration": difference(0.05, -0.01, 0.11)}, "pass"),
        ({"calibration": difference(0.01, 0.005, 0.02)}, "pass"),
        ({"calibration": difference(0.05, None, None)}, "unknown"),
        ({"calibration": None}, "unknown"),
        ({"has_probabilities": False}, "off"),
        ({"champion": None}, "pass"),
    ],
)
def test_calibration_fails_where_its_error_rises_beyond_chance(change, outcome):
    evidence = replace(BETTER, has_probabilities=True)
    assert gate("calibration", evidence=replace(evidence, **change), calibration=0.02)[0] == outcome


@pytest.mark.parametrize(
    ("gaps", "outcome"),
    [([0.1], "pass"), ([0.1, 0.25], "fail"), ([NAN], "unknown"), ([], "unknown")],
)
def test_the_widest_gap_of_rates_counts(gaps, outcome):
    rate_gaps = tuple(RateGap("sex", "yes", "f", "m", gap) for gap in gaps)
    evidence = replace(EVIDENCE, sensitive=("sex",), rate_gaps=rate_gaps)
    found, reason = gate("rate_gap", evidence=evidence, rate_gap=0.2)
    assert found == outcome
    assert outcome != "fail" or reason == (
        "yes is predicted 25.0 % more often where sex is m than where it is f; at most 20.0 % is"
        " allowed"
    )


@pytest.mark.parametrize("name", ["milliseconds_a_row", "megabytes"])
@pytest.mark.parametrize(
    ("value", "outcome"), [(0.5, "pass"), (1.5, "fail"), (None, "unknown"), (NAN, "unknown")]
)
def test_what_predicting_and_storing_cost_is_held_to_a_limit(name, value, outcome):
    evidence = replace(EVIDENCE, **{name: value})
    assert gate(name, evidence=evidence, **{name: 1.0})[0] == outcome
