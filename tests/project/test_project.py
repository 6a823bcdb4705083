import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import pytest

from evertune.errors import InputError, ParamsError, UnsafeError
from evertune.identity import PROJECT_FILE, project_id
from evertune.project import Project, registry_name


def test_an_id_is_made_once_and_kept(tmp_path: Path) -> None:
    first = project_id(tmp_path)
    assert UUID(first).version == 4
    assert project_id(tmp_path) == first
    assert json.loads((tmp_path / PROJECT_FILE).read_text()) == {"schema_version": 1, "id": first}
    assert [file.name for file in (tmp_path / "data").iterdir()] == ["project.json"]


def test_processes_that_ask_at_once_get_the_same_id(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(project_id, [tmp_path] * 16))) == 1


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"schema_version": 1, "id": "churn"}'])
def test_a_file_that_holds_no_id_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / PROJECT_FILE).write_text(content)
    with pytest.raises(InputError, match=r"project\.json: expected"):
        project_id(tmp_path)


def test_the_file_of_a_later_release_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / PROJECT_FILE).write_text(
        '{"schema_version": 2, "id": "1b671a64-40d5-491e-99b0-da01ff1f3341"}'
    )
    with pytest.raises(InputError, match="Update evertune"):
        project_id(tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(UnsafeError):
        project_id(tmp_path)


def test_a_folder_without_params_is_no_project(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="evertune init"):
        Project(tmp_path)


def test_a_project_is_found_from_a_folder_inside_it(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").touch()
    (tmp_path / "deep" / "er").mkdir(parents=True)
    assert Project.find(tmp_path / "deep" / "er").root == tmp_path


def test_importing_a_project_imports_nothing_heavy() -> None:
    heavy = {"pandas", "numpy", "sklearn", "mlflow", "prefect", "ray", "dvc", "sqlalchemy"}
    code = "import sys, evertune; evertune.Project; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not heavy & set(done.stdout.split())


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("a/telco churn.csv.gz", "telco-churn"),
        ("/data/Kündigungen 2.parquet", "Kundigungen-2"),
        ("e\u0301te\u0301 (50 %) #1.csv", "ete-50-1"),
        ("\u5ba2\u6237.csv", "model"),
        ("x" * 250 + ".csv", "x" * 100),
        ("_.sql", "model"),
        (".csv", "model"),
        ("v1.2.csv", "v1.2"),
    ],
)
def test_a_model_is_named_after_its_file(file: str, name: str) -> None:
    assert registry_name(file) == name
