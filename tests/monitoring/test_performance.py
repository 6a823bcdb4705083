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
SETTINGS = {
    "task": "binary", "curve": CURVE, "now": NOW,
    "metrics": [METRICS["roc_auc"], METRICS["accuracy"]],
}  # fmt: skip


def day(number: int) -> TimeWindow:
    return TimeWindow(
        datetime(2024, 5, number, tzinfo=UTC), datetime(2024, 5, number + 1, tzinfo=UTC)
    )


def frame(*numbers: int, n: int = 40) -> pd.DataFrame:
    """Return n labelled rows of each of these days of May."""
    rng = np.random.default_rng(0)
    chance = rng.random(n * len(numbers))
    moments = pd.to_datetime([f"2024-05-{number:02}" for number in numbers]).repeat(n)
    return pd.DataFrame(
        {
            "moment": moments.as_unit("us"), "version": "3", "value": (chance > 0.5).astype(float),
            "p_0": 1 - chance, "p_1": chance, "truth": (rng.random(chance.size) < chance) * 1.0,
        }
    )  # fmt: skip


def found(rows: pd.DataFrame, *windows: TimeWindow, **changed: object) -> dict:
    findings = realised_findings(rows, REFERENCE, windows, **(SETTINGS | changed))
    return {(each.signal, each.part, each.window.start.day): each for each in findings}


def test_a_mature_window_has_every_metric_the_loss_and_the_main_metric():
    rows = frame(1)
    figures = found(rows, day(1))
    loss = figures["loss", None, 1]
    assert loss.value == pytest.approx(((rows["p_1"] - rows["truth"]) ** 2).mean())
    assert loss.low < loss.value < loss.high
    assert figures["main_metric", None, 1].value == figures["roc_auc", None, 1].value
    assert (loss.coverage, loss.version, loss.window.n_rows) == (1.0, "3", 40)


def test_the_note_of_the_loss_tells_the_share_of_wrong_classes():
    rows = frame(1)
    wrong = (rows["value"] != rows["truth"]).mean()
    assert f"{wrong:.1%} of the classes wrong" in found(rows, day(1))["loss", None, 1].note


def test_an_immature_window_has_no_value():
    figures = found(frame(15), day(15))
    assert {each.state for each in figures.values()} == {"immature"}
    assert {each.value for each in figures.values()} == {None}


def test_a_window_without_rows_is_no_data():
    assert {each.state for each in found(frame(1), day(2)).values()} == {"no data"}


def test_small_windows_are_pooled_until_there_are_enough_rows():
    figures = found(frame(1, 2, n=20), day(1), day(2))
    assert figures["loss", None, 1].window.end == day(2).end
    assert ("loss", None, 2) not in figures


def test_small_windows_that_never_are_enough_are_no_data():
    assert found(frame(1, n=10), day(1))["loss", None, 1].state == "no data"


def test_a_metric_that_is_undefined_has_no_value():
    figures = found(frame(1).assign(truth=1.0), day(1))
    assert (figures["roc_auc", None, 1].value, figures["roc_auc", None, 1].state) == (
        None,
        "no data",
    )


def test_a_slice_with_enough_rows_has_its_loss():
    slices = pd.DataFrame({"plan": ["basic"] * 35 + ["premium"] * 5})
    figures = found(frame(1), day(1), slices=slices)
    assert figures["loss", "plan=basic", 1].value is not None
    assert ("loss", "plan=premium", 1) not in figures


def test_a_reference_of_another_task_is_an_error():
    with pytest.raises(ValueError, match="Expected a reference of task='regression'"):
        found(frame(1), day(1), task="regression")


def test_only_days_that_are_over_and_old_enough_are_fed_to_the_test():
    settings = {"curve": CURVE, "now": NOW}
    days = matured_loss_days(frame(11, 12, 13, 14), REFERENCE, **settings)
    assert [each.day.day for each in days] == [11, 12]


def test_a_day_whose_labels_stopped_coming_is_not_fed_to_the_test():
    rows = frame(1, 2)
    rows.loc[45:, "truth"] = np.nan
    days = matured_loss_days(rows, REFERENCE, curve=CURVE, now=NOW)
    assert [each.day.day for each in days] == [1]


def test_a_champion_and_its_shadow_are_compared_on_rows_that_have_a_label():
    moments = pd.to_datetime(["2024-05-01 08:00", "2024-05-01 09:00", "2024-05-02 08:00"])
    shadow = pd.DataFrame({"moment": moments, "truth": [1.0, 0.0, np.nan]})
    shadow = shadow.assign(value=[1.0, 0.0, 1.0], value_c=[0.0, 0.0, 1.0])
    answered, shadowed = paired_loss_days(shadow, task="binary", scale=None)
    assert [(each.n, each.total) for each in answered] == [(2, 1.0)]
    assert [(each.n, each.total) for each in shadowed] == [(2, 0.0)]


HOLDOUT_METRIC = [METRICS["rmse"]]
HOLDOUT_COLUMNS = pd.DataFrame({"x": np.arange(200.0), "plan": ["a", "b"] * 100})
HOLDOUT_TRUTH = np.random.default_rng(0).normal(0, 1 + HOLDOUT_COLUMNS["x"] / 100)
HOLDOUT_SAID = Predictions(np.zeros(200))
HOLDOUT_MOMENTS = pd.Series(pd.date_range("2024-05-01", periods=20, unit="us").repeat(10))


def holdout_reference() -> PerformanceReference:
    return build_performance_reference(
        HOLDOUT_TRUTH, HOLDOUT_SAID, task="regression", metrics=HOLDOUT_METRIC,
        moments=HOLDOUT_MOMENTS,
        slices=HOLDOUT_COLUMNS[["plan"]], features=HOLDOUT_COLUMNS,
    )  # fmt: skip


def test_the_reference_comes_back_from_a_file_as_it_was(tmp_path):
    made = holdout_reference()
    write_record(tmp_path / "reference.json", made)
    assert read_record(tmp_path / "reference.json", PerformanceReference) == made


def test_the_days_hold_all_rows():
    made = holdout_reference()
    assert (made.n, sum(day.n for day in made.days)) == (200, 200)


def test_one_row_in_a_hundred_has_an_error_that_counts_as_one():
    assert holdout_reference().scale == pytest.approx(np.quantile(np.abs(HOLDOUT_TRUTH), 0.99))


def test_a_reference_without_rows_is_an_error():
    with pytest.raises(ValueError, match="Expected rows of the hold-out"):
        build_performance_reference(
            np.zeros(0), Predictions(np.zeros(0)), task="regression", metrics=HOLDOUT_METRIC
        )


def test_a_column_that_the_expected_error_needs_must_be_there():
    model = fit_error_model(
        HOLDOUT_COLUMNS, HOLDOUT_SAID.values, np.abs(HOLDOUT_TRUTH) / 10, seed=0
    )
    with pytest.raises(ValueError, match=r"missing=\['plan'\]"):
        model.predict(HOLDOUT_COLUMNS[["x"]], HOLDOUT_SAID.values)


def test_a_level_that_was_never_seen_is_no_fault():
    model = fit_error_model(
        HOLDOUT_COLUMNS, HOLDOUT_SAID.values, np.abs(HOLDOUT_TRUTH) / 10, seed=0
    )
    new = HOLDOUT_COLUMNS.assign(plan="new")
    assert np.isfinite(model.predict(new, HOLDOUT_SAID.values)).all()


def test_numeric_slices_are_cut_where_the_reference_was_cut():
    reference = replace(REFERENCE, slice_edges={"age": (30.0, 50.0)})
    slices = pd.DataFrame({"age": np.linspace(20, 60, 40)})
    findings = realised_findings(
        frame(1), reference, [day(1)], **(SETTINGS | {"slices": slices, "least_rows": 5})
    )
    parts = [each.part for each in findings if each.signal == "loss" and each.part]
    assert parts == ["age=up to 30", "age=over 30 to 50", "age=over 50"]
    assert holdout_reference().slice_edges == {}


def test_a_row_without_probabilities_leaves_the_losses_of_other_rows():
    rows = frame(1)
    known = found(rows.iloc[1:].reset_index(drop=True), day(1))["loss", None, 1]
    rows.loc[0, ["p_0", "p_1"]] = np.nan
    loss = found(rows, day(1))["loss", None, 1]
    assert loss.value == pytest.approx(known.value)
    assert loss.coverage == pytest.approx(39 / 40)
