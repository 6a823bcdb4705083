from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from evertune.cli.versions import app
from tests import production, versioned

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return versioned.learned(tmp_path_factory.mktemp("learned"))


@pytest.fixture
def root(tmp_path: Path, state: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    assert state.is_dir()
    made = versioned.project(tmp_path, model)
    production.rows(0, 5).to_csv(made / "new.csv", index=False)
    monkeypatch.chdir(made)
    return made


def evertune(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_a_version_is_judged_and_the_page_named(root: Path) -> None:
    found = evertune("--model", "champion", "--data", "new.csv", "--out", "pages")
    assert found.exit_code == 0
    assert f"the page: {root}/pages/report/report.html" in found.output


def test_a_file_that_is_not_there_ends_with_2_and_one_message(root: Path) -> None:
    assert root.is_dir()
    found = evertune("--model", "champion", "--data", "newer.csv")
    assert (found.exit_code, "newer.csv: no such file" in found.output) == (2, True)
