import numpy as np
import pytest

from evertune.data.folds import (
    MAX_TRAINING_CELLS,
    default_folds,
    default_n_folds,
    folds_from_table,
    folds_to_table,
    make_folds,
    resolve_fold_kind,
    subsample_folds,
)

DAYS = np.arange("2024-01-01", "2024-01-13", dtype="datetime64[D]").astype("datetime64[us]")


def make(kind, **given):
    y_true = np.arange(given.pop("n_rows", 12)) % 2.0
    usual = {"y_true": y_true, "n_folds": 3, "task": "binary", "classes": ("no", "yes")}
    return make_folds(kind, **(usual | given))


def sides(made):
    return [(fold.training.tolist(), fold.validation.tolist()) for fold in made]


def test_stratified_folds_have_the_shares_of_the_whole():
    y_true = np.array([1.0] * 6 + [0.0] * 24)
    made = make("stratified", n_rows=30, y_true=y_true)
    assert [y_true[fold.validation].sum() for fold in made] == [2, 2, 2]


def test_leave_one_out_has_a_fold_for_each_row():
    assert [fold.validation.tolist() for fold in make("leave_one_out")] == [[n] for n in range(12)]


def test_repeats_are_other_folds_of_the_same_rows():
    made = make("kfold", n_repeats=2)
    assert len(made) == 6
    assert sides(made[:3]) != sides(made[3:])


def test_the_same_seed_gives_the_same_folds():
    assert sides(make("stratified")) == sides(make("stratified"))
    assert sides(make("stratified")) != sides(make("stratified", seed=1))


def test_time_folds_validate_on_later_rows_only():
    made = make("time", times=DAYS[::-1])
    assert all(DAYS[::-1][f.training].max() < DAYS[::-1][f.validation].min() for f in made)
    assert [len(fold.training) for fold in made] == [3, 6, 9]


def test_rows_of_one_time_stay_together():
    times = np.array([1.0] * 5 + [2.0, 3.0] + [4.0] * 5)
    made = make("time", times=times)
    assert [sorted(set(times[fold.validation])) for fold in made] == [[2.0], [3.0], [4.0]]


def test_rows_within_the_gap_are_left_out_of_training():
    made = make("time", times=DAYS, gap_days=2)
    assert [fold.training.max() for fold in made] == [1, 4, 7]
    assert [fold.validation.min() for fold in made] == [3, 6, 9]


def test_the_gap_of_a_counter_is_in_its_own_units():
    made = make("time", times=np.arange(12.0) * 10, gap_days=20)
    assert [fold.training.max() for fold in made] == [1, 4, 7]


def test_time_folds_leave_out_training_rows_of_a_group_in_validation():
    groups = np.array([0, 1, 2, 0, 1, 3, 4, 5, 6, 7, 8, 9])
    first = make("time", times=DAYS, groups=groups, task="regression")[0]
    assert (first.training.tolist(), first.validation.tolist()) == ([2], [3, 4, 5])


@pytest.mark.parametrize(
    ("has_times", "has_groups", "task", "kind"),
    [
        (True, True, "binary", "time"),
        (False, True, "regression", "group"),
        (False, False, "multiclass", "stratified"),
        (False, False, "regression", "kfold"),
    ],
)
def test_auto_is_the_strictest_kind_that_the_table_allows(has_times, has_groups, task, kind):
    result = resolve_fold_kind("auto", has_times=has_times, has_groups=has_groups, task=task)
    assert result == kind


GROUPS = np.arange(12) // 3
LATE = (np.arange(12) > 5).astype(float)
HALF_MISSING = np.where(np.arange(12) % 2, DAYS, np.datetime64("NaT"))
IMPOSSIBLE = [
    ("time", {}, r"Time folds need a time column. Set data.time"),
    ("group", {}, r"Group folds need a group column. Set data.group"),
    ("stratified", {"task": "regression"}, r"Stratified folds need classes"),
    ("kfold", {"groups": GROUPS}, r"'kfold' would split rows of one group"),
    ("time", {"times": DAYS, "n_repeats": 2}, r"the same every time. .* got 2"),
    ("kfold", {"n_folds": 13}, r"13 folds need at least 13 rows. Got 12"),
    ("group", {"groups": GROUPS, "n_folds": 5}, r"at least 5 groups. Got 4"),
    ("leave_one_out", {"n_rows": 2001}, r"2 to 2000 training rows, .* Got 2001"),
    ("leave_one_out", {"n_rows": 1}, r"2 to 2000 training rows, .* Got 1"),
    ("stratified", {"y_true": np.array([1.0] * 2 + [0.0] * 10)}, r"1 of 2 classes has .*'yes': 2"),
    ("stratified", {"y_true": np.zeros(12)}, r"'yes': 0"),
    ("time", {"times": np.array([1.0, 2.0, 3.0] * 4)}, r"at least 4 different times. Got 3"),
    ("time", {"times": np.array([np.nan] + [1.0] * 11)}, r"have a time. Got 1 rows without"),
    ("time", {"times": HALF_MISSING}, r"have a time. Got 6 rows without"),
    ("time", {"times": DAYS, "gap_days": 30}, r"Fold 0 has no training rows: split.gap_days"),
    ("time", {"times": DAYS, "y_true": LATE}, r"fold 0 .* only 'no' in 3"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "given", "words"), IMPOSSIBLE, ids=[i[2][:30] for i in IMPOSSIBLE]
)
def test_impossible_folds_are_refused_with_the_reason(kind, given, words):
    with pytest.raises(ValueError, match=words):
        make(kind, **given)


def test_classes_without_names_are_named_by_their_codes():
    with pytest.raises(ValueError, match=r"'1': 2"):
        make("stratified", y_true=np.array([1.0] * 2 + [0.0] * 10), classes=())


def test_folds_are_read_back_from_their_table():
    made = make("time", times=DAYS, gap_days=1)
    table = folds_to_table(made, 12)
    assert sides(folds_from_table(table)) == sides(made)
    assert table.dtypes.to_dict() == dict.fromkeys(["fold_0", "fold_1", "fold_2"], np.int8)


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
    y_true = np.array([0.0] * 20 + [1.0] * 2)
    made = default_folds(y_true, 5, has_classes=True, seed=0)
    assert len(made) == 5
    assert all(set(y_true[fold.training]) == {0.0, 1.0} for fold in made)


def test_the_only_row_of_a_class_is_learned_from_and_validates_nothing():
    y_true = np.array([0.0, 1.0] * 10 + [2.0])
    made = default_folds(y_true, 5, has_classes=True, seed=0)
    assert all(20 in fold.training and 20 not in fold.validation for fold in made)


@pytest.mark.parametrize(("rows", "expected"), [(100_000, 15_000), (10_000, 2_500), (3_000, 1_000)])
def test_a_hold_out_is_large_enough_to_tell_and_small_enough_to_spare(rows, expected):
    (fold,) = default_folds(np.arange(float(rows)), 1, has_classes=False, seed=0)
    assert len(fold.validation) == expected
    assert len(fold.training) == rows - expected


def test_a_hold_out_has_the_shares_of_the_classes():
    y_true = np.array([0.0] * 9_000 + [1.0] * 1_000)
    (fold,) = default_folds(y_true, 1, has_classes=True, seed=0)
    assert y_true[fold.validation].mean() == pytest.approx(0.1)


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
