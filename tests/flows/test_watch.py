from pathlib import Path

import pytest
from mlflow import MlflowClient

from evertune.evaluation.baselines import BaselineResult
from evertune.orchestration.listeners import mlflow_listener, terminal_listener
from evertune.orchestration.progress import TrialsSnapshot
from evertune.registry.mlflow_client import TrackingStore, open_tracking_store
from evertune.trials import Configuration, SearchHeader, Trial

HEADER = SearchHeader("digest", "roc_auc", True, 5, 60.0, None)
TRIALS = tuple(
    Trial(number, Configuration("linear"), "complete", (), number / 10, None, 1.0)
    for number in range(3)
)
NOWHERE = TrackingStore("http://127.0.0.1:9", "0", "churn", "here")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrackingStore:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return open_tracking_store(tmp_path, "churn")


def runs(store: TrackingStore) -> list[str]:
    found = MlflowClient(store.address).search_runs([store.experiment_id])
    return sorted(run.info.run_name for run in found)


def test_the_terminal_shows_the_line_and_the_part_that_is_done() -> None:
    shown: list[tuple[str, float | None]] = []
    rule = BaselineResult("rule", "none", "", (), {"roc_auc": 0.1}, 0.0, 0.0)
    terminal_listener(lambda text, done: shown.append((text, done)), [rule])(
        TrialsSnapshot(HEADER, TRIALS, 3), 30
    )
    line = "3 trials, best roc_auc 0.2000 (linear), best baseline 0.1000 (rule), 0:30 left"
    assert shown == [(line, 0.5)]


@pytest.mark.slow
def test_trials_get_runs_as_they_end_and_each_only_one(store: TrackingStore) -> None:
    tell = mlflow_listener(store, title="search", most=10)
    tell(TrialsSnapshot(HEADER, TRIALS[:1], 1), 1.0)
    assert len(runs(store)) == 2
    tell(TrialsSnapshot(HEADER, TRIALS, 3), 2.0)
    tell(TrialsSnapshot(HEADER, TRIALS, 3), 2.5)
    assert len(runs(store)) == 4


@pytest.mark.slow
def test_no_new_trial_makes_no_new_run(store: TrackingStore) -> None:
    mlflow_listener(store, title="search", most=10)(TrialsSnapshot(HEADER, TRIALS, 0), 1.0)
    assert runs(store) == []


@pytest.mark.slow
def test_a_search_goes_on_where_mlflow_stops_answering(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    tell = mlflow_listener(NOWHERE, title="search", most=10)
    tell(TrialsSnapshot(HEADER, TRIALS, 3), 1.0)
    tell(TrialsSnapshot(HEADER, TRIALS, 3), 2.0)
    assert capsys.readouterr().out.count("goes on without MLflow") == 1
