import numpy as np
import pytest

from evertune.models.mlp import (
    dropout_masks,
    forward_pass,
    gradients,
    initial_layers,
    learning_rate_factor,
    make_adam,
    make_nesterov_momentum,
)

DRAWS = np.random.default_rng(0)
X = DRAWS.normal(size=(6, 4)).astype(np.float32)
TARGETS = {
    "binary": DRAWS.integers(0, 2, (6, 1)).astype(np.float32),
    "multiclass": np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 2]],
    "regression": DRAWS.normal(size=(6, 1)).astype(np.float32),
}
ONES = np.ones(6, dtype=np.float32)


def loss(layers, task, activation):
    found = forward_pass(layers, X, activation=activation, task=task).astype(float)
    truth = TARGETS[task]
    if task == "regression":
        return 0.5 * np.mean((found - truth) ** 2)
    if task == "binary":
        return -np.mean(truth * np.log(found) + (1 - truth) * np.log(1 - found))
    return -np.mean((truth * np.log(found)).sum(axis=1))


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("task", TARGETS)
def test_the_gradient_is_the_slope_of_the_loss(task, activation):
    layers = initial_layers([4, 5, 5, TARGETS[task].shape[1]], seed=0)
    found = gradients(
        layers, X, TARGETS[task], weights=ONES, activation=activation, task=task, masks=[]
    )
    for place, (weights, _) in enumerate(layers):
        before, step = weights[0, 0], np.float32(1e-2)
        weights[0, 0] = before + step
        above = loss(layers, task, activation)
        weights[0, 0] = before - step
        slope = (above - loss(layers, task, activation)) / (2 * step)
        weights[0, 0] = before
        assert found[place][0][0, 0] == pytest.approx(slope, abs=2e-3)


@pytest.mark.parametrize("kind", ["adam", "momentum"])
def test_steps_lower_the_loss(kind):
    layers = initial_layers([4, 16, 1], seed=0)
    made = {
        "adam": make_adam(layers, beta_1=0.9, beta_2=0.99, decay=0.0),
        "momentum": make_nesterov_momentum(layers, share=0.9, decay=0.0),
    }
    before = loss(layers, "regression", "relu")
    for _ in range(50):
        found = gradients(
            layers, X, TARGETS["regression"], weights=ONES, activation="relu",
            task="regression", masks=[],
        )  # fmt: skip
        made[kind](found, 0.01)
    assert loss(layers, "regression", "relu") < 0.3 * before


def test_dropout_keeps_the_mean():
    layers = initial_layers([4, 1000, 1], seed=0)
    (mask,) = dropout_masks(layers, 50, rate=0.3, rng=np.random.default_rng(0))
    assert mask.mean() == pytest.approx(1, abs=0.02)
    assert (mask == 0).mean() == pytest.approx(0.3, abs=0.02)


def test_a_dropped_unit_has_no_gradient():
    layers = initial_layers([4, 2, 1], seed=0)
    mask = np.array([[0.0, 2.0]] * 6, dtype=np.float32)
    found = gradients(
        layers, X, TARGETS["regression"], weights=ONES, activation="tanh", task="regression",
        masks=[mask],
    )  # fmt: skip
    assert (found[0][0][:, 0] == 0).all()
    assert (found[0][0][:, 1] != 0).any()


@pytest.mark.parametrize("schedule", ["cosine", "coslog4"])
def test_a_schedule_ends_at_0(schedule):
    assert learning_rate_factor(schedule, 1.0) == pytest.approx(0, abs=1e-6)


def test_a_constant_rate_rises_first_and_stays():
    assert [
        round(learning_rate_factor("constant", done), 2) for done in (0.0, 0.025, 0.05, 1.0)
    ] == [
        0,
        0.5,
        1,
        1,
    ]
