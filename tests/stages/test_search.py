import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evertune.config.loader import load_params
from evertune.data.folds import folds_to_table, make_folds
from evertune.data.schema import Column, TableSchema
from evertune.errors import BusyError, ParamsError
from evertune.files import read_lines, write_record, write_table
from evertune.fingerprint import stage_fingerprints
from evertune.plan import Plan
from evertune.search.ray_guardian import marked_processes
from evertune.search.trial_log import read_trials, stored_numbers
from evertune.stages.runner import stage_function
from evertune.trials import Configuration

SHIPPED = Path(__file__).parents[2] / "params.yaml"
run = stage_function(SHIPPED.parent, "search")
COLUMNS = (Column("a", "number"), Column("b", "number"))
MODULE = """
import os, time
def stuck(truth, values, probabilities):
    time.sleep(60)
    open(os.path.join(os.path.dirname(__file__), "ended"), "w").close()
def broken(truth, values, probabilities):
    raise RuntimeError("out of order")
def undefined(truth, values, probabilities):
    return float("nan")
def deadly(truth, values, probabilities):
    os._exit(1)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Return a project after `split`, whose fingerprints of the code are known."""
    folder = tmp_path_factory.mktemp("project")
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(120, 2)), columns=["a", "b"])
    y_true = (table["a"] + table["b"] > 0).to_numpy(float)
    table["y"] = pd.Series(np.where(y_true > 0, "yes", "no"), dtype="str")
    (folder / "params.yaml").write_text(SHIPPED.read_text())
    (folder / "metrics_of_mine.py").write_text(MODULE)
    paths = load_params(folder).paths
    write_record(paths.table_schema, TableSchema(COLUMNS, "y", "binary", ("no", "yes")))
    write_record(paths.plan, Plan())
    write_table(paths.training, table.assign(row_key="0" * 16))
    folds = make_folds("stratified", y_true, n_folds=3, task="binary")
    write_table(paths.folds, folds_to_table(folds, 120))
    stage_fingerprints(folder)
    return folder


@pytest.fixture
def root(project, tmp_path):
    shutil.copytree(project, tmp_path, dirs_exist_ok=True)
    return tmp_path


def settings(root, **search):
    params = load_params(root)
    given = {
        "families": ("linear", "extra_trees"),
        "searcher": "tpe",
        "workers": 2,
        "budget_seconds": None,
    } | search
    section = params.search.model_copy(update=given)
    return {"paths": params.paths, "metric": params.metric, "search": section}


def with_metric(root, name):
    given = settings(root, budget_trials=2)
    custom = {"m": {"function": f"metrics_of_mine:{name}", "greater_is_better": True}}
    metric = type(given["metric"]).model_validate({"primary": "m", "custom": custom})
    return given | {"metric": metric}


def searched(root, **search):
    run(**settings(root, **search))
    return in_order(read_trials(load_params(root).paths.trials))


def files_of(root):
    """Return the files of a project, but for what Python compiles."""
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)) for path in files if "__pycache__" not in path.parts}


def in_order(trials):
    return sorted(trials, key=lambda trial: trial.number)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_trials_whatever_the_workers_and_nothing_else_is_written(root):
    space = {"extra_trees": {"n_estimators": (5,)}}
    trials, before = [], files_of(root)
    for workers in (1, 2):
        trials.append(searched(root, budget_trials=12, workers=workers, space=space))
        new = files_of(root) - before
        (root / "data" / "trials.jsonl").unlink()
    alone, together = (
        [(each.configuration, each.score, each.status, len(each.folds)) for each in some]
        for some in trials
    )
    assert alone == together
    stored = {f"data/pool/{number:06d}.zip" for number in stored_numbers(root / "data" / "pool")}
    assert stored
    assert new == {*stored, "data/trials.jsonl", "state/ray.token"}


def test_a_search_tries_warm_starts_then_defaults_then_proposals(root):
    start = Configuration("linear", {"numeric_transform": "power", "alpha": 2.0})
    write_record(load_params(root).paths.plan, Plan("retune", (start,)))
    trials = searched(root, budget_trials=4, workers=1)
    assert trials[0].configuration.hyperparameters.items() >= start.hyperparameters.items()
    assert [trial.configuration.family for trial in trials[1:3]] == ["linear", "extra_trees"]
    assert [trial.number for trial in trials] == [0, 1, 2, 3]


def test_a_refit_tries_its_configuration_alone_on_every_fold(root):
    start = Configuration("tree", {"max_depth": 2})
    write_record(load_params(root).paths.plan, Plan("refit", (start,)))
    (trial,) = searched(root, budget_seconds=0.5)
    assert (trial.configuration, trial.status, len(trial.folds)) == (start, "complete", 3)


def test_a_refit_that_was_finished_is_not_run_again(root):
    write_record(load_params(root).paths.plan, Plan("refit", (Configuration("tree"),)))
    assert searched(root) == searched(root)


def test_a_refit_that_cannot_be_fitted_gives_the_reason(root):
    write_record(load_params(root).paths.plan, Plan("refit", (Configuration("oracle"),)))
    (trial,) = searched(root)
    assert (trial.status, trial.folds) == ("failed", ())
    assert "family must be one of" in trial.reason


def test_the_budget_of_a_plan_is_the_searchs(root):
    write_record(load_params(root).paths.plan, Plan("retune", budget_seconds=0.25))
    searched(root, budget_trials=9)
    header = read_lines(root / "data" / "trials.jsonl")[0]
    assert (json.loads(header)["budget_seconds"], json.loads(header)["budget_trials"]) == (
        0.25,
        None,
    )


@pytest.mark.slow
def test_a_killed_search_leaves_no_processes_and_goes_on_with_what_is_missing(root):
    code = (
        "from pathlib import Path; from tests_of_search import run, settings; "
        f"run(**settings(Path({str(root)!r}), budget_trials=8, families=('linear',)))"
    )
    text = Path(__file__).read_text().replace("Path(__file__)", f"Path({__file__!r})")
    (root / "tests_of_search.py").write_text(text)
    places = os.pathsep.join([str(root), str(SHIPPED.parent)])
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": places}
    )
    path = root / "data" / "trials.jsonl"
    while len(read_lines(path)) < 2 and process.poll() is None:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    marker, deadline = str(root / "state" / "ray.token"), time.monotonic() + 60
    while list(marked_processes(marker)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert list(marked_processes(marker)) == []
    before = read_lines(path)
    assert 2 <= len(before) < 9
    # The number of workers does not make it another search.
    searched(root, budget_trials=8, families=("linear",), workers=1)
    after = read_lines(path)
    assert after[1 : len(before)] == before[1:]
    assert len(after) == 9


@pytest.mark.slow
def test_a_stuck_fit_does_not_hold_the_budget(root):
    given = with_metric(root, "stuck")
    section = given["search"].model_copy(update={"budget_trials": None, "budget_seconds": 2.0})
    run(**given | {"search": section})
    assert not (root / "ended").exists()  # the fit would have taken 60 seconds
    assert read_trials(given["paths"].trials) == ()


@pytest.mark.slow
def test_a_fit_that_ends_its_process_fails_its_trial_alone(root):
    given = with_metric(root, "deadly")
    run(**given)
    trials = read_trials(given["paths"].trials)
    assert [(each.status, each.reason) for each in trials] == [
        ("failed", "the worker process ended")
    ] * 2


def test_a_budget_that_is_too_small_gives_a_header_alone(root):
    assert searched(root, budget_seconds=0.1) == []
    (header,) = read_lines(root / "data" / "trials.jsonl")
    assert json.loads(header)["metric"] == "roc_auc"


@pytest.mark.slow
def test_a_cluster_that_does_not_answer_is_an_error_at_once(root, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(BusyError, match=r"No Ray cluster answers at RAY_ADDRESS '127.0.0.1:1'"):
        searched(root, budget_trials=1)


def test_more_workers_than_processors_are_refused_at_once(root):
    with pytest.raises(ParamsError, match=r"search.workers must not be more than .* but got 4096"):
        searched(root, budget_trials=1, workers=4096)


def test_a_space_that_names_an_unknown_hyperparameter_is_refused(root):
    with pytest.raises(ParamsError, match="no_such"):
        searched(root, budget_trials=1, workers=1, space={"linear": {"no_such": (0, 1)}})


def test_an_error_of_a_fit_fails_its_trial_and_a_search_of_failures_alone_begins_anew(root):
    given = with_metric(root, "broken")
    section = given["search"].model_copy(update={"workers": 1})
    for _ in range(2):
        run(**given | {"search": section})
        trials = read_trials(given["paths"].trials)
        reason = "RuntimeError: out of order"
        assert [(each.number, each.status, each.reason) for each in trials] == [
            (0, "failed", reason),
            (1, "failed", reason),
        ]


def test_a_metric_that_is_undefined_on_a_fold_fails_every_trial(root):
    given = with_metric(root, "undefined")
    section = given["search"].model_copy(update={"workers": 1})
    run(**given | {"search": section})
    trials = read_trials(given["paths"].trials)
    assert {(t.status, t.reason) for t in trials} == {("failed", "m is undefined on fold 0")}
    assert stored_numbers(given["paths"].pool) == ()


@pytest.mark.slow
def test_another_seed_is_another_search(root):
    path = load_params(root).paths.trials
    searched(root, budget_seconds=0.5)
    first = read_lines(path)[0]
    searched(root, budget_seconds=0.5, seed=1)
    second = read_lines(path)[0]
    assert json.loads(first)["digest"] != json.loads(second)["digest"]


def test_a_file_that_is_a_link_into_a_cache_is_not_changed(root):
    searched(root, budget_seconds=0.5)
    path, cached = root / "data" / "trials.jsonl", root / "cached"
    path.rename(cached)
    path.symlink_to(cached)
    content = cached.read_bytes()
    searched(root, budget_seconds=0.6)
    assert cached.read_bytes() == content
    assert not path.is_symlink()
