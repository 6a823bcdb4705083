import numpy as np
import pytest

from evertune.stats.bootstrap import bootstrap_replicates, grouped_jackknife, required_draws


def first_weight(weights):
    return weights[:, 0]


def total(weights):
    return weights.sum(axis=1)


def test_each_draw_has_as_many_rows_as_there_are():
    [found] = bootstrap_replicates([total], 7, draws=40, seed=0)
    assert found.tolist() == [7.0] * 40


def test_a_row_is_drawn_as_often_as_chance_has_it():
    [found] = bootstrap_replicates([first_weight], 50, draws=4000, seed=0)
    assert found.mean() == pytest.approx(1, abs=0.06)
    assert found.var() == pytest.approx(1 - 1 / 50, abs=0.1)


def test_draws_in_blocks_are_all_there_and_differ():
    [found] = bootstrap_replicates(
        [lambda weights: weights @ np.arange(100_000.0)], 100_000, draws=7, seed=0
    )
    assert np.unique(found).size == 7


def test_all_figures_are_of_the_same_draws():
    first, again = bootstrap_replicates([first_weight, first_weight], 50, draws=20, seed=0)
    assert first.tolist() == again.tolist()


def test_few_rows_are_left_out_one_by_one():
    [found] = grouped_jackknife([lambda weights: weights @ np.arange(4.0)], 4, seed=0)
    assert sorted(found) == [3.0, 4.0, 5.0, 6.0]


def test_many_rows_are_left_out_in_groups_that_hold_each_once():
    [found] = grouped_jackknife([total], 1001, seed=0)
    assert found.size == 200
    assert (1001 - found).sum() == 1001


def test_groups_do_not_follow_the_order_of_rows():
    [found] = grouped_jackknife([lambda weights: weights @ np.arange(2000.0)], 2000, seed=0)
    assert np.corrcoef(found, np.arange(200))[0, 1] < 0.5


@pytest.mark.parametrize(
    ("tail", "n_rows", "expected"),
    [(0.025, 100, 1000), (0.01, 100, 2500), (1e-5, 100, 10_000), (1e-5, 10**6, 1000)],
)
def test_a_narrow_tail_asks_for_more_draws_up_to_a_cap(tail, n_rows, expected):
    assert required_draws(1000, n_rows, tail=tail) == expected


def test_more_draws_than_the_cap_are_drawn_where_they_are_wished():
    assert required_draws(50_000, 100, tail=0.025) == 50_000


def test_a_tail_that_no_draws_come_near_asks_for_no_more():
    assert required_draws(1000, 100, tail=1e-9) == 1000
