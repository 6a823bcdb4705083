from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from evertune.decisions import Finding
from evertune.metrics.losses import DailyLoss
from evertune.monitoring.data_contract import broken_windows, days_with_valid_data
from evertune.times import TimeWindow

MONDAY = datetime(2024, 5, 6, tzinfo=UTC)
HOUR = timedelta(hours=1)
WEEK = [DailyLoss(MONDAY + timedelta(days=day), 10, 1.0) for day in range(7)]


def finding(state: str, *hours: int) -> Finding:
    window = TimeWindow(MONDAY + hours[0] * HOUR, MONDAY + hours[1] * HOUR)
    return Finding("missing", "contract", window, 0.9, state=state)


def test_a_window_is_broken_once_however_much_broke_in_it():
    twice = [finding("breach", 0, 24), finding("breach", 0, 24), finding("ok", 24, 48)]
    assert [each.start for each in broken_windows(twice)] == [MONDAY]


@pytest.mark.parametrize("other", [{"layer": "drift"}, {"signal": "freshness"}])
def test_what_is_not_about_the_rows_breaks_no_window(other):
    assert days_with_valid_data(WEEK, [replace(finding("breach", 0, 24), **other)]) == tuple(WEEK)


@pytest.mark.parametrize(
    ("hours", "left"), [((24, 48), [6, 8, 9, 10, 11, 12]), ((30, 60), [6, 9, 10, 11, 12])]
)
def test_a_day_that_a_broken_window_touches_is_not_judged(hours, left):
    days = days_with_valid_data(WEEK, [finding("breach", *hours)])
    assert [each.day.day for each in days] == left
