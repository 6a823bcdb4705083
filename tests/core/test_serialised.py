import time

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.preprocessing import FunctionTransformer

from evertune.data.schema import Column, TableSchema
from evertune.models.model import predict_encoded
from evertune.models.persistence import dump_predictor, load_predictor
from evertune.preprocessing.encoders import feature_frame, make_encoder

DRAWS = np.random.default_rng(0)
X = DRAWS.normal(size=(80, 3))
Y = (X[:, 0] > 0).astype(float)


def skops_model():
    return ExtraTreesClassifier(5, random_state=0).fit(X, Y)


def lightgbm():
    import lightgbm as library

    quiet = {"verbose": -1, "num_threads": 1, "objective": "binary"}
    return library.train(quiet, library.Dataset(X, Y), 5)


def xgboost():
    import xgboost as library

    return library.train({"objective": "binary:logistic"}, library.QuantileDMatrix(X, Y), 5)


def catboost():
    import catboost as library

    settings = {"iterations": 5, "loss_function": "Logloss", "logging_level": "Silent"}
    return library.CatBoost({**settings, "allow_writing_files": False}).fit(X, Y)


LIBRARIES = {"skops": skops_model, "lightgbm": lightgbm, "xgboost": xgboost, "catboost": catboost}


@pytest.mark.parametrize("kind", LIBRARIES)
def test_a_predictor_that_was_read_back_says_the_same(kind):
    made = LIBRARIES[kind]()
    assert dump_predictor(made)[0] == kind
    back = load_predictor(*dump_predictor(made))
    said = [
        predict_encoded(each, X, task="binary", n_classes=2).probabilities for each in (made, back)
    ]
    assert (said[0] == said[1]).all()


@pytest.mark.parametrize("kind", ["lightgbm", "xgboost", "catboost"])
def test_equal_predictors_give_equal_bytes_whenever_they_are_fitted(kind):
    first = dump_predictor(LIBRARIES[kind]())
    time.sleep(1.1)  # a stamp of the time would have changed
    assert dump_predictor(LIBRARIES[kind]()) == first


def test_code_that_is_not_on_the_list_is_never_run():
    data = skops.io.dumps(FunctionTransformer(func=np.asarray))
    with pytest.raises(ValueError, match="was not written by Evertune and is not loaded"):
        load_predictor("skops", data)


def test_bytes_that_are_no_archive_are_refused():
    with pytest.raises(ValueError, match="the archive cannot be read"):
        load_predictor("skops", b"torn")


def test_a_kind_that_is_not_known_is_refused():
    with pytest.raises(ValueError, match=r"kind must be one of .* but got 'pickle'"):
        load_predictor("pickle", b"")


@pytest.mark.parametrize("text", ["auto", "hashed", "words", "characters"])
def test_an_encoder_that_was_read_back_makes_the_same_of_rows(text):
    columns = (Column("x", "number"), Column("z", "number"), Column("a", "category", ("p", "q")))
    schema = TableSchema((*columns, Column("b", "category"), Column("t", "text")), "y", "binary")
    table = pd.DataFrame(np.exp(X[:, :2]), columns=["x", "z"])
    words = DRAWS.choice(list("pq"), (80, 2))
    table = table.assign(a=words[:, 0], b=words[:, 1], t=[f"text number {n}" for n in range(80)])
    rows = feature_frame(table, schema)
    made = make_encoder(f"box_cox+hashed+text:{text}+pairs:both", schema).fit(rows, Y)
    back = load_predictor("skops", dump_predictor(made)[1])
    assert (back.transform(rows) == made.transform(rows)).all()
