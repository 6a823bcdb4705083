"""Rules of splits, folds and clean tables that hold for any rows in any order."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evertune.data.cleaning import conform_to_schema, infer_schema
from evertune.data.folds import make_folds
from evertune.data.holdout import add_row_keys, split_table
from evertune.data.schema import Column, TableSchema, TableSpec

EXAMPLES = settings(max_examples=40, deadline=None)
CELLS = st.none() | st.floats(-1e6, 1e6)
ROWS = st.lists(
    st.tuples(CELLS, CELLS, st.integers(10, 30)),
    min_size=30,
    max_size=60,
    unique_by=lambda row: row[:2],
)
SEEDS = st.integers(0, 3)


def grouped_table(rows):
    """Return a table whose first groups, g0 to g9, have no late rows, so that they can train."""
    table = pd.DataFrame(rows, columns=["a", "b", "group"]).astype({"a": float, "b": float})
    table["group"] = [f"g{n if n < 20 else group}" for n, group in enumerate(table["group"])]
    return table.assign(day=np.arange(len(table)) // 2.0, row=np.arange(len(table)))


def split(table, seed, **roles):
    features = (Column("a", "number"), Column("b", "number"))
    schema = TableSchema(features, "y", "regression", **roles)
    return split_table(add_row_keys(table, schema), schema, fraction=0.4, seed=seed)


def side_of_rows(parts):
    """Return the side of each row by its number; no row is on both."""
    sides = dict.fromkeys(parts.training["row"], "training")
    assert not sides.keys() & set(parts.holdout["row"])
    return sides | dict.fromkeys(parts.holdout["row"], "holdout")


@pytest.mark.parametrize("roles", [{}, {"group": "group"}], ids=["rows", "groups"])
@EXAMPLES
@given(rows=ROWS, more=ROWS, seed=SEEDS, data=st.data())
def test_a_row_keeps_its_side_in_any_order_and_when_rows_are_added(roles, rows, more, seed, data):
    table = grouped_table(rows)
    parts = split(table, seed, **roles)
    sides = side_of_rows(parts)
    assert sides.keys() == set(table["row"])
    if roles:
        assert not set(parts.training["group"]) & set(parts.holdout["group"])
    larger = pd.concat([table, grouped_table(more).assign(row=-1)], ignore_index=True)
    order = data.draw(st.permutations(range(len(larger))))
    shuffled = larger.iloc[order, ::-1].reset_index(drop=True)
    again = split(shuffled, seed, **roles)
    kept = [part[part["row"] >= 0] for part in (again.training, again.holdout)]
    assert len(kept[0]) + len(kept[1]) == len(table)
    assert all(
        sides[row] == side
        for part, side in zip(kept, ("training", "holdout"), strict=True)
        for row in part["row"]
    )


@EXAMPLES
@given(rows=ROWS, seed=SEEDS, with_group=st.booleans(), data=st.data())
def test_the_latest_rows_are_held_out_and_their_groups_left_out(rows, seed, with_group, data):
    table = grouped_table(rows)
    roles = {"time": "day"} | ({"group": "group"} if with_group else {})
    parts = split(table, seed, **roles)
    assert parts.training["day"].max() < parts.holdout["day"].min()
    sides = side_of_rows(parts)
    left_out = table[~table["row"].isin(sides)]
    assert parts.n_left_out == len(left_out)
    assert set(left_out["group"]) <= set(parts.holdout["group"])
    if with_group:
        assert not set(parts.training["group"]) & set(parts.holdout["group"])
    order = data.draw(st.permutations(range(len(table))))
    assert side_of_rows(split(table.iloc[order].reset_index(drop=True), seed, **roles)) == sides


@EXAMPLES
@given(
    kind=st.sampled_from(["kfold", "stratified", "group", "time"]),
    groups=st.lists(st.integers(0, 9), min_size=30, max_size=60),
    n_repeats=st.integers(1, 2),
    seed=SEEDS,
)
def test_folds_share_no_row_and_no_group_and_validate_each_row_once(kind, groups, n_repeats, seed):
    codes = np.array([*range(10), *groups])
    times = np.arange(float(codes.size))[::-1]
    folds = make_folds(
        kind,
        codes % 2.0,
        groups=codes if kind == "group" else None,
        times=times if kind == "time" else None,
        n_folds=3,
        n_repeats=1 if kind == "time" else n_repeats,
        seed=seed,
        task="binary" if kind == "stratified" else "regression",
    )
    for fold in folds:
        assert not set(fold.training) & set(fold.validation)
        if kind == "group":
            assert not set(codes[fold.training]) & set(codes[fold.validation])
        if kind == "time":
            assert times[fold.training].max() < times[fold.validation].min()
    if kind != "time":
        validated = np.concatenate([fold.validation for fold in folds])
        assert sorted(validated) == sorted([*range(codes.size)] * n_repeats)


RAW_CELLS = st.sampled_from(
    [
        *("", " ", "NA", "1", "2.5", "-3e4", "007", "1,5", "true", "no", "red", "word " * 30),
        *("2024-01-31", "31.12.2024", "03/04/2024", "Jan 5, 2024"),
    ]
)


@EXAMPLES
@given(data=st.data(), n_rows=st.integers(2, 12))
def test_a_table_is_read_the_same_in_any_order_of_rows_and_columns(data, n_rows):
    columns = {
        name: data.draw(st.lists(RAW_CELLS, min_size=n_rows, max_size=n_rows)) for name in "abc"
    }
    raw = pd.DataFrame(columns | {"y": [str(n % 2) for n in range(n_rows)]}, dtype="str")
    rows = data.draw(st.permutations(range(n_rows)))
    shuffled = raw.iloc[rows][data.draw(st.permutations([*raw.columns]))].assign(extra="x")
    schema = infer_schema(raw, TableSpec("y"))
    other = infer_schema(shuffled, TableSpec("y", ignore=("extra",)))
    assert other.classes == schema.classes
    assert set(other.features) == set(schema.features)
    clean, issues = conform_to_schema(raw, schema)
    again, others = conform_to_schema(shuffled, other)
    pd.testing.assert_frame_equal(again[[*clean]], clean.iloc[rows].reset_index(drop=True))
    assert {(i.column, i.problem) for i in issues} == {(i.column, i.problem) for i in others}
