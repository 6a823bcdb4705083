"""Each searcher once through the stage `search`, on the embedded example."""

import shutil

import pytest

from evertune.config.loader import load_params
from evertune.config.yaml_file import edit_section
from evertune.data.example import training_table
from evertune.errors import ParamsError
from evertune.orchestration.steps import perform_here, snapshot_step, stage_step
from evertune.search.check_params import check_search_params
from evertune.search.samplers import SEARCHERS
from evertune.search.trial_log import read_trials
from evertune.stages.runner import stage_function
from evertune.versioning import dvc
from tests.support.projects import copied_project

CONFIGURATIONS = [{"family": "tree", "max_depth": depth} for depth in (2, 3, 5, 8)]
SPECIAL = {
    "manual": {"configurations": CONFIGURATIONS},
    "nsga2": {"objectives": ["log_loss"]},
    "gradient": {"families": ["linear"]},
}
TRIALS = 5


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Return a project of 300 rows of the example after `split`."""
    root = tmp_path_factory.mktemp("example") / "project"
    copied_project(root)
    training_table().tail(300).to_csv(root / "table.csv", index=False)
    edit_section(root / "params.yaml", "data", {"source": "table.csv"})
    edit_section(root / "params.yaml", "split", {"n_folds": 2, "folds": "stratified"})
    perform_here(snapshot_step(root), lambda *_: None)
    names = list(dvc.list_stages(root))
    for name in names[: names.index("split") + 1]:
        perform_here(stage_step(root, name), lambda *_: None)
    return root


@pytest.fixture
def search(project, tmp_path):
    """Return a function that runs the stage with some settings, and returns the trials."""
    shutil.copytree(project, tmp_path, dirs_exist_ok=True)

    def run(**settings):
        edit_section(tmp_path / "params.yaml", "search", SETTINGS | settings)
        params = load_params(tmp_path)
        check_search_params(tmp_path)
        stage_function(tmp_path, "search")(
            paths=params.paths, metric=params.metric, search=params.search
        )
        return read_trials(params.paths.trials)

    return run


SETTINGS = {
    "families": ["linear", "tree"],
    # on so few rows others warn, which is an error in tests
    "space": {"linear": {"numeric_transform": ["scaled", "power"]}},
    "budget_seconds": None,
    "budget_trials": TRIALS,
    "workers": 1,
}


@pytest.mark.slow
@pytest.mark.parametrize("searcher", list(SEARCHERS))
def test_a_searcher_named_in_the_parameters_searches_the_example(search, searcher):
    if SEARCHERS[searcher].needs is not None:
        pytest.importorskip(SEARCHERS[searcher].needs)
    trials = search(searcher=searcher, **SPECIAL.get(searcher, {}))
    wanted = len(CONFIGURATIONS) if searcher == "manual" else TRIALS
    assert [trial.number for trial in trials] == list(range(wanted))
    assert {trial.status for trial in trials} <= {"complete", "stopped"}
    assert all(0 <= trial.score <= 1 for trial in trials)
    if searcher == "nsga2":
        assert {"roc_auc", "log_loss"} <= trials[0].folds[0].figures.keys()


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["sequence", "alternating"])
def test_a_strategy_named_in_the_parameters_searches_the_example(search, strategy):
    trials = search(searcher="genetic", strategy=strategy)
    assert len(trials) == TRIALS
    assert {trial.status for trial in trials} <= {"complete", "stopped"}


@pytest.mark.slow
def test_what_a_searcher_cannot_do_is_said_before_the_search_starts(search, tmp_path):
    with pytest.raises(ParamsError, match=r"configurations.0: configuration of tree .*'depht'"):
        search(searcher="manual", configurations=[{"family": "tree", "depht": 3}])
    assert not (tmp_path / "data" / "trials.jsonl").exists()
