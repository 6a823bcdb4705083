import numpy as np
import pandas as pd
import pytest

from pipelines.core.importance import loss_beside, permutation_importance
from pipelines.core.metrics import METRICS
from pipelines.core.predictions import Predictions

TABLE = pd.DataFrame({"a": [0.0, 1.0, 0.0, 1.0], "b": [1.0, 1.0, 0.0, 0.0], "c": [0.0] * 4})
TRUTH = TABLE["a"].to_numpy()


def said(table):
    return Predictions(table["a"].to_numpy())


def importance(metric="accuracy", repeats=4, seed=0):
    loss = loss_beside(METRICS[metric], TRUTH, predictions=said(TABLE))
    return permutation_importance(said, TABLE, loss=loss, repeats=repeats, seed=seed)


def test_only_the_column_that_is_used_costs_something():
    rows = importance()
    assert rows[0].column == "a"
    assert [(row.loss, row.low, row.high) for row in rows[1:]] == [(0, 0, 0), (0, 0, 0)]


def test_the_loss_is_positive_where_smaller_is_better():
    assert importance("rmse")[0].loss > 0


def test_equal_seeds_give_equal_losses():
    assert importance(seed=3) == importance(seed=3)


def test_the_mean_lies_between_the_smallest_and_the_largest_loss():
    row = importance(repeats=20)[0]
    assert row.low < row.loss < row.high


def test_the_table_is_left_as_it_was():
    before = TABLE.copy()
    importance()
    pd.testing.assert_frame_equal(TABLE, before)


def test_a_metric_that_is_undefined_gives_no_importance():
    assert importance("log_loss") == ()


def test_at_least_one_shuffle_is_needed():
    with pytest.raises(ValueError, match=r"'repeats' .* must be positive. Got 0"):
        importance(repeats=0)


def test_a_loss_is_undefined_beside_undefined_predictions():
    loss = loss_beside(METRICS["log_loss"], TRUTH, predictions=said(TABLE))
    assert loss(Predictions(np.zeros(4))) is None
