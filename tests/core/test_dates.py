import pandas as pd
import pytest

from evertune.data.parsing import as_date, detect_day_first


def read(cells, **how):
    values, bad = as_date(pd.Series(cells, dtype="str"), **how)
    return [None if pd.isna(v) else v.isoformat() for v in values], bad.to_list()


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("2024-12-31", "2024-12-31T00:00:00"),
        ("2024/12/31 10:30", "2024-12-31T10:30:00"),
        ("2024-12-31T10:30:15.5Z", "2024-12-31T10:30:15.500000"),
        ("2024-12-31T10:30:00+02:00", "2024-12-31T08:30:00"),
        ("31.12.2024", "2024-12-31T00:00:00"),
        ("31/12/2024", "2024-12-31T00:00:00"),
        ("12/31/2024", "2024-12-31T00:00:00"),
        ("Dec 31, 2024", "2024-12-31T00:00:00"),
        ("31 December 2024", "2024-12-31T00:00:00"),
        ("0001-01-01", "0001-01-01T00:00:00"),
        ("9999-12-31", "9999-12-31T00:00:00"),
    ],
)
def test_the_usual_forms_of_a_date_are_read(cell, expected):
    assert read([cell]) == ([expected], [False])


@pytest.mark.parametrize("cell", ["2024-02-30", "yesterday", "03/04/2024", "31/12/24"])
def test_what_is_no_date_or_could_be_two_is_bad(cell):
    assert read([cell]) == ([None], [True])


@pytest.mark.parametrize("cell", ["0000-01-01", "9999-12-31T23:30-05:00", "0001-01-01T00:00+05:00"])
def test_a_year_that_no_calendar_counts_is_bad(cell):
    typed = pd.Series(["-0001-01-01", "2024-01-01", None], dtype="datetime64[s]")
    assert read([cell])[1] == [True]
    assert as_date(typed)[1].tolist() == [True, False, False]


def test_one_part_above_twelve_tells_the_order_of_all():
    assert read(["03/04/2024", "13/04/2024"])[0][0] == "2024-04-03T00:00:00"
    assert read(["03/04/2024", "04/13/2024"])[0][0] == "2024-03-04T00:00:00"


def test_the_order_that_was_learned_is_used_for_a_single_row():
    assert read(["03/04/2024"], days_first=True)[0] == ["2024-04-03T00:00:00"]


def test_typed_dates_lose_their_zone():
    column = pd.Series(pd.to_datetime(["2024-07-01"]).tz_localize("Europe/Berlin"))
    assert as_date(column)[0].iloc[0] == pd.Timestamp("2024-06-30 22:00")


def test_numbers_are_no_dates_and_have_no_order():
    assert as_date(pd.Series([20240131]))[1].to_list() == [True]
    assert detect_day_first(pd.Series([20240131])) is None
