from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from evertune.monitoring.label_delay import (
    ArrivalCurve,
    fit_arrival_curve,
    has_expected_labels,
    is_mature,
    maturity_cutoff,
)
from evertune.times import TimeWindow

NOW = datetime(2024, 5, 31, tzinfo=UTC)
WEEK_LATE = ArrivalCurve((7.0,), (1.0,), observed=30.0)


def day(number: int, n: int = 100) -> TimeWindow:
    return TimeWindow(
        datetime(2024, 5, number, tzinfo=UTC), datetime(2024, 5, number + 1, tzinfo=UTC), n
    )


def rows(delays: list[float], last: int = 30) -> tuple[pd.Series, pd.Series]:
    """Return rows of each day of May with these delays of their labels, NaN for never."""
    starts = pd.date_range("2024-05-01", periods=last, unit="us").repeat(len(delays))
    waits = pd.to_timedelta(np.tile(delays, last), unit="D")
    return pd.Series(starts), pd.Series(starts + waits)


def test_young_predictions_do_not_pull_the_curve_down():
    curve = fit_arrival_curve(*rows([3.0, 10.0, 10.0, np.nan]), now=NOW)
    assert curve.ages == (3.0, 10.0)
    assert curve.shares == pytest.approx((0.25, 0.75))


@pytest.mark.parametrize("last", [0, 1, 29, 30])
def test_labels_from_after_now_are_ignored(last):
    curve = fit_arrival_curve(*rows([3.0], last), now=datetime(2024, 5, 3, tzinfo=UTC))
    assert (curve.ages, curve.final) == ((), 0.0)


def test_without_labels_nothing_is_mature():
    curve = fit_arrival_curve(*rows([np.nan]), now=NOW)
    assert maturity_cutoff(curve, now=NOW, coverage=0.9) is None
    assert not is_mature(curve, day(1), n_labelled=0, now=NOW, coverage=0.9)


@pytest.mark.parametrize(("number", "mature"), [(22, True), (23, True), (24, False)])
def test_a_window_matures_when_its_latest_prediction_is_old_enough(number, mature):
    assert is_mature(WEEK_LATE, day(number), n_labelled=100, now=NOW, coverage=0.9) == mature


def test_a_window_whose_labels_stopped_coming_is_not_mature():
    assert not is_mature(WEEK_LATE, day(1), n_labelled=60, now=NOW, coverage=0.9)


def test_a_small_window_may_lack_labels_by_chance():
    half = ArrivalCurve((1.0,), (0.5,), observed=30.0)
    assert has_expected_labels(half, n_rows=20, n_labelled=6, coverage=0.9)
    assert not has_expected_labels(half, n_rows=2000, n_labelled=600, coverage=0.9)


def test_a_curve_that_was_hardly_observed_longer_gives_no_cutoff():
    curve = ArrivalCurve((7.0,), (1.0,), observed=8.0)
    assert maturity_cutoff(curve, now=NOW, coverage=0.9) is None
