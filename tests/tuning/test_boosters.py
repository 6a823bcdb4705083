import numpy as np
import pytest

from evertune.models.boosting import fit_catboost
from evertune.models.families import FAMILIES
from evertune.models.model import predict_encoded, to_catboost_rows
from tests.tuning.rows import TASKS, rows, setting


def own():
    return {
        name: value for name, value in FAMILIES["catboost"].defaults.items() if name != "levels"
    }


def test_catboost_says_the_shares_where_all_rows_are_of_one_class():
    X, _ = rows("binary")
    found = fit_catboost(X, np.ones(400), own(), setting("binary")).predictor
    assert (predict_encoded(found, X, task="binary", n_classes=2).probabilities == [0, 1]).all()


@pytest.mark.parametrize("n_levels", [0, 3])
def test_catboost_says_the_mean_where_nothing_varies(n_levels):
    y = rows("regression")[1]
    told = setting("regression", n_levels=n_levels)
    found = fit_catboost(np.ones((400, 3)), y, own(), told).predictor
    assert found.predict(np.ones((1, 3)))[0] == pytest.approx(y.mean())


@pytest.mark.parametrize("task", TASKS)
def test_catboost_learns_from_the_fewest_rows(task):
    X, y = np.arange(6.0).reshape(3, 2), np.arange(3) % (3 if task == "multiclass" else 2)
    grown = fit_catboost(X, y.astype(float), own(), setting(task, iterations=3))
    assert grown.iterations == 3


def test_a_level_that_was_never_seen_is_harmless_to_catboost():
    X, y = rows("binary")
    grown = fit_catboost(X, y, own(), setting("binary", n_levels=1, iterations=5))
    strange = np.where(np.arange(3) == 0, np.nan, X[:2])
    assert np.isfinite(grown.predictor.predict(to_catboost_rows(strange, (0,)))).all()
