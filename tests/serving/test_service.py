import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import orjson
import pytest

from evertune.config.yaml_file import edit_section
from evertune.errors import ParamsError
from evertune.models.persistence import load_model, predict_rows
from evertune.serving.app import create_app
from evertune.serving.service import ModelService
from evertune.times import TimeWindow
from tests.support.production import SCHEMA, champion, day, log_of, project, rows
from tests.support.registries import make_champion, open_state
from tests.support.services import quickly_learned, served, wait

pytestmark = pytest.mark.slow  # seconds each, or processes of its own

CLASSES, CLIENTS = ("no", "yes"), 8
ROW = {"age": 31, "plan": "a", "day": "2024-01-02"}


def predict(client, **body):
    return client.post("/predict", json=body)


def asked_until(over, client):
    """Ask for one row after the other, and return the statuses of the answers."""
    statuses = []
    while not over.is_set():
        statuses.append(predict(client, row=ROW).status_code)
    return statuses


@contextmanager
def over_at_the_end():
    over = threading.Event()
    try:
        yield over
    finally:
        over.set()


def fields(answer):
    return [fault["field"] for fault in answer.json()["detail"]]


def logged(root):
    return log_of(root).read(classes=CLASSES, with_inputs=True)


def test_an_answer_is_in_the_log_with_its_inputs(root, client):
    answer = predict(client, row=ROW, request_id="r1")
    assert (answer.status_code, answer.json()["ids"]) == (200, ["r1"])
    (row,) = logged(root).to_dict("records")
    assert (row["version"], row["moment"].isoformat()) == ("1", "2024-01-02T00:00:00")
    assert orjson.loads(row["inputs"]) == ROW


def test_answers_are_those_of_the_model_in_process(made, client):
    table = rows(0, 2)
    asked = orjson.loads(table.drop(columns="left").to_json(orient="records", date_format="iso"))
    said = predict(client, rows=asked).json()["predictions"]
    whole = predict_rows(load_model(made / "model"), table).probabilities
    got = [[one["probabilities"][name] for name in CLASSES] for one in said]
    assert np.abs(np.array(got) - whole).max() <= 1e-12


def test_a_row_without_its_time_has_that_of_the_request(root, client):
    untimed = {name: ROW[name] for name in ("age", "plan")}
    predict(client, row=untimed, moment="2024-01-03T10:00:00Z")
    predict(client, row=untimed)
    assert logged(root)["moment"].dt.strftime("%m-%d %H").tolist() == ["01-03 10", "01-31 00"]


def test_a_row_and_a_label_without_a_time_have_that_of_the_projects_clock(root, start):
    edit_section(root / "params.yaml", "monitoring", {"now": "latest_event"})
    untimed = {name: ROW[name] for name in ("age", "plan")}
    client = start()
    predict(client, row=untimed, moment="2024-01-03T10:00:00Z")
    predict(client, row=untimed)
    assert logged(root)["moment"].dt.strftime("%m-%d %H").tolist() == ["01-03 10"] * 2


def test_the_same_request_again_has_the_same_answer_and_is_logged_once(root, client):
    body = {"rows": [ROW, ROW | {"age": 50}], "request_id": "again"}
    first, second = predict(client, **body), predict(client, **body)
    assert first.json() == second.json()
    assert logged(root)["id"].tolist() == ["again-0", "again-1"]


def test_an_id_with_another_row_is_refused_and_nothing_is_logged(root, client):
    predict(client, rows=[ROW], ids=["a"])
    answer = predict(client, rows=[ROW, ROW | {"age": 32}], ids=["b", "a"])
    assert (answer.status_code, fields(answer)) == (409, ["ids[1]"])
    assert logged(root)["id"].tolist() == ["a"]


def test_requests_at_the_same_moment_each_have_their_own_answer(root, client):
    with ThreadPoolExecutor(16) as callers:
        asked = [ROW | {"age": age} for age in range(20, 60)] + [{"age": "x"}]
        answers = list(callers.map(lambda row: predict(client, row=row), asked))
    assert [answer.status_code for answer in answers] == [200] * 40 + [422]
    values = [one.json()["predictions"][0]["probabilities"]["yes"] for one in answers[:-1]]
    assert values == sorted(values)
    assert len(logged(root)) == 40


def test_without_a_champion_nothing_is_ready(state, start):
    assert project(state.parent)
    client = start()
    answers = [client.get("/ready"), predict(client, row=ROW)]
    assert [(one.status_code, one.headers["retry-after"]) for one in answers] == [(503, "2")] * 2
    assert client.get("/health").status_code == 200


@pytest.mark.usefixtures("root")
def test_several_projects_answer_below_their_names(new_database, tmp_path):
    other = tmp_path / "other"
    (other / "state").mkdir(parents=True)
    shutil.copy(new_database, other / "state" / "mlflow.db")
    project(other)
    services = {
        "churn": ModelService(tmp_path, clock=lambda: day(30)),
        "other": ModelService(other),
    }
    with served(create_app(services)) as client:
        statuses = {
            path: client.post(path, json={"row": ROW}).status_code
            for path in ("/churn/predict", "/other/predict", "/predict")
        }
        assert statuses == {"/churn/predict": 200, "/other/predict": 503, "/predict": 404}
        assert client.get("/churn/ready").json() == {"status": "ready", "version": "1"}
        assert (client.get("/health").status_code, client.get("/ready").status_code) == (200, 503)
        assert {"/churn/label", "/other/predict"} <= set(
            client.get("/openapi.json").json()["paths"]
        )


def test_a_project_alone_answers_below_its_name_too(client):
    assert client.post("/churn/predict", json={"row": ROW}).status_code == 200


def test_a_version_that_was_refused_is_named_where_there_is_no_champion(root, start):
    store = open_state(root / "state")
    store.move_aliases(before=store.aliases(), after={"challenger": "1"})
    answer = predict(start(), row=ROW)
    assert (answer.status_code, fields(answer)) == (503, ["champion"])
    assert "`evertune promote 1 --reason ...`" in answer.json()["detail"][0]["problem"]


def test_the_next_champion_is_taken_up_and_the_one_before_predicts_in_shadow(root, made, client):
    predict(client, row=ROW, request_id="before")
    champion(root, made, identity="2", with_reference=False)
    wait(lambda: client.get("/ready").json()["version"] == "2")
    predict(client, row=ROW, request_id="after")
    assert {
        key: version for key, (version, _) in log_of(root).find(["before", "after"]).items()
    } == {"before": "1", "after": "2"}
    wait(lambda: len(log_of(root).read_shadow(version="1", classes=CLASSES)) == 1)


def test_a_champion_of_other_columns_changes_what_requests_may_hold(root, client, tmp_path):
    without_plan = replace(SCHEMA, features=SCHEMA.features[:1])
    assert predict(client, row=ROW).status_code == 200
    champion(
        root, quickly_learned(tmp_path / "other", without_plan), identity="2", with_reference=False
    )
    wait(lambda: predict(client, row={"age": 31}).status_code == 200)
    assert fields(predict(client, row=ROW)) == ["row.plan"]
    models = client.get("/openapi.json").json()["components"]["schemas"]
    assert set(models["churn_Row"]["properties"]) == {"age", "day"}


def test_no_request_fails_while_the_champion_changes(root, made, client):
    champion(root, made, identity="2", with_reference=False)
    store = open_state(root / "state")
    statuses, versions = set(), set()
    for turn in range(60):
        if turn % 20 == 0:
            make_champion(store, "1" if turn % 40 == 0 else "2")
        answer = predict(client, rows=[ROW, ROW])
        statuses.add(answer.status_code)
        versions |= {len({one["version"] for one in answer.json()["predictions"]})}
        time.sleep(0.05)
    assert (statuses, versions) == ({200}, {1})


@pytest.mark.slow
def test_moves_of_the_alias_under_load_fail_no_request(root, made, client):
    champion(root, made, identity="2", with_reference=False)
    store = open_state(root / "state")
    with ThreadPoolExecutor(CLIENTS) as callers, over_at_the_end() as over:
        asking = [callers.submit(asked_until, over, client) for _ in range(CLIENTS)]
        for turn in range(10):
            one = "1" if turn % 2 == 0 else "2"
            make_champion(store, one)
            if turn % 5 == 4:
                wait(lambda one=one: client.get("/ready").json()["version"] == one)
    statuses = [status for each in asking for status in each.result()]
    assert (set(statuses), len(logged(root))) == ({200}, len(statuses))
    assert set(logged(root)["version"]) == {"1", "2"}


def test_labels_are_counted_by_what_they_are(client):
    predict(client, row=ROW, request_id="a")
    told = [("a", "no"), ("a", "no"), ("a", "yes"), ("b", "no")]
    labels = [
        {"id": name, "label": label, "moment": f"2024-01-0{n}"}
        for n, (name, label) in enumerate(told, 3)
    ]
    answer = client.post("/label", json={"labels": labels})
    counts = {"new": 1, "repeated": 1, "corrected": 1, "early": 1, "new_classes": {}}
    assert answer.json() == counts


def test_a_class_that_the_model_does_not_know_is_kept_and_shown_as_by_the_command(client):
    for row_id in "abc":
        predict(client, row=ROW, request_id=row_id)
    alone = client.post("/label", json={"labels": [{"id": "a", "label": "paused"}]})
    assert (alone.status_code, fields(alone)) == (422, ["labels[0].label"])
    labels = [{"id": "a", "label": "yes"}, {"id": "b", "label": "paused"}]
    misspelt = client.post("/label", json={"labels": [*labels, {"id": "c", "label": "yess"}]})
    assert fields(misspelt) == ["labels[2].label"]
    answer = client.post("/label", json={"labels": labels})
    assert (answer.json()["new"], answer.json()["new_classes"]) == (2, {"paused": 1})
    assert 'ml_labels_total{case="new"} 2.0' in client.get("/metrics").text


def test_a_label_that_is_none_or_from_the_future_is_named_and_none_is_kept(root, client):
    predict(client, row=ROW, request_id="a")
    late = {"id": "a", "label": "yes", "moment": "2030-01-01T00:00:00Z"}
    answer = client.post("/label", json={"labels": [{"id": "a", "label": 7}, late]})
    assert fields(answer) == ["labels[0].label", "labels[1].moment"]
    assert answer.json()["detail"][0]["problem"].startswith("got 7; expected one of 'no', 'yes'")
    assert logged(root)["truth"].isna().all()
    assert 'ml_labels_total{case="refused"} 2.0' in client.get("/metrics").text


def test_labels_of_one_request_that_contradict_each_other_are_refused(root, client):
    predict(client, row=ROW, request_id="a")
    labels = [{"id": "a", "label": "no"}, {"id": "a", "label": "yes"}]
    answer = client.post("/label", json={"labels": labels})
    assert (answer.status_code, fields(answer)) == (409, ["labels[1].label"])
    assert "'yes' contradicts 'no' of labels[0]" in answer.json()["detail"][0]["problem"]
    assert logged(root)["truth"].isna().all()
    moments = ["2024-01-03T00:00:00Z", "2024-01-04T00:00:00Z"]
    dated = [label | {"moment": at} for label, at in zip(labels, moments, strict=True)]
    assert client.post("/label", json={"labels": dated}).json()["corrected"] == 1


def test_only_who_shows_the_token_is_served(root, start, monkeypatch):
    project(root, token_variable="CHURN_TOKEN")
    monkeypatch.setenv("CHURN_TOKEN", "open-sesame")
    client = start()
    right = {"authorization": "Bearer open-sesame"}
    assert predict(client, row=ROW).status_code == 401
    assert client.get("/metrics", headers={"authorization": "Bearer open"}).status_code == 401
    assert client.post("/predict", json={"row": ROW}, headers=right).status_code == 200


def test_beyond_this_machine_every_path_but_the_health_asks_for_the_token(root):
    project(root, host="0.0.0.0")
    service = ModelService(root, clock=lambda: day(30))
    file = root / "state" / "secrets" / "scoring"
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    right = {"authorization": f"Bearer {file.read_text()}", "host": "churn.example"}
    gets = ("/ready", "/metrics", "/openapi.json", "/churn/ready", "/churn/metrics")
    with served(create_app({"churn": service})) as client:
        for shown in ({}, {"authorization": "Bearer x"}, {"authorization": file.read_text()}):
            answers = [client.get(path, headers=shown) for path in gets]
            answers += [
                client.post(f"/{path}", json={}, headers=shown) for path in ("predict", "label")
            ]
            told = [(one.status_code, one.headers.get("www-authenticate")) for one in answers]
            assert told == [(401, "Bearer")] * 7
        assert client.get("/health", headers=shown).json() == {"status": "alive"}
        assert [client.get(path, headers=right).status_code for path in gets] == [200] * 5
        assert client.post("/predict", json={"row": ROW}, headers=right).status_code == 200


def test_who_asks_too_often_in_a_second_is_told_to_come_again(root, start):
    project(root, max_requests_a_second="20")
    client = start()
    answers = [client.get("/metrics") for _ in range(60)]
    late = [one for one in answers if one.status_code != 200]
    assert {(one.status_code, one.headers["retry-after"]) for one in late} == {(429, "2")}
    assert answers[0].status_code == 200
    assert client.get("/health").status_code == 200


def test_a_token_that_is_named_has_to_be_set(root, monkeypatch):
    monkeypatch.delenv("CHURN_TOKEN", raising=False)
    project(root, token_variable="CHURN_TOKEN")
    with pytest.raises(ParamsError, match="the environment variable CHURN_TOKEN is not set"):
        ModelService(root)


def test_the_figures_hold_what_was_answered_and_what_monitoring_found(root, client):
    predict(client, rows=[ROW, ROW])
    window = TimeWindow(day(1), day(2))
    found = {'ml_drift_score{feature="age"}': 1.5, "ml_input_drift": 2.0}
    log_of(root).save_window_record(kind="metrics", version="", window=window, record=found)
    lines = client.get("/metrics").text.splitlines()
    assert "ml_predictions_total 2.0" in lines
    assert 'ml_drift_score{feature="age"} 1.5' in lines
    assert 'ml_model_info{alias="champion",version="1"} 1.0' in lines
