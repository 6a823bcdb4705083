from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from evertune.files import read_record, write_record
from evertune.metrics.metrics import METRICS
from evertune.monitoring.label_delay import ArrivalCurve
from evertune.monitoring.loss_estimators import fit_error_model
from evertune.monitoring.performance import (
    PerformanceReference,
    build_performance_reference,
    matured_loss_days,
    paired_loss_days,
    realised_findings,
)
from evertune.times import TimeWindow
from evertune.types import Predictions

NOW = datetime(2024, 5, 20, tzinfo=UTC)
CURVE = ArrivalCurve((7.0,), (1.0,), observed=30.0)
REFERENCE = PerformanceReference("binary", "roc_auc", 1000, {"roc_auc": 0.8}, 0.2, 0.5)


def day(number: int) -> TimeWindow:
    return TimeWindow(
        datetime(2024, 5, number, tzinfo=UTC), datetime(2024, 5, number + 1, tzinfo=UTC)
    )


def frame(*numbers: int, n: int = 40) -> pd.DataFrame:
    """Return n labelled rows of each of these days of May."""
    rng = np.random.default_rng(0)
    proba = rng.random(n * len(numbers))
    moments = pd.to_datetime([f"2024-05-{number:02}" for number in numbers]).repeat(n)
    return pd.DataFrame(
        {
            "moment": moments.as_unit("us"), "version": "3", "value": (proba > 0.5).astype(float),
            "p_0": 1 - proba, "p_1": proba, "truth": (rng.random(proba.size) < proba) * 1.0,
        }
    )  # fmt: skip


def realised(rows, *windows, reference=REFERENCE, **changed):
    """Return the findings by signal, slice and first day."""
    settings = {"task": "binary", "metrics": [METRICS["roc_auc"], METRICS["accuracy"]]}
    findings = realised_findings(
        rows, reference, windows, **(settings | {"curve": CURVE, "now": NOW} | changed)
    )
    return {(each.signal, each.part, each.window.start.day): each for each in findings}


def test_a_mature_window_has_the_loss_every_metric_and_the_main_metric():
    rows = frame(1)
    findings = realised(rows, day(1))
    loss = findings["loss", None, 1]
    assert loss.value == pytest.approx(((rows["p_1"] - rows["truth"]) ** 2).mean())
    assert loss.low < loss.value < loss.high
    wrong = 100 * (rows["value"] != rows["truth"]).mean()
    assert f"{wrong:.1f} % of the classes wrong" in loss.note
    assert findings["main_metric", None, 1].value == findings["roc_auc", None, 1].value
    assert (loss.coverage, loss.version, loss.window.n_rows) == (1.0, "3", 40)


@pytest.mark.parametrize(
    ("rows", "window", "state"),
    [
        (frame(15), day(15), "immature"),
        (frame(1), day(2), "no data"),
        (frame(1, n=10), day(1), "no data"),
    ],
    ids=["labels are still to come", "no rows", "too few rows"],
)
def test_a_window_that_cannot_be_judged_has_no_values(rows, window, state):
    findings = realised(rows, window).values()
    assert {(each.state, each.value) for each in findings} == {(state, None)}


def test_small_windows_are_pooled_until_there_are_enough_rows():
    findings = realised(frame(1, 2, n=20), day(1), day(2))
    assert findings["loss", None, 1].window.end == day(2).end
    assert ("loss", None, 2) not in findings


def test_a_metric_that_is_undefined_has_no_value():
    undefined = realised(frame(1).assign(truth=1.0), day(1))["roc_auc", None, 1]
    assert (undefined.value, undefined.state) == (None, "no data")


def test_a_row_without_probabilities_leaves_the_losses_of_other_rows():
    rows = frame(1)
    others = realised(rows.iloc[1:].reset_index(drop=True), day(1))["loss", None, 1]
    rows.loc[0, ["p_0", "p_1"]] = np.nan
    loss = realised(rows, day(1))["loss", None, 1]
    assert loss.value == pytest.approx(others.value)
    assert loss.coverage == pytest.approx(39 / 40)


def test_a_slice_with_enough_rows_has_its_loss():
    slices = pd.DataFrame({"plan": ["basic"] * 35 + ["premium"] * 5})
    findings = realised(frame(1), day(1), slices=slices)
    assert findings["loss", "plan=basic", 1].value is not None
    assert ("loss", "plan=premium", 1) not in findings


def test_numeric_slices_are_cut_at_the_edges_of_the_reference():
    reference = replace(REFERENCE, slice_edges={"age": (30.0, 50.0)})
    slices = pd.DataFrame({"age": np.linspace(20, 60, 40)})
    findings = realised(frame(1), day(1), reference=reference, slices=slices, least_rows=5)
    parts = [part for signal, part, _ in findings if signal == "loss" and part]
    assert parts == ["age=up to 30", "age=over 30 to 50", "age=over 50"]


def test_a_reference_of_another_task_is_an_error():
    with pytest.raises(ValueError, match="Expected a reference of task='regression'"):
        realised(frame(1), day(1), task="regression")


def test_the_sequential_test_gets_days_that_are_over_and_whose_labels_came():
    days = matured_loss_days(frame(11, 12, 13, 14), REFERENCE, curve=CURVE, now=NOW)
    assert [each.day.day for each in days] == [11, 12]
    rows = frame(1, 2)
    rows.loc[45:, "truth"] = np.nan  # of the second day
    days = matured_loss_days(rows, REFERENCE, curve=CURVE, now=NOW)
    assert [each.day.day for each in days] == [1]


def test_a_champion_and_its_shadow_are_compared_on_rows_that_have_a_label():
    moments = pd.to_datetime(["2024-05-01 08:00", "2024-05-01 09:00", "2024-05-02 08:00"])
    shadow = pd.DataFrame({"moment": moments, "truth": [1.0, 0.0, np.nan]})
    shadow = shadow.assign(value=[1.0, 0.0, 1.0], value_c=[0.0, 0.0, 1.0])
    of_champion, of_shadow = paired_loss_days(shadow, task="binary", scale=None)
    assert [(each.n, each.total) for each in of_champion] == [(2, 1.0)]
    assert [(each.n, each.total) for each in of_shadow] == [(2, 0.0)]


COLUMNS = pd.DataFrame({"x": np.arange(200.0), "plan": ["a", "b"] * 100})
Y_TRUE = np.random.default_rng(0).normal(0, 1 + COLUMNS["x"] / 100)
PREDICTIONS = Predictions(np.zeros(200))


@pytest.fixture(scope="module")
def regression_reference():
    return build_performance_reference(
        Y_TRUE,
        PREDICTIONS,
        task="regression",
        metrics=[METRICS["rmse"]],
        moments=pd.Series(pd.date_range("2024-05-01", periods=20, unit="us").repeat(10)),
        slices=COLUMNS[["plan"]],
        features=COLUMNS,
    )


def test_the_reference_describes_all_rows_of_the_holdout(regression_reference, tmp_path):
    reference = regression_reference
    assert (reference.n, sum(day.n for day in reference.days)) == (200, 200)
    assert reference.scale == pytest.approx(np.quantile(np.abs(Y_TRUE), 0.99))
    assert reference.slice_edges == {}
    write_record(tmp_path / "reference.json", reference)
    assert read_record(tmp_path / "reference.json", PerformanceReference) == reference


def test_a_reference_without_rows_is_an_error():
    nothing = np.zeros(0)
    with pytest.raises(ValueError, match="Expected rows of the hold-out"):
        build_performance_reference(
            nothing, Predictions(nothing), task="regression", metrics=[METRICS["rmse"]]
        )


def test_the_error_model_needs_its_columns_and_knows_what_to_do_with_new_categories():
    model = fit_error_model(COLUMNS, PREDICTIONS.values, np.abs(Y_TRUE) / 10, seed=0)
    new = COLUMNS.assign(plan="new")
    assert np.isfinite(model.predict(new, PREDICTIONS.values)).all()
    with pytest.raises(ValueError, match=r"missing=\['plan'\]"):
        model.predict(COLUMNS[["x"]], PREDICTIONS.values)
