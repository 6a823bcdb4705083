from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from evertune.metrics.metrics import METRICS
from evertune.monitoring.label_delay import ArrivalCurve
from evertune.monitoring.performance import matured_loss_days, realised_findings
from evertune.monitoring.performance_reference import PerformanceReference
from evertune.times import TimeWindow

NOW = datetime(2024, 5, 20, tzinfo=UTC)
CURVE = ArrivalCurve((7.0,), (1.0,), observed=30.0)
REFERENCE = PerformanceReference("binary", "roc_auc", 1000, {"roc_auc": 0.8}, 0.2, 0.5)
SETTINGS = {
    "task": "binary", "classes": ("no", "yes"), "curve": CURVE, "now": NOW,
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
    settings = {"classes": ("no", "yes"), "curve": CURVE, "now": NOW}
    days = matured_loss_days(frame(11, 12, 13, 14), REFERENCE, **settings)
    assert [each.day.day for each in days] == [11, 12]


def test_a_day_whose_labels_stopped_coming_is_not_fed_to_the_test():
    rows = frame(1, 2)
    rows.loc[45:, "truth"] = np.nan
    days = matured_loss_days(rows, REFERENCE, classes=("no", "yes"), curve=CURVE, now=NOW)
    assert [each.day.day for each in days] == [1]
