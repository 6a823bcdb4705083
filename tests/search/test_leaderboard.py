import pytest

from evertune.metrics.metrics import METRICS
from evertune.search.leaderboard import best_trial
from evertune.trials import Configuration, FoldResult, Trial

BOTH = [METRICS["roc_auc"], METRICS["log_loss"]]


def trial(number, roc_auc, log_loss=0.5, status="complete"):
    fold = FoldResult(0, {"roc_auc": roc_auc, "log_loss": log_loss}, 0.1, 0.1)
    return Trial(number, Configuration("linear"), status, (fold,), roc_auc, None, 1.0)


def test_the_best_trial_of_those_with_all_folds_is_chosen():
    trials = [trial(0, 0.7), trial(1, 0.8), trial(2, 0.9, status="stopped"), trial(3, None)]
    assert best_trial(trials, BOTH, {}).number == 1


def test_of_equal_trials_the_earliest_is_chosen():
    assert best_trial([trial(0, 0.7), trial(1, 0.7)], BOTH, {}).number == 0


@pytest.mark.parametrize(("bound", "number"), [(0.5, 0), (0.9, 1)])
def test_a_trial_that_breaks_a_guard_is_not_chosen(bound, number):
    trials = [trial(0, 0.7, log_loss=0.5), trial(1, 0.8, log_loss=0.9)]
    assert best_trial(trials, BOTH, {"log_loss": bound}).number == number


def test_where_no_trial_keeps_the_guards_the_best_is_chosen():
    trials = [trial(0, 0.7), trial(1, 0.8, log_loss=None)]
    assert best_trial(trials, BOTH, {"log_loss": 0.1}).number == 1


def test_without_a_whole_trial_there_is_no_best():
    assert best_trial([trial(0, 0.7, status="failed")], BOTH, {}) is None


def test_a_guard_that_is_no_metric_is_refused():
    with pytest.raises(ValueError, match=r"guards must be some of .* but got \['speed'\]"):
        best_trial([], BOTH, {"speed": 1.0})
