"""What guessing reaches: random guesses by their expectation, and the best constant."""

from collections.abc import Callable, Iterable

import numpy as np

from pipelines.core.metrics import Metric, figures
from pipelines.core.predictions import Floats, Predictions
from pipelines.core.trials import Figures

GUESSES = ("uniform_random", "label_distribution")
BY_THE_MEDIAN = frozenset({"mae", "mape", "pinball"})
BY_SQUARES = frozenset({"rmse", "r2"})
MOST_POINTS, FEWEST_POINTS, ROWS_IN_ALL = 50, 5, 1_000_000


def class_shares(truth: Floats, n_classes: int) -> Floats:
    """Return the share of every class, in the order of the codes.

    Examples
    --------
    >>> class_shares(np.array([0.0, 0.0, 0.0, 1.0]), 2)
    array([0.75, 0.25])
    """
    shares: Floats = np.bincount(truth.astype(int), minlength=n_classes) / truth.size
    return shares


def guess_figures(
    name: str, metrics: Iterable[Metric], truth: Floats, *, training_truth: Floats, n_classes: int
) -> Figures:
    """Return what a random guess is expected to reach in every metric.

    `uniform_random` says every class with the same chance, or any value between the least and
    the greatest target of training. `label_distribution` says a class with its share in
    training, or the target of a random training row. Nothing is drawn. A metric of classes is
    figured on the expected counts of true against guessed classes, so that F1 is
    2 t q / (t + q) where a share t is positive and a share q is guessed to be. Metrics of
    probabilities use the chances that the guess states. In regression the squared or absolute
    error of every row is its exact mean over all guesses; a metric of the user's own is figured
    on quantiles of the guesses.

    Parameters
    ----------
    name : str
        `uniform_random` or `label_distribution`.
    metrics : iterable of Metric
    truth : array of shape (n,)
        Of the rows that are guessed.
    training_truth : array of shape (m,)
        What the guess knows.
    n_classes : int
        0 in regression.

    Raises
    ------
    ValueError
        If there is no guess of that name.

    Examples
    --------
    >>> from pipelines.core.metrics import METRICS
    >>> truth = np.array([1.0] + [0.0] * 9)
    >>> guess_figures(
    ...     "uniform_random", [METRICS["accuracy"]], truth, training_truth=truth, n_classes=2
    ... )
    {'accuracy': 0.5}
    """
    if name not in GUESSES:
        raise ValueError(f"A guess must be one of {', '.join(GUESSES)}. Got {name!r} instead.")
    if n_classes:
        shares = class_shares(truth, n_classes)
        return _of_classes(metrics, shares, CHANCES[name](training_truth, n_classes))
    return _of_values(metrics, truth, name=name, training_truth=training_truth)


def zero_rule(
    training_truth: Floats, *, n_rows: int, optimised: str, n_classes: int
) -> Predictions:
    """Return the same best guess for every row.

    It is the commonest class of training with the shares of the classes as probabilities, or the
    median of the targets where the optimised metric is mae, mape or pinball, else their mean.

    Parameters
    ----------
    training_truth : array of shape (m,)
    n_rows : int
        Rows to predict.
    optimised : str
        Name of the metric that is optimised.
    n_classes : int
        0 in regression.

    Examples
    --------
    >>> zero_rule(np.array([0.0, 1.0, 1.0]), n_rows=2, optimised="f1", n_classes=2).values
    array([1., 1.])
    >>> zero_rule(np.array([1.0, 2.0, 9.0]), n_rows=1, optimised="mae", n_classes=0).values
    array([2.])
    """
    if not n_classes:
        return Predictions(np.full(n_rows, typical(training_truth, optimised)))
    shares = class_shares(training_truth, n_classes)
    return Predictions(np.full(n_rows, float(shares.argmax())), np.tile(shares, (n_rows, 1)))


def typical(targets: Floats, optimised: str) -> float:
    """Return the one value that suits the optimised metric: the median or the mean.

    Examples
    --------
    >>> typical(np.array([1.0, 2.0, 9.0]), "rmse")
    4.0
    """
    return float(np.median(targets) if optimised in BY_THE_MEDIAN else np.mean(targets))


def _of_classes(metrics: Iterable[Metric], shares: Floats, chances: Floats) -> Figures:
    """Figure on one row for every pair of a true and a guessed class, weighed by its chance."""
    codes = np.arange(shares.size, dtype=np.float64)
    true, guessed = (grid.ravel() for grid in np.meshgrid(codes, codes, indexing="ij"))
    stated = np.broadcast_to(chances, (true.size, chances.size))
    return figures(metrics, true, Predictions(guessed, stated), np.outer(shares, chances).ravel())


def _of_values(
    metrics: Iterable[Metric], truth: Floats, *, name: str, training_truth: Floats
) -> Figures:
    absolute, square = ERRORS[name](truth, training_truth)
    found: Figures = {}
    for metric in metrics:
        if metric.name in BY_SQUARES:
            found |= figures([metric], truth, Predictions(truth + np.sqrt(square)))
        elif metric.name in BY_THE_MEDIAN:
            found |= figures([metric], truth, Predictions(truth + absolute))
        else:
            found |= _on_quantiles(metric, truth, POINTS[name](training_truth))
    return found


def _on_quantiles(metric: Metric, truth: Floats, quantile: Callable[[Floats], Floats]) -> Figures:
    n_points = int(np.clip(ROWS_IN_ALL // truth.size, FEWEST_POINTS, MOST_POINTS))
    points = quantile((np.arange(n_points) + 0.5) / n_points)
    guessed = Predictions(np.repeat(points, truth.size))
    return figures([metric], np.tile(truth, n_points), guessed)


def _uniform_chances(_: Floats, n_classes: int) -> Floats:
    return np.full(n_classes, 1 / n_classes)


def _uniform_errors(truth: Floats, training_truth: Floats) -> tuple[Floats, Floats]:
    """Return E|t - g| and E(t - g)^2 of every row for g uniform on [low, high]."""
    low, high = training_truth.min(), training_truth.max()
    width, middle = high - low, (low + high) / 2
    absolute = np.abs(truth - middle)
    if width:
        inside = (truth > low) & (truth < high)
        split = ((truth - low) ** 2 + (high - truth) ** 2) / (2 * width)
        absolute = np.where(inside, split, absolute)
    return absolute, (truth - middle) ** 2 + width**2 / 12


def _drawn_errors(truth: Floats, training_truth: Floats) -> tuple[Floats, Floats]:
    """Return E|t - g| and E(t - g)^2 of every row for g a random training target."""
    targets = np.sort(training_truth)
    sums = np.concatenate([[0.0], np.cumsum(targets)])
    below = np.searchsorted(targets, truth)
    absolute = truth * (2 * below - targets.size) - 2 * sums[below] + sums[-1]
    return absolute / targets.size, (truth - targets.mean()) ** 2 + targets.var()


def _uniform_quantile(training_truth: Floats) -> Callable[[Floats], Floats]:
    low, high = training_truth.min(), training_truth.max()
    return lambda shares: low + (high - low) * shares


def _drawn_quantile(training_truth: Floats) -> Callable[[Floats], Floats]:
    return lambda shares: np.asarray(np.quantile(training_truth, shares), dtype=np.float64)


CHANCES = {"uniform_random": _uniform_chances, "label_distribution": class_shares}
ERRORS = {"uniform_random": _uniform_errors, "label_distribution": _drawn_errors}
POINTS = {"uniform_random": _uniform_quantile, "label_distribution": _drawn_quantile}
