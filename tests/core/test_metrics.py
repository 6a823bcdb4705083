import math

import numpy as np
import pytest
from sklearn import metrics as reference

from evertune.metrics.metrics import (
    METRICS,
    compute_metrics,
    confusion_matrix,
    custom_metric,
    get_metric,
    is_better,
    lift,
    metrics_for,
)
from evertune.types import Predictions


def classes(n_classes, n_rows=200, seed=0):
    random = np.random.default_rng(seed)
    truth = random.integers(0, n_classes, n_rows).astype(float)
    table = random.dirichlet(np.ones(n_classes), n_rows).round(2) + 1e-3
    table /= table.sum(axis=1, keepdims=True)
    said = Predictions(table.argmax(axis=1).astype(float), table)
    return truth, said, random.integers(0, 4, n_rows).astype(float)


def of_labels(function, **options):
    return lambda truth, said, weights: function(
        truth, said.values, sample_weight=weights, **options
    )


def of_positive(function, **options):
    return lambda truth, said, weights: function(
        truth, said.probabilities[:, 1], sample_weight=weights, **options
    )


def of_each_class(function, **options):
    return lambda truth, said, weights: function(
        np.eye(said.probabilities.shape[1])[truth.astype(int)],
        said.probabilities,
        sample_weight=weights,
        **options,
    )


def of_table(function):
    return lambda truth, said, weights: function(truth, said.probabilities, sample_weight=weights)


BINARY = {
    "accuracy": of_labels(reference.accuracy_score),
    "balanced_accuracy": of_labels(reference.balanced_accuracy_score),
    "precision": of_labels(reference.precision_score),
    "recall": of_labels(reference.recall_score),
    "f1": of_labels(reference.f1_score),
    "roc_auc": of_positive(reference.roc_auc_score),
    "pr_auc": of_positive(reference.average_precision_score),
    "brier": of_positive(reference.brier_score_loss),
    "log_loss": of_table(reference.log_loss),
}
MULTICLASS = {
    "accuracy": of_labels(reference.accuracy_score),
    "balanced_accuracy": of_labels(reference.balanced_accuracy_score),
    "precision": of_labels(reference.precision_score, average="macro", zero_division=0),
    "recall": of_labels(reference.recall_score, average="macro", zero_division=0),
    "f1": of_labels(reference.f1_score, average="macro", zero_division=0),
    "roc_auc": of_each_class(reference.roc_auc_score, average="macro"),
    "pr_auc": of_each_class(reference.average_precision_score, average="macro"),
    "brier": of_table(reference.brier_score_loss),
    "log_loss": of_table(reference.log_loss),
}
REGRESSION = {
    "rmse": of_labels(reference.root_mean_squared_error),
    "mae": of_labels(reference.mean_absolute_error),
    "mape": of_labels(reference.mean_absolute_percentage_error),
    "r2": of_labels(reference.r2_score),
    "pinball": of_labels(reference.mean_pinball_loss, alpha=0.5),
}


@pytest.mark.parametrize("name", BINARY)
def test_a_weighted_binary_metric_agrees_with_scikit_learn(name):
    truth, said, weights = classes(2)
    found = get_metric(name, "binary", {}).figure(truth, said, weights)
    assert found == pytest.approx(BINARY[name](truth, said, weights))


@pytest.mark.parametrize("name", MULTICLASS)
@pytest.mark.parametrize("n_classes", [3, 7])
def test_a_weighted_multiclass_metric_agrees_with_scikit_learn(name, n_classes):
    truth, said, weights = classes(n_classes)
    found = get_metric(name, "multiclass", {}).figure(truth, said, weights)
    assert found == pytest.approx(MULTICLASS[name](truth, said, weights))


@pytest.mark.parametrize("name", REGRESSION)
def test_a_weighted_metric_of_values_agrees_with_scikit_learn(name):
    random = np.random.default_rng(0)
    truth, weights = random.normal(10, 2, 100), random.integers(0, 4, 100).astype(float)
    said = Predictions(truth + random.normal(size=100))
    found = METRICS[name].figure(truth, said, weights)
    assert found == pytest.approx(REGRESSION[name](truth, said, weights))


@pytest.mark.parametrize("name", METRICS)
def test_a_weight_of_two_counts_as_two_rows(name):
    task = "regression" if name in REGRESSION else "binary"
    truth, said, weights = classes(2)
    truth, said = (truth + 1, Predictions(said.values)) if task == "regression" else (truth, said)
    rows = np.repeat(np.arange(truth.size), weights.astype(int))
    table = None if said.probabilities is None else said.probabilities[rows]
    twice = METRICS[name].figure(truth[rows], Predictions(said.values[rows], table))
    assert METRICS[name].figure(truth, said, weights) == pytest.approx(twice)


def test_every_task_has_its_metrics():
    names = [{metric.name for metric in metrics_for(task)} for task in ("binary", "multiclass")]
    assert names == [{*BINARY, "calibration_error"}] * 2
    assert {metric.name for metric in metrics_for("regression")} == set(REGRESSION)


def test_f1_of_three_classes_is_a_mean_even_where_only_two_occur():
    truth, said = np.array([0.0, 0.0, 1.0]), Predictions(np.array([0.0, 1.0, 1.0]))
    found = get_metric("f1", "multiclass", {}).figure(truth, said)
    assert found == pytest.approx((2 / 3 + 2 / 3) / 2)


NOTHING_POSITIVE = np.zeros(3)
UNDEFINED = [
    ("roc_auc", NOTHING_POSITIVE, np.full((3, 2), 0.5)),
    ("pr_auc", NOTHING_POSITIVE, np.full((3, 2), 0.5)),
    ("recall", NOTHING_POSITIVE, None),
    ("precision", NOTHING_POSITIVE, None),
    ("f1", NOTHING_POSITIVE, None),
    ("log_loss", np.array([0.0, 1.0, 1.0]), None),
    ("mape", np.array([0.0, 1.0, 2.0]), None),
    ("r2", np.ones(3), None),
    ("accuracy", np.empty(0), None),
]


@pytest.mark.parametrize(("name", "truth", "table"), UNDEFINED, ids=[u[0] for u in UNDEFINED])
def test_an_undefined_figure_is_none(name, truth, table):
    said = Predictions(np.zeros(truth.size), table)
    assert compute_metrics([METRICS[name]], truth, said) == {name: None}


def test_an_infinite_figure_is_none():
    said = Predictions(np.array([np.inf, 1.0]))
    assert compute_metrics([METRICS["mae"]], np.array([1.0, 2.0]), said) == {"mae": None}


def test_precision_is_zero_where_nothing_is_called_positive():
    said = Predictions(np.zeros(2))
    assert METRICS["precision"].figure(np.array([0.0, 1.0]), said) == 0


def test_rows_without_a_prediction_are_left_out():
    said = Predictions(np.array([1.0, np.nan, 0.0]))
    assert METRICS["accuracy"].figure(np.array([1.0, 1.0, 1.0]), said) == 0.5


def test_calibration_error_weighs_bins_by_their_rows():
    table = np.array([[0.95, 0.05]] * 3 + [[0.35, 0.65]])
    truth = np.array([0.0, 0.0, 1.0, 0.0])
    found = METRICS["calibration_error"].figure(truth, Predictions(np.zeros(4), table))
    assert found == pytest.approx(0.75 * (1 / 3 - 0.05) + 0.25 * 0.65)


def test_calibration_error_of_many_classes_looks_at_the_predicted_one():
    table = np.array([[0.72, 0.2, 0.08], [0.1, 0.72, 0.18]])
    truth, said = np.array([0.0, 2.0]), Predictions(np.array([0.0, 1.0]), table)
    assert METRICS["calibration_error"].figure(truth, said) == pytest.approx(0.22)


def test_log_loss_of_a_certain_error_is_finite():
    said = Predictions(np.array([0.0]), np.array([[1.0, 0.0]]))
    assert 36 < METRICS["log_loss"].figure(np.array([1.0]), said) < 37


@pytest.mark.parametrize(
    ("task", "name"), [("binary", "roc_auc"), ("multiclass", "log_loss"), ("regression", "rmse")]
)
def test_auto_is_the_usual_metric_of_the_task(task, name):
    assert get_metric("auto", task, {}).name == name


def test_an_unknown_metric_is_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match=r"binary task must be one of .* Did you mean 'roc_auc'\?"):
        get_metric("roc_acu", "binary", {})


def test_a_metric_of_another_task_is_refused():
    with pytest.raises(ValueError, match=r"regression task must be one of rmse, .* Got 'f1'"):
        get_metric("f1", "regression", {})


def cost(truth, values, _):
    return 5.0 * ((truth == 1) & (values == 0)).sum() + ((truth == 0) & (values == 1)).sum()


def test_a_metric_of_the_users_own_is_weighed_by_repeating_rows():
    metric = custom_metric("cost", cost, greater_is_better=False, task="binary")
    said, weights = Predictions(np.array([0.0, 1.0])), np.array([2.0, 3.0])
    assert metric.figure(np.array([1.0, 0.0]), said, weights) == 13.0
    assert get_metric("cost", "binary", {"cost": metric}) is metric


def test_a_metric_of_the_users_own_sees_probabilities_where_there_are_any():
    seen = custom_metric("p", lambda _, __, p: math.nan if p is None else p.mean(),
                         greater_is_better=True, task="binary")  # fmt: skip
    truth, table = np.array([1.0]), np.array([[0.5, 0.5]])
    found = [compute_metrics([seen], truth, Predictions(truth, p))["p"] for p in (None, table)]
    assert found == [None, 0.5]


@pytest.mark.parametrize(
    ("left", "right", "better"),
    [(0.9, 0.8, True), (0.8, 0.9, False), (0.8, 0.8, False), (None, 0.1, False), (0.1, None, True)],
)
def test_a_greater_figure_is_better_and_none_is_worst(left, right, better):
    assert is_better(METRICS["f1"], left, right) is better
    mirrored = [None if figure is None else -figure for figure in (left, right)]
    assert is_better(METRICS["rmse"], *mirrored) is better


@pytest.mark.parametrize(
    ("name", "figure", "baseline", "expected"),
    [
        ("f1", 0.5, 0.25, 0.25),
        ("rmse", 3.0, 2.0, -1.0),
        ("f1", None, 0.1, None),
        ("f1", 1, None, None),
    ],
)
def test_lift_is_positive_where_the_figure_is_better(name, figure, baseline, expected):
    assert lift(METRICS[name], figure, baseline) == expected


def test_the_confusion_matrix_agrees_with_scikit_learn():
    truth, said, _ = classes(4)
    expected = reference.confusion_matrix(truth, said.values)
    assert confusion_matrix(truth, said, 4).tolist() == expected.tolist()
