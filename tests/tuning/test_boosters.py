import numpy as np
import pytest

from pipelines.tuning.boosters import catboost
from pipelines.tuning.families import FAMILIES
from tests.tuning.rows import rows, setting


def test_catboost_refuses_rows_of_one_class():
    X, _ = rows("binary")
    with pytest.raises(ValueError, match=r"CatBoost needs rows of two classes, but all 400 rows"):
        catboost(X, np.ones(400), FAMILIES["catboost"].defaults, setting("binary"))


def test_a_level_that_was_never_seen_is_harmless_to_catboost():
    X, y = rows("binary")
    own = {k: v for k, v in FAMILIES["catboost"].defaults.items() if k != "levels"}
    grown = catboost(X, y, own, setting("binary", n_levels=1, iterations=5))
    from pipelines.core.booster_rows import catboost_rows

    strange = np.where(np.arange(3) == 0, np.nan, X[:2])
    assert np.isfinite(grown.predictor.predict(catboost_rows(strange, (0,)))).all()
