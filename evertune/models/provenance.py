"""The record of how a model was built, which `fit` writes next to it (origin.json, windows.json).

The fields and the values of `made_of` and `phase` are a stored format.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from evertune.data.training_windows import TrainingWindow

FoldScores = tuple[float | None, ...]


@dataclass(frozen=True)
class TrialWeight:
    """The weight of one trial in an ensemble."""

    number: int
    family: str
    weight: float


@dataclass(frozen=True)
class ModelOrigin:
    """How a model was built.

    Attributes
    ----------
    made_of : str
        `ensemble`, `trial` (a single one), `part` (a trial that did not run on every fold),
        `warm start` (the previous configuration), `simplest` (the model of a simpler phase, as
        `fit.prefer` asks) or `zero rule`.
    phase : str
        The phase of the model, see `evertune.evaluation.phases`.
    notes : tuple of str
        Sentences for the log and the model card.
    weights : tuple of TrialWeight
        Of the selected trials, the heaviest first, whether they became the model or not.
    scores : tuple of float
        The optimised metric by fold, of the ensemble whose weights the other folds chose. Empty
        without an ensemble.
    single : int, optional
        The best single trial.
    single_scores : tuple of float
        By fold, of the best single trial.
    n_encoders : int
        Number of different encodings among the trials.
    values : dict from phase to int
        Number of parameters of the best model of each phase.
    """

    made_of: str
    phase: str
    notes: tuple[str, ...] = ()
    weights: tuple[TrialWeight, ...] = ()
    scores: FoldScores = ()
    single: int | None = None
    single_scores: FoldScores = ()
    n_encoders: int = 1
    values: Mapping[str, int | None] = field(default_factory=dict)


def is_baseline(origin: ModelOrigin) -> bool:
    """Return whether a search found no model, so that a baseline was saved."""
    return origin.made_of == "zero rule"


@dataclass(frozen=True)
class WindowFit:
    """A training window that was tried.

    Attributes
    ----------
    n_rows : int
        Training rows in it.
    figure : float, optional
        The optimised metric on the rows that choose; None if it is undefined, or there was no fit.
    reason : str, optional
        Why it was not fitted.
    """

    window: TrainingWindow
    n_rows: int
    figure: float | None
    reason: str | None = None


@dataclass(frozen=True)
class WindowChoice:
    """The window that the model was fitted on, and all that were tried."""

    chosen: TrainingWindow
    fits: tuple[WindowFit, ...]
