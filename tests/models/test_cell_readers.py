from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from evertune.data.parsing import as_date
from evertune.data.schema import Column, TableSchema
from evertune.models.compiled_rows import date_features, make_cell_reader, parse_date_cell

SCHEMA = TableSchema((Column("d", "date"),), "y", "binary", ("no", "yes"))
SECONDS = int((datetime.max - datetime.min).total_seconds())


def parts_in_tables(dates):
    """Return the parts as tables have them: 8.64e10 microseconds are a day."""
    days = (dates - pd.Timestamp(0).as_unit("us")) / np.timedelta64(86_400_000_000, "us")
    clock = [dates.dt.month, dates.dt.day_of_week, dates.dt.hour]
    return [*zip(days, *(part.astype(float) for part in clock), strict=True)]


def test_the_parts_of_a_date_are_those_of_tables_to_the_last_digit():
    draws = np.random.default_rng(0).integers(0, SECONDS * 1_000_000, 2000)
    first = np.datetime64(datetime.min, "us")
    dates = pd.Series([first, np.datetime64(datetime.max, "us"), *(first + draws)])
    moments = [each.to_pydatetime().replace(tzinfo=UTC) for each in dates]
    assert [date_features(each) for each in moments] == parts_in_tables(dates)


@pytest.mark.parametrize(
    "text", ["0001-01-01", "9999-12-31T23:59:59.999999Z", "1500-03-04 05:06", "31.12.9999"]
)
def test_a_date_far_from_now_is_read_as_in_tables(text):
    values, _ = as_date(pd.Series([text], dtype="str"))
    assert make_cell_reader(SCHEMA.features[0], SCHEMA)(text) == parts_in_tables(values)[0]


@pytest.mark.parametrize(
    "text",
    [
        "9999-12-31T23:30-05:00",
        "0001-01-01T00:00+05:00",
        "0000-01-01",
        "2024-01-01T24:00",
        "2024-01-01T10:00+05:75",
    ],
)
def test_what_no_calendar_has_is_left_to_those_who_refuse_it(text):
    assert parse_date_cell(text, None, ()) is None
    assert make_cell_reader(SCHEMA.features[0], SCHEMA)(text) is None
