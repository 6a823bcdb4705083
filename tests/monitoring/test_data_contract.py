from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from evertune.config.schema import ContractSection
from evertune.decisions import Finding
from evertune.metrics.losses import DailyLoss
from evertune.monitoring.data_contract import (
    broken_windows,
    contract_findings,
    days_with_valid_data,
    typical_row_count,
)
from evertune.times import TimeWindow
from tests.monitoring.drifting import ROWS, day, profile, reference, rows_of


def found(rows, *, typical_rows=float(ROWS), **moments):
    return contract_findings(
        profile(rows), reference(), limits=ContractSection(), typical_rows=typical_rows, **moments
    )


def broken(findings):
    return [(each.signal, each.part) for each in findings if each.state == "breach"]


def some(values, share, other):
    """Return values of which a share is another one."""
    return values.astype(object).where(values.index >= share * len(values), other)


def test_a_sound_window_breaks_nothing():
    assert broken(found(rows_of())) == []


@pytest.mark.parametrize(
    ("name", "other", "signal"),
    [
        ("income", None, "missing"),
        ("member", None, "missing"),
        ("income", "much", "type"),
        ("joined", "someday", "type"),
        ("member", 7, "type"),
        ("income", 1e6, "range"),
        ("plan", "gold", "unseen"),
    ],
)
def test_what_is_wrong_with_a_tenth_of_the_cells_breaks_the_contract(name, other, signal):
    rows = rows_of()
    assert broken(found(rows.assign(**{name: some(rows[name], 0.1, other)}))) == [(signal, name)]


def test_one_bad_cell_is_shown_but_breaks_nothing():
    rows = rows_of()
    findings = found(rows.assign(plan=some(rows["plan"], 0.5 / ROWS, "gold")))
    (unseen,) = (each for each in findings if each.signal == "unseen")
    assert (unseen.state, unseen.value) == ("ok", 1 / ROWS)
    assert "1 of 60 rows, usually 0.00%; such as 'gold'" in unseen.note


def test_many_rows_with_a_rise_below_a_point_break_nothing():
    rows = pd.concat([rows_of(number) for number in range(100)], ignore_index=True)
    assert broken(found(rows.assign(plan=some(rows["plan"], 0.009, "gold")))) == [("volume", None)]


def test_a_usual_share_of_missing_cells_is_no_breach_and_a_larger_one_is():
    rows = rows_of()
    assert ("missing", "age") not in broken(found(rows))
    assert ("missing", "age") in broken(found(rows.assign(age=some(rows["age"], 0.5, None))))


def test_a_column_that_is_not_there_breaks_the_schema_and_an_extra_one_does_not():
    schema = found(rows_of().drop(columns="age").assign(colour="red"))[0]
    assert (schema.signal, schema.value, schema.state) == ("schema", 1, "breach")
    assert schema.note == "not there: 'age'; not known, and not used: 'colour'"


def test_repeated_rows_break_the_contract():
    rows = rows_of()
    assert broken(found(pd.concat([rows, rows.head(20)]))) == [("duplicates", None)]


@pytest.mark.parametrize(("usual", "state"), [(59, "ok"), (301, "breach"), (11, "breach")])
def test_volume_is_held_against_the_usual_number_of_rows(usual, state):
    (volume,) = (each for each in found(rows_of(), typical_rows=usual) if each.signal == "volume")
    assert volume.state == state


def test_an_empty_window_is_no_data_and_breaks_nothing():
    findings = found(rows_of().head(0))
    assert {(each.value, each.state) for each in findings} == {(None, "no data")}


@pytest.mark.parametrize(("days", "state"), [(2, "ok"), (4, "breach")])
def test_rows_grow_stale(days, state):
    findings = found(rows_of(), now=day().end + timedelta(days=days))
    assert (findings[-1].signal, findings[-1].value, findings[-1].state) == (
        "freshness",
        days,
        state,
    )


def test_an_empty_window_is_stale_by_its_newest_row_or_is_no_data():
    now, empty = day().end, rows_of().head(0)
    newest = now - timedelta(days=9)
    assert found(empty, now=now, newest=newest)[-1].state == "breach"
    assert found(empty, now=now)[-1].state == "no data"


def test_the_usual_number_of_rows_is_not_known_from_two_windows():
    windows = [TimeWindow(day(k).start, day(k).end, 10) for k in range(3)]
    assert typical_row_count(windows[:2], day(3)) is None
    assert typical_row_count(windows, day(3)) == 10


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
