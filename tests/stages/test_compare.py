import json
from pathlib import Path
from typing import Any

import pytest

from evertune.config.schema import SearchSection
from evertune.config.yaml_file import edit_section
from evertune.errors import InputError
from evertune.files import digest_files
from evertune.search.comparison import ComparisonSettings
from evertune.stages.compare import compare_searchers, search_of_run
from tests.support.projects import copied_project, invoke
from tests.support.registries import client_of
from tests.support.versioned import store_of

SETTINGS = ComparisonSettings(("tpe", "random"), ("none",), n_seeds=2, budget_trials=4)


@pytest.mark.slow
def test_missing_runs_are_run_and_all_are_reported(trained_root: Path) -> None:
    cheap = {"families": ["naive_bayes"], "space": {"naive_bayes": {"feature_selection": ["none"]}}}
    edit_section(trained_root / "params.yaml", "search", cheap)
    before = digest_files([trained_root / "data"])
    lines: list[str] = []
    found = compare_searchers(trained_root, SETTINGS, say=lines.append)
    folder = trained_root / "state" / "comparison"
    assert (found.folder, digest_files([trained_root / "data"])) == (folder, before)
    ended = [line for line in lines if " after 4 trials, " in line]
    assert ended[0].startswith("run 1 of 4: tpe, seed 0: ROC AUC 0.")
    assert "; 3 left, about " in ended[0]
    assert ended[-1].endswith("; the last one")
    assert "No difference is shown, and none could have been" in found.lines[-3]
    assert {path.name for path in folder.iterdir()} == {
        *("runs", "report.md", "comparison.json", "over_trials.png", "over_seconds.png"),
        *("best_scores.png", "ranks.png", "suggestion_time.png"),
    }
    stored = json.loads((folder / "comparison.json").read_text())
    assert [len(each["best"]) for each in stored["methods"]] == [2, 2]

    (folder / "runs" / "random-none-1" / "run.json").unlink()  # as if it was killed there
    lines.clear()
    again = compare_searchers(trained_root, SETTINGS, say=lines.append)
    assert lines[0] == "3 of 4 runs are there already"
    assert {line.partition(":")[0] for line in lines[1:]} == {"run 4 of 4"}
    same = [(each.label, each.best) for each in found.comparison.methods]
    assert [(each.label, each.best) for each in again.comparison.methods] == same

    run_id = found.lines[-1].split()[-1]
    assert again.lines[-1].split()[-1] == run_id  # MLflow shows it once
    client = client_of(store_of(trained_root))
    run = client.get_run(run_id)
    assert (run.info.status, run.data.params["budget"]) == ("FINISHED", "4 trials")
    assert run.data.metrics["mean_rank/tpe"] == pytest.approx(
        found.comparison.ranks.mean_ranks[found.comparison.ranks.names.index("tpe")]
    )
    assert len(client.get_metric_history(run_id, "best_by_trial/tpe")) == 4
    assert "report.md" in {each.path for each in client.list_artifacts(run_id)}

    (trained_root / "state" / "MARK").write_text("")
    with pytest.raises(InputError, match="MARK is a file"):
        compare_searchers(trained_root, SETTINGS, output=trained_root / "state" / "MARK")


@pytest.mark.parametrize(
    ("search", "owner", "key"),
    [
        ({"searcher": "nsga2", "objectives": ["log_loss"]}, "nsga2", "objectives"),
        (
            {"searcher": "manual", "configurations": [{"family": "tree"}]},
            "manual",
            "configurations",
        ),
    ],
)
def test_what_only_one_searcher_takes_is_left_out_of_the_runs_of_others(
    search: dict[str, Any], owner: str, key: str
) -> None:
    section = SearchSection.model_validate_json(json.dumps(search))
    settings = ComparisonSettings((owner, "tpe"), ("none",), n_seeds=2, budget_trials=4)
    of_owner, of_other = (
        search_of_run(section, settings, searcher, scheduler="none", seed=1)
        for searcher in settings.searchers
    )
    assert getattr(of_owner, key) == getattr(section, key) != ()
    assert (of_other.searcher, getattr(of_other, key)) == ("tpe", ())


def test_without_a_prepared_table_there_is_one_error(tmp_path: Path) -> None:
    root = copied_project(tmp_path / "project")
    done = invoke(root, "compare", "--searchers", "tpe,random", "--trials", "4")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "there is no data/training.parquet, data/folds.parquet, data/schema.json yet" in (
        done.stderr
    )
    assert done.stderr.count("\n") == 1


def test_options_that_cannot_be_used_are_one_error(tmp_path: Path) -> None:
    root = copied_project(tmp_path / "project")
    done = invoke(root, "compare", "--searchers", "tpe,randon", "--seeds", "1")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "Did you mean 'random'?" in done.stderr
    assert "--seeds: expected at least 2" in done.stderr
    assert "--trials or --budget: expected one of them" in done.stderr
    assert done.stderr.count("\n") == 1
