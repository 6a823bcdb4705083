import os
from pathlib import Path

import pytest

from evertune.orchestration.environment import DEFAULTS, set_defaults


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    empty: dict[str, str] = {}
    monkeypatch.setattr(os, "environ", empty)
    return empty


def test_no_tool_reports_home(environment: dict[str, str]) -> None:
    set_defaults(Path("/project/state"))
    assert environment["DO_NOT_TRACK"] == "1"
    assert environment.items() >= DEFAULTS.items()


def test_what_a_person_has_set_wins(environment: dict[str, str]) -> None:
    environment["PREFECT_HOME"] = "/mine"
    set_defaults(Path("/project/state"))
    assert environment["PREFECT_HOME"] == "/mine"


def test_prefects_files_lie_below_state(environment: dict[str, str]) -> None:
    set_defaults(Path("/project/state"))
    assert environment["PREFECT_HOME"] == "/project/state/prefect"
