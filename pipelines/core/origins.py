"""How a model came about: what `fit` writes beside it, for whoever judges or shows it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipelines.core.calibrated import decided
from pipelines.core.metrics import Metric
from pipelines.core.predictions import Predictions
from pipelines.core.unseen import Unseen, threshold_of

Scores = tuple[float | None, ...]


@dataclass(frozen=True)
class Weight:
    """What one trial counts in an ensemble."""

    number: int
    family: str
    weight: float


@dataclass(frozen=True)
class Origin:
    """How a model came about.

    Attributes
    ----------
    made_of : str
        `ensemble`, `trial` (a single one), `part` (a trial that did not run on every fold),
        `warm start` (the configuration that was in use), `simplest` (the model of a simpler phase,
        as `fit.prefer` asks) or `zero rule`.
    phase : str
        The phase that the model is of, see `pipelines.core.four_phases`.
    notes : tuple of str
        What the run said of it.
    weights : tuple of Weight
        Of the trials that were selected, the heaviest first, whether they became the model or not.
    scores : tuple of float
        By fold: the metric that is optimised, of the ensemble whose weights the other folds chose.
        Empty where no ensemble was selected.
    single : int, optional
        The best single trial.
    single_scores : tuple of float
        By fold: of the best single trial.
    n_encoders : int
        How many views of the columns the ensemble's trials have between them.
    values : dict from phase to int
        Numbers that a person would have to read to explain the best model of a phase.
    """

    made_of: str
    phase: str
    notes: tuple[str, ...] = ()
    weights: tuple[Weight, ...] = ()
    scores: Scores = ()
    single: int | None = None
    single_scores: Scores = ()
    n_encoders: int = 1
    values: Mapping[str, int | None] = field(default_factory=dict)


def is_baseline(origin: Origin) -> bool:
    """Return whether a search ended in a baseline, for it found nothing to make a model of.

    Examples
    --------
    >>> is_baseline(Origin("zero rule", "heuristic"))
    True
    """
    return origin.made_of == "zero rule"


def scores_by_fold(unseen: Unseen, metric: Metric, *, n_folds: int) -> Scores:
    """Return the metric on each fold's rows; where labels are judged, at their best threshold.

    Parameters
    ----------
    unseen : Unseen
    metric : Metric
    n_folds : int

    Returns
    -------
    tuple of float
        None for a fold without rows, or where the metric is undefined.

    Examples
    --------
    >>> from pipelines.core.metrics import METRICS
    >>> said = Predictions(np.array([1.0, 4.0]))
    >>> unseen = Unseen(np.arange(2), np.array([0, 1]), np.array([2.0, 2.0]), said)
    >>> scores_by_fold(unseen, METRICS["mae"], n_folds=2)
    (1.0, 2.0)
    """
    said = _concluded(unseen, metric)
    return tuple(_score(unseen, said, metric, fold) for fold in range(n_folds))


def weights_of(
    pairs: Sequence[tuple[int, float]], families: Mapping[int, str]
) -> tuple[Weight, ...]:
    """Return numbers of trials and their weights with the families' names.

    Examples
    --------
    >>> weights_of([(3, 1.0)], {3: "linear"})
    (Weight(number=3, family='linear', weight=1.0),)
    """
    return tuple(Weight(number, families[number], weight) for number, weight in pairs)


def _concluded(unseen: Unseen, metric: Metric) -> Predictions:
    shares, threshold = unseen.predictions.probabilities, threshold_of(unseen, metric)
    if shares is None or threshold is None:
        return unseen.predictions
    return Predictions(decided(shares, threshold), shares)


def _score(unseen: Unseen, said: Predictions, metric: Metric, fold: int) -> float | None:
    rows = np.flatnonzero(unseen.folds == fold)
    if not len(rows):
        return None
    shares = None if said.probabilities is None else said.probabilities[rows]
    figure = metric.figure(unseen.truth[rows], Predictions(said.values[rows], shares))
    return float(figure) if np.isfinite(figure) else None
