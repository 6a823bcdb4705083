"""The figures of a model, on the hold-out and on the folds, each with its interval."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field

from pipelines.core.intervals import Interval, bootstrap_interval, fold_interval
from pipelines.core.metrics import Metric, confusion_matrix
from pipelines.core.predictions import Floats, Predictions
from pipelines.core.trials import Figures, Trial


@dataclass(frozen=True)
class Bootstrap:
    """How intervals over rows are made."""

    draws: int
    confidence: float
    seed: int


@dataclass(frozen=True, eq=False)
class Holdout:
    """The n rows of the hold-out and what everyone says about them.

    Attributes
    ----------
    truth : array of shape (n,)
    model : Predictions
    baselines : mapping from name to Predictions
        The baselines that say something about single rows.
    expected : mapping from name to dict
        The figures of the baselines of which only figures are known.
    """

    truth: Floats
    model: Predictions
    baselines: Mapping[str, Predictions]
    expected: Mapping[str, Figures]


@dataclass(frozen=True)
class FoldFigure:
    """A mean over folds with its interval."""

    mean: float | None
    interval: Interval


@dataclass(frozen=True)
class ModelFigures:
    """The model's figures by metric.

    Attributes
    ----------
    holdout : dict
    intervals : mapping from metric to Interval
        Of `holdout`.
    training : dict
        On the rows that the model learned from.
    folds : mapping from metric to FoldFigure
        Of the ensemble, or of the trial that won; empty where no trial was finished.
    member : mapping from metric to FoldFigure
        Of the heaviest member alone.
    """

    holdout: Figures
    intervals: Mapping[str, Interval]
    training: Figures
    folds: Mapping[str, FoldFigure]
    member: Mapping[str, FoldFigure] = field(default_factory=dict)


def holdout_intervals(
    metrics: Iterable[Metric], holdout: Holdout, *, bootstrap: Bootstrap
) -> dict[str, Interval]:
    """Return the bootstrap interval of each of the model's figures on the hold-out."""
    return {
        metric.name: bootstrap_interval(metric, holdout.truth, holdout.model, **asdict(bootstrap))
        for metric in metrics
    }


def confusion(holdout: Holdout, n_classes: int) -> tuple[tuple[int, ...], ...]:
    """Return the model's counts by true class (row) and predicted class; none in regression.

    Examples
    --------
    >>> import numpy as np
    >>> said = Predictions(np.array([1.0, 1.0]))
    >>> confusion(Holdout(np.array([0.0, 1.0]), said, {}, {}), 2)
    ((0, 1), (0, 1))
    """
    if not n_classes:
        return ()
    counts = confusion_matrix(holdout.truth, holdout.model, n_classes)
    return tuple(tuple(row) for row in counts.tolist())


def fold_figures(
    trial: Trial,
    metrics: Iterable[Metric],
    *,
    n_training: int,
    n_validation: int,
    confidence: float,
) -> dict[str, FoldFigure]:
    """Return the mean over a trial's folds for each metric, with its interval.

    Parameters
    ----------
    trial : Trial
    metrics : iterable of Metric
        Those that a fold has no figure for get no mean.
    n_training, n_validation : int
        Rows of one fold.
    confidence : float

    Examples
    --------
    >>> from pipelines.core.metrics import METRICS
    >>> from pipelines.core.trials import Configuration, FoldResult
    >>> results = tuple(FoldResult(k, {"f1": f1}, 1.0, 0.1) for k, f1 in enumerate([0.4, 0.6]))
    >>> trial = Trial(0, Configuration("linear"), "complete", results, 0.5, None, 3.0)
    >>> found = fold_figures(
    ...     trial, [METRICS["f1"]], n_training=50, n_validation=50, confidence=0.9
    ... )
    >>> found["f1"].mean
    0.5
    """
    found = {}
    for metric in metrics:
        scores = [fold.figures.get(metric.name) for fold in trial.folds]
        known = [score for score in scores if score is not None]
        interval = fold_interval(
            known, n_training=n_training, n_validation=n_validation, confidence=confidence
        )
        mean = sum(known) / len(known) if known else None
        found[metric.name] = FoldFigure(mean, interval)
    return found
