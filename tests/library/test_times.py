from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from evertune.times import (
    days_to_time_units,
    from_wall_clock,
    in_zone,
    times_to_numbers,
    to_naive_timestamp,
    to_utc_datetime,
    to_wall_clock,
    wall_clock,
)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_dates_of_every_unit_have_the_same_clock(unit):
    dates = np.array(["1970-01-02", "NaT"], dtype=f"datetime64[{unit}]")
    assert times_to_numbers(dates) == pytest.approx([86_400_000_000, np.nan], nan_ok=True)


def test_dates_before_1970_are_negative():
    assert times_to_numbers(np.array(["1969-12-31"], dtype="datetime64[us]")).tolist() == [
        -86_400_000_000
    ]


def test_a_counter_is_its_own_clock():
    assert times_to_numbers(np.array([3, 1])).tolist() == [3.0, 1.0]
    assert days_to_time_units(np.array([3.0]), 2) == 2


def test_days_of_dates_are_in_microseconds():
    assert days_to_time_units(np.array(["2024-01-01"], dtype="datetime64[s]"), 1) == 86_400_000_000


def test_moments_of_tables_are_in_utc_without_saying_so():
    moment = datetime(2024, 11, 1, 12, tzinfo=UTC)
    assert to_naive_timestamp(moment) == pd.Timestamp("2024-11-01 12:00")
    assert to_utc_datetime(pd.Timestamp("2024-11-01 12:00")) == moment
    assert to_utc_datetime(pd.Timestamp("2024-11-01 13:00+01:00")) == moment


def test_a_day_of_a_time_zone_has_its_true_length():
    midnights = [
        from_wall_clock(datetime(2024, 10, day, tzinfo=UTC), "Europe/Berlin")
        for day in (26, 27, 28)
    ]
    hours = [(b - a).total_seconds() / 3600 for a, b in pairwise(midnights)]
    assert hours == [24, 25]
    assert [f"{each:%d %H:%M %Z}" for each in midnights][2] == "28 00:00 Europe/Berlin"


def test_times_of_tables_are_shown_by_the_clock_on_the_wall():
    shown = to_wall_clock(pd.Series([pd.Timestamp("2024-03-31 01:30"), pd.NaT]), "Europe/Berlin")
    assert shown.tolist() == [pd.Timestamp("2024-03-31 03:30"), pd.NaT]
    moment = in_zone(datetime(2024, 3, 31, 1, 30, tzinfo=UTC), "Europe/Berlin")
    assert wall_clock(moment) == datetime(2024, 3, 31, 3, 30, tzinfo=UTC)
