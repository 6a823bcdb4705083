"""What the service refuses, and in which words; one service answers all, for nothing changes it."""

import json
import shutil
import socket

import pytest

from evertune.serving import app
from evertune.serving.requests import parse_json
from tests.serving.conftest import NOW, churn_app
from tests.support.production import project
from tests.support.services import served

ROW = {"age": 31, "plan": "a", "day": "2024-01-02"}
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def service(tmp_path_factory, served_state):
    """Return a client of a service that takes at most three rows or labels."""
    root = tmp_path_factory.mktemp("refusing")
    shutil.copytree(served_state, root / "state")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        with served(churn_app(project(root, max_rows="3"), NOW)) as client:
            yield client


def refused(service, content, path="/predict"):
    """Return the status and the errors of a request that is not answered, by field."""
    body = content if isinstance(content, bytes) else json.dumps(content)
    response = service.post(path, content=body, headers=JSON)
    assert response.status_code != 200
    return response.status_code, {one["field"]: one["problem"] for one in response.json()["detail"]}


@pytest.mark.parametrize(
    ("content", "field", "problem"),
    [
        ([], "rows", "expected an object with 'rows', a list of rows, or 'row', one row"),
        ({}, "rows", "expected an object"),
        ({"rows": [ROW], "row": ROW}, "rows", "expected an object"),
        ({"rows": ROW}, "rows", "expected a list"),
        ({"rows": [7]}, "rows[0]", "expected an object with a value for each column"),
        ({"row": None}, "row", "expected an object with a value for each column"),
        ({"row": ROW | {"aeg": 1}}, "row.aeg", "is no column. Did you mean 'age'?"),
        ({"row": ROW | {"left": "no"}}, "row.left", "is no column."),
        ({"rows": [ROW, ROW | {"plan": ["a"]}]}, "rows[1].plan", "expected a number, text, true"),
        (b'{"rows": [{"plan": "a", "age": 1e400}]}', "rows[0].age", "is infinite"),
        ({"rows": [ROW | {"age": 2**64}]}, "rows[0].age", "has more than 64 bits"),
        ({"rows": [ROW], "ids": ["a", "b"]}, "ids", "expected a list of 1 ids, one for each row"),
        ({"row": ROW, "ids": ["a", "b"]}, "ids", "expected a list of 1 ids, one for each row"),
        ({"rows": [ROW], "ids": "a"}, "ids", "expected a list"),
        ({"rows": [ROW, ROW], "ids": ["a", "a"]}, "ids", "expected each id once"),
        ({"rows": [ROW], "ids": [""]}, "ids[0]", "is empty"),
        ({"rows": [ROW], "request_id": 7}, "request_id", "is no text"),
        ({"rows": [ROW], "request_id": ""}, "request_id", "is empty"),
        ({"rows": [ROW], "moment": "soon"}, "moment", "expected a moment such as 2024-12-31T23"),
        ({"rows": [ROW], "moment": "0001-01-01T00:00:00+23:00"}, "moment", "expected a moment"),
        ({"rows": [ROW], "moment": "2024-01-31T00:06:00Z"}, "moment", "is in the future"),
        ({"rows": [ROW], "rws": 1}, "rws", "is not known. Did you mean 'rows'?"),
    ],
)
def test_an_error_names_its_field(service, content, field, problem):
    status, errors = refused(service, content)
    assert (status, [*errors]) == (422, [field])
    assert errors[field].startswith(problem)


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ([], "labels"),
        ({"labels": "a"}, "labels"),
        ({"labels": [7]}, "labels[0]"),
        ({"labels": [{"label": "no"}]}, "labels[0].id"),
        ({"labels": [{"id": "a"}]}, "labels[0].label"),
        ({"labels": [{"id": "a", "label": None}]}, "labels[0].label"),
        ({"labels": [{"id": "a", "label": "perhaps"}]}, "labels[0].label"),
        ({"labels": [{"id": "a", "label": "no", "moment": 7}]}, "labels[0].moment"),
        ({"labels": [{"id": "a", "label": "no", "at": 7}]}, "labels[0].at"),
    ],
)
def test_an_error_of_a_label_names_its_field(service, content, field):
    status, errors = refused(service, content, "/label")
    assert (status, [*errors]) == (422, [field])


@pytest.mark.parametrize(("path", "name"), [("/predict", "rows"), ("/label", "labels")])
@pytest.mark.parametrize(("items", "status"), [([], 400), ([ROW] * 4, 413)])
def test_nothing_and_too_much_are_refused(service, path, name, items, status):
    assert refused(service, {name: items}, path)[0] == status


def test_at_most_twenty_errors_are_named(service):
    assert len(refused(service, {"row": {f"ag{n}": 1 for n in range(100)}})[1]) == 20


def test_a_long_name_is_shown_short(service):
    (field,) = refused(service, {"row": {"x" * 100_000: 1}})[1]
    assert len(field) < 50


def test_every_cell_that_cannot_be_read_is_named(service):
    status, errors = refused(service, {"rows": [ROW, {"age": "old", "day": "soon"}]})
    assert (status, [*errors]) == (422, ["rows[1].age", "rows[1].plan", "rows[1].day"])
    assert errors["rows[1].plan"] == "is missing"
    expected = 'expected a number such as 1.5 (with a point), or null; got "old"'
    assert errors["rows[1].age"] == expected
    assert errors["rows[1].day"] == 'expected a date such as 2024-12-31, or null; got "soon"'
    assert refused(service, {"row": ROW | {"age": "1,5"}})[1]["row.age"].endswith('got "1,5"')


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"", "application/json", 400),
        (b'{"row": {}}', "text/plain", 415),
        (b'{"row": {}}', "application/json; charset=latin-1", 415),
        (b" " * 1_000_001, "application/json", 413),
    ],
)
def test_a_body_that_is_no_json_or_too_large_is_refused(service, content, kind, status):
    response = service.post("/predict", content=content, headers={"content-type": kind})
    assert response.status_code == status


def test_more_at_once_than_can_be_answered_are_told_to_come_again(service, monkeypatch):
    monkeypatch.setattr(app, "MAX_ACTIVE_REQUESTS", 0)
    response = service.post("/predict", json={"row": ROW})
    assert (response.status_code, response.headers["retry-after"]) == (429, "2")


@pytest.mark.slow
def test_a_body_that_does_not_come_is_given_up(service, monkeypatch):
    monkeypatch.setattr(app, "BODY_TIMEOUT_SECONDS", 0.1)
    place = (service.base_url.host, service.base_url.port)
    headers = f"Host: localhost\r\nContent-Type: {JSON['content-type']}\r\nContent-Length: 9\r\n"
    with socket.create_connection(place, timeout=60) as connection:
        connection.sendall(f"POST /predict HTTP/1.1\r\n{headers}\r\n{{".encode())
        answer = b""
        while not answer.endswith(b"}"):
            answer += connection.recv(10_000)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"did not arrive within" in answer


@pytest.mark.parametrize("host", ["10.evil.example", "127.0.0.1.evil.example:80", "["])
def test_another_name_for_this_machine_is_turned_away(service, host):
    response = service.post("/predict", json={"row": ROW}, headers={"host": host})
    assert response.status_code == 403


def test_the_columns_are_not_told_to_another_name_for_this_machine(service):
    response = service.get("/openapi.json", headers={"host": "evil.example"})
    assert response.status_code == 403
    assert "plan" not in response.text


def test_a_moment_may_be_as_far_ahead_as_clocks_differ(service):
    body = {"row": ROW, "moment": "2024-01-31T00:04:00Z"}
    assert service.post("/predict", json=body).status_code == 200


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
