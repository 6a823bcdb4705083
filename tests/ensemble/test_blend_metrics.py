import numpy as np
import pytest

from evertune.ensemble.blend_metrics import blend_to_predictions, make_blend_scorer
from evertune.metrics.metrics import custom_metric, metrics_for

DRAWS = np.random.default_rng(0)
N_ROWS = 400
SAID = {
    "binary": np.round(DRAWS.random((3, N_ROWS)), 2),
    "multiclass": DRAWS.dirichlet(np.ones(3), (3, N_ROWS)),
    "regression": DRAWS.normal(size=(3, N_ROWS)),
}
TRUTH = {
    "binary": DRAWS.integers(0, 2, N_ROWS).astype(float),
    "multiclass": DRAWS.integers(0, 3, N_ROWS).astype(float),
    "regression": DRAWS.normal(3, 1, N_ROWS),
}
CASES = [(task, metric) for task in SAID for metric in metrics_for(task)]


@pytest.mark.parametrize(("task", "metric"), CASES, ids=lambda part: getattr(part, "name", part))
def test_blends_score_what_the_metric_itself_says(task, metric):
    how = make_blend_scorer(metric, TRUTH[task])
    scores = how.score(how.view(SAID[task]))
    said = [blend_to_predictions(each, classes=task != "regression") for each in SAID[task]]
    figures = [metric.score(TRUTH[task], each) for each in said]
    sign = 1 if metric.greater_is_better else -1
    assert scores == pytest.approx(sign * np.array(figures), abs=2e-4)


def test_a_view_of_a_mean_is_the_mean_of_the_views():
    for metric in metrics_for("regression"):
        view = make_blend_scorer(metric, TRUTH["regression"]).view
        said = SAID["regression"]
        mean = view(said.mean(axis=0, keepdims=True))
        assert mean == pytest.approx(view(said).mean(axis=0, keepdims=True))


def test_rare_chances_keep_their_order():
    (metric,) = (each for each in metrics_for("binary") if each.name == "roc_auc")
    chances = np.array([[1e-6, 2e-6, 3e-6, 4e-6]])
    how = make_blend_scorer(metric, np.array([0.0, 0.0, 1.0, 1.0]))
    assert how.score(chances).tolist() == [1.0]


def test_a_metric_of_the_users_own_is_asked_whatever_its_name():
    def worst(truth, values, _):
        return abs(truth - values).max()

    own = custom_metric("rmse", worst, greater_is_better=False, task="regression")
    how = make_blend_scorer(own, np.array([1.0, 2.0]))
    assert how.score(how.view(np.array([[1.0, 5.0]]))).tolist() == [-3.0]


def test_where_a_metric_is_undefined_the_score_is_the_lowest():
    (metric,) = (each for each in metrics_for("binary") if each.name == "roc_auc")
    how = make_blend_scorer(metric, np.zeros(3))
    assert how.score(np.array([[0.1, 0.2, 0.3]])).tolist() == [-np.inf]


def test_labels_are_told_apart_by_their_log_loss():
    (metric,) = (each for each in metrics_for("binary") if each.name == "accuracy")
    how = make_blend_scorer(metric, np.array([0.0, 1.0]))
    sure, unsure = np.array([[0.1, 0.9], [0.4, 0.6]])
    assert how.score(np.array([sure, unsure])).tolist() == [1.0, 1.0]
    better, worse = how.tie_break(np.array([sure, unsure]))
    assert better > worse
