import numpy as np
import pandas as pd
import pytest

from evertune.files import read_record, write_record
from evertune.metrics.metrics import METRICS
from evertune.monitoring.performance_reference import (
    PerformanceReference,
    build_performance_reference,
    expected_losses,
    fit_error_model,
)
from evertune.types import Predictions

METRIC = [METRICS["rmse"]]
COLUMNS = pd.DataFrame({"x": np.arange(200.0), "plan": ["a", "b"] * 100})
TRUTH = np.random.default_rng(0).normal(0, 1 + COLUMNS["x"] / 100)
SAID = Predictions(np.zeros(200))
MOMENTS = pd.Series(pd.date_range("2024-05-01", periods=20, unit="us").repeat(10))


def reference() -> PerformanceReference:
    return build_performance_reference(
        TRUTH, SAID, task="regression", metrics=METRIC, moments=MOMENTS,
        slices=COLUMNS[["plan"]], features=COLUMNS,
    )  # fmt: skip


def test_the_reference_comes_back_from_a_file_as_it_was(tmp_path):
    made = reference()
    write_record(tmp_path / "reference.json", made)
    assert read_record(tmp_path / "reference.json", PerformanceReference) == made


def test_days_and_slices_hold_all_rows():
    made = reference()
    assert (made.n, sum(day.n for day in made.days)) == (200, 200)
    assert {each.part: each.n for each in made.slices} == {"plan=a": 100, "plan=b": 100}


def test_one_row_in_a_hundred_has_an_error_that_counts_as_one():
    assert reference().scale == pytest.approx(np.quantile(np.abs(TRUTH), 0.99))


def test_a_reference_without_rows_is_an_error():
    with pytest.raises(ValueError, match="Expected rows of the hold-out"):
        build_performance_reference(
            np.zeros(0), Predictions(np.zeros(0)), task="regression", metrics=METRIC
        )


def test_a_column_that_the_expected_error_needs_must_be_there():
    model = fit_error_model(COLUMNS, SAID.values, np.abs(TRUTH) / 10, seed=0)
    with pytest.raises(ValueError, match=r"missing=\['plan'\]"):
        expected_losses(model, COLUMNS[["x"]], SAID.values)


def test_a_level_that_was_never_seen_is_no_fault():
    model = fit_error_model(COLUMNS, SAID.values, np.abs(TRUTH) / 10, seed=0)
    new = COLUMNS.assign(plan="new")
    assert np.isfinite(expected_losses(model, new, SAID.values)).all()
