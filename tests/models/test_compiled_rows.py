from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evertune.data.cleaning import conform_to_schema
from evertune.data.parsing import as_date
from evertune.data.schema import Column, TableSchema
from evertune.models.compiled_rows import (
    event_time,
    make_cell_reader,
    make_row_reader,
    parse_date_cell,
    read_rows,
)
from evertune.preprocessing.encoders import feature_frame
from evertune.preprocessing.transformers import date_cells

COLUMNS = (
    Column("n", "number"),
    Column("b", "boolean"),
    Column("c", "category", ("1", "a")),
    Column("t", "text"),
    Column("d", "date"),
)
SCHEMA = TableSchema(COLUMNS, "y", "binary", ("no", "yes"), time="at")
DECLARED = TableSchema(
    COLUMNS[:3], "y", "binary", ("no", "yes"), missing_values=("?", "-1"), decimal=","
)
ODD = (
    *("", " ", "NA", "?", "-1", "1.0", "007", "1e3", "1e400", "1,5", "1.5", "-0.00", "TRUE", "No"),
    *("a  b", "a\u00a0b c", "inf", "2024-01-31", "31.12.2024", "2024-02-30", "1/2/2024"),
    *("2024-01-31T10:11:12.500+02:00", "2024-01-31 23:00Z", "Jan 31, 2024"),
)
WORDS = st.text(max_size=12) | st.sampled_from(ODD)
CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([-1, -1.0, 0, 1, 3.5e38, 1e38]),
    WORDS,
)


def slowly(row, schema):
    clean, issues = conform_to_schema(pd.DataFrame([row]), schema)
    cells = {} if issues else feature_frame(clean, schema).iloc[0].to_dict()
    return cells, bool(issues)


def quickly(row, schema):
    columns, faults = read_rows([row], make_row_reader(schema))
    return {} if faults else {name: cells[0] for name, cells in columns.items()}, bool(faults)


def same(one, other):
    return one.keys() == other.keys() and all(
        one[name] == other[name] or (one[name] != one[name] and other[name] != other[name])
        for name in one
    )


@pytest.mark.slow
@pytest.mark.parametrize("schema", [SCHEMA, DECLARED])
@settings(max_examples=80, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_row_is_read_as_a_table_of_one_row_is(schema, data):
    names = [column.name for column in schema.features] + ([schema.time] if schema.time else [])
    row = {name: data.draw(CELLS, label=name) for name in names}
    (quick, quick_bad), (slow, slow_bad) = quickly(row, schema), slowly(row, schema)
    assert quick_bad == slow_bad
    assert same(quick, slow)


def test_a_row_does_not_depend_on_those_beside_it():
    rows = [{"n": cell, "b": 1, "c": "a", "t": "", "d": None, "at": None} for cell in (True, 31)]
    columns, faults = read_rows(rows, make_row_reader(SCHEMA))
    assert columns["n"] == [1.0, 31.0]
    assert faults == {}


def test_categories_of_a_model_that_kept_text_as_it_came_are_known_in_either_coding():
    older = "Ko\u0308ln"
    schema = TableSchema((Column("c", "category", ("Berlin", older)),), "y", "regression")
    for cell in (older, "K\u00f6ln", " K\u00f6ln\u00a0"):
        assert slowly({"c": cell}, schema) == quickly({"c": cell}, schema) == ({"c": older}, False)
    assert quickly({"c": "Berlin"}, schema)[0] == {"c": "Berlin"}
    both = TableSchema((Column("c", "category", ("K\u00f6ln", older)),), "y", "regression")
    assert slowly({"c": older}, both)[0] == quickly({"c": older}, both)[0] == {"c": "K\u00f6ln"}


def test_a_missing_column_is_a_fault_of_its_row_alone():
    whole = {"n": 1, "b": None, "c": "a", "t": "x y", "d": "2024-01-31", "at": "2024-02-01"}
    columns, faults = read_rows([whole, {"n": 2}, whole], make_row_reader(SCHEMA))
    assert [issue.column for issue in faults[1]] == ["b", "c", "t", "d", "at"]
    assert columns["d:month"][0] == columns["d:month"][2] == 1.0


def test_the_parts_of_dates_are_those_of_pandas_to_the_last_digit():
    draws = np.random.default_rng(0)
    moments = pd.Series(draws.integers(-(10**15), 5 * 10**15, 300), dtype="datetime64[us]")
    rows = [{"d": moment.isoformat()} for moment in moments]
    schema = TableSchema((Column("d", "date"),), "y", "binary", ("no", "yes"))
    columns, _ = read_rows(rows, make_row_reader(schema))
    expected = feature_frame(pd.DataFrame({"d": moments}), schema)
    assert {name: list(cells) for name, cells in columns.items()} == expected.to_dict("list")


def test_the_event_time_is_the_date_in_the_time_column():
    reading = make_row_reader(SCHEMA)
    assert event_time({"at": "2024-02-01T02:00:00+02:00"}, reading) == datetime(
        2024, 2, 1, tzinfo=UTC
    )
    assert event_time({"at": "soon"}, reading) is None


def test_a_date_that_pandas_cannot_count_in_nanoseconds_is_read():
    schema = TableSchema((Column("d", "date"),), "y", "binary", ("no", "yes"))
    columns, faults = read_rows([{"d": "9999-12-31"}], make_row_reader(schema))
    assert columns["d:days"] == [2932896.0]
    assert faults == {}


def test_a_feature_named_like_a_part_of_a_date_is_read_as_tables_are():
    features = (Column("d", "date"), Column("d:hour", "number"), Column("at:hour", "number"))
    schema = TableSchema(features, "y", "binary", time="at")
    row = {"d": "2024-01-31", "d:hour": 7, "at:hour": 8, "at": "2024-02-01T05:00"}
    columns, faults = read_rows([row], make_row_reader(schema))
    clean, _ = conform_to_schema(pd.DataFrame([row]), schema)
    assert faults == {}
    assert {name: cells[0] for name, cells in columns.items()} == dict(
        feature_frame(clean, schema).iloc[0]
    )


CELL_READERS_SCHEMA = TableSchema((Column("d", "date"),), "y", "binary", ("no", "yes"))
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
    assert [date_cells(each) for each in moments] == parts_in_tables(dates)


@pytest.mark.parametrize(
    "text", ["0001-01-01", "9999-12-31T23:59:59.999999Z", "1500-03-04 05:06", "31.12.9999"]
)
def test_a_date_far_from_now_is_read_as_in_tables(text):
    values, _ = as_date(pd.Series([text], dtype="str"))
    assert (
        make_cell_reader(CELL_READERS_SCHEMA.features[0], CELL_READERS_SCHEMA)(text)
        == parts_in_tables(values)[0]
    )


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
    assert make_cell_reader(CELL_READERS_SCHEMA.features[0], CELL_READERS_SCHEMA)(text) is None
