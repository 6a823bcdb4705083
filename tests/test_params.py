from pathlib import Path
from typing import get_args

import pytest

from evertune.config.loader import call_with_sections, find_root, load_params, run_stage
from evertune.config.schema import DataSection, Family, PathsSection, SearchSection
from evertune.errors import ParamsError, TableError
from evertune.models import families

SHIPPED = (Path(__file__).parents[1] / "params.yaml").read_text(encoding="utf-8")


@pytest.fixture
def root(tmp_path):
    (tmp_path / "params.yaml").write_text(SHIPPED, encoding="utf-8")
    return tmp_path


def _change(root, old, new):
    assert old in SHIPPED
    (root / "params.yaml").write_text(SHIPPED.replace(old, new, 1), encoding="utf-8")


def _line_of(text):
    return SHIPPED[: SHIPPED.index(text)].count("\n") + 1


def test_the_shipped_parameters_are_sound(root):
    assert load_params(root).data == DataSection(
        source="example", target="churned", time="date", positive="yes"
    )


def test_paths_are_absolute_below_the_project(root):
    assert load_params(root).paths.table_schema == root / "data" / "schema.json"


def test_a_section_that_is_left_out_has_its_defaults(root):
    text = SHIPPED[: SHIPPED.index("search:")] + SHIPPED[SHIPPED.index("fit:") :]
    (root / "params.yaml").write_text(text)
    assert load_params(root).search == SearchSection()


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
        ("n_folds: 5", "n_folds: true", "split.n_folds must be a whole number, but got true"),
        ("n_folds: 5", "n_folds: 1", "must be greater than or equal to 2, but got 1"),
        ("holdout_fraction: 0.2", "holdout_fraction: 1.0", "less than 1, but got 1.0"),
        ("holdout_fraction: 0.2", "holdout_fraction: .nan", "a finite number, but got NaN"),
        ("human_figure: null", "human_figure: 1e400", "a finite number, but got Infinity"),
        ('positive: "yes"', "positive: .inf", "or a finite number or .*, but got Infinity"),
        ("workers: auto", "workers: 0", "greater than 0 or 'auto', but got 0"),
        ("ignore: []", "ignore: name", 'data.ignore must be a list, but got "name"'),
        ("custom: {}", "custom: {p: {function: p}}", "greater_is_better is missing"),
        ("custom: {}", "custom: {p: {functoin: m:p}}", "Did you mean 'function'?"),
        ("custom: {}", "custom: 3", "metric.custom must be a section with keys, but got 3"),
        ("name: churn", "name: a/b", "registry.name must be text of the form .* but got"),
        ("budget_seconds: 60", "budget_seconds: null", "both are null"),
        ("model: data/model", "model: ../model", "paths.model must be a path inside the project"),
        ("optimise: auto", "optimise: roc_acu", "'roc_acu' is no metric. Did you mean 'roc_auc'"),
        ("window_days: 1", "window_day: 1", "monitoring.window_day is not known. Did you mean"),
        ("signal: input_drift", "signal: input_drfit", "Did you mean 'input_drift'?"),
        ('cron: "0 6 * * *"', 'cron: "0 6 * *"', r"monitoring.cron must be text of the form"),
        ('cron: "0 6 * * *"', 'cron: "0 66 * * *"', "monitoring.cron: the hour must be from 0"),
        ("cooldown_days: 7 ", "cooldown_day: 7 ", "Did you mean 'cooldown_days'?"),
        ("business: {}", "business: {a: {functon: m:p}}", "Did you mean 'function'?"),
        ("notify: []", "notify: [slack]", "monitoring.notify.0 must be text of the form"),
    ],
)
def test_a_fault_is_named_with_its_line(root, old, new, words):
    _change(root, old, new)
    with pytest.raises(ParamsError, match=rf"line \d+: .*{words.replace('?', '.')}") as refused:
        load_params(root)
    assert f"line {_line_of(old)}:" in str(refused.value)


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
        ("{kind: k_of_n, above: 1, k: 4, n: 3}", "rule: k 4 must not be above n 3"),
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
    with pytest.raises(ParamsError, match=r"3 faults:\n.*data.target.*\n.*n_folds.*\n.*budget"):
        load_params(root)


def test_every_family_that_can_be_named_exists():
    assert set(get_args(Family)) == families.FAMILIES.keys() - {"zero_rule"}


@pytest.mark.parametrize(("written", "read"), [("1e-3", 0.001), ("60", 60.0), ("0.5", 0.5)])
def test_a_number_is_read_in_every_usual_form(root, written, read):
    _change(root, "budget_seconds: 60", f"budget_seconds: {written}")
    assert load_params(root).search.budget_seconds == read


@pytest.mark.parametrize("written", ["yes", "1", "1.5", "true"])
def test_the_positive_class_keeps_its_kind(root, written):
    _change(root, 'positive: "yes"', f"positive: {written}")
    kinds = {"yes": str, "1": int, "1.5": float, "true": bool}
    assert type(load_params(root).data.positive) is kinds[written]


def test_a_secret_is_refused_and_not_repeated(root):
    _change(root, "missing_values: []", "missing_values: postgresql://me:open-sesame@db/sales")
    with pytest.raises(ParamsError, match=r"data\.missing_values looks like a secret") as refused:
        load_params(root)
    assert "sesame" not in str(refused.value)


def test_the_root_is_the_nearest_folder_with_parameters(root):
    (root / "pipelines" / "core").mkdir(parents=True)
    assert find_root(root / "pipelines" / "core") == root


def test_a_folder_outside_every_project_is_refused(tmp_path):
    with pytest.raises(ParamsError, match=r"No params\.yaml in .* or above"):
        find_root(tmp_path)


def test_a_step_is_given_the_sections_that_it_names(root):
    def run(*, paths: PathsSection, search: SearchSection) -> tuple[Path, int]:
        return paths.clean, search.seed

    assert call_with_sections(run, root) == (root / "data" / "clean.parquet", 0)


def test_a_stage_runs_for_the_project_around_the_working_directory(root, monkeypatch):
    seen = []
    (root / "data").mkdir()
    monkeypatch.chdir(root / "data")
    assert run_stage(lambda paths: seen.append(paths.state)) == 0
    assert seen == [root / "state"]


def test_a_failed_stage_says_why_in_one_message_and_ends_with_its_code(root, monkeypatch, capsys):
    def run(*, data: DataSection) -> None:
        raise TableError(f"no column '{data.target}'")

    monkeypatch.chdir(root)
    assert run_stage(run) == 2
    assert capsys.readouterr().err == "no column 'churned'\n"
