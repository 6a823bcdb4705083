from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from evertune.config.schema import ContractSection
from evertune.decisions import Finding
from evertune.metrics.losses import DailyLoss
from evertune.monitoring.data_contract import (
    contract_findings,
    days_with_valid_data,
    typical_row_count,
)
from evertune.times import TimeWindow
from tests.monitoring.drifting import ROWS, day, profile, reference, rows_of


def findings_of(rows, *, typical_rows=float(ROWS), **moments):
    return contract_findings(
        profile(rows), reference(), limits=ContractSection(), typical_rows=typical_rows, **moments
    )


def finding(findings, signal):
    (found,) = (each for each in findings if each.signal == signal and each.part is None)
    return found


def breaches(rows):
    return [(each.signal, each.part) for each in findings_of(rows) if each.state == "breach"]


def with_cells(rows, name, share, cell):
    """Return rows of which a share has another cell in a column."""
    cells = rows[name].astype(object).where(rows.index >= share * len(rows), cell)
    return rows.assign(**{name: cells})


def test_a_sound_window_breaks_nothing():
    assert breaches(rows_of()) == []


@pytest.mark.parametrize(
    ("name", "cell", "signal"),
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
def test_a_fault_in_a_tenth_of_the_cells_breaks_the_contract(name, cell, signal):
    assert breaches(with_cells(rows_of(), name, 0.1, cell)) == [(signal, name)]


def test_one_bad_cell_is_shown_but_breaks_nothing():
    findings = findings_of(with_cells(rows_of(), "plan", 0.5 / ROWS, "gold"))
    (unseen,) = (each for each in findings if each.signal == "unseen")
    assert (unseen.state, unseen.value) == ("ok", 1 / ROWS)
    assert "1 of 60 rows, usually 0.00 %; such as 'gold'" in unseen.note


def test_a_rise_below_a_point_breaks_nothing_however_many_rows_there_are():
    rows = pd.concat([rows_of(number) for number in range(100)], ignore_index=True)
    assert breaches(with_cells(rows, "plan", 0.009, "gold")) == [("volume", None)]


@pytest.mark.parametrize(("share", "is_broken"), [(0.0, False), (0.5, True)])
def test_missing_cells_break_the_contract_beyond_their_usual_share(share, is_broken):
    rows = with_cells(rows_of(), "age", share, None)
    assert (("missing", "age") in breaches(rows)) == is_broken


def test_a_column_that_is_not_there_breaks_the_schema_and_an_extra_one_does_not():
    schema = finding(findings_of(rows_of().drop(columns="age").assign(colour="red")), "schema")
    assert (schema.value, schema.state) == (1, "breach")
    assert schema.note == "not there: 'age'; not known, and not used: 'colour'"


def test_repeated_rows_break_the_contract():
    assert breaches(pd.concat([rows_of(), rows_of().head(20)])) == [("duplicates", None)]


@pytest.mark.parametrize(("usual", "state"), [(59, "ok"), (301, "breach"), (11, "breach")])
def test_volume_is_compared_with_the_usual_number_of_rows(usual, state):
    assert finding(findings_of(rows_of(), typical_rows=usual), "volume").state == state


def test_an_empty_window_is_no_data_and_breaks_nothing():
    findings = findings_of(rows_of().head(0))
    assert {(each.value, each.state) for each in findings} == {(None, "no data")}


@pytest.mark.parametrize(("days", "state"), [(2, "ok"), (4, "breach")])
def test_rows_grow_stale(days, state):
    freshness = findings_of(rows_of(), now=day().end + timedelta(days=days))[-1]
    assert (freshness.signal, freshness.value, freshness.state) == ("freshness", days, state)


def test_an_empty_window_is_stale_by_its_newest_row_or_is_no_data():
    now, empty = day().end, rows_of().head(0)
    newest = now - timedelta(days=9)
    assert findings_of(empty, now=now, newest=newest)[-1].state == "breach"
    assert findings_of(empty, now=now)[-1].state == "no data"


def test_the_usual_number_of_rows_is_not_known_from_two_windows():
    windows = [TimeWindow(day(k).start, day(k).end, 10) for k in range(3)]
    assert typical_row_count(windows[:2], day(3)) is None
    assert typical_row_count(windows, day(3)) == 10


MONDAY = datetime(2024, 5, 6, tzinfo=UTC)
HOUR = timedelta(hours=1)
WEEK = tuple(DailyLoss(MONDAY + timedelta(days=day), 10, 1.0) for day in range(7))


def breach(first_hour, last_hour, **changed):
    window = TimeWindow(MONDAY + first_hour * HOUR, MONDAY + last_hour * HOUR)
    return replace(Finding("missing", "contract", window, 0.9, state="breach"), **changed)


@pytest.mark.parametrize("changed", [{"layer": "drift"}, {"signal": "freshness"}])
def test_a_finding_that_is_not_about_the_rows_breaks_no_window(changed):
    assert days_with_valid_data(WEEK, [breach(0, 24, **changed)]) == WEEK


@pytest.mark.parametrize(
    ("hours", "left"), [((24, 48), [6, 8, 9, 10, 11, 12]), ((30, 60), [6, 9, 10, 11, 12])]
)
def test_a_day_that_a_broken_window_touches_is_left_out(hours, left):
    assert [each.day.day for each in days_with_valid_data(WEEK, [breach(*hours)])] == left
