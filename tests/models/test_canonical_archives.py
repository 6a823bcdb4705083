import io
import zipfile

import numpy as np
import skops.io
from sklearn.ensemble import RandomForestRegressor

from evertune.models.persistence import canonical_skops

TREE = ["sklearn.tree._tree.Tree"]


def forest(X):
    return RandomForestRegressor(5, random_state=0).fit(X, X[:, 0])


def rows():
    return np.random.default_rng(0).normal(size=(50, 3))


def test_equal_models_give_equal_bytes():
    first, second = (canonical_skops(skops.io.dumps(forest(rows()))) for _ in range(2))
    assert first == second


def test_a_canonical_archive_holds_the_same_model():
    model = forest(rows())
    back = skops.io.loads(canonical_skops(skops.io.dumps(model)), trusted=TREE)
    assert (back.predict(rows()) == model.predict(rows())).all()


def test_another_model_gives_other_bytes():
    one, other = (canonical_skops(skops.io.dumps(forest(rows() + shift))) for shift in (0, 1))
    assert one != other


def test_the_time_of_day_is_not_in_an_archive():
    archive = zipfile.ZipFile(io.BytesIO(canonical_skops(skops.io.dumps(forest(rows())))))
    assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
