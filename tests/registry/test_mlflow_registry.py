import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mlflow import MlflowClient

from evertune.errors import BusyError, InputError, ParamsError, StageError
from evertune.files import write_table
from evertune.registry.mlflow_registry import ModelRegistry, predict_with_registered_model
from evertune.registry.registration_inputs import json_digest
from evertune.registry.run_page import LoggedDataset, MetricPoint, ModelDescription, RunPage
from evertune.trials import Configuration, FoldResult, Trial
from tests.support import production
from tests.support.registries import client_of, make_champion, open_state

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::UserWarning")]
ROWS = production.rows(0, 1)
RAW = ROWS.drop(columns=["left"])
DESCRIPTION = ModelDescription(
    identity="1",
    description="A line.",
    inputs={"age": "any", "plan": "any", "day": "any"},
    outputs={"prediction": "string"},
    example=RAW.head(2),
    metrics={"roc_auc": 0.9},
    tags={"metric": "roc_auc"},
)
FIRST, SECOND = {"champion": "1"}, {"champion": "2", "previous": "1"}
OTHER_ID = "11111111-0000-4000-8000-000000000000"


def register(registry: ModelRegistry, model: Path, identity: str = "1") -> str:
    run_id = registry.open_run(f"search {identity}", title="search")
    described = replace(DESCRIPTION, identity=identity)
    return registry.register_version(run_id, model=model, description=described).number


@pytest.fixture
def three_versions(registry):
    """Return a registry with three versions that have no files."""
    registry._open_registered_model()
    for _ in range(3):
        client_of(registry).create_model_version("churn", "file:///nowhere")
    return registry


@pytest.fixture
def shared(state, tmp_path, monkeypatch):
    """Return the address of an MLflow that several projects use."""
    (tmp_path / "shared").mkdir()
    address = f"sqlite:///{(state / 'mlflow.db').rename(tmp_path / 'shared/runs.db')}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    return address


# Versions


def test_a_model_is_registered_once_and_found_by_number_alias_and_latest(registry, saved_model):
    assert [register(registry, saved_model, each) for each in ("1", "1", "2")] == ["1", "1", "2"]
    make_champion(registry, "1")
    found = registry.version("champion")
    assert found == registry.version("1")
    assert registry.version("latest").number == "2"
    assert (found.aliases, found.metric) == (("champion",), "roc_auc")
    assert found.facts["evertune.project_id"] == registry.project_id
    assert [each.number for each in registry.versions()] == ["1", "2"]


@pytest.mark.parametrize("reference", ["7", "champoin", "../1"])
def test_a_version_that_is_not_there_is_refused_with_those_that_are(three_versions, reference):
    three_versions.move_aliases(before={}, after=FIRST)
    with pytest.raises(InputError, match=r"version of churn, but got '.*'; there are champion, 1"):
        three_versions.version(reference)


def test_without_versions_there_is_no_champion(registry):
    assert registry.champion() is None
    assert registry.find("latest") is None
    with pytest.raises(InputError, match="there is none yet; run `evertune train`"):
        registry.version("1")
    with pytest.raises(StageError, match="churn has no champion yet; run `evertune train`"):
        registry.champion_schema()


def test_the_files_of_a_version_are_the_model_with_rows_as_an_example(registry, saved_model):
    make_champion(registry, register(registry, saved_model))
    champion = registry.require_champion()
    assert registry.load_model(champion).row_keys == ("a", "b")
    assert registry.champion_schema() == production.SCHEMA
    assert list(registry.example_rows(champion)["age"]) == list(RAW["age"].head(2))


def test_a_version_whose_files_are_gone_is_named(registry, saved_model, state):
    register(registry, saved_model)
    (state / "artifacts").rename(state / "away")
    with pytest.raises(StageError, match="No such artifact"):
        registry.load_model(registry.version("1"))


@pytest.mark.parametrize("status", ["PENDING", "READY"])
def test_files_that_a_killed_run_left_are_taken_up(registry, saved_model, status):
    client, tags = client_of(registry), {"evertune.model": "1"}
    begun = client.create_logged_model(registry.experiment_id, name="model", tags=tags)
    if status == "READY":
        client.finalize_logged_model(begun.model_id, "READY")
    register(registry, saved_model)
    (kept,) = client.search_logged_models([registry.experiment_id])
    assert (kept.model_id, str(kept.status)) == (begun.model_id, "READY")


def test_a_description_is_kept_up_to_date_and_own_words_below_it_stay(three_versions):
    client = client_of(three_versions)
    three_versions.describe_version("1", "Worse.")
    three_versions.describe_model("Version 1.")
    written = client.get_model_version("churn", "1").description
    assert written.startswith("Worse.")
    assert written.endswith("your own words below this line stay.*")
    client.update_model_version("churn", "1", f"{written}\nAsk Ada.")
    three_versions.describe_version("1", "Better." * 1000)
    kept = client.get_model_version("churn", "1").description
    assert (kept[:7], kept[-9:], len(kept)) == ("Better.", "\nAsk Ada.", 5000)
    assert client.get_registered_model("churn").description.startswith("Version 1.")


def test_tags_of_a_version_are_removed_if_it_has_them(three_versions):
    three_versions.tag_version("1", {"verdict": "keep", "other": "stays"})
    for _ in range(2):
        three_versions.untag_version("1", "verdict", "never there")
    assert three_versions.version("1").facts == {"other": "stays"}


def test_what_the_run_of_a_version_says_is_known_and_tags_of_earlier_releases_are_read(
    registry, saved_model
):
    number = register(registry, saved_model)
    run_id = registry.version(number).run_id
    shown = {"holdout/roc_auc": 0.9, "holdout_low/roc_auc": 0.8}
    page = RunPage("s", "", parameters={"dvc.source": "a1", "search.seed": "0"}, metrics=shown)
    registry.log_page(run_id, page)
    registry.tag_run(run_id, {"mode": "retune"})
    found = registry.version(number)
    assert (found.metrics["holdout_low/roc_auc"], found.mode) == (0.8, "retune")
    assert (found.holdout_score("roc_auc"), found.data_md5s) == (0.9, {"source": "a1"})
    former = {"dvc.training": "b2", "figure.roc_auc": "0.7", "evertune.mode": "refit"}
    client_of(registry).create_model_version("churn", found.source, tags=former)
    older = registry.versions()[-1]
    assert (older.holdout_score("roc_auc"), older.data_md5s) == (0.7, {"training": "b2"})
    assert (older.mode, older.run_id) == ("refit", "")
    client_of(registry).delete_run(run_id)
    assert registry.versions()[0].data_md5s == {"source": "a1"}


def test_a_text_of_a_run_is_read_and_missing_ones_are_none(registry):
    run_id = registry.open_run("a", title="s")
    registry.log_text(run_id, name="verdict.json", text='{"ä": 1}')
    assert registry.read_text(run_id, name="verdict.json") == '{"ä": 1}'
    assert registry.read_text(run_id, name="other.json") is None


# Aliases


def test_aliases_move_and_those_of_a_user_stay(three_versions):
    client_of(three_versions).set_registered_model_alias("churn", "audited", "1")
    three_versions.move_aliases(before={}, after={**FIRST, "challenger": "2"})
    three_versions.move_aliases(before=FIRST, after=SECOND)
    assert three_versions.aliases() == SECOND
    assert three_versions.version("audited").number == "1"


def test_aliases_that_moved_half_way_come_to_the_same_end(three_versions):
    three_versions.move_aliases(before={}, after={"champion": "2", "challenger": "2"})
    three_versions.move_aliases(before=FIRST, after=SECOND)
    assert three_versions.aliases() == SECOND


@pytest.mark.parametrize(
    ("champion", "words"), [({"champion": "3"}, "it is version 3 now"), ({}, "it is no version")]
)
def test_another_champion_is_not_replaced(three_versions, champion, words):
    three_versions.move_aliases(before={}, after=champion)
    with pytest.raises(BusyError, match=f"expected version 1 of churn to be champion, but {words}"):
        three_versions.move_aliases(before=FIRST, after=SECOND)
    assert three_versions.aliases() == champion


# Runs


def runs(registry):
    return client_of(registry).search_runs([registry.experiment_id])


def nested(registry):
    return sorted(r.info.run_name for r in runs(registry) if "evertune.trial" in r.data.tags)


def trial(number, score, status="complete"):
    folds = (FoldResult(0, {"f1": score}, 1.0, 0.1),)
    return Trial(number, Configuration("tree", {"depth": number}), status, folds, score, None, 1.0)


def log_trials(registry, run_id, trials, most=10):
    registry.log_trials(run_id, trials, greater_is_better=True, most=most)


def test_the_run_of_a_search_is_found_again_and_the_last_one_is_the_newest(registry):
    assert registry.last_run() is None
    run_id = registry.open_run("a", title="first")
    assert registry.open_run("a", title="again") == run_id
    other = registry.open_run("b", title="other")
    assert (registry.last_run().run_id, registry.last_run().title) == (other, "other")
    assert other != run_id
    tags = client_of(registry).get_run(run_id).data.tags
    assert tags["evertune.project_id"] == registry.project_id


def test_a_run_is_given_to_one_result_for_good_and_shows_it_once_it_is_finished(registry):
    followed = registry.open_run("a", title="search")
    first = registry.open_run("a", title="search", result="1")
    second = registry.open_run("a", title="search", result="2")
    assert first == followed == registry.open_run("a", title="search", result="1")
    assert second not in (first, registry.open_run("a", title="a search done again"))
    before = registry.shows_result(first, result="1")
    registry.finish_run(first)
    assert (before, registry.shows_result(first, result="1")) == (False, True)
    assert not registry.shows_result(first, result="2")


def test_a_search_whose_process_died_is_marked_killed_and_a_run_of_a_user_is_not(registry):
    client = client_of(registry)
    dead = registry.open_run("a", title="killed")
    own = client.create_run(registry.experiment_id).info.run_id
    registry.open_run("b", title="next")
    assert client.get_run(dead).info.status == "KILLED"
    assert client.get_run(own).info.status == "RUNNING"


def test_a_run_id_in_the_environment_is_not_written_to(registry, state, monkeypatch):
    other = registry.open_run("a", title="other")
    monkeypatch.setenv("MLFLOW_RUN_ID", other)
    assert open_state(state).open_run("b", title="mine") != other
    assert "MLFLOW_RUN_ID" not in os.environ


def test_only_the_best_trials_have_a_run_and_each_is_shown_once(registry):
    run_id = registry.open_run("a", title="search")
    log_trials(registry, run_id, [trial(0, 0.1), trial(1, 0.2)], most=2)
    for _ in range(2):
        log_trials(registry, run_id, [trial(0, 0.1), trial(1, 0.2), trial(2, 0.3)], most=2)
    curve = client_of(registry).get_metric_history(run_id, "search/best")
    assert nested(registry) == ["trial 1: tree 0.2", "trial 2: tree 0.3"]
    assert [point.value for point in curve] == [0.1, 0.2, 0.3]


def test_a_trial_that_was_half_logged_is_logged_anew_below_its_search(registry):
    run_id = registry.open_run("a", title="search")
    tags = {"mlflow.parentRunId": run_id, "evertune.trial": "0"}
    client_of(registry).create_run(registry.experiment_id, tags=tags, run_name="half")
    run_id = registry.open_run("a", title="search")
    log_trials(registry, run_id, [trial(0, 0.1, "stopped")])
    data = next(run.data for run in runs(registry) if "evertune.trial" in run.data.tags)
    assert data.params == {"model.family": "tree", "model.depth": "0"}
    assert data.metrics["partial/f1"] == 0.1
    assert data.tags["mlflow.parentRunId"] == run_id


def test_a_page_shows_metrics_tables_and_files(registry, tmp_path):
    write_table(tmp_path / "rows.parquet", ROWS)
    (tmp_path / "report").mkdir()
    (tmp_path / "report/report.md").write_text("# Report")
    page = RunPage(
        title="linear mae 0.5",
        note="A line.",
        parameters={"seed": "0"},
        metrics={"holdout/mae": 0.5},
        files=((tmp_path / "report", "report"),),
        leaderboard=pd.DataFrame({"trial": [0]}),
        tables=(LoggedDataset("rows", tmp_path / "rows.parquet", "0" * 32, "training"),),
    )
    run_id = registry.open_run("digest", title="search")
    for _ in range(2):
        registry.log_page(run_id, page)
    run = client_of(registry).get_run(run_id)
    (used,) = run.inputs.dataset_inputs
    shown = (run.info.run_name, run.data.metrics, run.data.params)
    assert shown == ("linear mae 0.5", {"holdout/mae": 0.5}, {"seed": "0"})
    assert (used.dataset.digest, '"num_rows": 60' in used.dataset.profile) == ("0" * 32, True)
    assert {tag.key: tag.value for tag in used.tags}["mlflow.data.context"] == "training"
    kept = registry.download_artifact(run_id, name="report", folder=tmp_path / "kept")
    assert (kept / "report.md").read_text() == "# Report"
    assert registry.download_artifact(run_id, name="nothing", folder=tmp_path) is None


HOSTILE = (
    *("Distance (km), [m]", "50 % 'off'", 'say "hi"', "it's #1", "a/b/../c", "..", "/", "a//b"),
    *("\U0001f600", "e\u0301te\u0301", "two\nlines", "x" * 300, "{json}", "mlflow.runName", " "),
    *("gain (\u20ac)", "gain ($)", "<b>", "le", "null", "a\n", ":", "- item"),
)


@settings(max_examples=10, deadline=None, suppress_health_check=[*HealthCheck])
@given(names=st.lists(st.text(min_size=1, max_size=300), max_size=20, unique=True))
@example(names=list(HOSTILE))
def test_metrics_of_any_names_are_logged_each_under_a_name_of_its_own(registry, names):
    metrics = {f"holdout/{name}": float(place) for place, name in enumerate(names)}
    metrics |= {name: -1.0 - place for place, name in enumerate(names)}
    run_id = registry.open_run(json_digest(names), title="search")
    tags = {f"figure.{name}": name for name in names}
    registry.log_page(run_id, RunPage("linear", "", metrics=metrics, tags=tags))
    found = client_of(registry).get_run(run_id).data
    assert sorted(found.metrics.values()) == sorted(metrics.values())
    assert set(names) <= set(found.tags.values())


def test_columns_and_classes_of_any_names_are_registered(registry, saved_model):
    described = replace(
        DESCRIPTION,
        inputs=dict.fromkeys(HOSTILE, "any"),
        outputs={f"probability_{name}": "double" for name in HOSTILE},
        example=pd.DataFrame([dict.fromkeys(HOSTILE, 0.5)]),
        metrics=dict.fromkeys(HOSTILE, 0.5),
        tags={"model": HOSTILE[0]},
    )
    run_id = registry.open_run("digest", title="search")
    version = registry.register_version(run_id, model=saved_model, description=described)
    assert version.facts["model"] == HOSTILE[0]
    assert list(registry.example_rows(version).columns) == list(HOSTILE)
    (logged,) = client_of(registry).search_logged_models([registry.experiment_id])
    assert len(logged.metrics) == len(HOSTILE)


def test_a_parameter_that_mlflow_would_cut_is_kept_in_full_beside_it(registry, tmp_path):
    columns = json.dumps({f"column {number}": "number" for number in range(1000)})
    run_id = registry.open_run("digest", title="search")
    registry.log_page(run_id, RunPage("linear", "", {"data.columns": columns, "seed": "0"}))
    shown = client_of(registry).get_run(run_id).data.params
    kept = registry.download_artifact(run_id, name="long_parameters.json", folder=tmp_path)
    assert shown["data.columns"].endswith("(in full: see long_parameters.json)")
    assert json.loads(kept.read_text()) == {"data.columns": columns}


def test_a_model_has_one_run_for_monitoring_with_each_point_once(registry, state):
    page, points = state / "monitoring.html", [MetricPoint("loss", 0.1, 10, 36_000_000)]
    more = [*points, MetricPoint("loss", 0.2, 34, 122_400_000)]
    corrected = [*more, MetricPoint("loss", 0.3, 34, 122_400_000)]
    for text, shown in (("old", points), ("old", more), ("new", corrected)):
        page.write_text(text)
        run_id = registry.log_monitoring(page=page, points=shown)
    history = client_of(registry).get_metric_history(run_id, "loss")
    assert sorted((p.step, p.value) for p in history) == [(10, 0.1), (34, 0.2), (34, 0.3)]
    assert [(run.info.run_id, run.info.status) for run in runs(registry)] == [(run_id, "FINISHED")]
    kept = registry.download_artifact(run_id, name="monitoring.html", folder=state / "kept")
    assert kept.read_text() == "new"


# Identity


def test_runs_that_start_at_once_share_one_experiment(state, registry):
    with ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(lambda name: open_state(state, name), ["sales"] * 8))
    found = client_of(registry).search_experiments(filter_string="name = 'sales'")
    assert {each.experiment_id for each in opened} == {each.experiment_id for each in found}
    assert len(found) == 1


def test_an_experiment_that_was_deleted_is_named_with_its_remedy(registry, state):
    client_of(registry).delete_experiment(registry.experiment_id)
    with pytest.raises(StageError, match="'churn', but it was deleted: restore it with"):
        open_state(state)


def test_the_address_in_the_environment_is_used(state, shared):
    assert open_state(state).address == shared
    assert not (state / "mlflow.db").exists()


@pytest.mark.usefixtures("shared")
def test_two_projects_with_one_name_never_share_an_experiment(state):
    first = open_state(state)
    run_id = first.open_run("a", title="search")
    with pytest.raises(ParamsError, match=r"'churn' to be free .* set registry\.name in params"):
        ModelRegistry(state, "churn", OTHER_ID)
    other = ModelRegistry(state, "other", OTHER_ID)
    other.open_run("b", title="search")
    assert client_of(first).get_run(run_id).info.status == "RUNNING"


def test_two_projects_with_one_name_never_share_a_registered_model(state, shared, saved_model):
    MlflowClient(shared).create_registered_model("churn", {"evertune.project_id": OTHER_ID})
    with pytest.raises(
        ParamsError, match=f"its registered model is of the project with the id {OTHER_ID}"
    ):
        register(open_state(state), saved_model)


def experiment_of_0_1(address, place):
    """Make an experiment and a model as Evertune 0.1 left them."""
    client = MlflowClient(address)
    experiment = client.create_experiment("churn")
    run = client.create_run(experiment, tags={"evertune.project": place, "evertune.search": "a"})
    client.create_registered_model("churn")
    client.create_model_version("churn", "file:///nowhere", run_id=run.info.run_id)
    return run.info.run_id


def test_runs_and_versions_of_an_older_release_are_adopted(state, shared, saved_model):
    import socket

    run_id = experiment_of_0_1(shared, f"{socket.gethostname()}:{state.parent}")
    registry = open_state(state)
    assert registry.open_run("a", title="again") == run_id
    assert register(registry, saved_model) == "2"
    with pytest.raises(ParamsError, match=r"registry\.name"):
        ModelRegistry(state, "churn", OTHER_ID)


def test_runs_that_an_older_release_made_elsewhere_are_not_adopted(state, shared):
    experiment_of_0_1(shared, "another-machine:/srv/churn")
    with pytest.raises(ParamsError, match="its experiment is of another project"):
        open_state(state)


def test_a_copy_with_a_new_id_goes_on_in_its_own_database(registry, state, saved_model):
    register(registry, saved_model)
    copy = ModelRegistry(state, "churn", OTHER_ID)
    assert register(copy, saved_model, "2") == "2"


# Another model


def test_another_registered_model_predicts_probabilities_classes_or_nothing(registry, saved_model):
    register(registry, saved_model)
    registry.move_aliases(before={}, after={"challenger": "1"})
    other = open_state(Path(registry.address.removeprefix("sqlite:///")).parent, "sales")
    likely = predict_with_registered_model(
        other, "models:/churn@challenger", table=RAW, positive="yes"
    )
    classes = predict_with_registered_model(other, "models:/churn/1", table=RAW, positive="auto")
    assert likely.between(0, 1).all()
    assert np.array_equal(classes == "yes", likely > 0.5)
    with pytest.raises(ParamsError, match=r"must be models:/NAME/NUMBER .* got 'churn'"):
        predict_with_registered_model(other, "churn", table=RAW, positive="yes")
    with pytest.raises(InputError, match="version of churn, but got 'nobody'"):
        predict_with_registered_model(other, "models:/churn@nobody", table=RAW, positive="yes")
