import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier, MLPRegressor

from evertune.models.fit_context import FitContext
from evertune.models.network import Network
from evertune.models.neural_network import NetworkRows, Perceptron, learning_rate_factor

DRAWS = np.random.default_rng(0)
X = DRAWS.normal(size=(6, 4)).astype(np.float32)
TARGETS = {
    "binary": DRAWS.integers(0, 2, (6, 1)).astype(np.float32),
    "multiclass": np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 2]],
    "regression": DRAWS.normal(size=(6, 1)).astype(np.float32),
}


def network(task, activation="relu", width=5, layers=2):
    rows = NetworkRows(X, TARGETS[task], np.ones(6, dtype=np.float32))
    n_classes = {"binary": 2, "multiclass": 3, "regression": 0}[task]
    params = {"activation": activation, "width": width, "layers": layers}
    return Perceptron(rows, params, FitContext(task, n_classes, 0, seed=0, n_jobs=1))


def loss(perceptron, task):
    outputs = perceptron.forward(perceptron.layers, X).astype(float)
    y_true = TARGETS[task]
    if task == "regression":
        return 0.5 * np.mean((outputs - y_true) ** 2)
    if task == "binary":
        return -np.mean(y_true * np.log(outputs) + (1 - y_true) * np.log(1 - outputs))
    return -np.mean((y_true * np.log(outputs)).sum(axis=1))


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("task", TARGETS)
def test_the_gradient_is_the_slope_of_the_loss(task, activation):
    perceptron = network(task, activation)
    gradient = perceptron.gradients(X, TARGETS[task], perceptron.rows.weights, [])
    for number, (weights, _) in enumerate(perceptron.layers):
        before, step = weights[0, 0], np.float32(1e-2)
        weights[0, 0] = before + step
        above = loss(perceptron, task)
        weights[0, 0] = before - step
        slope = (above - loss(perceptron, task)) / (2 * step)
        weights[0, 0] = before
        assert gradient[number][0][0, 0] == pytest.approx(slope, abs=2e-3)


def test_dropout_preserves_the_mean():
    (mask,) = network("regression", width=1000, layers=1).dropout_masks(50, 0.3)
    assert mask.mean() == pytest.approx(1, abs=0.02)
    assert (mask == 0).mean() == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [("constant", [0, 0.5, 1, 1]), ("cosine", [0, 0.5, 0.99, 0]), ("coslog4", [0, 0.98, 0.32, 0])],
)
def test_a_learning_rate_rises_first_and_a_schedule_ends_at_0(schedule, expected):
    factors = [learning_rate_factor(schedule, done) for done in (0.0, 0.025, 0.05, 1.0)]
    assert factors == pytest.approx(expected, abs=0.01)
    assert factors[-1] == pytest.approx(expected[-1], abs=1e-6)


def test_a_dropped_unit_has_no_gradient():
    perceptron = network("regression", "tanh", width=2, layers=1)
    mask = np.array([[0.0, 2.0]] * 6, dtype=np.float32)
    gradient = perceptron.gradients(X, TARGETS["regression"], perceptron.rows.weights, [mask])
    assert (gradient[0][0][:, 0] == 0).all()
    assert (gradient[0][0][:, 1] != 0).any()


NETWORK_X = DRAWS.normal(size=(60, 3))
NETWORK_TARGETS = {
    "binary": (NETWORK_X[:, 0] > 0).astype(float),
    "multiclass": np.digitize(NETWORK_X[:, 0], [-0.5, 0.5]).astype(float),
    "regression": NETWORK_X[:, 0],
}


@pytest.mark.parametrize("task", NETWORK_TARGETS)
def test_a_network_predicts_as_the_same_one_of_scikit_learn(task):
    kind = MLPRegressor if task == "regression" else MLPClassifier
    model = kind(
        hidden_layer_sizes=(5, 4), activation="tanh", solver="lbfgs", max_iter=2000, random_state=0
    )
    model.fit(NETWORK_X, NETWORK_TARGETS[task])
    network = Network(task, [], model.coefs_, model.intercepts_, "tanh")
    assert network.predict(NETWORK_X) == pytest.approx(model.predict(NETWORK_X))
    if task != "regression":
        assert network.predict_proba(NETWORK_X) == pytest.approx(model.predict_proba(NETWORK_X))


def test_a_row_is_predicted_the_same_alone_and_among_others():
    weights = [DRAWS.normal(size=pair).astype(np.float32) for pair in ((3, 64), (64, 1))]
    network = Network("regression", [], weights, [np.zeros(64), np.zeros(1)], "silu")
    alone = [network.predict(row[None])[0] for row in NETWORK_X]
    assert network.predict(NETWORK_X) == pytest.approx(alone, rel=1e-12)


def test_a_code_is_replaced_by_its_row_of_the_table_and_an_unknown_one_by_the_last():
    table = np.array([[1.0, 2.0], [10.0, 20.0], [0.0, 0.0]])
    network = Network("regression", [table], [np.ones((3, 1))], [np.zeros(1)], "relu")
    codes = np.array([[0.0, 0.5], [1.0, 0.5], [np.nan, 0.5], [7.0, 0.5]])
    assert network.predict(codes).tolist() == [3.5, 30.5, 0.5, 0.5]
