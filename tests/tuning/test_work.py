import numpy as np
import pandas as pd
import pytest

from evertune.data.folds import Fold
from evertune.data.schema import Column, TableSchema
from evertune.metrics.metrics import METRICS
from evertune.search.objective import Objective, evaluate_fold, mean_score
from evertune.trials import Configuration, FoldResult


def test_a_fold_is_fitted_on_its_training_rows_and_judged_on_the_others():
    table = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0]})
    fold = Fold(np.array([0, 1]), np.array([2, 3]))
    schema, truth = (
        TableSchema((Column("a", "number"),), "y", "regression"),
        np.array([1.0, 3.0, 6, 8]),
    )
    work = Objective(table, truth, schema, (fold,), (METRICS["mae"], METRICS["rmse"]), 0)
    result = evaluate_fold(work, Configuration("zero_rule"), 0, encodings={}).result
    assert result.figures == {"mae": 5.0, "rmse": pytest.approx(26**0.5)}
    assert result.fold == 0


@pytest.mark.parametrize(
    ("values", "mean"), [([1.0, 3.0], 2.0), ([1.0, None], 1.0), ([None], None)]
)
def test_the_mean_is_over_the_folds_in_which_a_metric_is_defined(values, mean):
    results = [FoldResult(fold, {"r2": value}, 0.1, 0.1) for fold, value in enumerate(values)]
    assert mean_score(results, "r2") == mean
