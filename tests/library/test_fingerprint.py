"""Which edits change the fingerprint of which stage, tried on a copy of the package."""

import shutil
from pathlib import Path

import pytest

from evertune import fingerprint

pytestmark = pytest.mark.slow  # seconds each, or processes of its own

CHECKOUT = Path(__file__).parents[2]
ALL = set(fingerprint.STAGES)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """Return a project beside a copy of the package, whose code is fingerprinted."""
    folder = tmp_path_factory.mktemp("original")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(CHECKOUT / "evertune", folder / "evertune", ignore=ignored)
    shutil.copytree(CHECKOUT / "pipelines", folder / "pipelines", ignore=ignored)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fingerprint, "PACKAGE", folder / "evertune")
        fingerprint.write_fingerprints(folder)
    return folder


@pytest.fixture
def root(original, tmp_path, monkeypatch):
    """Return a copy of that project."""
    shutil.copytree(original, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(fingerprint, "PACKAGE", tmp_path / "evertune")
    return tmp_path


def edit(path, text):
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


def changed(root):
    return set(fingerprint.write_fingerprints(root))


def test_nothing_changes_by_itself(root):
    assert changed(root) == set()


def test_comments_and_docstrings_count_for_nothing(root):
    path = root / "evertune" / "data" / "folds.py"
    path.write_text(path.read_text().replace('"""', '"""Edited. ', 1) + "\n# a comment\n")
    assert changed(root) == set()


@pytest.mark.parametrize(
    ("module", "stages"),
    [
        ("data/folds.py", {"split", "search", "fit", "evaluate"}),
        ("search/portfolio.py", {"search", "evaluate"}),
        ("search/ray_tune.py", {"search", "evaluate"}),
        ("evaluation/plots.py", {"evaluate"}),
        ("evaluation/report.py", {"evaluate"}),
        ("monitoring/reference.py", {"evaluate"}),
        ("errors.py", set()),
        ("cli/app.py", set()),
        ("stages/runner.py", set()),
    ],
)
def test_a_statement_counts_for_the_stages_that_reach_it(root, module, stages):
    edit(root / "evertune" / module, "\nEDITED = 1\n")
    assert changed(root) - {"prepare", "baseline"} == stages


def test_a_default_of_params_yaml_counts_for_the_stages_that_read_its_section(root):
    path = root / "evertune" / "config" / "schema.py"
    before = path.read_text(encoding="utf-8")
    section = before.index("class BaselineSection")
    path.write_text(before[:section] + before[section:].replace("auto", "other", 1))
    assert changed(root) == {"baseline"}


def test_a_new_version_of_a_library_counts_for_the_stages_that_use_it(root, monkeypatch):
    known = fingerprint._installed_version
    monkeypatch.setattr(
        fingerprint,
        "_installed_version",
        lambda library: "99" if library == "optuna" else known(library),
    )
    assert "search" in changed(root)
    assert "split" not in changed(root)


def test_a_metric_of_the_project_counts(root):
    (root / "metrics.py").write_text("LIMIT = 1\n")
    assert changed(root) == ALL


def test_what_the_projects_own_stage_imports_counts(root):
    edit(root / "pipelines" / "split.py", "\nimport evertune.search.leaderboard\n")
    assert changed(root) == {"split"}
