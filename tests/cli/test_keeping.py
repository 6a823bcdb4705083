import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import Result

from evertune.files import project_lock
from evertune.registry.mlflow_registry import ModelRegistry
from evertune.registry.overview import list_models
from evertune.versioning import dvc
from evertune.versioning.dvc import iter_cache_objects
from tests.support import kept
from tests.support.projects import invoke
from tests.support.registries import open_state

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning"),  # DVC's own
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, new_database: Path) -> Path:
    """Return a project with four versions: of the second, a refit chose the training window."""
    root = kept.project(tmp_path_factory.mktemp("kept") / "project", new_database)
    kept.train(root, n_days=20)
    kept.train(root, n_days=40, plan=kept.REFIT)
    kept.train(root, n_days=60)
    kept.train(root, n_days=80)
    return root


@pytest.fixture(scope="module")
def before(root: Path) -> dict[str, bytes]:
    """Return the project's own files as they were before anything was made again or removed."""
    return own_files(root)


@pytest.fixture(scope="module")
def collected(root: Path, before: dict[str, bytes]) -> Result:
    """Return how `evertune gc` went, after `dvc gc --dry` was asked what it would remove."""
    assert before
    return invoke(root, "gc")


@pytest.fixture(scope="module")
def first(root: Path, collected: Result) -> Result:
    """Return how making the first version again went, after space was freed."""
    assert collected.exit_code == 0
    return invoke(root, "reproduce", "1")


def own_files(root: Path) -> dict[str, bytes]:
    found = [root / "params.yaml", *dvc.pointer_files(root)]
    found += [path for path in (root / "data").rglob("*") if path.is_file()]
    return {str(path): path.read_bytes() for path in found}


def source_of(root: Path, number: str) -> str:
    return next(each.data["source"] for each in list_models(root) if each.number == number)


def store_of(root: Path) -> ModelRegistry:
    return open_state(root / "state")


def in_store(root: Path) -> set[str]:
    return {each.md5 for each in iter_cache_objects(dvc.cache_folder(root))}


def test_a_version_trained_three_versions_ago_is_made_again(first):
    assert first.exit_code == 0, first.stdout + first.stderr
    assert "version 1 was reproduced: nothing differs" in first.stdout
    assert "predictions of the hold-out" in first.stdout


@pytest.mark.usefixtures("first")
def test_nothing_of_the_project_is_touched(root, before):
    assert own_files(root) == before


@pytest.mark.usefixtures("first")
def test_neither_the_versions_nor_their_aliases_are_touched(root):
    said = invoke(root, "models").stdout
    numbers = [line.split()[0] for line in said.splitlines()[1:]]
    assert numbers == ["4", "3", "2", "1"]


@pytest.mark.usefixtures("collected")
def test_dvc_alone_would_have_removed_what_the_first_version_needs(root, tmp_path):
    shutil.copytree(root, tmp_path / "copy", symlinks=True)
    command = [sys.executable, "-m", "dvc", "gc", "-w", "-f"]
    subprocess.run(command, cwd=tmp_path / "copy", check=True, capture_output=True)
    assert source_of(root, "1") in in_store(root)
    assert source_of(root, "1") not in in_store(tmp_path / "copy")


def test_pools_of_versions_are_freed_but_the_list_of_their_models_stays(root, collected):
    lists = [md5 for md5 in in_store(root) if md5.endswith(".dir")]
    kept_here, missing = in_store(root), 0
    for md5 in lists:
        listed = json.loads((dvc.cache_folder(root) / md5[:2] / md5[2:]).read_bytes())
        missing += not {entry["md5"] for entry in listed} <= kept_here
    assert missing == 3
    assert "files that no version and no project needs" in collected.stdout


@pytest.mark.usefixtures("collected")
def test_every_stage_stays_up_to_date(root):
    assert all(dvc.is_stage_current(root, stage) for stage in dvc.list_stages(root))


@pytest.mark.usefixtures("first")
def test_what_was_made_again_is_freed_and_a_dry_run_only_tells(root):
    done = invoke(root, "gc", "--dry-run")
    assert "in 1: versions that were made again" in done.stdout
    assert "files that no version and no project needs" not in done.stdout
    assert (root / "state/reproduced/1").is_dir()


def test_versions_are_found_by_the_data_that_they_learned_from(root):
    done = invoke(root, "models", "--used", source_of(root, "2")[:8])
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["version", "2"]
    assert "refit" in done.stdout


@pytest.mark.usefixtures("first")
def test_a_folder_that_is_not_empty_is_refused(root):
    done = invoke(root, "reproduce", "1")
    assert done.exit_code == 2
    assert "expected an empty folder or none" in done.stderr


def test_nothing_is_freed_while_a_run_holds_the_project(root):
    with project_lock(root / "state", "evertune train"):
        done = invoke(root, "gc")
    assert done.exit_code == 75
    assert "'evertune train'" in done.stderr


@pytest.mark.usefixtures("first")
def test_a_refit_is_made_again_but_for_a_changed_figure_which_is_told_and_ends_with_three(
    root, tmp_path
):
    run_id = next(each.run_id for each in store_of(root).versions() if each.number == "2")
    (kept_figures,) = (root / "state/artifacts").glob(f"{run_id}/artifacts/figures.json")
    figures = json.loads(kept_figures.read_text())
    for scores in (figures["holdout"], *(row["holdout"] for row in figures["baselines"])):
        scores["roc_auc"] += 0.001
    kept_figures.write_text(json.dumps(figures))
    done = invoke(root, "reproduce", "2", "--into", str(tmp_path / "second"))
    assert done.exit_code == 3
    assert "version 2 was not reproduced: 1 of" in done.stdout  # all else is as recorded
    assert re.search(r"DIFFERS +hold-out roc_auc", done.stdout)
    assert (tmp_path / "second/data/model/windows.json").is_file()
