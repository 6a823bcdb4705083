from pathlib import Path

import pytest

from pipelines import agreement
from pipelines.sections import CustomMetric, Data, MetricSection, Paths, SearchSection, Split

PROFIT = CustomMetric(function="own:profit", greater_is_better=True)


def _paths(**changed):
    names = [field.alias or name for name, field in Paths.model_fields.items()]
    return Paths(**{name: Path("data", name) for name in names} | changed)


def _data(**given):
    return Data(**{"source": "example", "target": "churned"} | given)


@pytest.mark.parametrize("path", ["/etc/passwd", "../other/model", "data/../../model", "."])
def test_a_path_outside_the_project_is_refused(tmp_path, path):
    complaints = list(agreement.paths_inside(_paths(model=Path(path)), tmp_path))
    words = f"paths.model must be a path inside the project, but got '{path}'."
    assert complaints == [("paths.model", words)]


def test_a_path_through_a_link_out_of_the_project_is_refused(tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "out").symlink_to(tmp_path)
    paths = _paths(schema=Path("out/schema.json"))
    places = [place for place, _ in agreement.paths_inside(paths, tmp_path / "root")]
    assert places == ["paths.schema"]


@pytest.mark.parametrize("plots", ["data/model", "data/model/plots"])
def test_a_path_in_another_path_is_refused(plots):
    places = {place for place, _ in agreement.paths_apart(_paths(plots=Path(plots)))}
    assert "paths.plots" in places


def test_paths_beside_each_other_are_fine(tmp_path):
    assert agreement.disagreements({"paths": _paths(), "root": tmp_path}) == []


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
    complaints = dict(agreement.disagreements({"data": _data(**data)}))
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
    ((_, found),) = agreement.folds_fit(_data(**data), Split(**split))
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
    ((_, found),) = agreement.metrics_known(MetricSection(**metric), _data(task=task))
    assert words in found


@pytest.mark.parametrize("task", ["auto", "binary", "regression"])
def test_a_metric_of_the_users_own_can_be_optimised_and_guarded(task):
    metric = MetricSection(optimise="profit", guards={"profit": 1.0}, custom={"profit": PROFIT})
    assert list(agreement.metrics_known(metric, _data(task=task))) == []


@pytest.mark.parametrize("name", ["f1", "auto"])
def test_a_metric_of_the_users_own_needs_a_new_name(name):
    ((place, words),) = agreement.custom_metrics_new(MetricSection(custom={name: PROFIT}))
    assert (place, "choose another name" in words) == (f"metric.custom.{name}", True)


def test_a_search_without_an_end_is_refused():
    ((_, words),) = agreement.budget_given(SearchSection(budget_seconds=None))
    assert "search.budget_seconds or search.budget_trials must be given" in words


def test_a_family_given_twice_is_refused():
    ((_, words),) = agreement.families_once(SearchSection(families=("linear", "linear")))
    assert words == "search.families: 'linear' stands 2 times."


def test_a_check_is_left_out_where_a_section_could_not_be_read():
    assert agreement.disagreements({"split": Split(folds="time")}) == []
