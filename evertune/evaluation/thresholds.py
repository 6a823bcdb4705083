"""Decision thresholds and what they cost.

`cheapest_threshold` finds the best threshold on out-of-fold predictions, `cost_implied_threshold`
derives it from the costs alone (Elkan, 2001). `evaluate_decision_rules` scores each `DecisionRule`
on the evaluation rows, whose labels never choose a threshold.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial

import numpy as np

from evertune.errors import ParamsError
from evertune.metrics.metrics import Metric
from evertune.metrics.weighted import require_probabilities, weighted_mean
from evertune.models.fitted_model import apply_threshold
from evertune.stats.bootstrap import BootstrapConfig, bootstrap_interval
from evertune.types import FloatArray, Predictions

DEFAULT_THRESHOLD = 0.5
N_QUANTILE_THRESHOLDS = 199
TOP_SHARES = (0.05, 0.1, 0.2, 0.3)
CHEAPEST_THRESHOLD = "cheapest threshold"  # the name of its rule
CHOSEN_OUT_OF_FOLD = "chosen on out-of-fold predictions of the training rows"
CHOSEN_BY_COSTS = "follows from the costs alone"
CHOSEN_BY_FIT = "set by the fit, else 0.5"
ClassCosts = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class DecisionRule:
    """One way to turn probabilities into classes, and its results on the evaluation rows.

    Attributes
    ----------
    threshold : float, optional
        The probability above which the positive class of two is predicted.
    chosen_on : str
        What chose the threshold, in words.
    share, precision, recall : float, optional
        Of the positive class of two; `share` is the share of rows predicted to be of it.
    cost, low, high : float, optional
        Mean cost per row with its interval; None if no costs are given.
    """

    name: str
    threshold: float | None
    chosen_on: str
    share: float | None = None
    precision: float | None = None
    recall: float | None = None
    cost: float | None = None
    low: float | None = None
    high: float | None = None


def misclassification_costs(costs: ClassCosts | None, classes: Sequence[str]) -> FloatArray | None:
    """Return costs by code of the true class (row) and of the predicted class (column).

    What is not given costs nothing; None if no costs are given.

    Raises
    ------
    ParamsError
        If a class is not one of `classes`; regression has none.

    Examples
    --------
    >>> misclassification_costs({"yes": {"no": 5.0}}, ("no", "yes")).tolist()
    [[0.0, 0.0], [5.0, 0.0]]
    """
    if costs is None:
        return None
    named = {*costs, *(name for row in costs.values() for name in row)}
    unknown = sorted(named - set(classes))
    if unknown or not classes:
        raise ParamsError(
            f"evaluation.costs: expected costs of the classes {list(classes)},"
            f" but got {unknown or sorted(named)}."
        )
    return np.array([[costs.get(t, {}).get(p, 0.0) for p in classes] for t in classes])


def threshold_costs(
    y_true: FloatArray, proba: FloatArray, costs: FloatArray, thresholds: FloatArray
) -> FloatArray:
    """Return the mean cost per row for each threshold of the positive class of two.

    Examples
    --------
    >>> costs = np.array([[0.0, 1.0], [5.0, 0.0]])
    >>> threshold_costs(np.array([1.0, 0.0]), np.array([0.4, 0.2]), costs, np.array([0.1, 0.3]))
    array([0.5, 0. ])
    """
    positive = proba[None, :] > thresholds[:, None]
    codes = y_true.astype(np.int64)
    return np.asarray(np.where(positive, costs[codes, 1], costs[codes, 0]).mean(axis=1))


def candidate_thresholds(proba: FloatArray) -> FloatArray:
    """Return 0, one half, 1 and 199 quantiles of the probabilities, in ascending order."""
    inner = np.quantile(proba, np.linspace(0, 1, N_QUANTILE_THRESHOLDS + 2)[1:-1])
    return np.unique(np.concatenate([[0.0, DEFAULT_THRESHOLD, 1.0], inner]))


def cheapest_threshold(y_true: FloatArray, proba: FloatArray, costs: FloatArray) -> float:
    """Return the threshold with the lowest mean cost; of equal ones the nearest to one half."""
    thresholds = candidate_thresholds(proba)
    means = threshold_costs(y_true, proba, costs, thresholds)
    cheapest = thresholds[means <= means.min() + 1e-12]
    return float(cheapest[np.abs(cheapest - DEFAULT_THRESHOLD).argmin()])


def cost_implied_threshold(costs: FloatArray) -> float | None:
    """Return the threshold that is cheapest if probabilities are calibrated (Elkan, 2001).

    (c01 - c00) / (c01 - c00 + c10 - c11), with c01 the cost of predicting the positive class for a
    row that is not of it; None if one class is cheaper to predict whatever is true.
    """
    false_alarm, miss = costs[0, 1] - costs[0, 0], costs[1, 0] - costs[1, 1]
    if false_alarm <= 0 or miss <= 0:
        return None
    return float(false_alarm / (false_alarm + miss))


def evaluate_decision_rules(
    y_true: FloatArray,
    pred: Predictions,
    *,
    classes: Sequence[str],
    bootstrap: BootstrapConfig,
    in_use: float | None = None,
    costs: FloatArray | None = None,
    out_of_fold: tuple[FloatArray, FloatArray] | None = None,
) -> tuple[DecisionRule, ...]:
    """Return decision rules for a model's probabilities, with their results on n rows.

    There are none without probabilities, nor for more than two classes without costs.

    Parameters
    ----------
    in_use : float, optional
        The model's threshold; None: the likelier class is predicted.
    costs : array of shape (n_classes, n_classes), optional
        From `misclassification_costs`.
    out_of_fold : pair of arrays, optional
        Labels of training rows and their out-of-fold probabilities of the positive class, which
        choose thresholds. Without them the thresholds of the most likely rows are quantiles of
        `pred` itself.
    """
    if pred.probabilities is None:
        return ()
    if len(classes) > 2:
        found = _multiclass_rules(pred, classes, costs)
    else:
        found = _binary_rules(pred, classes, in_use=in_use, costs=costs, out_of_fold=out_of_fold)
    rules = []
    for unscored, values in found:
        rule = unscored
        if len(classes) == 2:
            positive, hits = values == 1, (values == 1) & (y_true == 1)
            rule = replace(
                rule,
                share=_share(positive.sum(), len(positive)),
                precision=_share(hits.sum(), positive.sum()),
                recall=_share(hits.sum(), (y_true == 1).sum()),
            )
        if costs is not None:
            row_costs = np.asarray(costs[y_true.astype(np.int64), values.astype(np.int64)])
            metric = _mean_cost_metric(row_costs)
            cost = bootstrap_interval(metric, y_true, Predictions(values), **asdict(bootstrap))
            rule = replace(rule, cost=float(row_costs.mean()), low=cost.low, high=cost.high)
        rules.append(rule)
    return tuple(rules)


def _binary_rules(
    pred: Predictions,
    classes: Sequence[str],
    *,
    in_use: float | None,
    costs: FloatArray | None,
    out_of_fold: tuple[FloatArray, FloatArray] | None,
) -> Iterator[tuple[DecisionRule, FloatArray]]:
    proba = require_probabilities(pred)
    threshold = DEFAULT_THRESHOLD if in_use is None else in_use
    yield DecisionRule("as the model decides", threshold, CHOSEN_BY_FIT), pred.values
    decide = partial(apply_threshold, proba)
    if costs is not None:
        if out_of_fold is not None:
            cheapest = cheapest_threshold(*out_of_fold, costs)
            rule = DecisionRule(CHEAPEST_THRESHOLD, cheapest, CHOSEN_OUT_OF_FOLD)
            yield rule, decide(cheapest)
        implied = cost_implied_threshold(costs)
        if implied is not None:
            rule = DecisionRule("threshold implied by the costs", implied, CHOSEN_BY_COSTS)
            yield rule, decide(implied)
        yield from _constant_rules(pred, classes)
    ranked, where = proba[:, 1], "chosen by the ranking of these rows, without their labels"
    if out_of_fold is not None:
        ranked, where = out_of_fold[1], CHOSEN_OUT_OF_FOLD
    for share in TOP_SHARES:
        threshold = float(np.quantile(ranked, 1 - share))
        rule = DecisionRule(f"the {100 * share:g} % most likely", threshold, where)
        yield rule, decide(threshold)


def _multiclass_rules(
    pred: Predictions, classes: Sequence[str], costs: FloatArray | None
) -> Iterator[tuple[DecisionRule, FloatArray]]:
    if costs is None:
        return
    cheapest = (require_probabilities(pred) @ costs).argmin(axis=1).astype(np.float64)
    yield DecisionRule("as the model decides", None, "predicts the most likely class"), pred.values
    yield DecisionRule("class of least expected cost", None, CHOSEN_BY_COSTS), cheapest
    yield from _constant_rules(pred, classes)


def _constant_rules(
    pred: Predictions, classes: Sequence[str]
) -> Iterator[tuple[DecisionRule, FloatArray]]:
    for code, name in enumerate(classes):
        values = np.full(len(pred.values), float(code))
        yield DecisionRule(f"always {name}", None, "needs no model"), values


def _mean_cost_metric(row_costs: FloatArray) -> Metric:
    return Metric(
        "cost", frozenset(), False, False, lambda _, __: partial(weighted_mean, row_costs)
    )


def _share(count: float, total: float) -> float | None:
    return float(count / total) if total else None
