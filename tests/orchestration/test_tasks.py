from pathlib import Path

import pytest
from prefect import flow
from prefect.states import Failed

from evertune.errors import BusyError, EvertuneError, StageError, TableError
from evertune.orchestration import tasks
from tests.support import production
from tests.support.projects import free_port


@pytest.mark.parametrize(("failure", "again"), [(BusyError("full"), True), (TableError(""), False)])
def test_only_what_may_pass_is_tried_again(failure: EvertuneError, again: bool) -> None:
    assert tasks.is_busy(None, None, Failed(data=failure)) is again


@pytest.mark.slow
@pytest.mark.usefixtures("client")
def test_a_server_that_stays_away_ends_a_step_that_can_be_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setattr(tasks, "RETRY_SECONDS", [0.0, 0.0])
    production.rows(0, 1).to_csv(tmp_path / "rows.csv", index=False)
    root = production.project(tmp_path, source="rows.csv")
    words = f"'score' failed in 3 attempts: .*{address}.*same command goes on"
    with pytest.raises(StageError, match=words):
        flow(persist_result=False)(lambda: tasks.score_table(str(root)))()
