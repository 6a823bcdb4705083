import numpy as np
import pytest

from evertune.ensemble.oof import cross_fit_parts, fold_row_indices, stack_oof, subsample_rows
from tests.core.pooled import entry, folds_of_rows

TRUTH = np.arange(100.0)


def stack(n_folds=4, n_rows=100):
    return stack_oof([entry(0, TRUTH, folds_of_rows(n_rows, n_folds))], TRUTH)


def test_each_folds_rows_are_found_again():
    assert [places.tolist() for places in fold_row_indices(stack())] == [
        list(range(start, start + 25)) for start in range(0, 100, 25)
    ]


def test_folds_of_few_rows_are_one_part():
    assert [len(places) for places in fold_row_indices(stack(n_folds=20))] == [100]


@pytest.mark.parametrize(("n_folds", "n_parts"), [(4, 4), (20, 5), (1, 5)])
def test_weights_are_crossed_over_a_few_parts(n_folds, n_parts):
    parts = cross_fit_parts(stack(n_folds), seed=0)
    assert len(parts) == n_parts
    assert sorted(np.concatenate(parts).tolist()) == list(range(100))


def test_many_rows_are_drawn_and_keep_their_order():
    few = subsample_rows(stack(), most=30, seed=0)
    assert len(few.rows) == 30
    assert (np.diff(few.rows) > 0).all()
    assert (few.said[0] == few.truth).all()


def test_few_rows_are_all_taken():
    assert len(subsample_rows(stack(), most=100, seed=0).rows) == 100
