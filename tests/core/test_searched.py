import pytest

from evertune.search.summary import (
    FamilyRow,
    SearchSummary,
    Setting,
    find_complete_trial,
    hyperparameter_settings,
    summarize_search,
)
from evertune.trials import Configuration, Trial


def trial(number, family, status, score):
    configuration = Configuration(family)
    return Trial(number, configuration, status, (), score, None, float(number))


TRIALS = [
    trial(1, "linear", "complete", 0.7),
    trial(2, "lightgbm", "complete", 0.8),
    trial(3, "lightgbm", "stopped", 0.9),
    trial(4, "extra_trees", "failed", None),
]


def test_trials_are_counted_by_how_they_ended():
    found = summarize_search(TRIALS, greater_is_better=True)
    assert found == SearchSummary(4, 2, 1, 1, 4.0, found.families)


@pytest.mark.parametrize(
    ("greater", "order"),
    [(True, ["lightgbm", "linear", "extra_trees"]), (False, ["linear", "lightgbm", "extra_trees"])],
)
def test_the_best_family_comes_first(greater, order):
    found = summarize_search(TRIALS, greater_is_better=greater)
    assert [row.family for row in found.families] == order


def test_a_trial_that_was_stopped_is_never_the_best():
    found = summarize_search(TRIALS, greater_is_better=True)
    assert found.families[0] == FamilyRow("lightgbm", 2, 1, 0.8)


def test_no_trial_is_a_search_of_nothing():
    assert summarize_search([], greater_is_better=True) == SearchSummary(0, 0, 0, 0, 0.0, ())


def test_settings_are_in_the_order_of_their_names():
    found = hyperparameter_settings(Configuration("tree", {"b": 1, "a": "x"}))
    assert found == (Setting("a", "x"), Setting("b", 1))


def test_a_trial_that_was_stopped_is_not_the_one_that_won():
    assert find_complete_trial(Configuration("lightgbm"), TRIALS) == TRIALS[1]
    assert find_complete_trial(Configuration("extra_trees"), TRIALS) is None
