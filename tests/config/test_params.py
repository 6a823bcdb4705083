import json
import os
from pathlib import Path

import pytest

from evertune.config import Params, edit_params, find_root, load_params, load_paths
from evertune.config.loader import call_with_sections, run_stage
from evertune.config.schema import DataSection, PathsSection, SearchSection
from evertune.errors import ParamsError, TableError

SHIPPED = (Path(__file__).parents[2] / "params.yaml").read_text(encoding="utf-8")
SHORT = "data: {source: sales.csv, target: left}\n"
TRIGGER = {"name": "one", "signal": "loss", "action": "alert", "rule": {"kind": "e_process"}}
THRESHOLD = {"kind": "threshold", "above": 1.0}
PROFIT = {"profit": {"function": "own:profit", "greater_is_better": True}}


@pytest.fixture
def root(tmp_path):
    (tmp_path / "params.yaml").write_text(SHIPPED, encoding="utf-8")
    return tmp_path


def _change(root, old, new):
    assert old in SHIPPED
    (root / "params.yaml").write_text(SHIPPED.replace(old, new, 1), encoding="utf-8")


def _line_of(text):
    return SHIPPED[: SHIPPED.index(text)].count("\n") + 1


def _load(folder, **sections):
    """Return the parameters of sections, written as JSON, which is YAML too."""
    sections["data"] = {"source": "sales.csv", "target": "left"} | sections.get("data", {})
    (folder / "params.yaml").write_text(json.dumps(sections), encoding="utf-8")
    return load_params(folder)


def test_the_shipped_parameters_are_the_defaults_but_for_the_example(root):
    data = DataSection(source="example", target="churned", time="date", positive="yes")
    params = load_params(root)
    defaults = Params(data=data).model_dump(exclude={"paths", "registry"})
    assert params.model_dump(exclude={"paths", "registry"}) == defaults
    assert params.registry.model_copy(update={"name": "model"}) == Params(data=data).registry
    assert load_paths(root) == params.paths


def test_source_and_target_are_enough(tmp_path):
    (tmp_path / "params.yaml").write_text(SHORT)
    params = load_params(tmp_path)
    assert params.search == SearchSection()
    assert params.paths.clean == tmp_path / "data" / "clean.parquet"


def test_paths_are_absolute_below_the_project(root):
    assert load_params(root).paths.table_schema == root / "data" / "schema.json"


def test_the_state_of_a_checkout_is_the_projects(root, tmp_path_factory):
    state = tmp_path_factory.mktemp("project") / "state"
    state.mkdir()
    (root / "state").symlink_to(state)
    assert load_params(root).paths.state == state


def test_paths_are_read_whatever_else_stands_in_the_file(tmp_path):
    (tmp_path / "params.yaml").write_text("paths: {absorbed: rows.parquet}\nsearch: {old: 1}\n")
    assert load_paths(tmp_path).production_labels == tmp_path / "rows.parquet"
    (tmp_path / "params.yaml").write_text("a: 1\npaths: {absorbd: rows.parquet}\n")
    with pytest.raises(ParamsError, match=r"line 2: paths.absorbd is not known."):
        load_paths(tmp_path)


def test_a_file_is_parsed_once_until_it_changes(root):
    first = load_params(root)
    assert load_params(root).search is first.search
    path = root / "params.yaml"
    path.write_text(SHIPPED.replace("n_folds: 5", "n_folds: 7"))
    os.utime(path, ns=(1, 1))
    assert load_params(root).split.n_folds == 7


@pytest.mark.parametrize(
    ("section", "old", "new", "value"),
    [
        ("metric", "optimise", "primary", "f1"),
        ("registry", "false_promotions", "alpha", 0.1),
        ("registry", "nested_trials", "logged_trials", 3),
        ("scoring", "most_rows", "max_rows", 3),
        ("scoring", "most_bytes", "max_request_bytes", 3),
        ("scoring", "gather_milliseconds", "batch_wait_ms", 3.0),
        ("monitoring", "labels_come", "labels_available", False),
        ("monitoring", "mature_coverage", "label_coverage", 0.5),
        ("monitoring", "clock", "now", "latest_event"),
        ("monitoring.policy", "check_days", "refit_interval_days", 14.0),
        ("monitoring.policy", "failed_gates", "max_failed_gates", 3),
        ("monitoring.retune", "judge_fraction", "holdout_fraction", 0.25),
        ("monitoring.retune", "judge_days", "holdout_days", 5.0),
        ("paths", "absorbed", "production_labels", Path("rows")),
        ("paths", "choosing", "selection", Path("rows")),
    ],
)
def test_a_key_is_read_under_its_former_name_but_not_under_both(tmp_path, section, old, new, value):
    outer, _, inner = section.partition(".")

    def load(keys):
        written = dict.fromkeys(keys, "newest" if value == "latest_event" else value)
        plain = json.loads(json.dumps(written, default=str))
        read = getattr(_load(tmp_path, **{outer: {inner: plain} if inner else plain}), outer)
        return getattr(getattr(read, inner) if inner else read, new)

    assert load([old]) in {value, tmp_path / "rows"}
    assert load([new]) in {value, tmp_path / "rows"}
    words = rf"{section}.{old} is the former name of {section}.{new}, and both are given"
    with pytest.raises(ParamsError, match=words):
        load([old, new])


def test_families_and_their_parameters_are_read_under_their_former_names(tmp_path):
    space = {"hist_boosting": {"levels": ["one_hot"]}, "linear": {"penalty": ["elastic", "l1"]}}
    search = _load(tmp_path, search={"families": ["svm", "neighbours"], "space": space}).search
    assert search.families == ("svm", "knn")
    assert search.space == {
        "hist_gradient_boosting": {"categorical_encoding": ("one_hot",)},
        "linear": {"penalty": ("elasticnet", "l1")},
    }


@pytest.mark.parametrize(
    ("space", "fault"),
    [
        ({"neighbours": {}, "knn": {}}, "neighbours is the former name of knn, and both are given"),
        (
            {"svm": {"levels": ["target"], "categorical_encoding": ["target"]}},
            "levels is the forme",
        ),
    ],
)
def test_a_part_of_the_space_under_both_names_is_an_error(tmp_path, space, fault):
    with pytest.raises(ParamsError, match=rf"search.space: {fault}"):
        _load(tmp_path, search={"space": space})


@pytest.mark.parametrize(
    ("search", "fault"),
    [
        ({"searcher": "manual"}, "configurations: searcher manual evaluates these, but there are"),
        (
            {"configurations": [{"family": "tree"}]},
            "configurations: these are for searcher manual, but searcher is 'portfolio'",
        ),
        (
            {"searcher": "manual", "configurations": [{"max_depth": 4}]},
            "configurations.0: expected a family, .* but it is missing",
        ),
        (
            {"searcher": "manual", "configurations": [{"family": "trees"}]},
            "configurations.0: expected a family, .* but got 'trees'",
        ),
        ({"searcher": "nsga2"}, "objectives: searcher nsga2 .* or take searcher genetic"),
        ({"objectives": ["log_loss"]}, "objectives: these are for searcher nsga2"),
        (
            {"searcher": "nsga2", "objectives": ["logloss"]},
            "objectives: 'logloss' is not a metric. Did you mean 'log_loss'",
        ),
        ({"strategy": "sequence"}, "strategy: 'sequence' searches axis by axis, but searcher port"),
        (
            {"searcher": "gradient", "families": ["linear", "tree"]},
            "families: the searcher gradient needs families with derivatives .* there are tree;",
        ),
        ({"searcher": "cmeas"}, "searcher must be .* Did you mean 'cmaes'"),
    ],
)
def test_what_a_searcher_cannot_do_is_a_fault_of_its_key(tmp_path, search, fault):
    with pytest.raises(ParamsError, match=rf"search.{fault}"):
        _load(tmp_path, search=search)


def test_given_configurations_are_read_under_their_former_names(tmp_path):
    given = [{"family": "neighbours", "numbers": "scaled"}]
    search = _load(tmp_path, search={"searcher": "manual", "configurations": given}).search
    assert search.configurations == ({"family": "knn", "numeric_transform": "scaled"},)


@pytest.mark.parametrize(
    ("search", "line", "fault"),
    [
        ("space:\n    neighbours:\n      n_neighbors: {low: x}", 5, "space.neighbours.n_neighbors"),
        ("space:\n    knn:\n      numbers: {low: x}", 5, "space.knn.numbers"),
        ("families: [neighbors]", 3, "families.0 must be"),
    ],
)
def test_a_wrong_value_below_a_former_name_is_one_fault_at_its_line(tmp_path, search, line, fault):
    (tmp_path / "params.yaml").write_text(f"{SHORT}search:\n  {search}\n")
    with pytest.raises(ParamsError, match=rf"has 1 fault:\n  line {line}: search.{fault}"):
        load_params(tmp_path)


def test_a_conflict_names_the_line_of_a_key_under_its_former_name(tmp_path):
    (tmp_path / "params.yaml").write_text(SHORT + "metric:\n  guards: {}\n  optimise: nothing\n")
    with pytest.raises(ParamsError, match=r"line 4: metric.primary: 'nothing' is not a metric"):
        load_params(tmp_path)


def test_a_conflict_in_the_space_names_the_line_of_a_former_name(tmp_path):
    search = (
        "{searcher: tpe, strategy: alternating,\n  space: {knn: {},\n  svm: {\n  select: [l1]}}}"
    )
    (tmp_path / "params.yaml").write_text(f"{SHORT}search: {search}\n")
    fault = "search.space.svm.feature_selection: strategy alternating eliminates features with"
    with pytest.raises(ParamsError, match=rf"has 1 fault:\n  line 5: {fault}"):
        load_params(tmp_path)


def test_a_value_is_written_under_the_name_that_the_file_has(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(SHORT + "monitoring: {clock: real}\n")
    edit_params(tmp_path, "monitoring", {"now": "latest_event", "least_rows": 9})
    assert "  clock: latest_event\n  least_rows: 9\n" in path.read_text()
    edit_params(tmp_path, "metric", {"primary": "f1"})
    params = load_params(tmp_path)
    assert (params.monitoring.now, params.metric.primary) == ("latest_event", "f1")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("target: churned", "targt: churned", "data.target is missing"),
        ("n_folds: 5", "n_fold: 5", "split.n_fold is not known. Did you mean 'n_folds'?"),
        ("  schema: data", "  scheme: data", "scheme is not known. Did you mean 'schema'?"),
        ("split:", "splits:", "splits is not known. Did you mean 'split'?"),
        ("dialect: {}", "dialect: {delimeter: ;}", "Did you mean 'delimiter'?"),
        ("budget_trials: null", "n_trails: 3", "search.n_trails is not known. Known: budget_sec"),
        ("folds: auto", "folds: kfld", "but got \"kfld\". Did you mean 'kfold'?"),
        ("[linear,", "[linaer,", "search.families.0 must be 'linear', .* Did you mean 'linear'?"),
        ("n_folds: 5", 'n_folds: "5"', 'a whole number, but got "5". Write it without quotes'),
        ("n_folds: 5", "n_folds: 5.5", "split.n_folds must be a whole number, but got 5.5"),
        ("n_folds: 5", "n_folds: 1", "must be greater than or equal to 2, but got 1"),
        ("holdout_fraction: 0.2", "holdout_fraction: .nan", "a finite number, but got NaN"),
        ('positive: "yes"', "positive: .inf", "or a finite number or .*, but got Infinity"),
        ("workers: auto", "workers: 0", "greater than 0 or 'auto', but got 0"),
        ("ignore: []", "ignore: name", 'data.ignore must be a list, but got "name"'),
        ("custom: {}", "custom: {p: {function: p}}", "greater_is_better is missing"),
        ("custom: {}", "custom: {p: {functoin: m:p}}", "Did you mean 'function'?"),
        ("custom: {}", "custom: 3", "metric.custom must be a section with keys, but got 3"),
        ("name: churn", "name: a/b", "registry.name must be text of the form .* but got"),
        ("model: data/model", "model: ../model", "paths.model must be a path inside the project"),
        ("primary: auto", "primary: roc_acu", "not a metric. Did you mean 'roc_auc'"),
        ("signal: input_drift", "signal: input_drfit", "Did you mean 'input_drift'?"),
        ('cron: "0 6 * * *"', 'cron: "0 6 * *"', r"monitoring.cron must be text of the form"),
        ('cron: "0 6 * * *"', 'cron: "0 66 * * *"', "'0 66 . . .' is not a schedule .*range"),
        ("timezone: UTC ", "timezone: Europe/Berln ", "Did you mean 'Europe/Berlin'?"),
        ("timezone: UTC ", "timezone: Europe/Berln ", "or UTC. Did you mean 'Europe/Berlin'?"),
        ("timezone: UTC ", "timezone: +02:00 ", "is not a time zone; write an IANA name"),
        ("cooldown_days: 7 ", "cooldown_day: 7 ", "Did you mean 'cooldown_days'?"),
        ("notify: []", "notify: [slack]", "monitoring.notify.0 must be text of the form"),
    ],
)
def test_a_fault_is_named_with_its_line(root, old, new, words):
    _change(root, old, new)
    with pytest.raises(ParamsError, match=rf"line \d+: .*{words.replace('?', '.')}") as refused:
        load_params(root)
    assert f"line {_line_of(old)}:" in str(refused.value)
    assert "?." not in str(refused.value)


@pytest.mark.parametrize(
    ("new", "words"),
    [
        (
            "{kind: threshld, above: 1}",
            "kind must be one of .*, but got .*Did you mean 'threshold'",
        ),
        ("{above: 1}", r"triggers.2.rule.kind is missing"),
        ("7", "triggers.2.rule must be a section with keys, but got 7"),
        ("{kind: threshold, abov: 1}", "triggers.2.rule.abov is not known. Did you mean 'above'"),
        ("{kind: k_of_n, above: 1, k: 2}", "triggers.2.rule.n is missing"),
        ("{kind: k_of_n, above: 1, k: 0, n: 3}", "triggers.2.rule.k must be greater than 0"),
        ("{kind: k_of_n, above: 1, m: 1, k: 1, n: 3}", "rule.m is not known. Known: kind, above"),
        ("{kind: e_process, k: 1}", "rule.k is not known. Known: kind, tolerance, false_alarm"),
        ("{kind: k_of_n, above: 1, k: 4, n: 3}", "rule.k: 4 must not be above n 3"),
    ],
)
def test_a_fault_in_a_rule_is_named_with_its_line(root, new, words):
    old = "{kind: k_of_n, above: 1.0, k: 2, n: 3}"
    _change(root, old, new)
    with pytest.raises(ParamsError, match=words) as refused:
        load_params(root)
    assert f"line {_line_of(old)}:" in str(refused.value)


def test_all_faults_are_listed_at_once_in_the_order_of_lines(root):
    text = SHIPPED.replace("n_folds: 5", "n_folds: 1").replace("churned", "[]")
    (root / "params.yaml").write_text(text.replace("budget_seconds: 60", "budget_seconds: null"))
    with pytest.raises(
        ParamsError, match=r"4 faults:\n.*target.*\n.*n_folds.*\n.*h.budget.*\n.*e.budget"
    ):
        load_params(root)


def test_a_section_that_contradicts_itself_hides_no_other_fault(tmp_path):
    policy = {"cooldown_days": 60, "follow_up_days": [7, 7]}
    triggers = [TRIGGER | {"signal": "zzz", "rule": THRESHOLD}]
    with pytest.raises(ParamsError, match="6 faults") as refused:
        _load(
            tmp_path,
            data={"time": "left"},
            monitoring={"policy": policy, "triggers": triggers, "slices": ["left"]},
        )
    words = (
        "longest_cooldown_days: 56",
        "follow_up_days",
        "'zzz' is not a signal",
        "is the target",
    )
    assert [word for word in words if word not in str(refused.value)] == []


def test_a_secret_is_refused_and_not_repeated(root):
    _change(root, "missing_values: []", "missing_values: postgresql://me:open-sesame@db/sales")
    with pytest.raises(ParamsError, match=r"data\.missing_values looks like a secret") as refused:
        load_params(root)
    assert "sesame" not in str(refused.value)


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"data": {"time": "left"}}, "data.target: column 'left' has more than one role"),
        ({"data": {"ignore": ["left"]}}, "data.target 'left' must not be in data.ignore"),
        ({"data": {"columns": {"left": "number"}}}, "must not be in data.ignore or .columns"),
        ({"data": {"source": "a.sql"}}, "must name the environment variable"),
        ({"data": {"address_variable": "DB"}}, "is for a .sql source, but data.source is"),
        ({"data": {"existing_column": "a", "existing_model": "models:/c/3"}}, "keep one of them"),
        ({"data": {"task": "regression", "positive": "yes"}}, "data.positive must be auto"),
        ({"split": {"folds": "time"}}, "split.folds 'time' needs data.time"),
        ({"split": {"folds": "group"}}, "split.folds 'group' needs data.group"),
        ({"split": {"folds": "stratified"}, "data": {"task": "regression"}}, "needs classes"),
        ({"split": {"gap_days": 2.0}}, "split.gap_days 2 needs data.time"),
        ({"metric": {"primary": "rmse"}, "data": {"task": "binary"}}, "'binary'; use roc_auc"),
        ({"metric": {"guards": {"prfit": 1.0}}}, "metric.guards.prfit: 'prfit' is not a metric"),
        ({"metric": {"custom": {"f1": PROFIT["profit"]}}}, "choose another name"),
        (
            {"search": {"budget_seconds": None}},
            "search.budget_seconds: this or budget_trials",
        ),
        ({"search": {"families": ["linear", "linear"]}}, "'linear' is listed 2 times"),
        ({"scoring": {"cron": "0 5 * * *"}}, "scoring.cron: it needs source, which is null"),
        ({"scoring": {"cron": "* 25 * * *", "source": "a.csv"}}, "scoring.cron: .* not a schedule"),
        ({"scoring": {"source": "a.sql"}}, "scoring.address_variable: source is a query"),
        ({"scoring": {"labels": "b.SQL"}}, "scoring.address_variable: labels is a query"),
        ({"monitoring": {"window_rows": 10}}, "window_rows: 10 must not be below least_rows 30"),
        (
            {"monitoring": {"window_days": 7, "horizon_days": 3}},
            "3 must not be below window_days 7",
        ),
        ({"monitoring": {"slices": ["left"]}}, "monitoring.slices: 'left' is the target"),
        (
            {"monitoring": {"contract": {"volume_low": 5.0}}},
            "5 must be above volume_low 5",
        ),
        (
            {"monitoring": {"policy": {"cooldown_days": 60}}},
            "56 must not be below cooldown_days 60",
        ),
        (
            {"monitoring": {"policy": {"follow_up_days": [7, 7]}}},
            r"before, but got \[7.0, 7.0\]",
        ),
        ({"monitoring": {"retune": {"budget_seconds": None}}}, "both are null"),
        (
            {"monitoring": {"triggers": [TRIGGER, TRIGGER]}},
            "1.name: 'one' is used 2 times",
        ),
        (
            {"monitoring": {"triggers": [TRIGGER | {"signal": "f1"}]}},
            "tests the signal 'loss', not 'f1'",
        ),
        (
            {"monitoring": {"triggers": [TRIGGER | {"rule": THRESHOLD | {"below": 0.0}}]}},
            "keep one of above and below",
        ),
        (
            {"monitoring": {"triggers": [TRIGGER | {"rule": {"kind": "k_of_n", "k": 1, "n": 2}}]}},
            "rule.above: this or below must be given",
        ),
        (
            {"monitoring": {"triggers": [TRIGGER | {"signal": "zzz", "rule": THRESHOLD}]}},
            "'zzz' is not a signal of production. Known: loss, main_metric, roc_auc",
        ),
        (
            {
                "monitoring": {"triggers": [TRIGGER | {"signal": "rmse", "rule": THRESHOLD}]},
                "data": {"task": "binary"},
            },
            "'rmse' is not a signal of production",
        ),
        ({"paths": {"plots": "data/model/plots"}}, "must not be in or the same as paths.model"),
        ({"paths": {"model": "/etc/model"}}, "must be a path inside the project"),
    ],
)
def test_values_that_contradict_each_other_are_refused(tmp_path, sections, words):
    with pytest.raises(ParamsError, match=words):
        _load(tmp_path, **sections)


def test_a_path_through_a_link_out_of_the_project_is_refused(tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "out").symlink_to(tmp_path)
    with pytest.raises(ParamsError, match=r"paths\.schema must be a path inside the project"):
        _load(tmp_path / "root", paths={"schema": "out/schema.json"})


@pytest.mark.parametrize(
    "signal",
    ["roc_auc", "loss", "main_metric", "joint_drift", "contract", "missing", "estimated_loss",
     "estimated_roc_auc", "profit", "estimated_profit", "business.sales"],
)  # fmt: skip
def test_a_trigger_on_any_signal_of_production_is_accepted(tmp_path, signal):
    trigger = TRIGGER | {"signal": signal, "rule": THRESHOLD}
    business = {"sales": {"function": "own:sales"}}
    params = _load(
        tmp_path,
        data={"task": "binary"},
        metric={"primary": "profit", "guards": {"profit": 1.0}, "custom": PROFIT},
        monitoring={"triggers": [trigger], "business": business},
    )
    assert params.monitoring.triggers[0].signal == signal


def test_a_threshold_without_a_bound_is_switched_off(tmp_path):
    rule = {"kind": "threshold"}
    params = _load(tmp_path, monitoring={"triggers": [TRIGGER | {"rule": rule}]})
    assert params.monitoring.triggers[0].rule.above is None


@pytest.mark.parametrize("cron", ["* * * * *", "*/15 6-20/2 1,15 jan-mar MON", "5 4 * * sun,sat"])
def test_a_schedule_that_schedulers_read_is_accepted(tmp_path, cron):
    assert _load(tmp_path, monitoring={"cron": cron}).monitoring.cron == cron


@pytest.mark.parametrize(("written", "read"), [("1e-3", 0.001), ("60", 60.0), ("0.5", 0.5)])
def test_a_number_is_read_in_every_usual_form(root, written, read):
    _change(root, "budget_seconds: 60", f"budget_seconds: {written}")
    assert load_params(root).search.budget_seconds == read


@pytest.mark.parametrize("written", ["yes", "1", "1.5", "true"])
def test_the_positive_class_keeps_its_type(root, written):
    _change(root, 'positive: "yes"', f"positive: {written}")
    kinds = {"yes": str, "1": int, "1.5": float, "true": bool}
    assert type(load_params(root).data.positive) is kinds[written]


def test_the_root_is_the_nearest_folder_with_parameters(root):
    (root / "data" / "raw").mkdir(parents=True)
    assert find_root(root / "data" / "raw") == root


def test_a_folder_outside_every_project_is_refused(tmp_path):
    with pytest.raises(ParamsError, match=r"No params\.yaml in .* or above"):
        find_root(tmp_path)


def test_a_stage_is_called_with_the_sections_that_it_names(root):
    def run(*, paths: PathsSection, search: SearchSection) -> tuple[Path, int]:
        return paths.clean, search.seed

    assert call_with_sections(run, root) == (root / "data" / "clean.parquet", 0)


def test_a_stage_runs_for_the_project_around_the_working_directory(root, monkeypatch):
    seen = []
    (root / "data").mkdir()
    monkeypatch.chdir(root / "data")
    assert run_stage(lambda paths: seen.append(paths.state)) == 0
    assert seen == [root / "state"]


def test_a_failed_stage_ends_with_one_message_and_its_exit_code(root, monkeypatch, capsys):
    def run(*, data: DataSection) -> None:
        raise TableError(f"no column '{data.target}'")

    monkeypatch.chdir(root)
    assert run_stage(run) == 2
    assert capsys.readouterr().err == "no column 'churned'\n"


@pytest.mark.parametrize(
    ("search", "words"),
    [
        (
            {"searcher": "random", "scheduler": "pbt", "families": ["linear", "xgboost"]},
            "search.families: pbt trains in steps of rounds or epochs, which linear cannot; leave",
        ),
        ({"scheduler": "hyperband"}, "search.scheduler: hyperband compares trials step by step"),
        ({"rung": "rows"}, "search.rung: racing has no rungs of rows; take folds, or one of asha"),
        (
            {"searcher": "tpe", "scheduler": "pb2", "families": ["lightgbm", "xgboost"]},
            "search.families: pb2 models how .* exactly one family, but 2 are named; keep one",
        ),
    ],
)
def test_a_scheduler_that_cannot_work_is_refused_with_what_to_take_instead(tmp_path, search, words):
    with pytest.raises(ParamsError, match=words):
        _load(tmp_path, search=search)


def test_a_search_with_rungs_and_storage_is_read(tmp_path):
    search = {"searcher": "random", "scheduler": "asha", "rung": "rows", "storage": "s3://b/f"}
    params = _load(tmp_path, search=search | {"gpus_per_trial": 0.5})
    assert (params.search.rung, params.search.storage) == ("rows", "s3://b/f")
    assert params.search.gpus_per_trial == 0.5
