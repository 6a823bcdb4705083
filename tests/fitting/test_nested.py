import numpy as np
import pandas as pd
import pytest

from evertune.config.schema import FitSection, SearchSection
from evertune.data.folds import Fold
from evertune.data.schema import Column, TableSchema
from evertune.errors import ParamsError
from evertune.evaluation.nested import CrossValidationData
from evertune.fitting.tune import nested_cross_validation
from evertune.metrics.metrics import metrics_for

ONE_TRIAL = {"budget_seconds": None, "budget_trials": 1, "families": ("linear",), "workers": 1}


def rows(n_folds, n_rows=90):
    draws = np.random.default_rng(0)
    table = pd.DataFrame(draws.normal(size=(n_rows, 2)), columns=["a", "b"])
    table["y"] = 3 * table["a"] + draws.normal(size=n_rows)
    schema = TableSchema((Column("a", "number"), Column("b", "number")), "y", "regression")
    place = np.arange(n_rows)
    folds = [Fold(place[place % n_folds != k], place[place % n_folds == k]) for k in range(n_folds)]
    return CrossValidationData(table, schema, tuple(folds), metrics_for("regression"))


def judged(n_folds, **search):
    return nested_cross_validation(
        rows(n_folds), search=SearchSection(**ONE_TRIAL | search), fit=FitSection()
    )


def test_every_metric_is_figured_on_rows_that_the_search_did_not_see():
    found = judged(3)
    assert found.figures["rmse"] == pytest.approx(1.0, abs=0.2)
    assert found.figures["r2"] == pytest.approx(0.9, abs=0.05)


def test_the_searches_share_the_seconds():
    assert judged(3, budget_seconds=0.3, budget_trials=None).seconds == pytest.approx(0.1)


def test_the_same_seed_gives_the_same_figures():
    assert judged(3) == judged(3)


@pytest.mark.parametrize("n_folds", [1, 21])
def test_folds_that_cannot_be_nested_are_refused(n_folds):
    words = f"expected at most 20 folds.* but split makes {n_folds}. Set split.folds"
    with pytest.raises(ParamsError, match=words):
        judged(n_folds)
