import numpy as np
import pandas as pd
import pytest

from evertune.metrics.metrics import METRICS, get_metric
from evertune.monitoring.estimation import estimate_metrics, estimated_findings
from evertune.monitoring.loss_estimators import (
    IsotonicCalibration,
    expand_over_classes,
    fit_calibration,
)
from evertune.monitoring.performance import build_performance_reference
from evertune.types import Predictions
from tests.monitoring.test_performance import day

BINARY = [METRICS["roc_auc"], METRICS["log_loss"], METRICS["accuracy"]]


def classified(seed, n_classes=2, n=4000):
    """Return classes, and predictions whose probabilities are right."""
    rng = np.random.default_rng(seed)
    proba = rng.dirichlet(np.full(n_classes, 0.5), n)
    y_true = (rng.random((n, 1)) > proba.cumsum(axis=1)[:, :-1]).sum(axis=1).astype(float)
    return y_true, Predictions(proba.argmax(axis=1).astype(float), proba)


def estimated(y_true, pred, reference, *, metrics=BINARY, task="binary", features=None):
    columns = {} if pred.probabilities is None else dict(enumerate(pred.probabilities.T))
    frame = pd.DataFrame(
        {
            "moment": pd.Timestamp("2024-05-01").as_unit("us"),
            "value": pred.values,
            "truth": y_true,
            **{f"p_{code}": proba for code, proba in columns.items()},
        }
    )
    classes = ("no", "yes") if task == "binary" else ()
    findings = estimated_findings(
        frame,
        reference,
        [day(1)],
        task=task,
        classes=classes,
        metrics=metrics,
        features=features,
    )
    return {each.signal: each for each in findings}


@pytest.fixture(scope="module")
def reference():
    return build_performance_reference(*classified(0), task="binary", metrics=BINARY)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_estimate_is_near_the_realised_metrics_where_only_chance_differs(n_classes):
    task = "binary" if n_classes == 2 else "multiclass"
    metrics = [get_metric(metric.name, task, {}) for metric in BINARY]
    reference = build_performance_reference(*classified(0, n_classes), task=task, metrics=metrics)
    y_true, pred = classified(1, n_classes)
    realised = {metric.name: metric.score(y_true, pred) for metric in metrics}
    assert estimate_metrics(pred, reference, metrics) == pytest.approx(realised, abs=0.03)


def test_a_changed_relation_is_not_seen_but_shows_once_labels_come(reference):
    y_true, pred = classified(1)
    found = estimated(1 - y_true, pred, reference)
    assert found["estimated_loss"].value == pytest.approx(reference.loss, abs=0.02)
    assert found["estimate_error"].low > 0.2
    assert "did not change" in found["estimated_roc_auc"].note


def test_few_predictions_are_no_data(reference):
    (finding,) = estimated(*classified(1, n=9), reference).values()
    assert (finding.state, finding.value) == ("no data", None)


def test_classes_without_probabilities_are_not_estimated(reference):
    y_true, pred = classified(0)
    labels = Predictions(pred.values)
    assert estimated(y_true, labels, reference) == {}
    assert fit_calibration(y_true, labels) is None
    with pytest.raises(ValueError, match="Expected probabilities and their calibration"):
        estimate_metrics(labels, reference, BINARY)


def test_the_error_of_a_regression_is_estimated_from_its_columns():
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, 3000)
    columns = pd.DataFrame({"x": x, "plan": np.where(x > 0.5, "a", "b")})
    y_true, pred = x + rng.normal(0, 0.1 + x, 3000), Predictions(x)
    settings = {"task": "regression", "metrics": [METRICS["mae"]]}
    reference = build_performance_reference(y_true, pred, features=columns, **settings)
    rows = x > 0.8
    found = estimated(
        y_true[rows], Predictions(x[rows]), reference, features=columns[rows], **settings
    )
    mae = np.abs(y_true - x)[rows].mean()
    assert found["estimated_mae"].value == pytest.approx(mae, rel=0.1)
    assert estimated(y_true, pred, reference, **settings) == {}  # without its columns


def test_a_reference_of_another_task_is_an_error(reference):
    with pytest.raises(ValueError, match="Expected a reference of task='regression'"):
        estimated(*classified(0), reference, task="regression")


def test_calibrated_probabilities_sum_to_one_also_where_one_class_had_all():
    top = IsotonicCalibration((0.0, 1.0), (0.0, 0.8))
    proba = top.calibrate(np.array([[1.0, 0.0, 0.0], [0.2, 0.5, 0.3]]))
    assert proba.sum(axis=1) == pytest.approx([1.0, 1.0])
    assert proba[0].tolist() == pytest.approx([0.8, 0.1, 0.1])


def test_a_metric_weighted_over_all_classes_is_its_expectation():
    pred = Predictions(np.array([1.0, 0.0]), np.array([[0.2, 0.8], [0.7, 0.3]]))
    y_true, rows, weights = expand_over_classes(pred, np.array([[0.4, 0.6], [0.9, 0.1]]))
    assert METRICS["accuracy"].score(y_true, rows, weights) == pytest.approx((0.6 + 0.9) / 2)
