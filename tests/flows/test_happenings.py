from datetime import UTC, datetime
from pathlib import Path

import pytest

from flows.happenings import News, news_since
from pipelines.core.findings import Decision, Outcome
from pipelines.stores.database import opened_log
from pipelines.stores.decisions import record_decision, record_outcome
from tests.flows.conftest import copied_project

DAY = datetime(2024, 11, 20, tzinfo=UTC)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return copied_project(tmp_path / "project")


def decided(root: Path, number: int, action: str) -> None:
    decision = Decision(f"d{number}", DAY, "churn", "1", action, ("the loss rose", "since May"))
    with opened_log(root / "state", model="churn", variable=None) as log:
        record_decision(log, decision)


def test_a_decision_is_told_once_with_its_first_reason(root: Path) -> None:
    decided(root, 1, "retune")
    first = news_since(root, News())
    assert first.lines == ("2024-11-20 retune: the loss rose",)
    assert news_since(root, first).lines == ()


def test_what_came_of_a_decision_is_told(root: Path) -> None:
    decided(root, 1, "retune")
    before = news_since(root, News())
    with opened_log(root / "state", model="churn", variable=None) as log:
        record_outcome(log, Outcome("d1", DAY, "promoted", "2", "it is better"))
    assert news_since(root, before).lines == ("2024-11-20 promoted version 2: it is better",)
