from pathlib import Path

import pytest

from evertune.config import checks
from evertune.config.schema import (
    BusinessMetric,
    ContractSection,
    CustomMetric,
    DataSection,
    KOfNRule,
    MetricSection,
    MonitoringSection,
    PathsSection,
    PolicySection,
    RetuneSection,
    ScoringSection,
    SearchSection,
    SequentialRule,
    SplitSection,
    ThresholdRule,
    Trigger,
)

PROFIT = CustomMetric(function="own:profit", greater_is_better=True)


def _paths(**changed):
    names = [field.alias or name for name, field in PathsSection.model_fields.items()]
    return PathsSection(**{name: Path("data", name) for name in names} | changed)


def _data(**given):
    return DataSection(**{"source": "example", "target": "churned"} | given)


@pytest.mark.parametrize("path", ["/etc/passwd", "../other/model", "data/../../model", "."])
def test_a_path_outside_the_project_is_refused(tmp_path, path):
    complaints = list(checks.check_paths_inside_project(_paths(model=Path(path)), tmp_path))
    words = f"paths.model must be a path inside the project, but got '{path}'."
    assert complaints == [("paths.model", words)]


def test_a_path_through_a_link_out_of_the_project_is_refused(tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "out").symlink_to(tmp_path)
    paths = _paths(schema=Path("out/schema.json"))
    places = [place for place, _ in checks.check_paths_inside_project(paths, tmp_path / "root")]
    assert places == ["paths.schema"]


@pytest.mark.parametrize("plots", ["data/model", "data/model/plots"])
def test_a_path_in_another_path_is_refused(plots):
    places = {place for place, _ in checks.check_paths_disjoint(_paths(plots=Path(plots)))}
    assert "paths.plots" in places


def test_paths_beside_each_other_are_fine(tmp_path):
    assert checks.find_conflicts({"paths": _paths(), "root": tmp_path}) == []


@pytest.mark.parametrize(
    ("data", "place", "words"),
    [
        ({"time": "churned"}, "data.target", "'churned' has more than one role"),
        ({"ignore": ("churned",)}, "data.target", "must not be in data.ignore"),
        ({"columns": {"churned": "number"}}, "data.target", "must not be in data.ignore"),
        ({"source": "a.sql"}, "data.address_variable", "must name the environment variable"),
        ({"address_variable": "DB"}, "data.address_variable", "is for a .sql source"),
        (
            {"existing_column": "a", "existing_model": "models:/churn/3"},
            "data.existing_model",
            "keep one of them",
        ),
        ({"task": "regression", "positive": "yes"}, "data.positive", "must be auto"),
    ],
)
def test_data_that_contradicts_itself_is_refused(data, place, words):
    complaints = dict(checks.find_conflicts({"data": _data(**data)}))
    assert words in complaints[place]


@pytest.mark.parametrize(
    ("split", "data", "words"),
    [
        ({"folds": "time"}, {}, "split.folds 'time' needs data.time"),
        ({"folds": "group"}, {}, "split.folds 'group' needs data.group"),
        ({"folds": "stratified"}, {"task": "regression"}, "needs classes"),
        ({"gap_days": 2.0}, {}, "split.gap_days 2 needs data.time"),
    ],
)
def test_folds_that_the_data_cannot_give_are_refused(split, data, words):
    ((_, found),) = checks.check_folds(_data(**data), SplitSection(**split))
    assert words in found


@pytest.mark.parametrize(
    ("metric", "task", "words"),
    [
        ({"optimise": "roc_acu"}, "auto", "'roc_acu' is no metric. Did you mean 'roc_auc'?"),
        ({"optimise": "rmse"}, "binary", "'rmse' is not for data.task 'binary'; use roc_auc"),
        ({"guards": {"prfit": 1.0}}, "auto", "'prfit' is no metric"),
        ({"guards": {"f1": 0.5}}, "regression", "'f1' is not for data.task 'regression'"),
    ],
)
def test_a_metric_that_is_unknown_or_does_not_fit_is_refused(metric, task, words):
    ((_, found),) = checks.check_metrics(MetricSection(**metric), _data(task=task))
    assert words in found


@pytest.mark.parametrize("task", ["auto", "binary", "regression"])
def test_a_metric_of_the_users_own_can_be_optimised_and_guarded(task):
    metric = MetricSection(optimise="profit", guards={"profit": 1.0}, custom={"profit": PROFIT})
    assert list(checks.check_metrics(metric, _data(task=task))) == []


@pytest.mark.parametrize("name", ["f1", "auto"])
def test_a_metric_of_the_users_own_needs_a_new_name(name):
    ((place, words),) = checks.check_custom_metric_names(MetricSection(custom={name: PROFIT}))
    assert (place, "choose another name" in words) == (f"metric.custom.{name}", True)


def test_a_search_without_an_end_is_refused():
    ((_, words),) = checks.check_search_budget(SearchSection(budget_seconds=None))
    assert "search.budget_seconds or search.budget_trials must be given" in words


def test_a_family_given_twice_is_refused():
    ((_, words),) = checks.check_families_unique(SearchSection(families=("linear", "linear")))
    assert words == "search.families: 'linear' stands 2 times."


THRESHOLD = ThresholdRule(kind="threshold", above=1.0)


def _trigger(signal="loss", rule=THRESHOLD, name="one"):
    return Trigger(name=name, signal=signal, rule=rule, action="alert")


def _watching(*triggers, **given):
    return MonitoringSection(triggers=triggers, **given)


@pytest.mark.parametrize(
    "signal",
    [
        "roc_auc",
        "loss",
        "main_metric",
        "joint_drift",
        "contract",
        "missing",
        "estimated_loss",
        "estimated_roc_auc",
        "profit",
        "estimated_profit",
        "business.sales",
    ],
)
def test_a_trigger_on_any_figure_of_production_is_fine(signal):
    business = {"sales": BusinessMetric(function="own:sales")}
    watching = _watching(_trigger(signal), business=business)
    metric = MetricSection(custom={"profit": PROFIT})
    assert list(checks.check_trigger_signals(watching, metric, _data(task="binary"))) == []


@pytest.mark.parametrize(
    ("signal", "words"),
    [
        ("input_drfit", "'input_drfit' is no figure of production. Did you mean 'input_drift'?"),
        ("rmse", "'rmse' is no figure of production."),
        ("business.sales", "'business.sales' is no figure of production."),
        ("zzz", "Known: loss, main_metric, roc_auc"),
    ],
)
def test_a_trigger_on_a_figure_that_is_never_made_is_refused(signal, words):
    watching = _watching(_trigger(signal))
    ((place, found),) = checks.check_trigger_signals(
        watching, MetricSection(), _data(task="binary")
    )
    assert place == "monitoring.triggers.0.signal"
    assert words in found


def test_two_triggers_of_one_name_are_refused():
    complaints = dict(checks.check_trigger_names_unique(_watching(_trigger(), _trigger())))
    assert "'one' stands 2 times" in complaints["monitoring.triggers.1.name"]


@pytest.mark.parametrize(
    ("signal", "rule", "words"),
    [
        ("f1", {"kind": "threshold", "above": 1.0, "below": 0.0}, "keep one of above and below"),
        ("f1", {"kind": "k_of_n", "k": 1, "n": 2}, "above or below must be given"),
        ("f1", {"kind": "k_of_n", "k": 3, "n": 2, "below": 0.5}, "k 3 must not be above n 2"),
        ("f1", {"kind": "e_process"}, "e_process tests the signal 'loss', not 'f1'"),
    ],
)
def test_a_rule_that_contradicts_itself_is_refused(signal, rule, words):
    kinds = {"threshold": ThresholdRule, "k_of_n": KOfNRule, "e_process": SequentialRule}
    watching = _watching(_trigger(signal, kinds[rule["kind"]](**rule)))
    ((place, found),) = checks.check_trigger_rules(watching)
    assert place.startswith("monitoring.triggers.0.rule")
    assert words in found


def test_a_threshold_without_a_bound_is_switched_off():
    switched_off = ThresholdRule(kind="threshold")
    assert list(checks.check_trigger_rules(_watching(_trigger(rule=switched_off)))) == []


@pytest.mark.parametrize(
    ("scoring", "monitoring", "words"),
    [
        ({"cron": "0 25 * * *", "source": "a.csv"}, {}, "scoring.cron: the hour must be"),
        ({"cron": "0 5 * * *"}, {}, "scoring.cron needs scoring.source"),
        ({}, {"cron": "60 * * * *"}, "monitoring.cron: the minute must be from 0 to 59"),
    ],
)
def test_a_schedule_that_cannot_be_kept_is_refused(scoring, monitoring, words):
    ((_, found),) = checks.check_crons(ScoringSection(**scoring), MonitoringSection(**monitoring))
    assert words in found


@pytest.mark.parametrize("given", [{"source": "a.sql"}, {"labels": "b.SQL"}])
def test_a_scoring_query_needs_an_address(given):
    ((place, words),) = checks.check_scoring_address(ScoringSection(**given))
    assert place == "scoring.address_variable"
    assert "must name the environment variable" in words


@pytest.mark.parametrize(
    ("given", "place", "words"),
    [
        ({"window_rows": 10, "least_rows": 30}, "window_rows", "must not be below least_rows 30"),
        ({"window_days": 7.0, "horizon_days": 3.0}, "horizon_days", "not be below window_days 7"),
        ({"slices": ("churned",)}, "slices", "'churned' is the target"),
        (
            {"contract": ContractSection(volume_low=5.0)},
            "contract.volume_high",
            "above volume_low 5",
        ),
        (
            {"policy": PolicySection(cooldown_days=60)},
            "policy.longest_cooldown_days",
            "must not be below cooldown_days 60",
        ),
        ({"policy": PolicySection(follow_up_days=(7, 7))}, "policy.follow_up_days", "must rise"),
        ({"retune": RetuneSection(budget_seconds=None)}, "retune.budget_seconds", "both are null"),
    ],
)
def test_monitoring_that_contradicts_itself_is_refused(given, place, words):
    ((found, text),) = checks.check_monitoring_bounds(MonitoringSection(**given), _data())
    assert found == f"monitoring.{place}"
    assert words in text


def test_the_shipped_monitoring_is_sound():
    sections = {"monitoring": MonitoringSection(), "scoring": ScoringSection(), "data": _data()}
    assert checks.find_conflicts({**sections, "metric": MetricSection()}) == []


def test_a_check_is_left_out_where_a_section_could_not_be_read():
    assert checks.find_conflicts({"split": SplitSection(folds="time")}) == []
