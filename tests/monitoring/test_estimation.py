import numpy as np
import pandas as pd
import pytest

from evertune.metrics.metrics import METRICS, get_metric
from evertune.monitoring.estimation import estimate_metrics, estimated_findings
from evertune.monitoring.loss_estimators import (
    IsotonicCalibration,
    calibrate_probabilities,
    expand_over_classes,
    fit_calibration,
)
from evertune.monitoring.performance import build_performance_reference
from evertune.types import Predictions
from tests.monitoring.test_performance import day

BINARY = [METRICS["roc_auc"], METRICS["log_loss"], METRICS["accuracy"]]


def drawn(seed: int, n_classes: int = 2, n: int = 4000) -> tuple[np.ndarray, Predictions]:
    """Return truths and probabilities that are right."""
    rng = np.random.default_rng(seed)
    chances = rng.dirichlet(np.full(n_classes, 0.5), n)
    truth = (rng.random((n, 1)) > chances.cumsum(axis=1)[:, :-1]).sum(axis=1).astype(float)
    return truth, Predictions(chances.argmax(axis=1).astype(float), chances)


def logged(truth: np.ndarray, said: Predictions) -> pd.DataFrame:
    columns = {} if said.probabilities is None else {
        f"p_{code}": column for code, column in enumerate(said.probabilities.T)
    }  # fmt: skip
    moments = pd.Timestamp("2024-05-01").as_unit("us")
    return pd.DataFrame({"moment": moments, "value": said.values, "truth": truth, **columns})


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_estimate_is_near_the_realised_figures_where_only_chance_differs(n_classes):
    task = "binary" if n_classes == 2 else "multiclass"
    metrics = [get_metric(metric.name, task, {}) for metric in BINARY]
    reference = build_performance_reference(*drawn(0, n_classes), task=task, metrics=metrics)
    truth, said = drawn(1, n_classes)
    found = estimate_metrics(said, reference, metrics)
    real = {metric.name: metric.score(truth, said) for metric in metrics}
    assert found == pytest.approx(real, abs=0.03)


def test_a_changed_relation_is_not_seen_but_shows_once_labels_come():
    reference = build_performance_reference(*drawn(0), task="binary", metrics=BINARY)
    truth, said = drawn(1)
    frame = logged(1 - truth, said)
    findings = estimated_findings(
        frame, reference, [day(1)], task="binary", classes=("no", "yes"), metrics=BINARY
    )
    found = {each.signal: each for each in findings}
    assert found["estimated_loss"].value == pytest.approx(reference.loss, abs=0.02)
    assert found["estimate_error"].low > 0.2
    assert "did not change" in found["estimated_roc_auc"].note


def test_few_predictions_are_no_data():
    reference = build_performance_reference(*drawn(0), task="binary", metrics=BINARY)
    (finding,) = estimated_findings(
        logged(*drawn(1, n=9)), reference, [day(1)],
        task="binary", classes=("no", "yes"), metrics=BINARY,
    )  # fmt: skip
    assert (finding.state, finding.value) == ("no data", None)


def test_classes_without_probabilities_are_not_estimated():
    truth, said = drawn(0)
    reference = build_performance_reference(
        truth, Predictions(said.values), task="binary", metrics=BINARY
    )
    frame = logged(truth, Predictions(said.values))
    settings = {"task": "binary", "classes": ("no", "yes"), "metrics": BINARY}
    assert estimated_findings(frame, reference, [day(1)], **settings) == ()


def numbers(seed: int, shift: float = 0.0) -> tuple[pd.DataFrame, np.ndarray, Predictions]:
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, 3000) + shift
    columns = pd.DataFrame({"x": x, "plan": np.where(x > 0.5, "a", "b")})
    return columns, x + rng.normal(0, 0.1 + x, 3000), Predictions(x)


def test_the_error_of_a_regression_is_expected_from_its_columns():
    metrics = [METRICS["mae"]]
    columns, truth, said = numbers(0)
    reference = build_performance_reference(
        truth, said, task="regression", metrics=metrics, features=columns
    )
    rows = columns["x"] > 0.8
    frame = logged(truth, said)[rows].reset_index(drop=True)
    settings = {"task": "regression", "classes": (), "metrics": metrics}
    features = columns[rows].reset_index(drop=True)
    found = estimated_findings(frame, reference, [day(1)], features=features, **settings)
    mae = {each.signal: each.value for each in found}["estimated_mae"]
    assert mae == pytest.approx(np.abs(truth - said.values)[rows].mean(), rel=0.1)


def test_a_regression_without_its_columns_is_not_estimated():
    columns, truth, said = numbers(0)
    settings = {"task": "regression", "metrics": [METRICS["mae"]]}
    reference = build_performance_reference(truth, said, features=columns, **settings)
    assert (
        estimated_findings(logged(truth, said), reference, [day(1)], classes=(), **settings) == ()
    )


def test_a_reference_of_another_task_is_an_error():
    reference = build_performance_reference(*drawn(0), task="binary", metrics=BINARY)
    with pytest.raises(ValueError, match="Expected a reference of task='regression'"):
        estimated_findings(
            logged(*drawn(0)), reference, [], task="regression", classes=(), metrics=[]
        )


def test_figures_cannot_be_estimated_from_labels_alone():
    reference = build_performance_reference(*drawn(0), task="binary", metrics=BINARY)
    with pytest.raises(ValueError, match="Expected probabilities and their calibration"):
        estimate_metrics(Predictions(np.zeros(3)), reference, BINARY)


def test_labels_alone_have_no_calibration():
    assert fit_calibration(np.zeros(9), Predictions(np.zeros(9))) is None


def test_calibrated_probabilities_sum_to_one_also_where_one_class_had_all():
    top = IsotonicCalibration((0.0, 1.0), (0.0, 0.8))
    found = calibrate_probabilities(top, np.array([[1.0, 0.0, 0.0], [0.2, 0.5, 0.3]]))
    assert found.sum(axis=1) == pytest.approx([1.0, 1.0])
    assert found[0].tolist() == pytest.approx([0.8, 0.1, 0.1])


def test_a_weighted_metric_of_open_truths_is_its_expectation():
    said = Predictions(np.array([1.0, 0.0]), np.array([[0.2, 0.8], [0.7, 0.3]]))
    truth, rows, weights = expand_over_classes(said, np.array([[0.4, 0.6], [0.9, 0.1]]))
    assert METRICS["accuracy"].score(truth, rows, weights) == pytest.approx((0.6 + 0.9) / 2)


def test_probabilities_that_are_missing_cannot_be_opened_into_chances():
    truth, rows, _ = expand_over_classes(Predictions(np.array([1.0])), np.array([[0.5, 0.5]]))
    assert (truth.tolist(), rows.probabilities) == ([0.0, 1.0], None)
