import numpy as np
import pytest

from pipelines.core.booster_rows import catboost_rows
from pipelines.core.model import said_by
from pipelines.tuning.boosters import catboost
from pipelines.tuning.families import FAMILIES
from tests.tuning.rows import TASKS, rows, setting


def own():
    return {
        name: value for name, value in FAMILIES["catboost"].defaults.items() if name != "levels"
    }


def test_catboost_says_the_shares_where_all_rows_are_of_one_class():
    X, _ = rows("binary")
    found = catboost(X, np.ones(400), own(), setting("binary")).predictor
    assert (said_by(found, X, task="binary", n_classes=2).probabilities == [0, 1]).all()


@pytest.mark.parametrize("n_levels", [0, 3])
def test_catboost_says_the_mean_where_nothing_varies(n_levels):
    y = rows("regression")[1]
    told = setting("regression", n_levels=n_levels)
    found = catboost(np.ones((400, 3)), y, own(), told).predictor
    assert found.predict(np.ones((1, 3)))[0] == pytest.approx(y.mean())


@pytest.mark.parametrize("task", TASKS)
def test_catboost_learns_from_the_fewest_rows(task):
    X, y = np.arange(6.0).reshape(3, 2), np.arange(3) % (3 if task == "multiclass" else 2)
    grown = catboost(X, y.astype(float), own(), setting(task, iterations=3))
    assert grown.iterations == 3


def test_a_level_that_was_never_seen_is_harmless_to_catboost():
    X, y = rows("binary")
    grown = catboost(X, y, own(), setting("binary", n_levels=1, iterations=5))
    strange = np.where(np.arange(3) == 0, np.nan, X[:2])
    assert np.isfinite(grown.predictor.predict(catboost_rows(strange, (0,)))).all()
