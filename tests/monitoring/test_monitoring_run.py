from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from evertune.decisions import Finding
from evertune.monitoring.log_frames import rows_in_window
from evertune.monitoring.monitoring_run import (
    CachedFindings,
    business_finding,
    first_stale_window,
    join_inputs,
    mean_value_since,
    paired_loss_days,
    suppress_on_broken_data,
)
from evertune.monitoring.window_bounds import split_into_windows, windows_by_days, windows_by_rows
from evertune.times import TimeWindow

FIRST = datetime(2024, 5, 1, tzinfo=UTC)
DAY = TimeWindow(FIRST, FIRST + timedelta(days=1), 10)


def moments(*texts):
    return pd.Series(pd.to_datetime(list(texts), format="ISO8601").astype("datetime64[us]"))


def frame(*texts, truth=1.0):
    known = moments(*texts)
    return pd.DataFrame(
        {"moment": known, "received": known, "labelled": known, "truth": truth, "value": 1.0}
    )


def test_a_window_that_is_not_over_is_left_out():
    now = FIRST + timedelta(days=1, hours=23)
    (window,) = windows_by_days(moments("2024-05-01 08:00", "2024-05-02"), days=1, now=now)
    assert (window.start, window.n_rows) == (FIRST, 1)


def test_windows_without_rows_until_now_are_there():
    now = FIRST + timedelta(days=3)
    found = windows_by_days(moments("2024-05-01 08:00"), days=1, now=now)
    assert [each.n_rows for each in found] == [1, 0, 0]


def test_a_version_that_took_over_within_a_window_begins_with_the_next():
    now, known = FIRST + timedelta(days=3), moments("2024-05-01 08:00", "2024-05-02 09:00")
    found = windows_by_days(known, days=1, now=now, whole_first=True)
    assert [each.start.day for each in found] == [2, 3]


def test_an_empty_log_has_no_windows():
    assert windows_by_days(moments(), days=1, now=FIRST) == windows_by_rows(moments(), rows=2) == ()


def test_rows_of_one_moment_stay_in_one_window():
    known = moments("2024-05-01", "2024-05-02", "2024-05-02", "2024-05-02", "2024-05-03")
    assert [each.n_rows for each in windows_by_rows(known, rows=2)] == [1, 3]


def test_the_rows_of_a_window_end_before_its_end():
    rows = frame("2024-04-30 23:59", "2024-05-01", "2024-05-01 23:59", "2024-05-02")
    assert rows_in_window(rows, DAY) == slice(1, 3)


def test_a_mean_weighs_windows_by_their_rows_and_leaves_out_what_is_no_number():
    later = TimeWindow(DAY.end, DAY.end + timedelta(days=1), 30)
    found = [
        Finding("loss", "performance", DAY, 0.4),
        Finding("loss", "performance", later, 0.2),
        Finding("loss", "performance", later, float("nan")),
        Finding("loss", "performance", later, None, state="immature"),
        Finding("loss", "performance", later, 0.9, part="city=Bern"),
    ]
    assert mean_value_since(found, "loss", None) == pytest.approx((0.4 * 10 + 0.2 * 30) / 40)
    assert mean_value_since(found, "loss", later.start) == pytest.approx(0.2)
    assert mean_value_since(found, "loss", later.end) is None


def test_figures_that_rest_on_broken_data_are_no_data():
    broken = Finding("missing", "contract", DAY, 0.4, state="breach")
    drift = Finding("input_drift", "drift", DAY, 3.0)
    loss = Finding("loss", "performance", DAY, 0.2)
    assert [each.value for each in suppress_on_broken_data([broken, drift, loss])] == [
        0.4,
        None,
        0.2,
    ]
    assert suppress_on_broken_data([drift, loss]) == (drift, loss)


def test_figures_of_rows_that_are_there_stay_where_a_feed_stopped():
    stale = Finding("freshness", "contract", DAY, 9.0, state="breach")
    drift = Finding("input_drift", "drift", DAY, 3.0)
    assert suppress_on_broken_data([stale, drift]) == (stale, drift)


@pytest.mark.parametrize("rows", [pd.DataFrame(), frame("2024-05-01")])
def test_a_business_figure_that_is_no_number_is_no_data(rows):
    found = business_finding("sales", lambda _: float("nan"), rows=rows, window=DAY)
    assert (found.signal, found.value, found.state) == ("business.sales", None, "no data")


def test_a_business_figure_sees_what_was_predicted_from():
    rows = join_inputs(frame("2024-05-01"), pd.DataFrame({"price": [7.0]}, index=[5]))
    found = business_finding("sales", lambda rows: rows["input_price"].sum(), rows=rows, window=DAY)
    assert found.value == 7.0


def test_a_champion_and_its_shadow_are_compared_on_labelled_rows():
    shadow = frame("2024-05-01 08:00", "2024-05-01 09:00", "2024-05-02").assign(
        value=[1.0, 0.0, 1.0], value_c=[0.0, 0.0, 1.0], truth=[1.0, 0.0, np.nan]
    )
    answered, shadowed = paired_loss_days(shadow, task="binary", scale=None)
    assert [(each.n, each.total) for each in answered] == [(2, 1.0)]
    assert [(each.n, each.total) for each in shadowed] == [(2, 0.0)]


def unsettled(*states, n_rows=None, changed=None):
    """Return the place that is found for windows of these states; None: judged with the others."""
    counts = n_rows or [10] * len(states)
    windows = [
        TimeWindow(FIRST + timedelta(days=n), FIRST + timedelta(days=n + 1), count)
        for n, count in enumerate(counts)
    ]
    kept = {
        window.start: CachedFindings(
            "m", () if state is None else (Finding("loss", "performance", window, 1, state=state),)
        )
        for window, state in zip(windows, states, strict=True)
        if state != "new"
    }
    marks = ["other" if n == changed else "m" for n in range(len(states))]
    return first_stale_window(windows, marks, kept)


def test_settled_windows_are_not_worked_out_again():
    assert unsettled("ok", "ok", "ok") == 3
    assert unsettled("ok", "no data", "ok", n_rows=[10, 0, 10]) == 3


@pytest.mark.parametrize("state", ["new", "immature", "no data"])
def test_what_is_new_or_was_not_mature_is_worked_out(state):
    assert unsettled("ok", state, "ok") == 1


def test_another_label_works_out_its_window_and_those_after_it():
    assert unsettled("ok", "ok", "ok", changed=1) == 1


def test_windows_that_were_judged_together_are_worked_out_together():
    assert unsettled("ok", "ok", None, None, changed=3) == 1
    assert unsettled("ok", "ok", "no data", None, n_rows=[9, 9, 0, 9], changed=3) == 1


def many_days(n_days, rows_a_day):
    return pd.Series(pd.date_range("2024-01-01", periods=n_days).repeat(rows_a_day))


def found(times, n_rows=None):
    return split_into_windows(times, n_rows or len(times), window_days=1, seed=0)


def test_days_with_few_rows_make_longer_windows():
    windows = found(many_days(120, 12))
    assert (windows.days, windows.rows[1]) == (3, 36)


def test_a_day_that_was_hardly_begun_is_no_window():
    windows = found(pd.concat([many_days(30, 50), pd.Series([pd.Timestamp("2024-01-31")] * 5)]))
    assert len(windows.rows) == 30
    assert windows.places[-5:].tolist() == [-1] * 5


def test_rows_without_a_moment_are_in_no_window():
    windows = found(pd.concat([many_days(30, 50), pd.Series([pd.NaT] * 5)]))
    assert (windows.places >= 0).sum() == 1500


def test_too_few_days_or_no_time_give_random_windows():
    for windows in (found(many_days(5, 400)), found(None, n_rows=2000)):
        assert not windows.timed
        assert np.bincount(windows.places).tolist() == windows.rows.tolist()


def test_a_handful_of_rows_makes_no_window():
    assert len(found(None, n_rows=99).rows) == 0
