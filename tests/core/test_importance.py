import numpy as np
import pandas as pd
import pytest

from evertune.evaluation.explain import ImportanceReference, permutation_importance
from evertune.metrics.metrics import METRICS
from evertune.stats.bootstrap import BootstrapConfig
from evertune.types import Predictions

TABLE = pd.DataFrame({"a": [0.0, 1.0, 0.0, 1.0], "b": [1.0, 1.0, 0.0, 0.0], "c": [0.0] * 4})
TRUTH = TABLE["a"].to_numpy()


def said(table):
    return Predictions(table["a"].to_numpy())


def importance(metric="accuracy", repeats=4, seed=0):
    beside = ImportanceReference(METRICS[metric], TRUTH, said(TABLE))
    draws = BootstrapConfig(100, 0.9, seed)
    return permutation_importance(said, TABLE, beside=beside, repeats=repeats, bootstrap=draws)


def test_only_the_column_that_is_used_costs_something():
    rows = importance()
    assert rows[0].column == "a"
    assert [(row.loss, row.low, row.high) for row in rows[1:]] == [(0, 0, 0), (0, 0, 0)]


def test_the_loss_is_positive_where_smaller_is_better():
    assert importance("rmse")[0].loss > 0


def test_equal_seeds_give_equal_losses():
    assert importance(seed=3) == importance(seed=3)


def test_the_loss_lies_in_its_interval():
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


def test_the_interval_gets_narrower_with_rows():
    def width(n_rows):
        column = np.tile([0.0, 1.0], n_rows // 2)
        row = permutation_importance(
            lambda rows: Predictions(rows["a"].to_numpy()),
            pd.DataFrame({"a": column}),
            beside=ImportanceReference(METRICS["accuracy"], column, Predictions(column)),
            repeats=1,
            bootstrap=BootstrapConfig(200, 0.95, 0),
        )[0]
        return row.high - row.low

    assert width(1000) < width(40) / 2
