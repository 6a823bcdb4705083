from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from evertune.cli.app import app
from evertune.files import project_lock
from evertune.registry.decision_log import DecisionLog
from tests.support import production, versioned

pytestmark = pytest.mark.slow


@pytest.fixture
def root(versions_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project, in which the commands are started."""
    (versions_root / "dvc.yaml").write_text("")
    monkeypatch.chdir(versions_root)
    return versions_root


def evertune(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_a_version_is_promoted_and_rolled_back_and_the_history_tells(root: Path) -> None:
    promoted = evertune("promote", "3", "--reason", "the campaign needs it", "--by", "ada")
    back = evertune("rollback", "--reason", "complaints")
    assert (promoted.exit_code, back.exit_code) == (0, 0)
    assert "version 2 is the champion in place of version 3" in back.output
    lines = evertune("history").output.splitlines()
    assert [line.split("  ")[1] for line in lines[2:]] == ["2", "3", "2"]
    assert versioned.aliases_of(root)["champion"] == "2"


def test_a_version_that_waits_is_approved_or_rejected(root: Path) -> None:
    DecisionLog(production.log_of(root)).save_record(versioned.waiting())
    rejected = evertune("approve", "3", "--reject", "--reason", "not before the audit")
    approved = evertune("approve", "3", "--reason", "looked at slices")
    assert "version 2 is the champion; decision" in rejected.output
    assert (rejected.exit_code, approved.exit_code) == (0, 2)
    assert "approval: keep" in evertune("history", "--decisions").output


@pytest.mark.parametrize(
    "command", ["promote 9 --reason x", "rollback --to 3", "approve 3 --reason x"]
)
def test_a_refusal_is_one_error_with_exit_code_2(root: Path, command: str) -> None:
    done = evertune(*command.split())
    assert (done.exit_code, done.stderr.count("Error: ")) == (2, 1)
    assert versioned.aliases_of(root) == versioned.ALIASES


def test_a_project_that_another_run_holds_is_busy(root: Path) -> None:
    with project_lock(root / "state", "evertune train"):
        done = evertune("promote", "3", "--reason", "x")
    assert done.exit_code == 75
    assert "evertune train" in done.stderr


def test_a_version_is_judged_and_the_page_named(root: Path) -> None:
    production.rows(0, 5).to_csv(root / "new.csv", index=False)
    found = evertune("evaluate", "--model", "champion", "--data", "new.csv", "--out", "pages")
    assert found.exit_code == 0
    assert f"the page: {root}/pages/report/report.html" in found.output


@pytest.mark.usefixtures("root")
def test_a_file_that_is_not_there_ends_with_2_and_one_message() -> None:
    found = evertune("evaluate", "--model", "champion", "--data", "newer.csv")
    assert (found.exit_code, "newer.csv: no such file" in found.output) == (2, True)
