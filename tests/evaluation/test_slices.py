import numpy as np
import pandas as pd
import pytest

from evertune.data.schema import Column, TableSchema
from evertune.evaluation.slices import (
    Slice,
    SliceRow,
    evaluate_slice,
    find_worst_slices,
    rate_gaps,
    slice_by_columns,
    with_rate_gaps,
)
from evertune.metrics.metrics import METRICS
from evertune.stats.bootstrap import BootstrapConfig
from evertune.types import Predictions

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


def shown(columns, min_rows=1):
    found = slice_by_columns(table(), SCHEMA, columns, min_rows=min_rows)
    return [(part.value, len(part.rows)) for part in found]


def test_categories_stand_the_most_frequent_first():
    assert shown(["plan"]) == [("free", 60), ("pro", 20)]


def test_numbers_are_cut_into_ranges_whose_ends_occur_and_missing_is_its_own():
    assert shown(["age"]) == [
        ("0 to 20", 20), ("21 to 40", 20), ("41 to 59", 19), ("60 to 79", 20), ("missing", 1),
    ]  # fmt: skip


def test_booleans_are_shown_in_words_and_dates_as_days():
    assert [value for value, _ in shown(["active"])] == ["no", "yes"]
    assert shown(["since"])[0][0] == "2024-01-01 to 2024-01-20"


def test_slices_with_few_rows_are_left_out():
    assert [value for value, _ in shown(["age"], min_rows=5)][-1] == "60 to 79"


def test_every_row_is_in_one_slice_of_a_column():
    rows = np.concatenate(
        [part.rows for part in slice_by_columns(table(), SCHEMA, ["age"], min_rows=1)]
    )
    assert sorted(rows) == list(range(80))


def test_a_column_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"Expected columns of the table, but got \['size'\]"):
        slice_by_columns(table(), SCHEMA, ["size"], min_rows=1)


def test_the_slice_with_planted_losses_is_found():
    rows = table(400)
    noise = np.random.default_rng(0).uniform(0, 0.2, 400)
    losses = noise + 0.3 * (rows["plan"] == "pro").to_numpy()
    worst = find_worst_slices(rows, SCHEMA, losses, min_rows=20, max_slices=3)[0]
    assert (worst.column, worst.value, len(worst.rows)) == ("plan", "pro", 100)


def test_without_a_worse_slice_one_is_found_in_at_most_one_of_twenty_tables():
    rows = table(200)
    rng = np.random.default_rng(1)
    found = [
        bool(find_worst_slices(rows, SCHEMA, rng.uniform(size=200), min_rows=20, max_slices=3))
        for _ in range(200)
    ]
    assert sum(found) <= 18  # binomial: 5 % of 200 tables, three deviations above


def test_equal_losses_are_worse_nowhere():
    losses = np.full(80, 1 / 3)
    assert find_worst_slices(table(), SCHEMA, losses, min_rows=5, max_slices=3) == ()


def test_of_slices_with_the_same_rows_one_is_kept():
    rows = table(400).assign(copy=lambda t: t["plan"])
    schema = TableSchema((Column("plan", "category"), Column("copy", "category")), "left", "binary")
    losses = (rows["plan"] == "pro").to_numpy() * 1.0
    assert len(find_worst_slices(rows, schema, losses, min_rows=20, max_slices=3)) == 1


Y_TRUE = np.array([1.0, 1.0, 0.0, 0.0])
PROBA = np.array([0.9, 0.2, 0.8, 0.1])
PRED = Predictions((PROBA > 0.5) * 1.0, np.column_stack([1 - PROBA, PROBA]))


def row(rows, metric="roc_auc", pred=PRED, task="binary"):
    return evaluate_slice(
        Slice("plan", "pro", np.array(rows)),
        METRICS[metric],
        Y_TRUE,
        pred,
        bootstrap=BootstrapConfig(100, 0.9, 0),
        min_rows=3,
        task=task,
    )


def test_rates_are_those_of_the_slice():
    found = row([0, 1, 2, 3])
    assert (found.share, found.hit_rate, found.false_alarm_rate) == (0.5, 0.5, 0.5)
    assert found.bias == pytest.approx(0.0)


def test_a_metric_that_one_class_leaves_undefined_has_no_score():
    found = row([0, 1])
    assert (found.figure, found.false_alarm_rate, found.small) == (None, None, True)


def test_in_regression_the_bias_is_in_the_unit_of_the_target():
    found = row([0, 1], metric="rmse", pred=Predictions(Y_TRUE + 2.0), task="regression")
    assert (found.bias, found.share) == (2.0, None)


def test_a_small_slice_opens_no_gap():
    rows = [
        SliceRow("sex", "f", 90, share=0.2, sensitive=True),
        SliceRow("sex", "m", 90, share=0.3, sensitive=True),
        SliceRow("sex", "x", 2, share=1.0, small=True, sensitive=True),
    ]
    gaps = with_rate_gaps(rows)
    assert gaps[2].rate_gap is None
    assert rate_gaps(gaps) == {"sex": pytest.approx(0.1)}


def test_a_value_without_another_to_compare_with_has_no_gap():
    rows = [SliceRow("sex", "f", 90, share=0.2), SliceRow("sex", "x", 2, share=1.0, small=True)]
    assert [row.rate_gap for row in with_rate_gaps(rows)] == [None, None]
