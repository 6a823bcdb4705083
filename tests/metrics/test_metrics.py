import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from evertune.metrics.metrics import (
    METRICS,
    compute_metrics,
    confusion_matrix,
    custom_metric,
    get_metric,
    is_better,
    keeps_bound,
    lift,
    metrics_for,
)
from evertune.types import Predictions, take_rows
from tests.metrics.contract import ORACLES, RANGES, sample

CASES = [(task, name) for task, names in ORACLES.items() for name in names]


@pytest.mark.parametrize(("task", "name"), CASES)
class TestEveryMetric:
    def test_agrees_with_scikit_learn_under_sample_weights(self, task, name):
        rows = sample(task)
        assert get_metric(name, task, {}).score(*rows) == pytest.approx(ORACLES[task][name](*rows))

    def test_is_the_same_in_any_order_of_rows(self, task, name):
        y_true, pred, _ = sample(task)
        order = np.random.default_rng(1).permutation(y_true.size)
        metric = get_metric(name, task, {})
        assert metric.score(y_true[order], take_rows(pred, order)) == pytest.approx(
            metric.score(y_true, pred)
        )

    def test_counts_a_row_of_weight_two_twice(self, task, name):
        y_true, pred, weights = sample(task, n_rows=60)
        rows = np.repeat(np.arange(60), weights.astype(int))
        metric = get_metric(name, task, {})
        assert metric.score(y_true, pred, weights) == pytest.approx(
            metric.score(y_true[rows], take_rows(pred, rows))
        )

    def test_gives_many_weightings_at_once_what_each_gives_alone(self, task, name):
        y_true, pred, _ = sample(task, n_rows=60)
        weights = np.random.default_rng(2).integers(0, 3, (4, 60)).astype(float)
        metric = get_metric(name, task, {})
        alone = [metric.score(y_true, pred, row) for row in weights]
        assert metric.kernel(y_true, pred)(weights) == pytest.approx(alone)

    def test_stays_within_its_range_and_is_best_if_perfect(self, task, name):
        metric, (low, high) = get_metric(name, task, {}), RANGES[name]
        y_true, pred, _ = sample(task)
        assert low <= metric.score(y_true, pred) <= high
        proba = None if pred.probabilities is None else np.eye(y_true.max().astype(int) + 1)
        perfect = Predictions(y_true, None if proba is None else proba[y_true.astype(int)])
        best = high if metric.greater_is_better else low
        assert metric.score(y_true, perfect) == pytest.approx(best, abs=1e-9)


def test_each_metric_of_each_task_runs_the_contract():
    found = {task: {metric.name for metric in metrics_for(task)} for task in ORACLES}
    assert found == {task: set(names) for task, names in ORACLES.items()}


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=30).filter(
        lambda rows: len({positive for positive, _ in rows}) == 2
    )
)
def test_an_area_is_the_share_of_pairs_in_the_right_order_ties_half(rows):
    positive = np.array([each for each, _ in rows])
    score = np.array([score / 5 for _, score in rows])
    up, down = score[positive][:, None], score[~positive]
    pred = Predictions(score, np.column_stack([1 - score, score]))
    assert METRICS["roc_auc"].score(positive * 1.0, pred) == pytest.approx(
        ((up > down) + 0.5 * (up == down)).mean()
    )


NO_POSITIVE, HALVES = np.zeros(3), np.full((3, 2), 0.5)
UNDEFINED = {
    "roc_auc": (NO_POSITIVE, HALVES),
    "pr_auc": (NO_POSITIVE, HALVES),
    "recall": (NO_POSITIVE, None),
    "precision": (NO_POSITIVE, None),
    "f1": (NO_POSITIVE, None),
    "log_loss": (np.array([0.0, 1.0, 1.0]), None),
    "mape": (np.array([0.0, 1.0, 2.0]), None),
    "r2": (np.ones(3), None),
    "accuracy": (np.empty(0), None),
}


@pytest.mark.parametrize("name", UNDEFINED)
def test_an_undefined_score_is_none(name):
    y_true, proba = UNDEFINED[name]
    pred = Predictions(np.zeros(y_true.size), proba)
    assert compute_metrics([METRICS[name]], y_true, pred) == {name: None}


def test_an_infinite_score_is_none():
    pred = Predictions(np.array([np.inf, 1.0]))
    assert compute_metrics([METRICS["mae"]], np.array([1.0, 2.0]), pred) == {"mae": None}


def test_f1_of_three_classes_is_a_mean_even_if_only_two_occur():
    y_true, pred = np.array([0.0, 0.0, 1.0]), Predictions(np.array([0.0, 1.0, 1.0]))
    assert get_metric("f1", "multiclass", {}).score(y_true, pred) == pytest.approx(2 / 3)


def test_precision_is_zero_if_nothing_is_predicted_positive():
    assert METRICS["precision"].score(np.array([0.0, 1.0]), Predictions(np.zeros(2))) == 0


def test_rows_without_a_prediction_are_left_out():
    pred = Predictions(np.array([1.0, np.nan, 0.0]))
    assert METRICS["accuracy"].score(np.ones(3), pred) == 0.5


def test_log_loss_of_a_certain_error_is_finite():
    pred = Predictions(np.array([0.0]), np.array([[1.0, 0.0]]))
    assert 36 < METRICS["log_loss"].score(np.array([1.0]), pred) < 37


def test_r2_is_exact_far_from_zero():
    y_true = 1e9 + np.array([1.0, 2.0, 3.0, 4.0])
    pred = Predictions(y_true + np.array([0.5, -0.5, 0.5, -0.5]))
    assert METRICS["r2"].score(y_true, pred) == pytest.approx(1 - 1 / 5)


@pytest.mark.parametrize(
    ("task", "name"), [("binary", "roc_auc"), ("multiclass", "log_loss"), ("regression", "rmse")]
)
def test_auto_is_the_usual_metric_of_the_task(task, name):
    assert get_metric("auto", task, {}).name == name


@pytest.mark.parametrize(
    ("name", "task", "message"),
    [
        ("roc_acu", "binary", r"binary task must be one of .* Did you mean 'roc_auc'\?"),
        ("f1", "regression", r"regression task must be one of rmse, .* Got 'f1'"),
    ],
)
def test_a_metric_that_does_not_serve_the_task_is_refused(name, task, message):
    with pytest.raises(ValueError, match=message):
        get_metric(name, task, {})


def test_a_metric_of_the_users_own_is_weighted_by_repeating_rows():
    def cost(y_true, values, _):
        return 5.0 * ((y_true == 1) & (values == 0)).sum() + ((y_true == 0) & (values == 1)).sum()

    metric = custom_metric("cost", cost, greater_is_better=False, task="binary")
    pred, weights = Predictions(np.array([0.0, 1.0])), np.array([2.0, 3.0])
    assert metric.score(np.array([1.0, 0.0]), pred, weights) == 13.0
    assert get_metric("cost", "binary", {"cost": metric}) is metric


def test_fractional_weights_are_scaled_before_rows_are_repeated():
    share = custom_metric(
        "share", lambda y, v, _: (y == v).mean(), greater_is_better=True, task="binary"
    )
    found = share.score(np.array([0.0, 1.0]), Predictions(np.zeros(2)), np.array([0.3, 0.1]))
    assert found == pytest.approx(0.75, abs=1e-4)


def test_a_metric_of_the_users_own_sees_probabilities_if_there_are_any():
    seen = custom_metric(
        "p", lambda _, __, p: math.nan if p is None else p.mean(), greater_is_better=True,
        task="binary",
    )  # fmt: skip
    y_true, proba = np.array([1.0]), np.array([[0.5, 0.5]])
    found = [compute_metrics([seen], y_true, Predictions(y_true, p))["p"] for p in (None, proba)]
    assert found == [None, 0.5]


SCORES = st.none() | st.floats(-10, 10)


@given(SCORES, SCORES)
def test_none_is_worst_and_the_sign_of_a_lift_says_which_score_is_better(left, right):
    for metric in (METRICS["f1"], METRICS["rmse"]):
        better = is_better(metric, left, right)
        difference = lift(metric, left, right)
        if left is None or right is None:
            assert difference is None
            assert better is (left is not None)
        else:
            assert better is (difference > 0)
            assert keeps_bound(metric, left, right) is (difference >= 0)


def test_the_confusion_matrix_agrees_with_scikit_learn():
    y_true, pred, _ = sample("multiclass")
    assert (confusion_matrix(y_true, pred, 4) == sk.confusion_matrix(y_true, pred.values)).all()
