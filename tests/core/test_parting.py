import numpy as np
import pandas as pd
import pytest

from evertune.data.holdout import (
    add_row_keys,
    find_rare_classes,
    make_training_folds,
    schema_fold_kind,
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
    found = schema(**roles)
    return split_table(add_row_keys(clean, found), found, fraction=fraction, seed=0)


def test_a_row_keeps_its_side_when_rows_are_added():
    few, many = sides(table(100), {}), sides(table(200), {})
    assert set(few.holdout["x"]) <= set(many.holdout["x"])
    assert set(few.training["x"]) <= set(many.training["x"])


def test_a_row_keeps_its_side_when_other_cells_of_a_known_identifier_change():
    names = pd.Series([f"c{row}" for row in range(200)], dtype="str")
    before, after = table(id=names), table(id=names).assign(x=0.0)
    kept = [set(sides(clean, {"identifier": "id"}).holdout["id"]) for clean in (before, after)]
    assert kept[0] == kept[1]


def test_rows_without_an_identifier_are_told_apart_by_their_features():
    names = pd.Series([None] * 200, dtype="str")
    keys = add_row_keys(table(id=names), schema(identifier="id"))["row_key"]
    assert keys.equals(add_row_keys(table(), schema())["row_key"])


def test_equal_rows_stand_on_the_same_side():
    twice = pd.concat([table(), table()], ignore_index=True)
    found = sides(twice, {})
    assert not set(found.training["x"]) & set(found.holdout["x"])


def test_the_target_has_no_say_in_a_rows_side():
    flipped = table().assign(y="yes")
    assert sides(table(), {}).holdout["x"].tolist() == sides(flipped, {}).holdout["x"].tolist()


def test_no_group_stands_on_both_sides():
    groups = pd.Series([f"g{row // 4}" for row in range(200)], dtype="str")
    found = sides(table(team=groups), {"group": "team"})
    assert not set(found.training["team"]) & set(found.holdout["team"])
    assert len(found.training) + len(found.holdout) == 200


def test_rows_without_a_group_are_groups_of_their_own():
    groups = pd.Series([None] * 200, dtype="str")
    found = sides(table(team=groups), {"group": "team"})
    assert 20 < len(found.holdout) < 80


def test_with_a_time_the_holdout_is_the_latest_part():
    found = sides(table(day=np.arange(200.0)[::-1].copy()), {"time": "day"})
    assert found.holdout["day"].min() == 150
    assert found.training["day"].max() == 149


def test_earlier_rows_of_a_group_in_the_latest_part_are_left_out():
    groups = pd.Series([f"g{row % 60}" for row in range(200)], dtype="str")
    clean = table(day=np.arange(200.0), team=groups)
    found = sides(clean, {"time": "day", "group": "team"})
    assert not set(found.training["team"]) & set(found.holdout["team"])
    assert (found.n_left_out, len(found.training), len(found.holdout)) == (120, 30, 50)


def test_sides_without_rows_are_refused():
    with pytest.raises(
        ValueError, match=r"Got 0 and 2 of 2 rows with split.holdout_fraction 0.999"
    ):
        sides(table(2), {}, fraction=0.999)


def test_folds_of_groups_keep_rows_without_a_group_apart():
    groups = pd.Series(["a"] * 4 + [None] * 36, dtype="str")
    found = schema(group="team")
    clean = add_row_keys(table(40, team=groups), found)
    first, second = make_training_folds(clean, found, **USUAL)
    assert 10 < len(first.validation) < 30
    assert sorted([*first.validation, *second.validation]) == list(range(40))


def test_folds_of_a_table_with_times_go_forward():
    clean = add_row_keys(table(40, day=np.arange(40.0)), schema(time="day"))
    made = make_training_folds(clean, schema(time="day"), **USUAL)
    assert [fold.validation.min() - fold.training.max() for fold in made] == [1, 1]


@pytest.mark.parametrize(
    ("roles", "kind"),
    [({}, "stratified"), ({"group": "g"}, "group"), ({"group": "g", "time": "t"}, "time")],
)
def test_the_kind_of_folds_follows_from_the_roles(roles, kind):
    assert schema_fold_kind("auto", schema(**roles)) == kind


def test_classes_too_rare_for_the_holdout_are_named():
    holdout = pd.DataFrame({"y": ["no"] * 9})
    assert find_rare_classes(holdout, schema()) == {"yes": 0}


def test_values_have_no_rare_classes():
    assert (
        find_rare_classes(pd.DataFrame({"y": [1.0]}), TableSchema(FEATURES, "y", "regression"))
        == {}
    )


def judged(clean, roles, moment):
    found = schema(**roles)
    table = add_row_keys(clean, found)
    return split_from_moment(table, found, moment=pd.Timestamp(moment), seed=0)


def produced(n_old=100, n_new=100):
    days = pd.Series([pd.NaT] * n_old + list(pd.date_range("2024-01-01", periods=n_new, unit="us")))
    return table(n_old + n_new, moment=days.astype("datetime64[us]"))


def test_rows_of_the_source_train_and_late_rows_of_production_do_not():
    found = judged(produced(), {}, "2024-03-01")
    assert len(found.training) == 100 + 60
    assert min(found.selection["moment"].min(), found.holdout["moment"].min()) == pd.Timestamp(
        "2024-03-01"
    )


def test_the_two_halves_of_late_rows_are_about_equal():
    found = judged(produced(n_new=2000), {}, "2024-01-01")
    assert abs(len(found.selection) - len(found.holdout)) < 150


def test_late_rows_of_the_source_do_not_train_either():
    days = pd.Series(pd.date_range("2024-01-01", periods=200, unit="us"))
    found = judged(table(day=days), {"time": "day"}, "2024-06-01")
    assert found.training["day"].max() < pd.Timestamp("2024-06-01")


def test_a_group_that_judges_trains_nowhere():
    teams = pd.Series([f"t{row % 150}" for row in range(200)], dtype="str")
    found = judged(produced().assign(team=teams), {"group": "team"}, "2024-03-01")
    late = {*found.selection["team"], *found.holdout["team"]}
    assert not late & set(found.training["team"])
    assert found.n_left_out == 40


def test_a_row_that_is_late_and_early_trains_nowhere():
    late = produced()
    again = late.tail(1).assign(moment=pd.NaT).astype(late.dtypes)
    found = judged(pd.concat([again, late], ignore_index=True), {}, "2024-03-01")
    assert (found.n_left_out, len(found.training)) == (1, 160)


def test_late_rows_without_earlier_ones_are_refused():
    with pytest.raises(ValueError, match=r"Training needs at least 2 rows from before 2024-01-01"):
        judged(produced(n_old=0), {}, "2024-01-01")
