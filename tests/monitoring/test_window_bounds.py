from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from evertune.monitoring.data_contract import typical_row_count
from evertune.monitoring.window_bounds import (
    rows_by_season,
    split_into_windows,
    windows_by_days,
    windows_by_rows,
)
from evertune.times import wall_clock

FIRST = datetime(2024, 5, 1, tzinfo=UTC)


def moments(*texts):
    return pd.Series(pd.to_datetime(list(texts), format="ISO8601").astype("datetime64[us]"))


def test_a_window_that_is_not_over_is_left_out():
    now = FIRST + timedelta(days=1, hours=23)
    (window,) = windows_by_days(moments("2024-05-01 08:00", "2024-05-02"), days=1, now=now)
    assert (window.start, window.n_rows) == (FIRST, 1)


def test_windows_without_rows_until_now_are_there():
    now = FIRST + timedelta(days=3)
    windows = windows_by_days(moments("2024-05-01 08:00"), days=1, now=now)
    assert [each.n_rows for each in windows] == [1, 0, 0]


def test_a_version_that_took_over_within_a_window_begins_with_the_next():
    now, known = FIRST + timedelta(days=3), moments("2024-05-01 08:00", "2024-05-02 09:00")
    windows = windows_by_days(known, days=1, now=now, whole_first=True)
    assert [each.start.day for each in windows] == [2, 3]


def test_an_empty_log_has_no_windows():
    assert windows_by_days(moments(), days=1, now=FIRST) == windows_by_rows(moments(), rows=2) == ()


def test_rows_of_one_moment_stay_in_one_window():
    known = moments("2024-05-01", "2024-05-02", "2024-05-02", "2024-05-02", "2024-05-03")
    assert [each.n_rows for each in windows_by_rows(known, rows=2)] == [1, 3]


def hourly(first, n_hours):
    """Return a row every hour, at half past, in UTC."""
    return pd.Series(pd.date_range(first, periods=n_hours, freq="h")) + timedelta(minutes=30)


@pytest.mark.parametrize(
    ("first", "n_rows"),
    [("2024-03-29 23:00", [24, 23, 24]), ("2024-10-25 22:00", [24, 25, 24])],
)
def test_days_of_a_time_zone_have_23_and_25_hours_where_clocks_change(first, n_rows):
    rows = hourly(first, 24 * 4)
    now = rows.iloc[-1].to_pydatetime().replace(tzinfo=UTC)
    windows = windows_by_days(rows, days=1, now=now, zone="Europe/Berlin")
    assert [each.n_rows for each in windows][:3] == n_rows
    assert [(each.end - each.start) / timedelta(hours=1) for each in windows][:3] == n_rows
    assert {f"{each.start:%H:%M %Z}" for each in windows} == {"00:00 Europe/Berlin"}
    assert all(a.end == b.start for a, b in pairwise(windows))


def test_half_days_and_hours_lose_and_repeat_nothing_where_clocks_change():
    for days in (0.5, 1 / 24):
        for first in ("2024-03-30 12:00", "2024-10-26 12:00"):
            rows = hourly(first, 48)
            now = rows.iloc[-1].to_pydatetime().replace(tzinfo=UTC) + timedelta(days=1)
            windows = windows_by_days(rows, days=days, now=now, zone="Europe/Berlin")
            assert sum(each.n_rows for each in windows) == 48
            assert all(each.start < each.end for each in windows)


def test_a_sunday_of_23_hours_is_a_sunday():
    rows = hourly("2024-03-01 05:00", 24 * 32)  # New York: UTC-5, from March 10 on UTC-4
    now = datetime(2024, 4, 1, 5, tzinfo=UTC)
    windows = windows_by_days(rows, days=1, now=now, zone="America/New_York")
    sunday = windows[9]
    assert (f"{sunday.start:%Y-%m-%d %a}", sunday.n_rows) == ("2024-03-10 Sun", 23)
    places = [
        rows_by_season(each.start, each.end, n_rows=1, window_days=1).argmax() for each in windows
    ]
    assert places == [wall_clock(each.start).weekday() for each in windows]
    assert typical_row_count([replace(each, n_rows=n) for n, each in enumerate(windows)], sunday)


def many_days(n_days, rows_a_day):
    return pd.Series(pd.date_range("2024-01-01", periods=n_days).repeat(rows_a_day))


def split(times, n_rows=None):
    return split_into_windows(times, n_rows or len(times), window_days=1, seed=0)


def test_days_with_few_rows_make_longer_windows():
    windows = split(many_days(120, 12))
    assert (windows.days, windows.rows[1]) == (3, 36)


def test_a_day_that_was_hardly_begun_is_no_window():
    windows = split(pd.concat([many_days(30, 50), pd.Series([pd.Timestamp("2024-01-31")] * 5)]))
    assert len(windows.rows) == 30
    assert windows.places[-5:].tolist() == [-1] * 5


def test_rows_without_a_moment_are_in_no_window():
    windows = split(pd.concat([many_days(30, 50), pd.Series([pd.NaT] * 5)]))
    assert (windows.places >= 0).sum() == 1500


def test_too_few_days_or_no_time_give_random_windows():
    for windows in (split(many_days(5, 400)), split(None, n_rows=2000)):
        assert not windows.timed
        assert np.bincount(windows.places).tolist() == windows.rows.tolist()


def test_a_handful_of_rows_makes_no_window():
    assert len(split(None, n_rows=99).rows) == 0
