import numpy as np
import pandas as pd

from evertune.monitoring.windows import split_into_windows


def moments(n_days, rows_a_day):
    return pd.Series(pd.date_range("2024-01-01", periods=n_days).repeat(rows_a_day))


def found(times, n_rows=None):
    return split_into_windows(times, n_rows or len(times), window_days=1, seed=0)


def test_days_with_few_rows_make_longer_windows():
    windows = found(moments(120, 12))
    assert (windows.days, windows.rows[1]) == (3, 36)


def test_a_day_that_was_hardly_begun_is_no_window():
    windows = found(pd.concat([moments(30, 50), pd.Series([pd.Timestamp("2024-01-31")] * 5)]))
    assert len(windows.rows) == 30
    assert windows.places[-5:].tolist() == [-1] * 5


def test_rows_without_a_moment_are_in_no_window():
    windows = found(pd.concat([moments(30, 50), pd.Series([pd.NaT] * 5)]))
    assert (windows.places >= 0).sum() == 1500


def test_too_few_days_or_no_time_give_random_windows():
    for windows in (found(moments(5, 400)), found(None, n_rows=2000)):
        assert not windows.timed
        assert np.bincount(windows.places).tolist() == windows.rows.tolist()


def test_a_handful_of_rows_makes_no_window():
    assert len(found(None, n_rows=99).rows) == 0
