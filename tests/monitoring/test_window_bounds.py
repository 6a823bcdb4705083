from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

from evertune.monitoring.window_bounds import split_into_windows, windows_by_days, windows_by_rows

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
