import numpy as np
import pandas as pd
import pytest

from evertune.data.schema import Column, TableSchema
from evertune.evaluation.slices import find_worst_slices, slice_by_columns

SCHEMA = TableSchema(
    (
        Column("plan", "category", ("free", "pro")),
        Column("age", "number"),
        Column("active", "boolean"),
        Column("since", "date"),
    ),
    "left",
    "binary",
    ("no", "yes"),
)


def table(n_rows=80):
    ages = np.arange(float(n_rows))
    return pd.DataFrame(
        {
            "plan": np.where(ages % 4 == 0, "pro", "free"),
            "age": np.where(ages == 3, np.nan, ages),
            "active": ages % 2,
            "since": pd.Timestamp("2024-01-01") + pd.to_timedelta(ages, unit="D"),
        }
    )


def shown(columns, least_rows=1):
    found = slice_by_columns(table(), SCHEMA, columns, least_rows=least_rows)
    return [(part.value, len(part.rows)) for part in found]


def test_categories_stand_the_most_frequent_first():
    assert shown(["plan"]) == [("free", 60), ("pro", 20)]


def test_numbers_are_cut_into_ranges_whose_ends_occur_and_missing_is_its_own():
    assert shown(["age"]) == [
        ("0 to 20", 20), ("21 to 40", 20), ("41 to 59", 19), ("60 to 79", 20), ("missing", 1),
    ]  # fmt: skip


def test_booleans_are_said_in_words_and_dates_as_days():
    assert [value for value, _ in shown(["active"])] == ["no", "yes"]
    assert shown(["since"])[0][0] == "2024-01-01 to 2024-01-20"


def test_slices_with_few_rows_are_left_out():
    assert [value for value, _ in shown(["age"], least_rows=5)][-1] == "60 to 79"


def test_every_row_is_in_one_slice_of_a_column():
    rows = np.concatenate(
        [part.rows for part in slice_by_columns(table(), SCHEMA, ["age"], least_rows=1)]
    )
    assert sorted(rows) == list(range(80))


def test_a_column_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"Expected columns of the table, but got \['size'\]"):
        slice_by_columns(table(), SCHEMA, ["size"], least_rows=1)


def test_the_slice_with_planted_losses_is_found():
    rows = table(400)
    noise = np.random.default_rng(0).uniform(0, 0.2, 400)
    losses = noise + 0.3 * (rows["plan"] == "pro").to_numpy()
    worst = find_worst_slices(rows, SCHEMA, losses, least_rows=20, most=3)[0]
    assert (worst.column, worst.value, len(worst.rows)) == ("plan", "pro", 100)


def test_without_a_worse_slice_one_is_found_in_at_most_one_of_twenty_tables():
    rows = table(200)
    random = np.random.default_rng(1)
    found = [
        bool(find_worst_slices(rows, SCHEMA, random.uniform(size=200), least_rows=20, most=3))
        for _ in range(200)
    ]
    assert sum(found) <= 18  # binomial: 5 % of 200 tables, three deviations above


def test_equal_losses_are_worse_nowhere():
    losses = np.full(80, 1 / 3)
    assert find_worst_slices(table(), SCHEMA, losses, least_rows=5, most=3) == ()


def test_of_slices_with_the_same_rows_one_is_kept():
    rows = table(400).assign(copy=lambda t: t["plan"])
    schema = TableSchema((Column("plan", "category"), Column("copy", "category")), "left", "binary")
    losses = (rows["plan"] == "pro").to_numpy() * 1.0
    assert len(find_worst_slices(rows, schema, losses, least_rows=20, most=3)) == 1
