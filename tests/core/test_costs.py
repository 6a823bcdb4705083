import numpy as np
import pytest

from evertune.evaluation.thresholds import (
    cheapest_threshold,
    cost_implied_threshold,
    cost_matrix,
    evaluate_decision_rules,
    threshold_costs,
)
from evertune.stats.bootstrap import BootstrapConfig
from evertune.types import Predictions

MATRIX = np.array([[0.0, 1.0], [4.0, 0.0]])
DRAWS = BootstrapConfig(100, 0.9, 0)


def calibrated(n_rows, seed):
    random = np.random.default_rng(seed)
    chances = random.uniform(size=n_rows)
    return (random.uniform(size=n_rows) < chances) * 1.0, chances


def decided(truth, chances, **more):
    said = Predictions((chances > 0.5) * 1.0, np.column_stack([1 - chances, chances]))
    found = evaluate_decision_rules(truth, said, classes=("no", "yes"), bootstrap=DRAWS, **more)
    return {each.name: each for each in found}


def test_where_probabilities_are_true_the_cheapest_threshold_is_that_of_the_costs():
    assert cheapest_threshold(*calibrated(20_000, 0), MATRIX) == pytest.approx(0.2, abs=0.05)
    assert cost_implied_threshold(MATRIX) == 0.2


def test_a_class_that_is_always_cheaper_to_say_leaves_no_threshold():
    assert cost_implied_threshold(np.array([[1.0, 0.0], [4.0, 0.0]])) is None


def test_the_cost_of_a_threshold_is_the_mean_over_rows():
    found = threshold_costs(np.array([1.0, 0.0]), np.array([0.3, 0.6]), MATRIX, np.array([0.5]))
    assert found.tolist() == [2.5]


def test_the_cheapest_threshold_is_chosen_by_other_rows_than_those_that_judge():
    truth, chances = calibrated(400, 1)
    learned = calibrated(400, 2)
    found = decided(truth, chances, matrix=MATRIX, learned=learned)
    turned = decided(1 - truth, chances, matrix=MATRIX, learned=learned)
    names = ("cheapest threshold", "the 10 % most likely")
    assert [found[n].threshold for n in names] == [turned[n].threshold for n in names]


def test_costs_are_judged_beside_saying_always_the_same():
    truth, chances = calibrated(400, 1)
    found = decided(truth, chances, matrix=MATRIX, learned=calibrated(400, 2))
    assert found["always no"].cost == pytest.approx(4 * truth.mean())
    row = found["cheapest threshold"]
    assert row.low < row.cost < row.high < found["as the model decides"].cost


def test_without_costs_the_rows_own_ranking_says_where_the_most_likely_begin():
    found = decided(*calibrated(400, 1))
    assert found["the 10 % most likely"].share == pytest.approx(0.1, abs=0.01)
    assert found["as the model decides"].cost is None


def test_of_many_classes_the_one_of_least_expected_cost_is_said():
    shares = np.tile([0.4, 0.35, 0.25], (4, 1))
    matrix = cost_matrix({"c": {"a": 9.0, "b": 9.0}}, ("a", "b", "c"))
    said = Predictions(np.zeros(4), shares)
    found = evaluate_decision_rules(
        np.full(4, 2.0), said, classes=("a", "b", "c"), bootstrap=DRAWS, matrix=matrix
    )
    assert [each.cost for each in found] == [9.0, 0.0, 9.0, 9.0, 0.0]


@pytest.mark.parametrize("classes", [("no", "yes"), ()])
def test_costs_of_unknown_classes_are_refused(classes):
    with pytest.raises(ValueError, match=r"Expected costs of the classes .* but got .*maybe"):
        cost_matrix({"maybe": {"maybe": 1.0}}, classes)
