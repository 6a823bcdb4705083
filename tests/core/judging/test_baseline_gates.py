from dataclasses import replace

import pytest

from evertune.evaluation.records import BaselineRow, Guard
from evertune.registry.gates import (
    baselines_gate,
    existing_gate,
    guards_gate,
    rows_needed_for_baselines,
)
from tests.core.judging.evaluated import EVALUATION, GUESS, baseline


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
    assert rows_needed_for_baselines(beside(near, nearer)) == pytest.approx(900, abs=1)
