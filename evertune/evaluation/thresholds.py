"""Decision thresholds and what deciding by them costs.

`cost_matrix` reads the costs of errors, `cheapest_threshold` finds the best threshold on out-
of-fold predictions, and `cost_implied_threshold` derives it from the costs alone (Elkan, 2001).
`evaluate_decision_rules` scores each `DecisionRule` on the evaluation rows; no threshold is
ever chosen on those rows.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial

import numpy as np

from evertune.evaluation.formatting import format_score
from evertune.metrics.metrics import Metric
from evertune.metrics.weighted import TWO_CLASSES, weighted_mean
from evertune.models.model import apply_threshold
from evertune.stats.bootstrap import BootstrapConfig, bootstrap_interval
from evertune.types import FloatArray, Predictions

DEFAULT_THRESHOLD = 0.5
N_QUANTILE_THRESHOLDS = 199
TOP_SHARES = (0.05, 0.1, 0.2, 0.3)
CHOSEN_OUT_OF_FOLD = "training rows that the fold models did not see"
CHOSEN_BY_COSTS = "the costs alone, no rows"
CHOSEN_BY_FIT = "fit, else one half"
ClassCosts = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class DecisionRule:
    """One way to decide, and what it comes to on the rows that judge.

    Attributes
    ----------
    name : str
    threshold : float, optional
        The probability above which the positive class of two is said.
    chosen_on : str
        What chose the threshold.
    share : float, optional
        Rows that are said to be of the positive class, of all.
    precision, recall : float, optional
        Of that class.
    cost, low, high : float, optional
        Mean cost of a row with its interval; None where no costs are given.
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


def cost_matrix(costs: ClassCosts, classes: Sequence[str]) -> FloatArray:
    """Return the costs by code of the true class (row) and of the predicted class.

    What is not given costs nothing.

    Raises
    ------
    ValueError
        If a class is not one of `classes`; regression has none.

    Examples
    --------
    >>> cost_matrix({"yes": {"no": 5.0}}, ("no", "yes")).tolist()
    [[0.0, 0.0], [5.0, 0.0]]
    """
    named = {*costs, *(name for row in costs.values() for name in row)}
    unknown = sorted(named - set(classes))
    if unknown or not classes:
        raise ValueError(
            f"Expected costs of the classes {list(classes)}, but got {unknown or sorted(named)}."
        )
    return np.array([[costs.get(t, {}).get(p, 0.0) for p in classes] for t in classes])


def row_costs(truth: FloatArray, values: FloatArray, matrix: FloatArray) -> FloatArray:
    """Return what each row costs.

    Examples
    --------
    >>> row_costs(np.array([1.0, 0.0]), np.zeros(2), np.array([[0.0, 1.0], [5.0, 0.0]]))
    array([5., 0.])
    """
    return np.asarray(matrix[truth.astype(np.int64), values.astype(np.int64)])


def threshold_costs(
    truth: FloatArray, chances: FloatArray, matrix: FloatArray, cuts: FloatArray
) -> FloatArray:
    """Return the mean cost of a row for each threshold of the positive class of two.

    Examples
    --------
    >>> matrix = np.array([[0.0, 1.0], [5.0, 0.0]])
    >>> threshold_costs(np.array([1.0, 0.0]), np.array([0.4, 0.2]), matrix, np.array([0.1, 0.3]))
    array([0.5, 0. ])
    """
    said = chances[None, :] > cuts[:, None]
    codes = truth.astype(np.int64)
    return np.asarray(np.where(said, matrix[codes, 1], matrix[codes, 0]).mean(axis=1))


def candidate_thresholds(chances: FloatArray) -> FloatArray:
    """Return the thresholds worth looking at: quantiles of what was said, and one half."""
    inner = np.quantile(chances, np.linspace(0, 1, N_QUANTILE_THRESHOLDS + 2)[1:-1])
    return np.unique(np.concatenate([[0.0, DEFAULT_THRESHOLD, 1.0], inner]))


def cheapest_threshold(truth: FloatArray, chances: FloatArray, matrix: FloatArray) -> float:
    """Return the threshold with the lowest mean cost; of equal ones the nearest to one half.

    Examples
    --------
    >>> matrix = np.array([[0.0, 1.0], [5.0, 0.0]])
    >>> found = cheapest_threshold(np.array([1.0, 0.0]), np.array([0.4, 0.2]), matrix)
    >>> 0.2 <= found < 0.4
    True
    """
    cuts = candidate_thresholds(chances)
    found = threshold_costs(truth, chances, matrix, cuts)
    least = cuts[found <= found.min() + 1e-12]
    return float(least[np.abs(least - DEFAULT_THRESHOLD).argmin()])


def cost_implied_threshold(matrix: FloatArray) -> float | None:
    """Return the threshold that is cheapest where probabilities are true (Elkan, 2001).

    It is (c10 - c00) / (c10 - c00 + c01 - c11), with c10 the cost of saying the positive class of
    a row that is not of it; None where one class is cheaper to say whatever is true.

    Examples
    --------
    >>> cost_implied_threshold(np.array([[0.0, 1.0], [4.0, 0.0]]))
    0.2
    """
    false_alarm, miss = matrix[0, 1] - matrix[0, 0], matrix[1, 0] - matrix[1, 1]
    if false_alarm <= 0 or miss <= 0:
        return None
    return float(false_alarm / (false_alarm + miss))


def evaluate_decision_rules(
    truth: FloatArray,
    said: Predictions,
    *,
    classes: Sequence[str],
    bootstrap: BootstrapConfig,
    in_use: float | None = None,
    matrix: FloatArray | None = None,
    learned: tuple[FloatArray, FloatArray] | None = None,
) -> tuple[DecisionRule, ...]:
    """Return ways to decide with what a model says, each as it does on the rows that judge.

    Parameters
    ----------
    truth : array of shape (n,)
        Of the rows that judge.
    said : Predictions
        With probabilities; without them there is nothing to decide, and of more than two classes
        neither without costs.
    classes : sequence of str
    bootstrap : BootstrapConfig
    in_use : float, optional
        The model's threshold; None: the likelier class is said.
    matrix : array of shape (n_classes, n_classes), optional
        From `cost_matrix`.
    learned : pair of arrays, optional
        Truth of training rows, and what fold models that did not see them say: the probability of
        the positive class of two. They choose thresholds; without them the rows' own ranking
        says where the most likely ones begin, which takes no truth.
    """
    if said.probabilities is None:
        return ()
    if len(classes) > TWO_CLASSES:
        found = list(_multiclass_rules(said, classes, matrix))
    else:
        found = list(_binary_rules(said, classes, in_use=in_use, matrix=matrix, learned=learned))
    return tuple(
        _evaluate_rule(
            each, truth, values, matrix=matrix, bootstrap=bootstrap, two=len(classes) == 2
        )
        for each, values in found
    )


def cost_note(found: Sequence[DecisionRule]) -> str | None:
    """Return what the cheapest way to decide saves over the one in use, None without costs.

    Examples
    --------
    >>> cost_note([DecisionRule("as the model decides", 0.5, "", cost=2.0),
    ...     DecisionRule("cheapest threshold", 0.2, "", cost=1.5)])
    'Deciding by the cheapest threshold costs 1.500 a row instead of 2.000.'
    """
    chosen = [
        each
        for each in found
        if each.chosen_on in (CHOSEN_OUT_OF_FOLD, CHOSEN_BY_COSTS) and each.cost
    ]
    cheap = [each for each in found if each.name == "cheapest threshold"] or chosen[:1]
    if not cheap or cheap[0].cost is None or found[0].cost is None:
        return None
    return (
        f"Deciding by the {cheap[0].name.removeprefix('the ')} costs {format_score(cheap[0].cost)}"
        f" a row instead of {format_score(found[0].cost)}."
    )


def _binary_rules(
    said: Predictions,
    classes: Sequence[str],
    *,
    in_use: float | None,
    matrix: FloatArray | None,
    learned: tuple[FloatArray, FloatArray] | None,
) -> Iterator[tuple[DecisionRule, FloatArray]]:
    assert said.probabilities is not None
    by = partial(apply_threshold, said.probabilities)
    cut = DEFAULT_THRESHOLD if in_use is None else in_use
    yield DecisionRule("as the model decides", cut, CHOSEN_BY_FIT), said.values
    if matrix is not None and learned is not None:
        cheapest = cheapest_threshold(*learned, matrix)
        yield DecisionRule("cheapest threshold", cheapest, CHOSEN_OUT_OF_FOLD), by(cheapest)
    if matrix is not None:
        true = cost_implied_threshold(matrix)
        if true is not None:
            yield DecisionRule("threshold that the costs imply", true, CHOSEN_BY_COSTS), by(true)
        yield from _constant_rules(said, classes)
    source = said.probabilities[:, 1] if learned is None else learned[1]
    where = (
        "the ranking of the rows that judge, no truth" if learned is None else CHOSEN_OUT_OF_FOLD
    )
    for share in TOP_SHARES:
        cut = float(np.quantile(source, 1 - share))
        yield DecisionRule(f"the {100 * share:g} % most likely", cut, where), by(cut)


def _multiclass_rules(
    said: Predictions, classes: Sequence[str], matrix: FloatArray | None
) -> Iterator[tuple[DecisionRule, FloatArray]]:
    if said.probabilities is None or matrix is None:
        return
    expected = said.probabilities @ matrix
    cheapest = expected.argmin(axis=1).astype(np.float64)
    yield DecisionRule("as the model decides", None, "the likeliest class"), said.values
    yield DecisionRule("the class of least expected cost", None, CHOSEN_BY_COSTS), cheapest
    yield from _constant_rules(said, classes)


def _constant_rules(
    said: Predictions, classes: Sequence[str]
) -> Iterator[tuple[DecisionRule, FloatArray]]:
    for code, name in enumerate(classes):
        yield (
            DecisionRule(f"always {name}", None, "no model"),
            np.full(len(said.values), float(code)),
        )


def _evaluate_rule(
    decision: DecisionRule,
    truth: FloatArray,
    values: FloatArray,
    *,
    matrix: FloatArray | None,
    bootstrap: BootstrapConfig,
    two: bool,
) -> DecisionRule:
    found = decision
    if two:
        said, hits = values == 1, (values == 1) & (truth == 1)
        found = replace(
            found,
            share=_share_or_none(said.sum(), len(said)),
            precision=_share_or_none(hits.sum(), said.sum()),
            recall=_share_or_none(hits.sum(), (truth == 1).sum()),
        )
    if matrix is None:
        return found
    rows = row_costs(truth, values, matrix)
    interval = bootstrap_interval(
        _mean_cost_metric(rows), truth, Predictions(values), **asdict(bootstrap)
    )
    return replace(found, cost=float(rows.mean()), low=interval.low, high=interval.high)


def _mean_cost_metric(rows: FloatArray) -> Metric:
    return Metric("cost", frozenset(), False, False, lambda _, __: partial(weighted_mean, rows))


def _share_or_none(count: float, total: float) -> float | None:
    return float(count / total) if total else None
