import numpy as np
import pandas as pd
import pytest

from evertune.data.folds import make_training_folds
from evertune.data.holdout import (
    add_row_keys,
    find_rare_classes,
    hash_rows,
    is_in_holdout,
    is_latest,
    split_from_moment,
    split_table,
)
from evertune.data.schema import Column, TableSchema

FEATURES = (Column("x", "number"),)
USUAL = {"kind": "auto", "n_folds": 2, "n_repeats": 1, "gap_days": 0, "seed": 0}


def schema(**roles):
    return TableSchema(FEATURES, "y", "binary", ("no", "yes"), **roles)


def table(n_rows=200, **columns):
    numbers = np.arange(n_rows)
    target = pd.Series(np.where(numbers % 4, "no", "yes"), dtype="str")
    return pd.DataFrame({"x": numbers.astype(float), "y": target, **columns})


def sides(clean, roles, fraction=0.25):
    result = schema(**roles)
    return split_table(add_row_keys(clean, result), result, fraction=fraction, seed=0)


def test_a_row_keeps_its_side_when_other_cells_of_a_known_identifier_change():
    names = pd.Series([f"c{row}" for row in range(200)], dtype="str")
    before, after = table(id=names), table(id=names).assign(x=0.0)
    kept = [set(sides(clean, {"identifier": "id"}).holdout["id"]) for clean in (before, after)]
    assert kept[0] == kept[1]


def test_rows_without_an_identifier_are_told_apart_by_their_features():
    names = pd.Series([None] * 200, dtype="str")
    keys = add_row_keys(table(id=names), schema(identifier="id"))["row_key"]
    assert keys.equals(add_row_keys(table(), schema())["row_key"])


def test_the_target_does_not_decide_the_side_of_a_row():
    flipped = table().assign(y="yes")
    assert sides(table(), {}).holdout["x"].tolist() == sides(flipped, {}).holdout["x"].tolist()


def test_rows_without_a_group_are_groups_of_their_own():
    groups = pd.Series([None] * 200, dtype="str")
    result = sides(table(team=groups), {"group": "team"})
    assert 20 < len(result.holdout) < 80


def test_earlier_rows_of_a_group_in_the_latest_part_are_left_out():
    groups = pd.Series([f"g{row % 60}" for row in range(200)], dtype="str")
    clean = table(day=np.arange(200.0), team=groups)
    result = sides(clean, {"time": "day", "group": "team"})
    assert not set(result.training["team"]) & set(result.holdout["team"])
    assert (result.n_left_out, len(result.training), len(result.holdout)) == (120, 30, 50)


def test_sides_without_rows_are_refused():
    with pytest.raises(
        ValueError, match=r"Got 0 and 2 of 2 rows with split.holdout_fraction 0.999"
    ):
        sides(table(2), {}, fraction=0.999)


def test_folds_of_groups_keep_rows_without_a_group_apart():
    groups = pd.Series(["a"] * 4 + [None] * 36, dtype="str")
    result = schema(group="team")
    clean = add_row_keys(table(40, team=groups), result)
    first, second = make_training_folds(clean, result, **USUAL)
    assert 10 < len(first.validation) < 30
    assert sorted([*first.validation, *second.validation]) == list(range(40))


def test_classes_too_rare_for_the_holdout_are_named_and_values_have_none():
    assert find_rare_classes(pd.DataFrame({"y": ["no"] * 9}), schema()) == {"yes": 0}
    regression = TableSchema(FEATURES, "y", "regression")
    assert find_rare_classes(pd.DataFrame({"y": [1.0]}), regression) == {}


def judged(clean, roles, moment):
    result = schema(**roles)
    table = add_row_keys(clean, result)
    return split_from_moment(table, result, moment=pd.Timestamp(moment), seed=0)


def produced(n_old=100, n_new=100):
    days = pd.Series([pd.NaT] * n_old + list(pd.date_range("2024-01-01", periods=n_new, unit="us")))
    return table(n_old + n_new, moment=days.astype("datetime64[us]"))


def test_rows_of_the_source_train_and_late_rows_of_production_do_not():
    result = judged(produced(), {}, "2024-03-01")
    assert len(result.training) == 100 + 60
    assert min(result.selection["moment"].min(), result.holdout["moment"].min()) == pd.Timestamp(
        "2024-03-01"
    )


def test_the_two_halves_of_late_rows_are_about_equal():
    result = judged(produced(n_new=2000), {}, "2024-01-01")
    assert abs(len(result.selection) - len(result.holdout)) < 150


def test_late_rows_of_the_source_do_not_train_either():
    days = pd.Series(pd.date_range("2024-01-01", periods=200, unit="us"))
    result = judged(table(day=days), {"time": "day"}, "2024-06-01")
    assert result.training["day"].max() < pd.Timestamp("2024-06-01")


def test_a_group_with_late_rows_does_not_train():
    teams = pd.Series([f"t{row % 150}" for row in range(200)], dtype="str")
    result = judged(produced().assign(team=teams), {"group": "team"}, "2024-03-01")
    late = {*result.selection["team"], *result.holdout["team"]}
    assert not late & set(result.training["team"])
    assert result.n_left_out == 40


def test_a_row_that_is_both_late_and_early_does_not_train():
    late = produced()
    again = late.tail(1).assign(moment=pd.NaT).astype(late.dtypes)
    result = judged(pd.concat([again, late], ignore_index=True), {}, "2024-03-01")
    assert (result.n_left_out, len(result.training)) == (1, 160)


def test_late_rows_without_earlier_ones_are_refused():
    with pytest.raises(ValueError, match=r"Training needs at least 2 rows from before 2024-01-01"):
        judged(produced(n_old=0), {}, "2024-01-01")


CELLS = pd.DataFrame(
    {
        "plan": pd.Series(["basic", "pro", None, "basic"], dtype="str"),
        "tenure": [1.0, -0.0, np.nan, 1.0],
        "since": pd.to_datetime(["2024-01-01", None, "2024-02-01", "2024-01-01"]),
    }
)
COLUMNS = ["plan", "tenure", "since"]


def test_keys_are_the_same_in_every_version_and_equal_for_equal_rows():
    result = hash_rows(CELLS, COLUMNS).tolist()
    assert result == [
        "1908830136a90032",
        "3736913206d7ec0d",
        "12c2d23d15c4ac1a",
        "1908830136a90032",
    ]


def test_the_same_cells_under_other_names_have_other_keys():
    swapped = pd.DataFrame({"a": ["x"], "b": ["y"]})
    other = pd.DataFrame({"a": ["y"], "b": ["x"]})
    assert hash_rows(swapped, ["a", "b"])[0] != hash_rows(other, ["a", "b"])[0]


def test_zero_and_minus_zero_are_the_same_number():
    keys = hash_rows(pd.DataFrame({"x": [0.0, -0.0]}), ["x"])
    assert keys[0] == keys[1]


def test_keys_keep_the_index_and_have_sixteen_digits():
    keys = hash_rows(CELLS[2:], ["plan"])
    assert keys.index.tolist() == [2, 3]
    assert keys.str.fullmatch("[0-9a-f]{16}").all()


def test_dates_in_other_units_have_the_same_keys():
    units = [CELLS["since"].astype(f"datetime64[{unit}]").to_frame() for unit in ("ns", "us", "s")]
    first, *others = [hash_rows(table, ["since"]).tolist() for table in units]
    assert others == [first, first]


def test_a_key_needs_a_column():
    with pytest.raises(ValueError, match=r"needs at least one column. Got none"):
        hash_rows(CELLS, [])


def test_a_greater_holdout_keeps_what_it_had():
    keys = hash_rows(pd.DataFrame({"id": range(1000)}), ["id"])
    small, large = (is_in_holdout(keys, fraction=share, seed=0) for share in (0.1, 0.3))
    assert not (small & ~large).any()


def test_the_holdout_has_about_its_share_and_is_another_for_another_seed():
    keys = hash_rows(pd.DataFrame({"id": range(20_000)}), ["id"])
    first, second = (is_in_holdout(keys, fraction=0.2, seed=seed) for seed in (0, 1))
    assert first.mean() == pytest.approx(0.2, abs=0.01)
    assert second.mean() == pytest.approx(0.2, abs=0.01)
    assert (first & second).mean() == pytest.approx(0.04, abs=0.01)


@pytest.mark.parametrize(
    ("times", "fraction", "expected"),
    [
        ([1, 2, 3, 4], 0.25, [4]),
        ([4, 3, 2, 1], 0.5, [3, 4]),
        ([1, 2, 3, 3, 3], 0.2, [3, 3, 3]),
        ([1, 2, 2, 2, 3], 0.4, [3]),
        ([1, 2, 2, 2, 3], 0.7, [2, 2, 2, 3]),
        ([1, 1, 1, 2], 0.9, [2]),
    ],
)
def test_the_latest_rows_are_about_the_share_and_split_no_time(times, fraction, expected):
    numbers = np.array(times, dtype=float)
    assert sorted(numbers[is_latest(numbers, fraction)]) == expected


def test_rows_without_a_time_cannot_be_ordered():
    with pytest.raises(ValueError, match=r"Every row must have a time. Got 1 rows without"):
        is_latest(np.array([1.0, np.nan]), 0.2)


def test_rows_of_one_time_cannot_be_split():
    with pytest.raises(ValueError, match="at least two different times"):
        is_latest(np.ones(3), 0.2)
