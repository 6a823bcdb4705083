from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from evertune.times import (
    days_to_time_units,
    times_to_numbers,
    to_naive_timestamp,
    to_utc_datetime,
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
