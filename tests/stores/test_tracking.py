import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from evertune.errors import BusyError, StageError, UnsafeError
from evertune.registry.mlflow_client import create_client, log_trials, open_run, open_tracking_store
from evertune.trials import Configuration, FoldResult, Trial

pytestmark = pytest.mark.slow


@pytest.fixture
def store(state):
    return open_tracking_store(state, "churn")


def runs(store):
    return create_client(store.address).search_runs([store.experiment_id])


def nested(store):
    return sorted(r.info.run_name for r in runs(store) if "evertune.trial" in r.data.tags)


def trial(number, score, status="complete"):
    folds = (FoldResult(0, {"f1": score}, 1.0, 0.1),)
    return Trial(number, Configuration("tree", {"depth": number}), status, folds, score, None, 1.0)


def logged(store, run_id, trials, most=10):
    log_trials(store, run_id, trials=trials, greater_is_better=True, most=most)


def test_an_experiment_is_made_once_with_its_files_in_the_project(state):
    first, second = open_tracking_store(state, "churn"), open_tracking_store(state, "churn")
    kept = create_client(first.address).get_experiment(first.experiment_id).artifact_location
    assert first == second
    assert kept == (state / "artifacts").as_uri()


def test_runs_that_start_at_once_share_one_experiment(state, store):
    with ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(partial(open_tracking_store, state), ["sales"] * 8))
    named = create_client(store.address).search_experiments(filter_string="name = 'sales'")
    assert {each.experiment_id for each in opened} == {named[0].experiment_id}
    assert len(named) == 1


def test_an_experiment_that_was_deleted_is_named_with_its_remedy(store, state):
    create_client(store.address).delete_experiment(store.experiment_id)
    with pytest.raises(StageError, match="'churn', but it was deleted: restore it with"):
        open_tracking_store(state, "churn")


def test_a_project_that_was_moved_is_refused(state):
    open_tracking_store(state, "churn")
    moved = state.rename(state.with_name("moved"))
    with pytest.raises(UnsafeError, match="the project was moved; move it back"):
        open_tracking_store(moved, "churn")


def test_the_address_in_the_environment_is_used(state, tmp_path, monkeypatch):
    (tmp_path / "shared").mkdir()
    address = f"sqlite:///{(state / 'mlflow.db').rename(tmp_path / 'shared/runs.db')}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert open_tracking_store(state, "churn").address == address
    assert not (state / "mlflow.db").exists()


def test_a_server_that_is_down_is_told_at_once(state, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(BusyError, match=r"answer from http://127\.0\.0\.1:9, but got"):
        open_tracking_store(state, "churn")


def test_the_run_of_a_search_is_found_again(store):
    run_id = open_run(store, "a", title="first")
    assert open_run(store, "a", title="again") == run_id
    assert open_run(store, "b", title="other") != run_id


def test_a_run_is_given_to_one_result_for_good(store):
    followed = open_run(store, "a", title="search")
    first = open_run(store, "a", title="search", result="1")
    second = open_run(store, "a", title="search", result="2")
    assert first == followed == open_run(store, "a", title="search", result="1")
    assert second not in (first, open_run(store, "a", title="a search done again"))


def test_a_run_whose_process_died_is_marked_killed(store):
    dead = open_run(store, "a", title="killed")
    open_run(store, "b", title="next")
    assert create_client(store.address).get_run(dead).info.status == "KILLED"


def test_a_run_id_in_the_environment_is_not_written_to(store, monkeypatch):
    other = open_run(store, "a", title="other")
    monkeypatch.setenv("MLFLOW_RUN_ID", other)
    assert open_run(store, "b", title="mine") != other
    assert "MLFLOW_RUN_ID" not in os.environ


def test_only_the_best_trials_have_a_run_of_their_own(store):
    run_id = open_run(store, "a", title="search")
    logged(store, run_id, [trial(0, 0.1), trial(1, 0.2)], most=2)
    logged(store, run_id, [trial(0, 0.1), trial(1, 0.2), trial(2, 0.3)], most=2)
    assert nested(store) == ["trial 1: tree 0.2", "trial 2: tree 0.3"]


def test_logging_trials_twice_shows_each_once(store):
    run_id = open_run(store, "a", title="search")
    for _ in range(2):
        logged(store, run_id, [trial(0, 0.1), trial(1, 0.2)])
    curve = create_client(store.address).get_metric_history(run_id, "search/best")
    assert nested(store) == ["trial 0: tree 0.1", "trial 1: tree 0.2"]
    assert [point.value for point in curve] == [0.1, 0.2]


def test_a_trial_that_was_half_logged_is_logged_anew(store):
    run_id = open_run(store, "a", title="search")
    tags = {"mlflow.parentRunId": run_id, "evertune.trial": "0", "evertune.project": store.project}
    create_client(store.address).create_run(store.experiment_id, tags=tags, run_name="half")
    run_id = open_run(store, "a", title="search")
    logged(store, run_id, [trial(0, 0.1)])
    assert nested(store) == ["trial 0: tree 0.1"]


def test_a_trial_shows_its_figures_and_settings_below_its_search(store):
    run_id = open_run(store, "a", title="search")
    logged(store, run_id, [trial(3, 0.1, "stopped")])
    data = next(run.data for run in runs(store) if "evertune.trial" in run.data.tags)
    assert data.params == {"family": "tree", "depth": "3"}
    assert data.metrics["partial/f1"] == 0.1
    assert data.tags["mlflow.parentRunId"] == run_id


def test_what_mlflow_refuses_is_told_in_one_message(store):
    with pytest.raises(StageError, match=r"MLflow at sqlite:.* refuses: .*Run with id"):
        logged(store, "0" * 32, [trial(0, 0.1)])
