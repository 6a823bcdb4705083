import re
import subprocess
from pathlib import Path

import pytest

from evertune.config.loader import load_params
from evertune.config.yaml_file import edit_section
from evertune.errors import BusyError
from evertune.files import project_lock
from evertune.monitoring.prediction_log import open_prediction_log
from evertune.simulation.replay import replay
from tests.support.planted import TARGET, TIME, planted
from tests.support.projects import copied_project, invoke

NOBODY = "http://127.0.0.1:9"
SMALL_POLICY = {  # one retune is enough
    "follow_up_days": [],
    "cooldown_days": 70,
    "longest_cooldown_days": 70,
}


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    root = copied_project(tmp_path_factory.mktemp("replayed") / "project")
    # as in a clone: git ignores state/, where the replayed project lies
    subprocess.run(["git", "init", "--quiet", root], check=True)
    (root / ".gitignore").write_text("/state/\n")
    policy = load_params(root).monitoring.policy.model_dump(mode="json")
    edit_section(root / "params.yaml", "monitoring", {"policy": policy | SMALL_POLICY})
    edit_section(root / "params.yaml", "split", {"n_folds": 3})
    planted("concept", rows_a_day=22).table.to_csv(root / "concept.csv", index=False)
    return root


@pytest.fixture(scope="module")
def lines(project) -> list[str]:
    """Return what `evertune replay` says of a table whose relation turns over."""
    table = {"--data": "concept.csv", "--time": TIME, "--target": TARGET, "--windows": "5"}
    words = [word for option in table.items() for word in option]
    options = [*words, "--label-delay", "1"]
    done = invoke(project, "replay", *options, MLFLOW_TRACKING_URI=NOBODY)
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()


def events(output: list[str]) -> list[str]:
    """Return the kinds of the events, in their order."""
    lines = [re.match(r"20\d\d-\d\d-\d\d \d\d:\d\d  (\w+( back)?)", line) for line in output]
    return [found[1] for found in lines if found]


def losses(output: list[str]) -> dict[str, float]:
    titles = next(place for place, line in enumerate(output) if line.startswith("policy "))
    return {line.split()[0]: float(line.split()[1]) for line in output[titles + 1 : titles + 5]}


@pytest.mark.slow
def test_a_change_is_noticed_searched_for_and_promoted_with_the_real_steps(lines):
    assert events(lines)[:4] == ["trained", "alarmed", "retuned", "promoted"]


@pytest.mark.slow
def test_the_loop_is_better_than_a_model_that_is_never_fitted_anew(lines):
    loss = losses(lines)
    assert max(loss["oracle"], loss["loop"]) < loss["never"]


@pytest.mark.slow
def test_the_page_shows_every_event_but_the_first_training(lines):
    page = Path(lines[-1].removeprefix("page: ")).read_text()
    assert page.count("<circle") == len(events(lines)) - 1


@pytest.mark.slow
@pytest.mark.usefixtures("lines")
def test_the_project_itself_and_its_tracking_server_stay_as_they_were(project):
    assert not (project / "state" / "mlflow.db").exists()
    assert not (project / "data").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("lines")
def test_the_model_before_predicts_beside_the_new_one(project):
    params = load_params(project / "state" / "replay" / "concept")
    with open_prediction_log(params) as log:
        beside = log.read_shadow(version="1", classes=("no", "yes"))
    assert set(beside["version"]) == {"2"}


def test_a_second_replay_of_a_project_waits_for_nobody(project):
    place = project / "state" / "replay"
    place.mkdir(parents=True, exist_ok=True)
    file = project / "concept.csv"
    with project_lock(place, "another"), pytest.raises(BusyError, match="'evertune replay' cannot"):
        replay(project, file=file, time=TIME, target=TARGET, say=print)
