import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier, MLPRegressor

from evertune.models.network import Network

DRAWS = np.random.default_rng(0)
X = DRAWS.normal(size=(60, 3))
TARGETS = {"binary": (X[:, 0] > 0), "multiclass": np.digitize(X[:, 0], [-0.5, 0.5])}


def of(model, task):
    return Network(task, [], model.coefs_, model.intercepts_, "tanh")


@pytest.mark.parametrize("task", TARGETS)
def test_classes_are_told_as_by_the_same_network_of_scikit_learn(task):
    kind = MLPClassifier((5, 4), activation="tanh", solver="lbfgs", max_iter=2000, random_state=0)
    model = kind.fit(X, TARGETS[task].astype(float))
    network = of(model, task)
    assert network.predict_proba(X) == pytest.approx(model.predict_proba(X))
    assert (network.predict(X) == model.predict(X)).all()


def test_values_are_told_as_by_the_same_network_of_scikit_learn():
    kind = MLPRegressor(
        hidden_layer_sizes=(5,), activation="tanh", solver="lbfgs", max_iter=2000, random_state=0
    )
    model = kind.fit(X, X[:, 0])
    assert of(model, "regression").predict(X) == pytest.approx(model.predict(X))


def test_a_row_is_told_the_same_alone_and_among_others():
    weights = [DRAWS.normal(size=pair).astype(np.float32) for pair in ((3, 64), (64, 1))]
    network = Network("regression", [], weights, [np.zeros(64), np.zeros(1)], "silu")
    alone = [network.predict(row[None])[0] for row in X]
    assert network.predict(X) == pytest.approx(alone, rel=1e-12)


def test_a_code_is_replaced_by_its_row_of_the_table():
    table = np.array([[1.0, 2.0], [10.0, 20.0], [0.0, 0.0]])
    network = Network("regression", [table], [np.ones((3, 1))], [np.zeros(1)], "relu")
    codes = np.array([[0.0, 0.5], [1.0, 0.5], [np.nan, 0.5]])
    assert network.predict(codes).tolist() == [3.5, 30.5, 0.5]
