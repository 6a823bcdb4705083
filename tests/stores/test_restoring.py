import subprocess

import pytest

from evertune.errors import StageError
from evertune.registry.mlflow_client import open_run, open_tracking_store
from evertune.registry.reproduce import (
    COMMIT_TAG,
    environment_text,
    lock_code,
    read_lock,
    restore_code,
    restore_data,
    restore_project_files,
)
from evertune.registry.versions import ModelVersion
from tests import production
from tests.stores.test_revisions import git

OLD = {"pipelines/fit.py": "old", "pipelines/rebuild.py": "", "my_metrics.py": "mine"}


def version(**tags):
    return ModelVersion("1", "identity", "run", 0.0, "source", tags, ())


def written(root, files):
    for place, text in files.items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_text(text)


def md5_of(path):
    done = subprocess.run(["md5sum", path], capture_output=True, text=True, check=True)
    return done.stdout.split()[0]


@pytest.fixture
def root(tmp_path):
    """Return a project in git whose code was changed since its commit."""
    written(tmp_path / "project", OLD)
    git(tmp_path / "project", "init", "-q")
    git(tmp_path / "project", "add", ".")
    git(tmp_path / "project", "commit", "-qm", "a")
    return tmp_path / "project"


@pytest.fixture
def folder(tmp_path, root):
    """Return a folder whose dvc.lock names the old code."""
    made = tmp_path / "made"
    md5 = md5_of(root / "pipelines/fit.py")
    entry = f"{{path: pipelines/fit.py, hash: md5, md5: '{md5}'}}"
    written(made, {"dvc.lock": f"schema: '2.0'\nstages:\n  fit:\n    deps: [{entry}]\n"})
    return made


def commit_of(root):
    return {COMMIT_TAG: git(root, "rev-parse", "HEAD")}


def test_code_that_is_as_it_was_is_taken_as_it_is(root, folder):
    found = restore_code(root, version(**commit_of(root)), folder=folder)
    assert (found.what, found.changed) == ("the code at hand", ())
    assert (folder / "my_metrics.py").read_text() == "mine"


def test_code_that_was_changed_comes_from_the_recorded_commit(root, folder):
    written(root, {"pipelines/fit.py": "new", "my_metrics.py": "other"})
    found = restore_code(root, version(**commit_of(root)), folder=folder)
    assert found.what.startswith("the code of commit ")
    assert (folder / "pipelines/fit.py").read_text() == "old"
    assert (folder / "my_metrics.py").read_text() == "mine"


@pytest.mark.parametrize("tags", [{}, {COMMIT_TAG: "0" * 40}])
def test_changed_code_without_its_commit_is_taken_as_it_is_and_told(root, folder, tags):
    written(root, {"pipelines/fit.py": "new"})
    found = restore_code(root, version(**tags), folder=folder)
    assert found.changed == ("pipelines/fit.py",)
    assert (folder / "pipelines/fit.py").read_text() == "new"


def test_a_commit_that_cannot_make_versions_again_is_not_taken(root, folder):
    git(root, "rm", "-q", "pipelines/rebuild.py")
    git(root, "commit", "-qm", "b")
    written(root, {"pipelines/fit.py": "new"})
    found = restore_code(root, version(**commit_of(root)), folder=folder)
    assert found.what == "the code at hand"


def test_a_lock_tells_the_code(folder):
    assert lock_code(read_lock(folder)).keys() == {"pipelines/fit.py"}


def test_a_version_without_the_md5_of_its_data_is_refused(tmp_path):
    production.project(tmp_path)
    with pytest.raises(StageError, match=r"version 1 to carry the tag dvc\.source"):
        restore_data(tmp_path, version(), folder=tmp_path)


@pytest.mark.slow
def test_a_run_that_keeps_nothing_of_its_project_is_named(state, tmp_path):
    store = open_tracking_store(state, "churn")
    made = ModelVersion("1", "i", open_run(store, "digest", title="a"), 0.0, "source", {}, ())
    with pytest.raises(StageError, match="expected project among the artifacts of run"):
        restore_project_files(store, made, folder=tmp_path)


def test_the_environment_has_a_line_for_each_package():
    assert any(line.startswith("pandas==") for line in environment_text().splitlines())
