"""What an ensemble says of training rows that its fold models did not see."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.core.fold_parts import IntArray
from pipelines.core.folds import Fold
from pipelines.core.intervals import fold_interval
from pipelines.core.metrics import Metric
from pipelines.core.model import Ensemble, Fitted, Model, concluded
from pipelines.core.model_figures import FoldFigure, fold_figures
from pipelines.core.origins import Origin
from pipelines.core.pool import PoolEntry
from pipelines.core.predictions import Floats, figures_of
from pipelines.core.searched import trial_of
from pipelines.core.stacking import blended, predictions_of, stacked
from pipelines.core.trials import Trial
from pipelines.core.truths import taken
from pipelines.core.unseen import Unseen

Scores = Sequence[float | None]


@dataclass(frozen=True)
class Folded:
    """The figures of a model over the folds.

    Attributes
    ----------
    of : str
        What they are of: `ensemble`, `trial`, or nothing where nothing ran on all folds.
    figures : mapping from metric to FoldFigure
    member : mapping from metric to FoldFigure
        Of the heaviest member alone.
    """

    of: str
    figures: Mapping[str, FoldFigure]
    member: Mapping[str, FoldFigure]


def folded(  # noqa: PLR0913
    model: Model,
    trials: Sequence[Trial],
    metrics: Sequence[Metric],
    *,
    origin: Origin | None,
    unseen: Unseen | None,
    folds: Sequence[Fold],
    confidence: float,
) -> Folded:
    """Return the figures of a model over the folds: the ensemble's where it is one.

    Parameters
    ----------
    model : Model
    trials : sequence of Trial
    metrics : sequence of Metric
        The first is optimised; in it each fold has the weights that the other folds chose.
    origin : Origin, optional
    unseen : Unseen, optional
        What the ensemble says of rows that its fold models did not see.
    folds : sequence of Fold
    confidence : float
    """
    sizes = {
        "n_training": sum(len(fold.training) for fold in folds) // len(folds),
        "n_validation": sum(len(fold.validation) for fold in folds) // len(folds),
    }
    winner = trial_of(model.configuration, trials)
    member = fold_figures(winner, metrics, **sizes, confidence=confidence) if winner else {}
    if origin is None or unseen is None or len(origin.weights) == 1:
        return Folded("trial" if winner else "", member, member)
    found = unseen_figures(unseen, metrics, **sizes, confidence=confidence)
    if any(score is not None for score in origin.scores):
        crossed = mean_over_folds(origin.scores, **sizes, confidence=confidence)
        found |= {metrics[0].name: crossed}
    return Folded("ensemble", found, member)


def out_of_fold(
    fitted: Fitted | Ensemble,
    entries: Sequence[PoolEntry],
    weights: Mapping[int, float],
    *,
    truth: Floats,
) -> Unseen | None:
    """Return what trials with weights say together, calibrated and decided as the model does.

    The weights were chosen on the same rows, which flatters a little.

    Parameters
    ----------
    fitted : Fitted or Ensemble
        The model.
    entries : sequence of PoolEntry
    weights : mapping from a trial's number to its weight
    truth : array
        Of all training rows.

    Returns
    -------
    Unseen, optional
        None where what one of the trials said is not kept.
    """
    known = [entry for entry in entries if entry.number in weights]
    if not known or len(known) < len(weights):
        return None
    stack = stacked(known, truth)
    shares = np.array([weights[entry.number] for entry in known])
    said = predictions_of(stack, blended(stack, shares / shares.sum()))
    if isinstance(fitted, Ensemble):
        said = concluded(figures_of(said), fitted)
    return Unseen(stack.rows, stack.folds, stack.truth, said)


def unseen_figures(
    unseen: Unseen,
    metrics: Iterable[Metric],
    *,
    n_training: int,
    n_validation: int,
    confidence: float,
) -> dict[str, FoldFigure]:
    """Return the mean of each metric over the folds' rows, with its interval.

    Parameters
    ----------
    unseen : Unseen
    metrics : iterable of Metric
    n_training, n_validation : int
        Rows of one fold.
    confidence : float
    """
    parts = [np.flatnonzero(unseen.folds == fold) for fold in np.unique(unseen.folds)]
    return {
        metric.name: mean_over_folds(
            [_figure(unseen, metric, rows) for rows in parts],
            n_training=n_training,
            n_validation=n_validation,
            confidence=confidence,
        )
        for metric in metrics
    }


def mean_over_folds(
    scores: Scores, *, n_training: int, n_validation: int, confidence: float
) -> FoldFigure:
    """Return the mean of scores over folds with its interval; folds without one are left out.

    Examples
    --------
    >>> mean_over_folds([0.5, None, 0.7], n_training=8, n_validation=2, confidence=0.9).mean
    0.6
    """
    known = [score for score in scores if score is not None]
    interval = fold_interval(
        known, n_training=n_training, n_validation=n_validation, confidence=confidence
    )
    return FoldFigure(sum(known) / len(known) if known else None, interval)


def positive_chances(unseen: Unseen | None) -> tuple[Floats, Floats] | None:
    """Return truth and probability of the positive class of two; None where there is none."""
    shares = None if unseen is None else unseen.predictions.probabilities
    if unseen is None or shares is None or shares.shape[1] != 2:  # noqa: PLR2004
        return None
    return unseen.truth, shares[:, 1]


def _figure(unseen: Unseen, metric: Metric, rows: IntArray) -> float | None:
    figure = metric.figure(unseen.truth[rows], taken(unseen.predictions, rows))
    return figure if np.isfinite(figure) else None
