from datetime import UTC, datetime
from pathlib import Path

import pytest

from evertune.cli.up import DecisionFeed, read_new_decisions
from evertune.database import closing_log
from evertune.decisions import DecisionOutcome, MonitoringDecision
from evertune.registry.decision_log import record_decision, record_outcome
from tests.flows.conftest import copied_project

DAY = datetime(2024, 11, 20, tzinfo=UTC)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return copied_project(tmp_path / "project")


def decided(root: Path, number: int, action: str) -> None:
    decision = MonitoringDecision(
        f"d{number}", DAY, "churn", "1", action, ("the loss rose", "since May")
    )
    with closing_log(root / "state", model="churn", variable=None) as log:
        record_decision(log, decision)


def test_a_decision_is_told_once_with_its_first_reason(root: Path) -> None:
    decided(root, 1, "retune")
    first = read_new_decisions(root, DecisionFeed())
    assert first.lines == ("2024-11-20 retune: the loss rose",)
    assert read_new_decisions(root, first).lines == ()


def test_what_came_of_a_decision_is_told(root: Path) -> None:
    decided(root, 1, "retune")
    before = read_new_decisions(root, DecisionFeed())
    with closing_log(root / "state", model="churn", variable=None) as log:
        record_outcome(log, DecisionOutcome("d1", DAY, "promoted", "2", "it is better"))
    assert read_new_decisions(root, before).lines == (
        "2024-11-20 promoted version 2: it is better",
    )
