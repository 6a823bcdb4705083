"""Tests that are made for one metric, beside the bootstrap that serves all."""

import numpy as np

from pipelines.core.judging.delong import delong
from pipelines.core.judging.mcnemar import mcnemar
from pipelines.core.judging.results import TestResult
from pipelines.core.kernels import TWO_CLASSES
from pipelines.core.metrics import Metric, answered
from pipelines.core.predictions import Floats, Predictions
from pipelines.core.truths import taken


def metric_tests(
    metric: Metric, truth: Floats, left: Predictions, right: Predictions, *, confidence: float
) -> tuple[TestResult, ...]:
    """Return the tests that are made for the metric: DeLong's, McNemar's, or none.

    Parameters
    ----------
    metric : Metric
        DeLong's serves ROC AUC of two classes, McNemar's accuracy.
    truth : array of shape (n,)
    left, right : Predictions
        Of the same n rows; rows that either does not predict are left out.
    confidence : float

    Examples
    --------
    >>> from pipelines.core.metrics import METRICS
    >>> truth, ones = np.array([1.0, 0.0, 1.0]), Predictions(np.ones(3))
    >>> found = metric_tests(
    ...     METRICS["accuracy"], truth, Predictions(truth), ones, confidence=0.95
    ... )
    >>> [(each.name, each.p_value) for each in found]
    [('McNemar', 0.5)]
    """
    kept = answered(left) & answered(right)
    truth, left, right = truth[kept], taken(left, kept), taken(right, kept)
    if metric.name == "accuracy":
        return (mcnemar(left.values == truth, right.values == truth, confidence=confidence),)
    scores = [_positive(said) for said in (left, right)]
    if metric.name != "roc_auc" or scores[0] is None or scores[1] is None:
        return ()
    return (delong(truth == 1, scores[0], scores[1], confidence=confidence),)


def _positive(said: Predictions) -> Floats | None:
    table = said.probabilities
    if table is None or table.shape[1] != TWO_CLASSES:
        return None
    return np.asarray(table[:, 1], dtype=np.float64)
