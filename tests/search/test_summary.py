import pytest

from evertune.models.provenance import ModelOrigin, TrialWeight
from evertune.search.summary import (
    EndingCount,
    FamilyRow,
    SearchSummary,
    TimeSpent,
    build_search_report,
    count_endings,
    failure_reasons,
    find_complete_trial,
    summarize_search,
)
from evertune.trials import Configuration, FoldResult, SearchHeader, Trial

HEADER = SearchHeader("d", "rmse", False, 1, 10.0, None, workers=2)


def trial(number, status="complete", *, family="linear", score=1.0, reason=None):
    phase = "search" if family == "tree" else "portfolio"
    fold = FoldResult(0, {"rmse": score}, 2.0, 0.5)
    folds = () if status == "failed" else (fold,)
    return Trial(number, Configuration(family), status, folds, score, reason, number + 1.0, phase)


TRIALS = (
    trial(0, score=3.0),
    trial(1, "failed", reason="ValueError: no"),
    trial(2, "stopped", reason="the budget was used up", score=0.1),
    trial(3, family="tree", score=2.0),
)


def test_time_is_counted_by_purpose():
    spent = build_search_report(TRIALS, HEADER).spent
    assert [(each.name, each.seconds, each.trials) for each in spent] == [
        ("portfolio", 2.5, 1),
        ("search", 2.5, 1),
        ("cut short", 2.5, 1),
        ("failed", 0.0, 1),
        ("outside fits", pytest.approx(0.5), 0),
    ]


def test_without_known_workers_the_time_outside_fits_is_not_reported():
    report = build_search_report(TRIALS, SearchHeader("d", "rmse", False, 1, 10.0, None))
    assert "outside fits" not in [each.name for each in report.spent]


def test_time_is_counted_by_family_the_most_expensive_first():
    assert build_search_report(TRIALS, HEADER).families == (
        TimeSpent("linear", 5.0, 3),
        TimeSpent("tree", 2.5, 1),
    )


def test_the_curve_is_of_trials_on_every_fold_and_only_gets_better():
    assert build_search_report(TRIALS, HEADER).curve == ((1.0, 3.0), (4.0, 2.0))


def test_the_weights_are_those_of_the_model():
    weights = (TrialWeight(0, "linear", 1.0),)
    assert (
        build_search_report(TRIALS, HEADER, origin=ModelOrigin("trial", "", (), weights)).weights
        == weights
    )


@pytest.mark.parametrize(("made_of", "instead"), [("zero rule", True), ("ensemble", False)])
def test_a_search_that_ended_in_a_baseline_says_so(made_of, instead):
    assert (
        build_search_report((), HEADER, origin=ModelOrigin(made_of, "")).baseline_instead is instead
    )


def test_failures_are_counted_by_their_reasons():
    failed = [trial(n, "failed", reason=reason) for n, reason in enumerate(["a", "b", "a"])]
    assert count_endings(failed)[0] == EndingCount("failed", "a", 2)
    assert failure_reasons([*failed, *TRIALS[:1]]) == "2 x a; 1 x b"


def searched_trial(number, family, status, score):
    configuration = Configuration(family)
    return Trial(number, configuration, status, (), score, None, float(number))


SEARCHED_TRIALS = [
    searched_trial(1, "linear", "complete", 0.7),
    searched_trial(2, "lightgbm", "complete", 0.8),
    searched_trial(3, "lightgbm", "stopped", 0.9),
    searched_trial(4, "extra_trees", "failed", None),
]


def test_trials_are_counted_by_how_they_ended():
    found = summarize_search(SEARCHED_TRIALS, greater_is_better=True)
    assert found == SearchSummary(4, 2, 1, 1, 4.0, found.families)


@pytest.mark.parametrize(
    ("greater", "order"),
    [(True, ["lightgbm", "linear", "extra_trees"]), (False, ["linear", "lightgbm", "extra_trees"])],
)
def test_the_best_family_comes_first(greater, order):
    found = summarize_search(SEARCHED_TRIALS, greater_is_better=greater)
    assert [row.family for row in found.families] == order


def test_a_trial_that_was_stopped_is_never_the_best():
    found = summarize_search(SEARCHED_TRIALS, greater_is_better=True)
    assert found.families[0] == FamilyRow("lightgbm", 2, 1, 0.8)


def test_a_trial_that_was_stopped_is_not_the_one_that_won():
    assert find_complete_trial(Configuration("lightgbm"), SEARCHED_TRIALS) == SEARCHED_TRIALS[1]
    assert find_complete_trial(Configuration("extra_trees"), SEARCHED_TRIALS) is None
