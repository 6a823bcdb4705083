import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from evertune.config.loader import load_params
from evertune.errors import InputError, TableError
from evertune.files import template_folder
from evertune.identity import PROJECT_FILE
from evertune.scaffold import init_project
from tests.support.projects import CHECKOUT, made_small

TABLE = "age,sex,bought\n" + "".join(f"{n % 7},{'mf'[n % 2]},{n % 3 == 0}\n" for n in range(60))


def test_a_project_has_the_flows_and_stages_of_the_reference_project(tmp_path: Path) -> None:
    root = tmp_path / "models" / "churn"
    assert init_project(root) is None
    for name in ("flows/train.py", "pipelines/search.py", "dvc.yaml", ".gitignore"):
        assert (root / name).read_bytes() == (template_folder() / name).read_bytes()
    assert {name for name in (".git", ".dvc") if (root / name).is_dir()} == {".git", ".dvc"}
    assert (root / PROJECT_FILE).is_file()


def test_the_short_params_mean_what_the_reference_project_says(tmp_path: Path) -> None:
    init_project(tmp_path / "demo")
    ours, theirs = load_params(tmp_path / "demo"), load_params(CHECKOUT)
    for name in type(ours).model_fields:
        if name != "paths":
            assert getattr(ours, name) == getattr(theirs, name)
    assert [name for name, _ in ours.paths] == [name for name, _ in theirs.paths]


def test_a_table_is_looked_at_and_named(tmp_path: Path) -> None:
    (tmp_path / "shop.csv").write_text(TABLE)
    found = init_project(tmp_path / "demo", data=str(tmp_path / "shop.csv"), target="bought")
    params = load_params(tmp_path / "demo")
    assert found is not None
    assert (params.data.target, params.registry.name) == ("bought", "shop")


def test_a_table_that_cannot_be_used_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "shop.csv").write_text(TABLE)
    with pytest.raises(TableError, match="sold"):
        init_project(tmp_path / "demo", data=str(tmp_path / "shop.csv"), target="sold")
    assert not (tmp_path / "demo").exists()


def test_a_folder_with_params_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").touch()
    with pytest.raises(InputError, match=r"is a project already: it has a params\.yaml\.$"):
        init_project(tmp_path)


def test_a_repository_is_used_and_its_ignored_files_stay_ignored(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / ".gitignore").write_text("mine\n")
    init_project(tmp_path / "demo")
    assert not (tmp_path / "demo" / ".git").exists()
    lines = (tmp_path / "demo" / ".gitignore").read_text().splitlines()
    assert lines[0] == "mine"
    assert "/state/" in lines
    done = subprocess.run(
        ["git", "check-ignore", "demo/data/project.json"], cwd=tmp_path, check=False
    )
    assert done.returncode == 1


@pytest.mark.slow
def test_the_wheel_alone_makes_and_trains_a_project(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="hatchling builds the wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=CHECKOUT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    venv.create(tmp_path / "venv", with_pip=False)
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (site / "installed.pth").write_text(str(Path(pd.__file__).parents[1]))
    python = str(tmp_path / "venv" / "bin" / "python")

    def evertune(folder: Path, *arguments: str) -> str:
        command = [python, "-m", "evertune.cli.app", *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    evertune(tmp_path, "init", "demo")
    root = made_small(tmp_path / "demo")
    assert "Version 1 is now the champion" in evertune(root, "train")
    assert "version 1 is the champion" in evertune(root, "status")
    assert "monitor " in evertune(root, "monitor")
    code = "import evertune; print(evertune.__file__, evertune.TunedClassifier.__name__)"
    said = subprocess.run(
        [python, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert said.split() == [str(site / "evertune" / "__init__.py"), "TunedClassifier"]


def test_a_folder_that_the_repository_around_it_ignores_gets_one_of_its_own(tmp_path):
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    (tmp_path / ".gitignore").write_text("/demo/\n")
    init_project(tmp_path / "demo")
    added = subprocess.run(["git", "add", "."], cwd=tmp_path / "demo", check=False)
    assert added.returncode == 0
    kept = subprocess.check_output(["git", "ls-files"], cwd=tmp_path / "demo", text=True)
    assert "params.yaml" in kept
    assert ".dvc/tmp" not in kept
