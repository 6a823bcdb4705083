from pathlib import Path

import pandas as pd
import pytest

from evertune.data.holdout import add_row_keys
from evertune.errors import InputError, TableError
from evertune.evaluation.evaluation_record import Evaluation
from evertune.evaluation.other_table import Assessment
from evertune.files import read_record
from evertune.models.persistence import load_model, save_model
from evertune.registry.evaluate_version import assess_version
from tests.support import production, versioned
from tests.support.registries import client_of

pytestmark = pytest.mark.slow
FIRST = production.rows(0, 5).drop_duplicates(["age", "plan", "day"], ignore_index=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model that was trained on the first ten rows that tests judge with."""
    folder = versioned.learned(tmp_path_factory.mktemp("learned"))
    known = load_model(folder)
    keys = add_row_keys(FIRST.head(10), production.SCHEMA)["row_key"]
    save_model(folder, type(known)(known.schema, known.configuration, known.fitted, tuple(keys)))
    return folder


@pytest.fixture
def root(tmp_path: Path, state: Path, model: Path) -> Path:
    assert state.is_dir()
    return versioned.project(tmp_path, model)


def written(root: Path, table: pd.DataFrame) -> str:
    table.to_csv(root / "new.csv", index=False)
    return "new.csv"


def test_a_table_judges_a_version_without_the_rows_that_it_learned_from(root: Path) -> None:
    table = FIRST.copy()
    table.loc[20:24, "left"] = None
    found = assess_version(root, "2", source=written(root, table))
    told = read_record(found.folder / "assessment.json", Assessment)
    assert (told.n_trained, told.n_unlabelled) == (10, 5)
    assert told.n_judged == len(table) - 15
    assert found.lines[0].startswith("version 2 on new.csv: ROC AUC 0.")


def test_the_pages_tell_figures_intervals_and_slices_of_the_table(root: Path) -> None:
    found = assess_version(root, "champion", source=written(root, FIRST))
    figures = read_record(found.folder / "figures.json", Evaluation)
    page = (found.folder / "report" / "report.html").read_text()
    assert figures.metrics[0].low < figures.metrics[0].holdout < figures.metrics[0].high
    assert "Version 2 of churn on new.csv" in page
    assert found.folder.parent == root / "state" / "evaluations"


def test_the_same_table_gives_the_same_folder_and_figures(root: Path) -> None:
    source = written(root, FIRST)
    first, other = (assess_version(root, "2", source=source) for _ in range(2))
    assert first == other


def test_mlflow_shows_it_once_with_the_table_as_its_input(root: Path) -> None:
    source = written(root, FIRST)
    for _ in range(2):
        found = assess_version(root, "2", source=source, out=root / "pages", logged=True)
    run = client_of(versioned.store_of(root)).get_run(found.lines[-1].split()[-1])
    assert run.data.tags["evertune.version"] == "2"
    assert run.inputs.dataset_inputs[0].dataset.name == "new.csv"


def test_an_unknown_version_is_refused_with_those_that_there_are(root: Path) -> None:
    with pytest.raises(
        InputError, match=r"alias of a version of churn, but got '9'; there are .*3"
    ):
        assess_version(root, "9", source=written(root, FIRST))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows.drop(columns="left"), "the target is expected"),
        (lambda rows: rows.assign(left="perhaps"), "60 of 60 cells are not labels of the model"),
        (lambda rows: rows.assign(left=None), "60 have no target"),
        (lambda rows: rows.head(0), "0 rows"),
        (lambda rows: rows.head(10), "10 were trained on; give newer rows"),
    ],
)
def test_a_table_that_cannot_judge_is_refused(root: Path, change, words) -> None:
    source = written(root, change(FIRST.head(60)))
    with pytest.raises(TableError, match=words):
        assess_version(root, "2", source=source)


def test_a_file_in_the_place_of_the_folder_is_refused(root: Path) -> None:
    with pytest.raises(InputError, match=r"expected a folder for the pages, but .* is a file"):
        assess_version(root, "2", source=written(root, FIRST), out=root / "params.yaml")
