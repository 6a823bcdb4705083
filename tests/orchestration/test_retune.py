import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from evertune.config.loader import load_params
from evertune.decisions import MonitoringDecision
from evertune.files import read_record, read_table
from evertune.models.persistence import load_model, load_window_choice
from evertune.monitoring.reference_store import load_version_reference
from evertune.orchestration.carry_out_decision import follow_decision_locally
from evertune.plan import Plan
from evertune.registry.decision_log import DecisionLog
from evertune.versioning import dvc
from tests.support import production
from tests.support.projects import run
from tests.support.registries import open_state

CHECKOUT = Path(__file__).parents[2]
NOW, CHANGE = production.day(60), production.day(10)
REFIT = MonitoringDecision("d1", NOW, "churn", "1", "refit", ("loss rose",), change_from=CHANGE)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning"),  # DVC's own
]


def production_rows() -> pd.DataFrame:
    before, after = production.rows(0, 10), production.rows(10, 40, flipped=True)
    return pd.concat([before, after], ignore_index=True)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, champion_state: Path, learned: Path) -> Path:
    """Return a project whose relation turned round, after a refit that followed a decision."""
    root = tmp_path_factory.mktemp("retuned")
    for name in ("flows", "pipelines", "infra"):
        (root / name).symlink_to(CHECKOUT / name)
    shutil.copy2(CHECKOUT / "dvc.yaml", root)
    shutil.copytree(champion_state, root / "state")
    production.project(root, source="old.parquet", target="left", time="day", bootstrap_draws="100")
    production.rows(-90, 90, a_day=20).to_parquet(root / "old.parquet")
    table = production_rows()
    ids = production.served(root, load_model(learned / "model"), table)
    production.labelled(root, table, ids)
    DecisionLog(production.log_of(root)).record_decision(REFIT)
    done = run(root, "retune", "d1")
    (root / "told.txt").write_text(f"{done.stdout}{done.stderr}")
    return root


def test_the_refit_is_promoted_and_its_outcome_recorded(root: Path) -> None:
    last = DecisionLog(production.log_of(root)).outcomes("d1")[-1]
    assert (last.kind, last.version) == ("promoted", "2")
    assert open_state(root / "state").champion().number == "2"


def test_no_row_that_judges_was_learned_from(root: Path) -> None:
    paths = load_params(root).paths
    plan, training = read_record(paths.plan, Plan), read_table(paths.training)
    moment = pd.Timestamp(plan.judge_from).tz_localize(None)
    model = open_state(root / "state").load_model(open_state(root / "state").require_champion())
    holdout = read_table(paths.holdout)
    assert (training["day"] < moment).all()
    assert not set(model.row_keys) & set(holdout["row_key"])


def test_the_model_was_fitted_on_rows_since_the_change(root: Path) -> None:
    choice = load_window_choice(load_params(root).paths.model)
    assert choice.chosen.name == "since_change"
    assert {each.window.name for each in choice.fits} == {
        "since_change", "latest", "all", "decayed",
    }  # fmt: skip


def test_the_new_version_carries_its_reference(root: Path) -> None:
    store = open_state(root / "state")
    kept = load_version_reference(store, store.champion(), state=root / "state")
    assert kept.performance.n == len(read_table(load_params(root).paths.holdout))


def test_every_stage_is_up_to_date_afterwards(root: Path) -> None:
    assert all(dvc.is_stage_current(root, name) for name in dvc.list_stages(root))


def test_every_step_is_told(root: Path) -> None:
    told = (root / "told.txt").read_text()
    steps = ("claim", "snapshot", "absorb", "plan", "fit", "evaluate", "register", "outcome")
    assert all(f"\n{step} " in told for step in steps), told


def test_the_decision_is_followed_once(root: Path) -> None:
    said: list[str] = []
    again = follow_decision_locally(root, "d1", now=NOW, say=lambda _, line: said.append(line))
    assert again.kind == "promoted"
    assert said == ["duplicate: decision d1 was already taken up (promoted)"]


def test_the_version_before_can_be_gone_back_to(root: Path) -> None:
    DecisionLog(production.log_of(root)).record_decision(
        replace(REFIT, id="d2", champion="2", action="rollback")
    )
    assert follow_decision_locally(root, "d2", now=NOW, say=lambda *_: None).kind == "rolled back"
    assert open_state(root / "state").champion().number == "1"
