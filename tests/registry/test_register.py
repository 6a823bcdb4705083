import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime

import pandas as pd
import pytest

from evertune.config.loader import load_params
from evertune.config.yaml_file import edit_section
from evertune.data.schema import Column
from evertune.database import record_to_json
from evertune.errors import StageError
from evertune.files import write_record
from evertune.plan import Plan
from evertune.registry.already_registered import settled_verdict
from evertune.registry.mlflow_registry import model_folder
from evertune.registry.overview import list_models, read_status
from evertune.registry.promotion import open_decisions, promote, reject, roll_back
from evertune.registry.register import register
from evertune.versioning import dvc
from tests.support.projects import copied_with_dvc
from tests.support.registered import (
    EVALUATION,
    SCHEMA,
    fitted,
    made,
    project,
    runs,
    store_of,
    table,
)
from tests.support.registries import client_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def good():
    return fitted(table(60))


@pytest.fixture(scope="module")
def bad():
    return fitted(table(60).assign(price=0.0))


@pytest.fixture(scope="module")
def new_project(tmp_path_factory, new_database):
    """Return a project without a model; to be read only, as those with a first version are."""
    folder = tmp_path_factory.mktemp("new")
    (folder / "state").mkdir()
    shutil.copy(new_database, folder / "state" / "mlflow.db")
    return project(folder)


@pytest.fixture(scope="module")
def good_project(tmp_path_factory, new_project, good):
    return with_version(copied_with_dvc(new_project, tmp_path_factory.mktemp("good")), good)


@pytest.fixture(scope="module")
def bad_project(tmp_path_factory, new_project, bad):
    return with_version(copied_with_dvc(new_project, tmp_path_factory.mktemp("bad")), bad)


def with_version(root, model):
    made(root, model=model)
    register(root)
    return root


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def root(tmp_path, new_project):
    return copied_with_dvc(new_project, tmp_path)


@pytest.fixture
def after_good(tmp_path, good_project):
    """Return a project whose champion is a good model."""
    return copied_with_dvc(good_project, tmp_path)


@pytest.fixture
def after_bad(tmp_path, bad_project):
    """Return a project whose champion is a bad model."""
    return copied_with_dvc(bad_project, tmp_path)


def test_registering_twice_makes_one_version_and_one_run(after_good):
    again = register(after_good)
    assert again.reasons == ("version 1 is the champion already",)
    assert (again.version, len(runs(after_good))) == ("1", 1)


def test_the_first_good_model_becomes_champion_and_its_run_shows_how_it_is_made_again(root, good):
    (root / "my_metrics.py").write_text("def gain(): ...")
    made(root, model=good)
    verdict = register(root)
    assert (verdict.decision, verdict.version, verdict.champion) == ("promote", "1", "1")
    assert store_of(root).champion().data_md5s["source"] == dvc.output_hash(
        root, root / "data/source.parquet"
    )
    (run,) = runs(root)
    known = client_of(store_of(root))
    kept = {found.path for found in known.list_artifacts(run.info.run_id, "project")}
    assert kept == {
        "project/params.yaml", "project/dvc.yaml", "project/dvc.lock", "project/plan.json",
        "project/source.parquet.dvc", "project/absorbed.parquet.dvc", "project/my_metrics.py",
    }  # fmt: skip
    assert {used.dataset.name for used in run.inputs.dataset_inputs} == {
        "source", "training", "holdout",
    }  # fmt: skip


def test_a_model_that_has_seen_rows_that_judge_a_retune_is_not_registered(root):
    write_record(load_params(root).paths.plan, Plan("retune", judge_from="2024-01-01T00:00+00:00"))
    holdout = table(40, first=1000)
    made(root, model=fitted(holdout.head(3)), holdout=holdout)
    with pytest.raises(StageError, match=r"but 3 of 40 rows were among .* nothing was registered"):
        register(root)
    assert store_of(root).champion() is None


def test_the_run_shows_the_leaderboard_and_the_best_trials(after_good):
    (run,) = runs(after_good)
    store = store_of(after_good)
    nested = client_of(store).search_runs(
        [store.experiment_id], f"tags.`mlflow.parentRunId` = '{run.info.run_id}'"
    )
    board = after_good / f"state/artifacts/{run.info.run_id}/artifacts/leaderboard.json"
    assert sorted(each.data.params["model.alpha"] for each in nested) == ["0", "1"]
    assert len(json.loads(board.read_text())["data"]) == 3


def test_a_better_model_is_champion_by_a_record_with_its_evidence_until_it_is_rolled_back(
    after_bad, good
):
    made(after_bad, model=good)
    verdict, status = register(after_bad), read_status(after_bad)
    assert (verdict.decision, status.champion.version, status.previous) == ("promote", "2", "1")
    with open_decisions(after_bad) as (_, log):
        first, second = log.records()
    assert [first.version, second.version, second.rival] == ["1", "2", "1"]
    assert second.aliases_after == {"champion": "2", "previous": "1"}
    assert (second.n_rows, second.n_left_out, second.look) == (40, 0, 1)
    assert {each.name for each in second.tests} == {"paired mae"}
    assert_tags_and_descriptions_follow(after_bad)
    again = register(after_bad)
    assert (again.decision, again.champion) == ("keep", "1")
    assert again.reasons == ("version 2 was champion and was rolled back to version 1",)


def assert_tags_and_descriptions_follow(after_bad):
    """Check that a version has few short tags, and descriptions tell decisions; roll back."""
    known = client_of(store_of(after_bad))

    def shown():
        first, second = (known.get_model_version("houses", number) for number in "12")
        model = known.get_registered_model("houses").description
        return first, second, model

    first, second, model = shown()
    assert second.tags == {
        "score": "1.000 mae", "model": "linear", "mode": "tune", "decision": "promoted",
        "data": dvc.output_hash(after_bad, after_bad / "data/source.parquet")[:8],
    }  # fmt: skip
    assert second.description.startswith(
        "In use.\n\nVersion 2 becomes champion, decided by the gate"
    )
    assert "Predicts the number `price`, from 2 columns: `age`, `plan`." in second.description
    assert f"runs/{second.run_id}/artifacts/report/report.html" in second.description
    assert first.description.startswith("Not in use any more: version 2 took its place.")
    assert model.startswith("Version 2 is in use.")
    assert 'load_model("models:/houses@champion")' in model
    roll_back(after_bad, by="ada", reason="it was slow", now=datetime.now(UTC))
    first, second, model = shown()
    assert first.tags["decision"] == "champion again by ada"
    assert first.description.startswith("In use.\n\nVersion 1 is champion again, decided by ada")
    assert "- It was slow" in first.description
    assert second.description.startswith("Not in use any more: version 1 took its place.")
    assert second.tags["evertune.rolled_back"] == "to version 1"
    assert len(second.tags) == 6
    assert model.startswith("Version 1 is in use.")


def test_a_version_of_an_earlier_release_is_told_by_its_own_tags(after_good, bad):
    made(after_good, model=bad)
    verdict = register(after_good)
    store = store_of(after_good)
    version = store.version("2")
    known = client_of(store)
    former = {f"dvc.{name}": md5 for name, md5 in version.data_md5s.items()}
    former |= {"metric": "mae", "figure.mae": "1.5", "evertune.mode": "refit", "decision": "keep"}
    former |= {"evertune.decision": "0", "decision.by": "the gate", "decision.act": "gate"}
    former["evertune.verdict"] = record_to_json(verdict)
    former |= {name: version.facts[name] for name in ("evertune.model", "evertune.settled")}
    for name in ("evertune.model", "evertune.settled", "mode"):
        known.delete_tag(version.run_id, name)
    store.untag_version("2", "mode")
    store.tag_version("2", former)
    kept = after_good / f"state/artifacts/{version.run_id}/artifacts"
    (kept / "verdict.json").unlink()
    assert settled_verdict(after_good) == verdict
    assert register(after_good) == verdict
    assert len(store.versions()) == 2
    newest = list_models(after_good)[0]
    assert (newest.score, newest.mode, newest.data["training"]) == (
        1.5, "refit", version.data_md5s["training"],
    )  # fmt: skip
    promote(after_good, "2", reason="a test", by="ada", now=datetime.now(UTC))
    assert read_status(after_good).champion.metrics == {"mae": 1.5}
    tags = known.get_model_version("houses", "2").tags
    assert tags["decision"] == "promoted by ada"
    assert "decision.by" not in tags


def test_a_worse_model_stays_challenger_and_is_judged_again_once_something_else_holds(
    after_good, bad
):
    assert settled_verdict(after_good) == register(after_good)
    made(after_good, model=bad)
    assert settled_verdict(after_good) is None
    verdict, status = register(after_good), read_status(after_good)
    assert settled_verdict(after_good) == verdict
    assert (verdict.decision, verdict.champion) == ("keep", "1")
    assert (status.champion.version, status.challenger) == ("1", "2")
    params = (after_good / "params.yaml").read_text()
    edit_section(after_good / "params.yaml", "registry", {"nested_trials": 3})
    assert settled_verdict(after_good) is None
    (after_good / "params.yaml").write_text(params)
    assert settled_verdict(after_good) == verdict
    promote(after_good, verdict.version, reason="a test", now=datetime.now(UTC))
    assert settled_verdict(after_good) is None  # another champion
    roll_back(after_good, now=datetime.now(UTC))
    assert settled_verdict(after_good) is None  # a person has decided


def test_an_equal_model_stays_challenger(after_good, good):
    made(after_good, model=good, evaluation=replace(EVALUATION, chosen="simplest:ridge"))
    verdict = register(after_good)
    assert (verdict.decision, verdict.champion) == ("keep", "1")


def test_the_simplest_model_is_registered_where_it_was_chosen(root, bad, tmp_path):
    made(root, model=bad, evaluation=replace(EVALUATION, chosen="simplest:ridge"))
    register(root)
    store = store_of(root)
    files = store.download_version(store.require_champion(), folder=tmp_path / "kept")
    kept = model_folder(files)
    ridge = (root / "data/baselines/models/ridge/predictor.skops").read_bytes()
    assert (kept / "predictor.skops").read_bytes() == ridge


def test_a_new_evaluation_of_the_same_model_gets_a_run_of_its_own(after_good, good):
    made(after_good, model=good, evaluation=replace(EVALUATION, confidence=0.9))
    assert register(after_good).version == "1"
    assert len(runs(after_good)) == 2


def test_a_stage_that_is_not_up_to_date_is_not_registered(root, good):
    made(root, model=good)
    (root / "data/figures.json").write_text("{}")
    with pytest.raises(StageError, match="stage to be up to date, but evaluate is not"):
        register(root)


def test_a_run_killed_before_the_alias_was_set_is_finished(after_good):
    known = client_of(store_of(after_good))
    known.delete_registered_model_alias("houses", "champion")
    (run,) = runs(after_good)
    verdict = after_good / f"state/artifacts/{run.info.run_id}/artifacts/verdict.json"
    verdict.write_text(verdict.read_text()[:50])  # of a process that was killed while it wrote
    assert (register(after_good).version, store_of(after_good).champion().number) == ("1", "1")


def test_rows_that_the_champion_was_trained_on_do_not_judge(root):
    holdout = table(40, first=1000)
    made(root, model=fitted(holdout), holdout=table(40, first=2000))
    register(root)
    made(root, model=fitted(table(60)), holdout=holdout)
    verdict = register(root)
    assert verdict.decision == "not enough evidence"
    assert "40 hold-out rows that one of the two was trained on" in verdict.reasons[0]


def test_a_model_that_knows_the_rows_that_judge_it_is_refused(after_bad):
    made(after_bad, model=fitted(pd.concat([table(60), table(40, first=1000).head(10)])))
    verdict = register(after_bad)
    assert (verdict.decision, verdict.champion) == ("keep", "1")
    assert verdict.reasons[0].startswith("it was trained on 10 of the 40 hold-out rows")


def test_every_new_comparison_uses_the_hold_out_and_needs_more_confidence(after_good):
    verdicts = []
    for price in (1.0, 2.0):
        made(after_good, model=fitted(table(60).assign(price=price)))
        verdicts += [register(after_good), register(after_good)]
    assert [each.look for each in verdicts] == [1, 1, 2, 2]
    assert verdicts[0] == verdicts[1]
    assert verdicts[2].confidence == pytest.approx(1 - 2 * 0.05 / 6)


def test_a_version_that_passes_waits_for_a_person_who_may_refuse_it(after_bad, good):
    path = after_bad / "params.yaml"
    path.write_text(path.read_text().replace("{name: houses,", "{name: houses, approval: true,"))
    made(after_bad, model=good)
    verdict, found = register(after_bad), read_status(after_bad)
    assert (verdict.decision, verdict.waits_for_approval) == ("not enough evidence", True)
    assert (found.champion.version, found.challenger) == ("1", "2")
    reject(after_bad, "2", reason="not before June", by="Ada", now=datetime.now(UTC))
    assert register(after_bad).reasons == ("version 2 was rejected by Ada: not before June",)


def test_a_champion_for_another_target_is_not_replaced(root, good):
    rent = replace(fitted(table(60)), schema=replace(SCHEMA, target="rent"))
    made(root, model=rent, holdout=table(40, first=1000).assign(rent=1.0))
    register(root)
    made(root, model=good)
    (reason,) = register(root).reasons
    assert "it predicts 'rent', not 'price'" in reason


def test_a_model_that_cannot_read_the_rows_never_becomes_champion(root):
    needy = replace(SCHEMA, features=(*SCHEMA.features, Column("rooms", "number")))
    made(root, model=replace(fitted(table(60)), schema=needy))
    verdict = register(root)
    assert (verdict.decision, verdict.champion) == ("not enough evidence", None)
    assert verdict.reasons[0].startswith("it cannot read these rows: ")
