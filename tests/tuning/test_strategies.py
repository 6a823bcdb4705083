import time

import pytest

from evertune.metrics.metrics import METRICS
from evertune.search.study import Budget, maximized_score


def test_seconds_that_a_killed_run_spent_are_not_given_again():
    budget = Budget(started=100.0, seconds=60.0, trials=None, spent_seconds=25.0)
    assert budget.deadline() == 135.0


def test_the_clock_counts_over_restarts():
    budget = Budget(started=time.monotonic() - 2, seconds=60.0, trials=None, spent_seconds=25.0)
    assert budget.clock() == pytest.approx(27, abs=0.5)


def test_a_budget_in_trials_has_no_deadline():
    assert Budget(started=100.0, seconds=None, trials=3).deadline() == float("inf")


@pytest.mark.parametrize(("metric", "expected"), [("r2", 0.5), ("rmse", -0.5)])
def test_more_is_better_once_a_score_is_signed(metric, expected):
    assert maximized_score(0.5, METRICS[metric]) == expected
