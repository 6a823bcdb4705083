import numpy as np
import pandas as pd
import pytest

from evertune.data.schema import Column, TableSchema
from evertune.evaluation.baselines import (
    baseline_predictions,
    expected_baseline_metrics,
    mean_fold_metrics,
)
from evertune.evaluation.heuristics import Rule
from evertune.metrics.metrics import METRICS, metrics_for
from evertune.trials import FoldResult
from evertune.types import Predictions

SCHEMA = TableSchema(
    (Column("x", "number"),), "y", "binary", ("no", "yes"), human="judged", existing="old"
)
TABLE = pd.DataFrame({"x": [1.0, 5.0], "judged": ["yes", None], "old": ["no", "no"]})
RULE = Rule("x", 3.0, (), None, (0.0, 1.0, 0.0), ((0.5, 0.5),) * 3)


def predicted(rule):
    model = Predictions(np.array([1.0, 1.0]))
    return baseline_predictions(
        TABLE, SCHEMA, training_truth=np.array([0.0, 0.0, 1.0]), optimised="f1", rule=rule,
        models={"small_tree": model},
    )  # fmt: skip


def test_every_baseline_with_answers_predicts_row_by_row():
    found = {name: said.values.tolist() for name, said in predicted(RULE).items()}
    assert found.pop("human") == pytest.approx([1.0, np.nan], nan_ok=True)
    assert found == {
        "zero_rule": [0.0, 0.0],
        "heuristic": [1.0, 0.0],
        "existing": [0.0, 0.0],
        "small_tree": [1.0, 1.0],
    }


def test_a_rule_that_is_not_there_is_left_out():
    assert "heuristic" not in predicted(None)


def test_random_guesses_have_every_metric_of_the_task():
    truth = np.array([0.0, 1.0])
    found = expected_baseline_metrics(
        metrics_for("binary"), truth, training_truth=truth, n_classes=2
    )
    assert list(found) == ["uniform_random", "label_distribution"]
    assert all(None not in figures.values() for figures in found.values())


def test_guesses_know_the_training_rows_and_are_figured_on_the_others():
    found = expected_baseline_metrics(
        [METRICS["accuracy"]],
        np.ones(4),
        training_truth=np.array([0.0, 0.0, 0.0, 1.0]),
        n_classes=2,
    )
    assert found["label_distribution"]["accuracy"] == pytest.approx(0.25)


def test_the_mean_leaves_out_folds_in_which_a_metric_is_undefined():
    figures = [
        {"f1": 0.2, "roc_auc": None},
        {"f1": 0.4, "roc_auc": None},
        {"f1": None, "roc_auc": None},
    ]
    found = mean_fold_metrics(FoldResult(n, table, 0.0, 0.0) for n, table in enumerate(figures))
    assert found == {"f1": pytest.approx(0.3), "roc_auc": None}
