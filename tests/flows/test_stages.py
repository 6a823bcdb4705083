import shutil
from pathlib import Path

import pytest

from evertune.errors import StageError
from evertune.stages import split
from evertune.stages.runner import run_and_record, run_outdated_stages, stage_function
from evertune.versioning import dvc

CHECKOUT = Path(__file__).parents[2]
STAGES = "stages:\n  double:\n    cmd: none\n    deps: [half.txt]\n    outs: [whole.txt]\n"

pytestmark = pytest.mark.slow


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a project with one small stage, `double`."""
    shutil.copy2(CHECKOUT / "params.yaml", tmp_path)
    (tmp_path / "dvc.yaml").write_text(STAGES)
    (tmp_path / "half.txt").write_text("1")
    dvc.ensure_project(tmp_path)
    return tmp_path


def test_what_a_stage_made_is_recorded(root: Path) -> None:
    run_and_record(root, "double", run=lambda: (root / "whole.txt").write_text("2") and None)
    assert dvc.is_stage_current(root, "double")


def test_what_a_stage_made_is_not_recorded_where_a_dependency_changed_meanwhile(root: Path) -> None:
    def run() -> None:
        (root / "whole.txt").write_text("2")
        (root / "half.txt").write_text("3")

    with pytest.raises(StageError, match=r"half\.txt changed while 'double' ran"):
        run_and_record(root, "double", run=run)
    assert not dvc.is_stage_current(root, "double")


def test_what_a_failed_stage_made_is_not_recorded(root: Path) -> None:
    def run() -> None:
        (root / "whole.txt").write_text("half of it")
        raise StageError("no room")

    with pytest.raises(StageError, match="no room"):
        run_and_record(root, "double", run=run)
    assert not dvc.is_stage_current(root, "double")


def test_a_stage_is_the_run_of_its_module() -> None:
    assert stage_function("split") is split.run


def test_what_is_up_to_date_is_told_and_not_run(root: Path) -> None:
    run_and_record(root, "double", run=lambda: (root / "whole.txt").write_text("2") and None)
    told: list[tuple[str, str]] = []
    ran = run_outdated_stages(root, lambda name, text: told.append((name, text)))
    assert (ran, told) == ((), [("double", "up to date")])
