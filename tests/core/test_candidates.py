import numpy as np
import pytest

from evertune.ensemble.oof import stack_oof
from evertune.ensemble.selection import drop_near_duplicates, max_candidates, rank_candidates
from evertune.metrics.metrics import METRICS
from tests.core.pooled import entry, folds_of_rows

N_ROWS = 200
DRAWS = np.random.default_rng(0)
TRUTH = DRAWS.normal(size=N_ROWS)
NOISE = DRAWS.normal(size=N_ROWS)
FOLDS = folds_of_rows(N_ROWS)
RMSE = METRICS["rmse"]


def stack(*said):
    return stack_oof([entry(k, each, FOLDS) for k, each in enumerate(said)], TRUTH)


def test_the_fewer_rows_the_fewer_candidates():
    assert [max_candidates(n) for n in (10, 100, 500, 2_500, 10_000)] == [4, 4, 8, 15, 40]


def test_entries_are_ranked_by_their_score():
    given = stack(TRUTH + 3 * NOISE, TRUTH + NOISE, TRUTH + 2 * NOISE)
    assert rank_candidates(given, RMSE, (), searched=[False] * 3).tolist() == [1, 2, 0]


def test_a_searched_entry_that_is_better_by_chance_does_not_come_first():
    better = TRUTH + np.where(np.arange(N_ROWS) < 5, 0.9, 1.0) * NOISE
    given = stack(TRUTH + NOISE, better)
    assert rank_candidates(given, RMSE, (), searched=[False, True]).tolist() == [0, 1]
    assert rank_candidates(given, RMSE, (), searched=[False, False]).tolist() == [1, 0]


def test_a_searched_entry_that_is_clearly_better_comes_first():
    given = stack(TRUTH + NOISE, TRUTH + NOISE / 2)
    assert rank_candidates(given, RMSE, (), searched=[False, True]).tolist() == [1, 0]


def test_an_entry_that_breaks_a_bound_comes_after_a_worse_one_that_keeps_it():
    rare = np.where(np.arange(N_ROWS) % 50 == 0, 5.0, 0.0)
    given = stack(TRUTH + 0.6, TRUTH + rare)
    guard = (METRICS["mae"], 0.3)
    assert rank_candidates(given, RMSE, (), searched=[False] * 2).tolist() == [0, 1]
    assert rank_candidates(given, RMSE, [guard], searched=[False] * 2).tolist() == [1, 0]


@pytest.mark.parametrize(("most", "kept"), [(9, [0, 2]), (1, [0])])
def test_of_two_that_say_nearly_the_same_the_better_is_kept(most, kept):
    given = stack(TRUTH + NOISE, TRUTH + NOISE * 1.001, TRUTH - NOISE)
    assert drop_near_duplicates(given, np.arange(3), most=most).tolist() == kept
