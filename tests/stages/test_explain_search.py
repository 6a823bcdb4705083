import sqlite3
from pathlib import Path

import optuna
import pytest

from evertune.config.schema import SearchSection
from evertune.data.schema import Column, TableSchema
from evertune.evaluation.report import SEARCH_PLOTS
from evertune.files import write_record
from evertune.metrics.metrics import METRICS
from evertune.search.configurations import build_space
from evertune.search.trial_log import append_trial, open_trials
from evertune.stages.explain_search import report_plots, write_study
from evertune.trials import SearchHeader
from tests.search.explained import known_trials
from tests.support.projects import copied_project, invoke

SCHEMA = TableSchema(
    (Column("a", "number"), Column("b", "category")), "y", "binary", classes=("no", "yes")
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = copied_project(tmp_path / "project")
    write_record(root / "data" / "schema.json", SCHEMA)
    write_trials(root / "data" / "trials.jsonl", 40)
    return root


def write_trials(path: Path, n: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    open_trials(path, SearchHeader("d", "roc_auc", True, 3, None, n))
    for trial in known_trials(n):
        append_trial(path, trial)


@pytest.mark.slow
def test_the_command_writes_pages_and_a_study_that_optuna_opens(root: Path) -> None:
    trials, space = known_trials(12), build_space(["tree", "knn"])
    write_study(
        trials, space, METRICS["roc_auc"], root / "study.db", name="old", of=root / "params.yaml"
    )  # an older one, which is replaced
    done = invoke(root, "explain-search", "--study", "study.db")
    assert done.exit_code == 0, done.output
    assert "max_depth" in done.stdout
    folder = root / "state" / "explanation"
    assert {path.name for path in folder.iterdir()} == {
        *("report.md", "explanation.json", "importance.png"),
        *("slices_tree.png", "parallel_tree.png", "contours_tree.png"),
        *("slices_knn.png", "parallel_knn.png", "contours_knn.png"),
    }
    address = f"sqlite:///{root}/study.db"
    assert set(optuna.get_all_study_names(address)) == {"churn", "churn/tree", "churn/knn"}
    study = optuna.load_study(study_name="churn", storage=address)
    assert (len(study.trials), study.direction.name) == (40, "MAXIMIZE")


@pytest.mark.slow
def test_the_report_of_a_model_shows_importance_and_slices_of_the_best_family() -> None:
    metric = METRICS["roc_auc"]
    plots = report_plots(known_trials(40), SearchSection(), SCHEMA, metric)
    assert set(plots) == {"search_importance", "search_slices"}
    assert set(plots) <= set(SEARCH_PLOTS)
    assert report_plots(known_trials(9), SearchSection(), SCHEMA, metric) == {}


def fails(root: Path, *options: str) -> str:
    done = invoke(root, "explain-search", *options)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_what_cannot_be_explained_is_one_error(root: Path) -> None:
    assert "there is no such file; run `evertune train`" in fails(root, "--trials", "none.jsonl")
    write_trials(root / "few.jsonl", 6)
    assert "at least 12 trials of one family" in fails(root, "--trials", "few.jsonl")
    done = invoke(root, "explain-search", "--trials", "few.jsonl", "--study", "few.db")
    assert (done.exit_code, (root / "few.db").is_file()) == (0, True)
    assert "nothing is explained: " in done.stdout


def test_files_of_a_persons_own_are_never_replaced(root: Path) -> None:
    assert "--study: expected a new file" in fails(root, "--study", "params.yaml")
    sqlite3.connect(root / "own.db").execute("CREATE TABLE own (x)").connection.close()
    assert "is something else" in fails(root, "--study", "own.db")
    assert "holds other files" in fails(root, "--output", "data")
    assert "is a file" in fails(root, "--output", "params.yaml")
