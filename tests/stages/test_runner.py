import shutil
import sys
from pathlib import Path

import pytest

from evertune.errors import StageError
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


@pytest.mark.parametrize("name", ["prepare", "split", "baseline", "search", "fit", "evaluate"])
def test_a_stage_is_the_run_of_its_file(name: str) -> None:
    assert stage_function(CHECKOUT, name).__name__ == "run"


def test_each_project_has_its_own_stages(tmp_path: Path) -> None:
    for project in ("one", "two"):
        (tmp_path / project / "pipelines").mkdir(parents=True)
        text = f"def run() -> str:\n    return {project!r}\n"
        (tmp_path / project / "pipelines" / "split.py").write_text(text)
    before, path = set(sys.modules), list(sys.path)
    runs = [stage_function(tmp_path / project, "split") for project in ("one", "two")]
    assert [run() for run in runs] == ["one", "two"]
    assert sys.path == path
    assert not {"pipelines", "pipelines.split"} & (set(sys.modules) - before)


def test_an_edited_stage_is_loaded_anew(tmp_path: Path) -> None:
    file = tmp_path / "pipelines" / "split.py"
    file.parent.mkdir()
    for answer in (1, 22):
        file.write_text(f"def run() -> int:\n    return {answer}\n")
        assert stage_function(tmp_path, "split")() == answer


@pytest.mark.parametrize(
    ("text", "words"),
    [(None, r"split.py, but there is no such file"), ("", r"a function `run` in .*split.py")],
)
def test_a_stage_without_a_file_or_a_function_is_refused(
    tmp_path: Path, text: str | None, words: str
) -> None:
    (tmp_path / "pipelines").mkdir()
    if text is not None:
        (tmp_path / "pipelines" / "split.py").write_text(text)
    with pytest.raises(StageError, match=words):
        stage_function(tmp_path, "split")


def test_a_stage_that_is_up_to_date_is_reported_and_not_run(root: Path) -> None:
    run_and_record(root, "double", run=lambda: (root / "whole.txt").write_text("2") and None)
    reported: list[tuple[str, str]] = []
    ran = run_outdated_stages(root, lambda name, text: reported.append((name, text)))
    assert (ran, reported) == ((), [("double", "up to date")])


def test_a_stage_of_an_earlier_release_is_refused_with_what_to_do(root: Path) -> None:
    (root / "pipelines").mkdir()
    (root / "pipelines" / "fit.py").write_text("from evertune.stages.fit import of_old")
    with pytest.raises(StageError, match=r"fit\.py, but: .*of_old.* run `evertune upgrade`"):
        stage_function(root, "fit")
