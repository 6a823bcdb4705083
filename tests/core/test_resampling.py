import numpy as np
import pytest

from evertune.data.folds import MAX_TRAINING_CELLS, default_folds, default_n_folds, subsample_folds

SIZES = [
    (700, 200, 60, 5),
    (19_999, 500, 60, 5),
    (20_000, 20, 60, 3),
    (99_999, 6, 60, 3),
    (99_999, 6, 300, 5),
    (40_000, 16, 60, 1),
    (1_000_000, 30, 300, 1),
    (1_000_000, 30, None, 5),
]


@pytest.mark.parametrize(("rows", "columns", "seconds", "expected"), SIZES)
def test_the_folds_follow_rows_columns_and_budget(rows, columns, seconds, expected):
    assert default_n_folds(rows, columns, seconds) == expected


def test_every_row_validates_once():
    made = default_folds(np.arange(23.0), 5, has_classes=False, seed=0)
    assert sorted(np.concatenate([fold.validation for fold in made])) == list(range(23))
    assert all(not set(fold.training) & set(fold.validation) for fold in made)


def test_a_class_rarer_than_the_folds_is_learned_from_in_each():
    truth = np.array([0.0] * 20 + [1.0] * 2)
    made = default_folds(truth, 5, has_classes=True, seed=0)
    assert len(made) == 5
    assert all(set(truth[fold.training]) == {0.0, 1.0} for fold in made)


def test_the_only_row_of_a_class_is_learned_from_and_validates_nothing():
    truth = np.array([0.0, 1.0] * 10 + [2.0])
    made = default_folds(truth, 5, has_classes=True, seed=0)
    assert all(20 in fold.training and 20 not in fold.validation for fold in made)


@pytest.mark.parametrize(("rows", "expected"), [(100_000, 15_000), (10_000, 2_500), (3_000, 1_000)])
def test_a_hold_out_is_large_enough_to_tell_and_small_enough_to_spare(rows, expected):
    (fold,) = default_folds(np.arange(float(rows)), 1, has_classes=False, seed=0)
    assert len(fold.validation) == expected
    assert len(fold.training) == rows - expected


def test_a_hold_out_has_the_shares_of_the_classes():
    truth = np.array([0.0] * 9_000 + [1.0] * 1_000)
    (fold,) = default_folds(truth, 1, has_classes=True, seed=0)
    assert truth[fold.validation].mean() == pytest.approx(0.1)


@pytest.mark.parametrize("n_rows", [1, 2, 3])
def test_too_few_rows_make_no_folds(n_rows):
    assert default_folds(np.zeros(n_rows), 5, has_classes=False, seed=0) == ()


def test_classes_of_a_single_row_each_make_no_folds():
    assert default_folds(np.arange(10.0), 5, has_classes=True, seed=0) == ()


def test_fewer_rows_make_fewer_folds():
    assert len(default_folds(np.arange(7.0), 5, has_classes=False, seed=0)) == 3


def test_a_fold_of_few_rows_is_left_whole():
    folds = default_folds(np.arange(100.0), 5, has_classes=False, seed=0)
    assert subsample_folds(folds, 10, seed=0) == folds


def test_a_fold_of_a_large_table_learns_from_a_part_of_its_own_rows():
    (fold,) = default_folds(np.arange(1000.0), 1, has_classes=False, seed=0)
    (part,) = subsample_folds([fold], MAX_TRAINING_CELLS // 200, seed=0)
    assert len(part.training) == 200
    assert set(part.training) < set(fold.training)


def test_folds_are_thinned_alike_for_the_same_seed():
    folds = default_folds(np.arange(1000.0), 2, has_classes=False, seed=0)
    first, second = (subsample_folds(folds, MAX_TRAINING_CELLS // 50, seed=3) for _ in range(2))
    assert all((a.training == b.training).all() for a, b in zip(first, second, strict=True))
