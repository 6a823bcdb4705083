import json
from pathlib import Path

import pytest

from evertune.errors import InputError
from evertune.files import write_record, write_table
from evertune.registry.reproduce import (
    REBUILT_FILE,
    RECORDED_METRICS_FILE,
    FoldRefit,
    RestoredProject,
    compare_with_registered,
    restore_project,
)
from tests import production

pytestmark = pytest.mark.slow
LOCK = "schema: '2.0'\nstages:\n  split:\n    outs: [{path: data/folds.parquet, md5: '00'}]\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return production.learned(tmp_path_factory.mktemp("made"))


@pytest.fixture
def root(tmp_path: Path, made: Path, state: Path) -> Path:
    assert state.exists()
    production.champion(production.project(tmp_path), made)
    return tmp_path


@pytest.fixture
def laid_out(made: Path, tmp_path: Path) -> RestoredProject:
    """Return a folder in which the stages have made the registered model again."""
    folder = tmp_path / "again"
    (folder / "data").mkdir(parents=True)
    production.project(folder)
    (folder / "dvc.lock").write_text(LOCK)
    (folder / "data/model").symlink_to(made / "model")
    write_table(folder / "data/holdout.parquet", production.rows(0, 5))
    write_record(folder / REBUILT_FILE, (FoldRefit(0, 0, "linear", {"mae": 1.0}, {"mae": 1.0}),))
    for path in (folder / RECORDED_METRICS_FILE, folder / "data/figures.json"):
        path.write_text(json.dumps({"chosen": "model", "holdout": {"mae": 1.0}, "metrics": []}))
    return RestoredProject("1", folder, ("a note",))


def differing(found):
    return [row.what for row in found.rows if not row.equal]


def test_a_model_beside_itself_differs_in_nothing_but_what_was_not_made(root, laid_out):
    found = compare_with_registered(root, laid_out)
    assert differing(found) == ["folds table"]
    assert (found.version, found.notes, found.equal) == ("1", ("a note",), False)


def test_another_figure_of_the_hold_out_is_told(root, laid_out):
    figures = {"chosen": "simplest:ridge", "holdout": {"mae": 1.1}, "metrics": []}
    (laid_out.folder / "data/figures.json").write_text(json.dumps(figures))
    assert {"chosen", "hold-out mae"} <= set(differing(compare_with_registered(root, laid_out)))


def test_another_model_is_told_by_its_predictions(root, laid_out, tmp_path):
    (laid_out.folder / "data/model").unlink()
    (laid_out.folder / "data/model").symlink_to(
        production.learned(tmp_path, flipped=True) / "model"
    )
    assert "predictions of the hold-out" in differing(compare_with_registered(root, laid_out))


def test_a_version_that_is_not_there_is_refused_with_those_that_are(root):
    with pytest.raises(InputError, match=r"a version of churn, but got '7'; there are 1: see"):
        restore_project(root, "7")


def test_where_there_is_no_version_that_is_said(tmp_path, state):
    assert state.exists()
    with pytest.raises(InputError, match="there is none yet"):
        restore_project(production.project(tmp_path), "1")


@pytest.mark.parametrize("taken", ["a folder", "a file"])
def test_a_place_that_is_taken_is_refused(root, tmp_path, taken):
    place = tmp_path / "place"
    if taken == "a folder":
        place.mkdir()
    (place / "mine" if taken == "a folder" else place).write_text("")
    with pytest.raises(InputError, match="expected an empty folder or none, but"):
        restore_project(root, "1", into=place)
