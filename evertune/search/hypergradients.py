"""Derivatives of a validation loss by hyperparameters, for models that are differentiable.

`PenalizedLinearModel` differentiates through the optimum of a linear or logistic regression: at
weights w(a) where the gradient of the penalized training loss is zero, the implicit function
theorem gives

    dV / d log a_g = - (grad V)^T  H^-1  (a_g * w_g),

V being the validation loss, H the Hessian of the penalized training loss, and w_g the weights of
the columns whose penalty is a_g (Pedregosa 2016, Hyperparameter optimization with approximate
gradient). The system with H is solved by conjugate gradients; H itself is never formed.

`network_hypergradient` differentiates through a short training run of the family `mlp`, step by
step (forward mode; Franceschi et al. 2017). The derivative travels with the weights as their
imaginary part: with a step of 1e-20 i in the logarithm of a hyperparameter, the imaginary part of
the loss is 1e-20 times the derivative, exact to rounding.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_softmax, logsumexp, softmax

from evertune.models.fit_context import FitContext, Hyperparameters, float_param
from evertune.models.neural_network import (
    EPSILON,
    Layers,
    NetworkRows,
    Perceptron,
    iter_batches,
    learning_rate,
)
from evertune.types import FloatArray, Task

MAX_NEWTON_STEPS = 100
MAX_HALVINGS = 30
ROUGHEST_STEP = 0.1  # tolerance of a Newton step far from the optimum
MAX_CONJUGATE_STEPS = 1000
COMPLEX_STEP = 1e-20
NETWORK_HYPERPARAMETERS = ("learning_rate", "alpha")  # that `network_hypergradient` can follow


class PenalizedLinearModel:
    """A linear, logistic or multinomial regression with L2 penalties, and its hypergradient.

    It minimizes the sum of the rows' losses (log loss, or half the squared error) plus half the
    penalty times the squared weights, intercepts not penalized: what `Ridge(alpha)` and
    `LogisticRegression(C=1 / alpha)` of scikit-learn minimize.

    Parameters
    ----------
    training, validation : tuple of X, of shape (n, width), and y, of shape (n,)
        Codes of classes, or values.
    weights : array of shape (n,), optional
        Of the training rows.
    groups : array of shape (width,), optional
        The number of each column's penalty, from 0; None: one penalty for all columns.
    tolerance : float
        Of the training gradient at the optimum, as a share of that without weights, and of the
        linear systems; the error of the derivative is of its size.
    """

    def __init__(
        self,
        training: tuple[FloatArray, FloatArray],
        validation: tuple[FloatArray, FloatArray],
        *,
        task: Task,
        n_classes: int = 0,
        weights: FloatArray | None = None,
        groups: NDArray[np.int64] | None = None,
        tolerance: float = 1e-9,
    ) -> None:
        self.task, self._tolerance = task, tolerance
        self._X, self._targets = _with_intercept(training[0]), self._encode(training[1], n_classes)
        self._validation = _with_intercept(validation[0]), self._encode(validation[1], n_classes)
        self._weights = np.ones(len(self._X)) if weights is None else weights
        width = self._X.shape[1] - 1
        self._groups = np.zeros(width, dtype=np.int64) if groups is None else groups
        # the weights of the last fit, from which the next one starts
        self._coefficients = np.zeros((width + 1, self._targets.shape[1]))

    def validation_loss(self, log_alphas: Sequence[float] | FloatArray) -> tuple[float, FloatArray]:
        """Return the mean loss of the validation rows, and its derivative by each log penalty.

        Parameters
        ----------
        log_alphas : sequence of floats
            Natural logarithms of the penalties, one for each group.
        """
        alphas = np.exp(np.asarray(log_alphas, dtype=float))
        penalty = np.append(alphas[self._groups], 0.0)[:, None]
        coefficients = self._coefficients = self._minimize(penalty)
        X, targets = self._validation
        raw = X @ coefficients
        loss = float(self._losses(raw, targets).mean())
        slope = X.T @ (self._mean(raw) - targets) / len(X)
        adjoint = _conjugate_gradients(
            self._hessian(coefficients, penalty),
            slope,
            self._diagonal(coefficients, penalty),
            tolerance=self._tolerance / 10,
        )
        by_column = -(adjoint * penalty * coefficients).sum(axis=1)[:-1]
        slopes = np.zeros(len(alphas))
        np.add.at(slopes, self._groups, by_column)
        return loss, slopes

    def _encode(self, y: FloatArray, n_classes: int) -> FloatArray:
        targets: FloatArray = y.astype(float)[:, None]
        return np.eye(n_classes)[y.astype(int)] if self.task == "multiclass" else targets

    def _losses(self, raw: FloatArray, targets: FloatArray) -> FloatArray:
        if self.task == "regression":
            losses: FloatArray = 0.5 * ((raw - targets) ** 2).sum(axis=1)
        elif self.task == "binary":
            losses = (np.logaddexp(0, raw) - targets * raw)[:, 0]
        else:
            losses = -(targets * log_softmax(raw, axis=1)).sum(axis=1)
        return losses

    def _mean(self, raw: FloatArray) -> FloatArray:
        if self.task == "regression":
            return raw
        mean: FloatArray = expit(raw) if self.task == "binary" else softmax(raw, axis=1)
        return mean

    def _minimize(self, penalty: FloatArray) -> FloatArray:
        """Return the weights of the optimum, by Newton's method with conjugate gradients."""
        row_weights, point = self._weights[:, None], self._coefficients

        def value(at: FloatArray) -> float:
            losses = self._losses(self._X @ at, self._targets)
            return float(self._weights @ losses) + 0.5 * float((penalty * at * at).sum())

        def gradient(at: FloatArray) -> FloatArray:
            residuals = row_weights * (self._mean(self._X @ at) - self._targets)
            result: FloatArray = self._X.T @ residuals + penalty * at
            return result

        scale = float(np.linalg.norm(gradient(np.zeros_like(point)))) or 1.0
        for _ in range(MAX_NEWTON_STEPS):
            slope = gradient(point)
            distance = float(np.linalg.norm(slope)) / scale
            if distance <= self._tolerance:
                break
            hessian, diagonal = self._hessian(point, penalty), self._diagonal(point, penalty)
            rough = 0.0 if self.task == "regression" else min(ROUGHEST_STEP, math.sqrt(distance))
            step = _conjugate_gradients(
                hessian, -slope, diagonal, tolerance=max(rough, self._tolerance / 10)
            )
            size = 1.0
            before, descent = value(point), float((slope * step).sum())
            for _ in range(MAX_HALVINGS):
                if value(point + size * step) <= before + 1e-4 * size * descent:
                    break
                size /= 2
            else:
                break  # as good as rounding allows
            point = point + size * step
        return point

    def _hessian(self, point: FloatArray, penalty: FloatArray) -> Any:
        """Return the function from a direction to the Hessian times it."""
        mean, row_weights = self._mean(self._X @ point), self._weights[:, None]

        def product(direction: FloatArray) -> FloatArray:
            raw = self._X @ direction
            if self.task == "binary":
                raw = mean * (1 - mean) * raw
            elif self.task == "multiclass":
                raw = mean * (raw - (mean * raw).sum(axis=1, keepdims=True))
            result: FloatArray = self._X.T @ (row_weights * raw) + penalty * direction
            return result

        return product

    def _diagonal(self, point: FloatArray, penalty: FloatArray) -> FloatArray:
        """Return the diagonal of the Hessian, to precondition with."""
        mean = self._mean(self._X @ point)
        curvature = np.ones_like(mean) if self.task == "regression" else mean * (1 - mean)
        diagonal: FloatArray = (self._X**2).T @ (self._weights[:, None] * curvature) + penalty
        return np.maximum(diagonal, np.finfo(float).tiny)


def network_hypergradient(
    rows: NetworkRows,
    validation: NetworkRows,
    params: Hyperparameters,
    context: FitContext,
    *,
    names: Sequence[str] = NETWORK_HYPERPARAMETERS,
) -> tuple[float, dict[str, float]]:
    """Train a network of the family `mlp` for all its epochs; differentiate its validation loss.

    Parameters
    ----------
    rows, validation : NetworkRows
        `make_network_rows` made the first; the targets of the second have the same scale.
    params : dict
        All hyperparameters of the family. `epochs` is the length of the run, which its
        learning-rate schedule spans; a short run favours smaller penalties and quick progress.
    context : FitContext
        Its seed draws weights, batches and dropout; deadline and early stopping do not apply.
    names : sequence of str
        Of `NETWORK_HYPERPARAMETERS`.

    Returns
    -------
    float, dict
        The mean loss of the validation rows after the run (log loss, or half the squared error of
        the standardised target), and its derivative by the natural logarithm of each
        hyperparameter.
    """
    unknown = sorted(set(names) - set(NETWORK_HYPERPARAMETERS))
    if unknown:
        known = ", ".join(NETWORK_HYPERPARAMETERS)
        raise ValueError(f"names must be of {known}, but got {unknown}.")
    loss, slopes = math.nan, {}
    for name in names:
        network = _ComplexPerceptron(rows, params, context, name)
        for epoch in range(1, int(float_param(params, "epochs")) + 1):
            network.train_epoch(epoch)
        end = network.mean_loss(validation)
        loss, slopes[name] = float(end.real), float(end.imag) / COMPLEX_STEP
    return loss, slopes


class _ComplexPerceptron(Perceptron):
    """The same network in double precision, with derivatives by one hyperparameter."""

    def __init__(
        self, rows: NetworkRows, params: Hyperparameters, context: FitContext, name: str
    ) -> None:
        free = replace(context, validation=None, iterations=None, deadline=math.inf)
        super().__init__(rows, params, free)
        as_complex = {"relu": _complex_relu, "tanh": np.tanh}
        self.activation: Any = as_complex[str(params["activation"])]
        self.output_activation: Any = {
            "binary": _complex_expit,
            "multiclass": _complex_softmax,
            "regression": lambda raw: raw,
        }[context.task]
        self.layers: Any = _to_complex(self.layers)
        self.first_moments: Any = _to_complex(self.first_moments)
        self.second_moments: Any = _to_complex(self.second_moments)
        step = complex(1, COMPLEX_STEP)  # exp(log a + i h) = a (1 + i h)
        self._rate = float_param(params, "learning_rate") * (step if name == "learning_rate" else 1)
        self._decay = float_param(params, "alpha") * (step if name == "alpha" else 1)

    def train_epoch(self, epoch: int) -> bool:
        """Train for one epoch."""
        rows, params = self.rows, self.params
        update = self._sgd if params["solver"] == "sgd" else self._adam
        unit_rate = params | {"learning_rate": 1.0}
        for done, batch in iter_batches(len(rows.X), params, rng=self.rng):
            masks = self.dropout_masks(len(batch), float_param(params, "dropout"))
            gradient = self.gradients(
                rows.X[batch], rows.targets[batch], rows.weights[batch], masks
            )
            rate = self._rate * learning_rate(unit_rate, self.context, epoch - 1 + done)
            update(gradient, rate)
            for weights, _ in self.layers:
                weights[...] *= 1 - rate * self._decay
        return True

    def mean_loss(self, rows: NetworkRows) -> complex:
        """Return the mean loss of some rows."""
        hidden: Any = rows.X
        for weights, biases in self.layers[:-1]:
            hidden = self.activation(hidden @ weights + biases)
        raw = hidden @ self.layers[-1][0] + self.layers[-1][1]
        if self.context.task == "regression":
            return complex((0.5 * (raw - rows.targets) ** 2).sum(axis=1).mean())
        if self.context.task == "binary":
            return complex((_complex_softplus(raw) - rows.targets * raw).mean())
        shifted = raw - raw.real.max(axis=1, keepdims=True)
        total = np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return complex((rows.targets * (total - shifted)).sum(axis=1).mean())

    def _adam(self, gradient: Layers, rate: complex) -> None:
        beta_1, beta_2 = float_param(self.params, "beta_1"), float_param(self.params, "beta_2")
        self.n_steps += 1
        size = rate * math.sqrt(1 - beta_2**self.n_steps) / (1 - beta_1**self.n_steps)
        for number, layer in enumerate(self.layers):
            for part in (0, 1):
                slope = gradient[number][part]
                mean, square = self.first_moments[number][part], self.second_moments[number][part]
                mean += (1 - beta_1) * (slope - mean)
                square += (1 - beta_2) * (slope * slope - square)
                layer[part][...] -= size * mean / (np.sqrt(square) + EPSILON)

    def _sgd(self, gradient: Layers, rate: complex) -> None:
        momentum = float_param(self.params, "momentum")
        for number, layer in enumerate(self.layers):
            for part in (0, 1):
                velocity, slope = self.first_moments[number][part], gradient[number][part]
                velocity *= momentum
                velocity -= rate * slope
                layer[part][...] += momentum * velocity - rate * slope


def _with_intercept(X: FloatArray) -> FloatArray:
    return np.hstack([X.astype(float), np.ones((len(X), 1))])


def _conjugate_gradients(
    product: Any, right: FloatArray, diagonal: FloatArray, *, tolerance: float
) -> FloatArray:
    """Return x with product(x) = right, of a positive semidefinite product; preconditioned."""
    x, residual = np.zeros_like(right), right.copy()
    conditioned = residual / diagonal
    direction, energy = conditioned.copy(), float((residual * conditioned).sum())
    target = tolerance**2 * energy
    for _ in range(min(MAX_CONJUGATE_STEPS, 10 * right.size)):
        if energy <= target:
            break
        image = product(direction)
        curvature = float((direction * image).sum())
        if curvature <= 0:  # a direction in which nothing changes
            break
        x += energy / curvature * direction
        residual -= energy / curvature * image
        conditioned = residual / diagonal
        energy, before = float((residual * conditioned).sum()), energy
        direction = conditioned + energy / before * direction
    return x


def _to_complex(layers: Layers) -> list[tuple[Any, Any]]:
    return [(weights.astype(complex), biases.astype(complex)) for weights, biases in layers]


def _complex_relu(raw: Any) -> Any:
    return np.where(raw.real > 0, raw, 0)


def _complex_expit(raw: Any) -> Any:
    real = expit(raw.real)
    return real + 1j * real * (1 - real) * raw.imag


def _complex_softplus(raw: Any) -> Any:
    return np.logaddexp(0, raw.real) + 1j * expit(raw.real) * raw.imag


def _complex_softmax(raw: Any) -> Any:
    shifted = raw - logsumexp(raw.real, axis=1, keepdims=True)
    powers = np.exp(shifted)
    return powers / powers.sum(axis=1, keepdims=True)
