from datetime import UTC, datetime

import pytest

from evertune.serving.requests import (
    ErrorResponse,
    future_timestamp_error,
    parse_json,
    parse_label_request,
    parse_predict_request,
)

COLUMNS = ("age", "plan")
ROW = {"age": 31, "plan": "a"}


def refused(content):
    refusal = parse_predict_request(content, columns=COLUMNS, most_rows=3)
    assert isinstance(refusal, ErrorResponse)
    return refusal


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ([], "rows"),
        ({}, "rows"),
        ({"rows": [ROW], "row": ROW}, "rows"),
        ({"rows": ROW}, "rows"),
        ({"rows": [7]}, "rows[0]"),
        ({"row": ROW | {"aeg": 1}}, "row.aeg"),
        ({"rows": [ROW, ROW | {"plan": ["a"]}]}, "rows[1].plan"),
        ({"rows": [ROW | {"age": float("inf")}]}, "rows[0].age"),
        ({"rows": [ROW | {"age": 2**64}]}, "rows[0].age"),
        ({"rows": [ROW], "ids": ["a", "b"]}, "ids"),
        ({"rows": [ROW, ROW], "ids": ["a", "a"]}, "ids"),
        ({"rows": [ROW], "ids": [""]}, "ids[0]"),
        ({"rows": [ROW], "request_id": 7}, "request_id"),
        ({"rows": [ROW], "moment": "soon"}, "moment"),
        ({"rows": [ROW], "moment": "0001-01-01T00:00:00+23:00"}, "moment"),
        ({"rows": [ROW], "rws": 1}, "rws"),
    ],
)
def test_a_fault_names_its_field(content, field):
    refusal = refused(content)
    assert (refusal.status, refusal.faults[0].field) == (422, field)


@pytest.mark.parametrize(("rows", "status"), [([], 400), ([ROW] * 4, 413)])
def test_no_row_and_too_many_rows_are_refused(rows, status):
    assert refused({"rows": rows}).status == status


def test_at_most_twenty_faults_are_named_and_the_nearest_column_with_them():
    refusal = refused({"row": {f"ag{n}": 1 for n in range(100)}})
    assert len(refusal.faults) == 20
    assert refusal.faults[0].problem == "is no column. Did you mean 'age'?"


def test_a_long_name_is_shown_short():
    assert len(refused({"row": {"x" * 100_000: 1}}).faults[0].field) < 50


def test_a_request_is_read_with_its_ids_and_its_moment():
    content = {
        "rows": [ROW],
        "ids": ["a"],
        "request_id": "r",
        "moment": "2024-01-01T01:00:00+01:00",
    }
    request = parse_predict_request(content, columns=COLUMNS, most_rows=3)
    assert (request.rows, request.ids, request.request_id) == ((ROW,), ("a",), "r")
    assert request.moment == datetime(2024, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ([], "labels"),
        ({"labels": "a"}, "labels"),
        ({"labels": [7]}, "labels[0]"),
        ({"labels": [{"label": "no"}]}, "labels[0].id"),
        ({"labels": [{"id": "a"}]}, "labels[0].label"),
        ({"labels": [{"id": "a", "label": "no", "moment": 7}]}, "labels[0].moment"),
        ({"labels": [{"id": "a", "label": "no", "at": 7}]}, "labels[0].at"),
    ],
)
def test_a_fault_of_a_label_names_its_field(content, field):
    assert parse_label_request(content, most=3).faults[0].field == field


def test_a_moment_may_be_as_far_ahead_as_clocks_differ():
    now = datetime(2024, 1, 1, tzinfo=UTC)
    assert future_timestamp_error(now.replace(minute=4), now) is None
    assert future_timestamp_error(now.replace(hour=1), now) == "is in the future"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "is not JSON"),
        (b"\xff", "is not UTF-8"),
        (b'{"a": 1, "a": 2}', "a key twice"),
        (b'{"a": NaN}', "has NaN"),
        (b'{"a": -Infinity}', "has -Infinity"),
        (b'{"a": ' + b"9" * 5000 + b"}", "too many digits"),
        (b"[" * 5000 + b"]" * 5000, "nested too deeply"),
        (b'{"a": "\\ud800"}', "no Unicode"),
    ],
)
def test_what_readers_would_not_read_alike_is_no_json(body, words):
    with pytest.raises(ValueError, match=words):
        parse_json(body)
