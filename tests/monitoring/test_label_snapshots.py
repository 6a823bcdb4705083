from pathlib import Path

import pandas as pd
import pytest

from evertune.config.loader import load_params
from evertune.database import open_log
from evertune.decisions import Alarm, Finding, MonitoringDecision
from evertune.errors import StageError
from evertune.files import read_table, write_table
from evertune.models.persistence import load_model
from evertune.monitoring.retraining import snapshot_labels
from evertune.registry.decision_log import DecisionLog
from evertune.times import TimeWindow
from evertune.versioning import dvc
from tests import production
from tests.registries import client_of, open_state

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning"),  # DVC's own
]
LATER = production.day(30)


@pytest.fixture
def root(champion_root: Path, learned: Path) -> Path:
    """Return a project whose champion has predicted 120 rows of two days; half have a label."""
    root = production.project(champion_root, target="left", time="day", identifier="null")
    table = production.rows(0, 2)
    ids = production.served(root, load_model(learned / "model"), table)
    production.labelled(root, table.head(60), ids[:60], after_days=5)
    write_table(load_params(root).paths.source, production.rows(-20, 20))
    dvc.ensure_project(root)
    return root


def rows(root: Path) -> pd.DataFrame:
    return read_table(load_params(root).paths.production_labels)


def test_labelled_rows_become_rows_of_the_source_with_their_moment(root: Path) -> None:
    taken = snapshot_labels(root, now=LATER)
    assert (taken.rows, taken.changed) == (60, True)
    assert list(rows(root)) == ["age", "plan", "day", "left", "moment"]
    assert set(rows(root)["left"]) == {"no", "yes"}


def test_the_same_rows_are_the_same_version(root: Path) -> None:
    first, again = snapshot_labels(root, now=LATER), snapshot_labels(root, now=LATER)
    assert (again.version, again.changed) == (first.version, False)
    assert dvc.output_hash(root, load_params(root).paths.production_labels) == first.version


@pytest.mark.parametrize(("now", "known"), [(5.0, 0), (5.5, 60)])
def test_a_label_of_tomorrow_is_not_known_today(root: Path, now: float, known: int) -> None:
    assert snapshot_labels(root, now=production.day(now)).rows == known


def test_rows_that_the_log_has_removed_stay(root: Path) -> None:
    snapshot_labels(root, now=LATER)
    removed = production.log_of(root).remove_older(production.day(1))
    assert removed == 60
    assert snapshot_labels(root, now=LATER).rows == 60


def test_without_a_champion_it_says_what_to_do(root: Path) -> None:
    client_of(open_state(root / "state")).delete_registered_model_alias("churn", "champion")
    with pytest.raises(StageError, match="no champion yet; run `evertune train`"):
        snapshot_labels(root, now=LATER)


def test_labels_of_another_target_are_not_learned_from(root: Path) -> None:
    production.project(root, target="stayed", time="day")
    with pytest.raises(StageError, match=r"to predict 'stayed', as data.target says, but it pre"):
        snapshot_labels(root, now=LATER)


def test_windows_whose_data_broke_its_contract_are_not_learned_from(root: Path) -> None:
    broken = TimeWindow(production.day(0), production.day(1))
    finding = Finding("missing", "contract", broken, 0.5, state="breach")
    alarm = Alarm("broken-data", "block", "contract", 1.0, 0.0, None, "half is missing", (finding,))
    decision = MonitoringDecision("d", LATER, "churn", "1", "block", ("broken",), (alarm,))
    params = load_params(root)
    state, name = params.paths.state, params.registry.name
    with open_log(state, model=name) as log:
        DecisionLog(log).record_decision(decision)
    assert snapshot_labels(root, now=LATER).rows == 0
