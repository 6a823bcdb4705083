import pytest

from evertune.evaluation.evaluate import check_guards, choose_model
from evertune.evaluation.records import BaselineRow
from evertune.metrics.metrics import METRICS

AUC, RMSE = METRICS["roc_auc"], METRICS["rmse"]


def row(name, figure, low, kind="model"):
    return BaselineRow(name, kind, "", {"roc_auc": figure}, {}, lift=0.02, low=low, high=0.04)


def test_a_model_that_is_better_than_the_simplest_on_the_same_rows_is_chosen():
    chosen, reasons = choose_model(AUC, [row("logistic_regression", 0.8, 0.001)])
    assert chosen == "model"
    assert "better than the best of the simplest models, logistic regression" in reasons[0]


@pytest.mark.parametrize("low", [0.0, -0.01])
def test_the_simplest_is_chosen_where_the_model_cannot_be_told_from_it(low):
    chosen, reasons = choose_model(AUC, [row("logistic_regression", 0.8, low)])
    assert chosen == "simplest:logistic_regression"
    assert "cannot be told from" in reasons[0]


def test_the_model_is_compared_with_the_best_of_the_simplest_models():
    rows = [row("small_tree", 0.7, 0.05), row("logistic_regression", 0.8, -0.01)]
    assert choose_model(AUC, rows)[0] == "simplest:logistic_regression"


def test_a_baseline_without_a_model_is_never_chosen():
    chosen, reasons = choose_model(AUC, [row("heuristic", 0.9, -0.1, kind="none")])
    assert chosen == "model"
    assert "no simplest model" in reasons[0]


@pytest.mark.parametrize(
    ("metric", "figure", "kept"),
    [
        (AUC, 0.8, True),
        (AUC, 0.79, False),
        (RMSE, 0.8, True),
        (RMSE, 0.81, False),
        (RMSE, None, False),
    ],
)
def test_a_guard_is_kept_at_its_bound_and_on_the_better_side(metric, figure, kept):
    (guard,) = check_guards({metric.name: 0.8}, [AUC, RMSE], figures={metric.name: figure})
    assert guard.kept is kept


def test_metrics_without_a_bound_guard_nothing():
    assert check_guards({}, [AUC], figures={"roc_auc": 0.5}) == ()
