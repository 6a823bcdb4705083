"""Hypergradients are what finite differences show, of the models that the families fit."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from evertune.models.families import FAMILIES
from evertune.models.fit_context import FitContext
from evertune.models.neural_network import Perceptron, make_network_rows
from evertune.search.hypergradients import (
    PenalizedLinearModel,
    network_hypergradient,
)

N_CLASSES = {"binary": 2, "multiclass": 3, "regression": 0}
TASKS = tuple(N_CLASSES)


def planted_rows(task, n=120, width=5, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, width))
    raw = X[:, :2] @ [1.5, -1.0] + rng.normal(size=n)
    y = raw if task == "regression" else np.digitize(raw, [0.0, 1.0][: N_CLASSES[task] - 1])
    return X, y.astype(float)


def linear_model(task, groups=None, weights=None):
    return PenalizedLinearModel(
        planted_rows(task),
        planted_rows(task, seed=1),
        task=task,
        n_classes=N_CLASSES[task],
        groups=groups,
        weights=weights,
        tolerance=1e-11,
    )


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_derivative_by_log_alpha_is_that_of_finite_differences(task, weighted):
    weights = np.random.default_rng(2).uniform(0.5, 2, size=120) if weighted else None
    model, step = linear_model(task, weights=weights), 1e-3
    for point in (-3.0, 0.0, 3.0):
        _, slope = model.validation_loss([point])
        high, low = (model.validation_loss([point + by])[0] for by in (step, -step))
        assert slope[0] == pytest.approx((high - low) / (2 * step), rel=1e-3)


@pytest.mark.parametrize("task", TASKS)
def test_each_group_of_columns_has_its_own_derivative(task):
    model, step = linear_model(task, groups=np.array([0, 0, 1, 1, 1])), 1e-3
    point = np.array([0.5, 2.0])
    _, slopes = model.validation_loss(point)
    for group, slope in enumerate(slopes):
        by = step * np.eye(2)[group]
        high, low = (model.validation_loss(point + sign * by)[0] for sign in (1, -1))
        assert slope == pytest.approx((high - low) / (2 * step), rel=1e-3)


@pytest.mark.parametrize("task", TASKS)
def test_the_model_is_that_of_the_linear_family(task):
    (X, y), (X_val, y_val), alpha = planted_rows(task), planted_rows(task, seed=1), 3.0
    loss, _ = linear_model(task).validation_loss([np.log(alpha)])
    if task == "regression":
        expected = 0.5 * np.mean((Ridge(alpha).fit(X, y).predict(X_val) - y_val) ** 2)
    else:
        fitted = LogisticRegression(C=1 / alpha, tol=1e-8).fit(X, y)
        proba = fitted.predict_proba(X_val)[np.arange(len(y_val)), y_val.astype(int)]
        expected = -np.log(proba).mean()
    assert loss == pytest.approx(expected, rel=1e-6)


def test_columns_that_repeat_each_other_are_no_hindrance():
    (X, y), (X_val, y_val) = planted_rows("binary"), planted_rows("binary", seed=1)
    twice = PenalizedLinearModel(
        (np.hstack([X, X, 0 * X]), y),
        (np.hstack([X_val, X_val, 0 * X_val]), y_val),
        task="binary",
    )
    once = linear_model("binary")  # two columns share a weight: half the penalty
    assert twice.validation_loss([np.log(2.0)])[0] == pytest.approx(once.validation_loss([0.0])[0])
    slope, expected = twice.validation_loss([np.log(2.0)])[1], once.validation_loss([0.0])[1]
    assert slope == pytest.approx(expected, rel=1e-6)


def network(task, **values):
    params = FAMILIES["mlp"].defaults | {"width": 8, "epochs": 2, "batch_size": 30} | values
    context = FitContext(task, N_CLASSES[task], 0, seed=0, n_jobs=1)
    rows = make_network_rows(*planted_rows(task), context)
    X, y = planted_rows(task, seed=1)
    validation = make_network_rows(X, y, context)
    if task == "regression":
        targets = ((y - rows.centre) / rows.spread)[:, None].astype(np.float32)
        validation = replace(validation, targets=targets)
    return rows, validation, params, context


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    "values",
    [
        {"activation": "tanh", "dropout": 0.0},
        {"activation": "relu", "dropout": 0.2},
        {"activation": "tanh", "solver": "sgd", "learning_rate_schedule": "coslog4"},
    ],
)
def test_the_derivative_by_rate_and_decay_is_that_of_finite_differences(task, values):
    rows, validation, params, context = network(task, **values)
    _, slopes = network_hypergradient(rows, validation, params, context)
    for name, slope in slopes.items():
        losses = [
            network_hypergradient(
                rows,
                validation,
                params | {name: params[name] * np.exp(step)},
                context,
                names=[name],
            )[0]
            for step in (1e-5, -1e-5)
        ]
        assert slope == pytest.approx((losses[0] - losses[1]) / 2e-5, rel=1e-3)


@pytest.mark.parametrize("task", TASKS)
def test_the_run_is_that_of_the_family(task):
    rows, validation, params, context = network(task, epochs=3)
    loss, _ = network_hypergradient(rows, validation, params, context, names=["alpha"])
    family = Perceptron(rows, params, context)
    for epoch in range(1, 4):
        family.train_epoch(epoch)
    output, targets = family.forward(family.layers, validation.X), validation.targets
    if task == "regression":
        losses = 0.5 * (output - targets) ** 2
    elif task == "binary":
        losses = -np.log(np.where(targets > 0, output, 1 - output))
    else:
        losses = -np.log(output[targets > 0])
    assert loss == pytest.approx(losses.mean(), rel=1e-4)


def test_only_a_rate_and_a_decay_can_be_followed():
    with pytest.raises(ValueError, match="names must be of learning_rate, alpha, but got"):
        network_hypergradient(*network("binary"), names=["dropout"])
