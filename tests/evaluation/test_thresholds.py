import numpy as np
import pytest

from evertune.errors import ParamsError
from evertune.evaluation.thresholds import (
    cheapest_threshold,
    cost_implied_threshold,
    evaluate_decision_rules,
    misclassification_costs,
    threshold_costs,
)
from evertune.stats.bootstrap import BootstrapConfig
from evertune.types import Predictions

COSTS = np.array([[0.0, 1.0], [4.0, 0.0]])
DRAWS = BootstrapConfig(100, 0.9, 0)


def calibrated(n_rows, seed):
    rng = np.random.default_rng(seed)
    proba = rng.uniform(size=n_rows)
    return (rng.uniform(size=n_rows) < proba) * 1.0, proba


def decided(y_true, proba, **more):
    pred = Predictions((proba > 0.5) * 1.0, np.column_stack([1 - proba, proba]))
    found = evaluate_decision_rules(y_true, pred, classes=("no", "yes"), bootstrap=DRAWS, **more)
    return {each.name: each for each in found}


def test_if_probabilities_are_calibrated_the_cheapest_threshold_is_that_of_the_costs():
    assert cheapest_threshold(*calibrated(20_000, 0), COSTS) == pytest.approx(0.2, abs=0.05)
    assert cost_implied_threshold(COSTS) == 0.2


def test_a_class_that_is_always_cheaper_to_predict_leaves_no_threshold():
    assert cost_implied_threshold(np.array([[1.0, 0.0], [4.0, 0.0]])) is None


def test_the_cost_of_a_threshold_is_the_mean_over_rows():
    found = threshold_costs(np.array([1.0, 0.0]), np.array([0.3, 0.6]), COSTS, np.array([0.5]))
    assert found.tolist() == [2.5]


def test_the_cheapest_threshold_is_chosen_by_other_rows_than_the_evaluated_ones():
    y_true, proba = calibrated(400, 1)
    others = calibrated(400, 2)
    found = decided(y_true, proba, costs=COSTS, out_of_fold=others)
    turned = decided(1 - y_true, proba, costs=COSTS, out_of_fold=others)
    names = ("cheapest threshold", "the 10 % most likely")
    assert [found[n].threshold for n in names] == [turned[n].threshold for n in names]


def test_costs_stand_beside_those_of_always_predicting_the_same():
    y_true, proba = calibrated(400, 1)
    found = decided(y_true, proba, costs=COSTS, out_of_fold=calibrated(400, 2))
    assert found["always no"].cost == pytest.approx(4 * y_true.mean())
    row = found["cheapest threshold"]
    assert row.low < row.cost < row.high < found["as the model decides"].cost


def test_without_costs_the_rows_own_ranking_tells_where_the_most_likely_begin():
    found = decided(*calibrated(400, 1))
    assert found["the 10 % most likely"].share == pytest.approx(0.1, abs=0.01)
    assert found["as the model decides"].cost is None


def test_of_many_classes_the_one_of_least_expected_cost_is_predicted():
    shares = np.tile([0.4, 0.35, 0.25], (4, 1))
    costs = misclassification_costs({"c": {"a": 9.0, "b": 9.0}}, ("a", "b", "c"))
    pred = Predictions(np.zeros(4), shares)
    found = evaluate_decision_rules(
        np.full(4, 2.0), pred, classes=("a", "b", "c"), bootstrap=DRAWS, costs=costs
    )
    assert [each.cost for each in found] == [9.0, 0.0, 9.0, 9.0, 0.0]


@pytest.mark.parametrize("classes", [("no", "yes"), ()])
def test_costs_of_unknown_classes_are_refused(classes):
    with pytest.raises(
        ParamsError, match=r"evaluation.costs: expected costs of the classes .* but got .*maybe"
    ):
        misclassification_costs({"maybe": {"maybe": 1.0}}, classes)
