"""The record of how a model was made, which `fit` writes beside it.

`ModelOrigin` names the kind of model, its development phase, the weights of its trials and the
scores by fold. `WindowChoice` lists the training windows that were tried and the one chosen.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from evertune.data.training_windows import TrainingWindow

FoldScores = tuple[float | None, ...]


@dataclass(frozen=True)
class TrialWeight:
    """What one trial counts in an ensemble."""

    number: int
    family: str
    weight: float


@dataclass(frozen=True)
class ModelOrigin:
    """How a model came about.

    Attributes
    ----------
    made_of : str
        `ensemble`, `trial` (a single one), `part` (a trial that did not run on every fold),
        `warm start` (the configuration that was in use), `simplest` (the model of a simpler phase,
        as `fit.prefer` asks) or `zero rule`.
    phase : str
        The phase that the model is of, see `evertune.evaluation.phases`.
    notes : tuple of str
        What the run said of it.
    weights : tuple of TrialWeight
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
    weights: tuple[TrialWeight, ...] = ()
    scores: FoldScores = ()
    single: int | None = None
    single_scores: FoldScores = ()
    n_encoders: int = 1
    values: Mapping[str, int | None] = field(default_factory=dict)


def is_baseline(origin: ModelOrigin) -> bool:
    """Return whether a search ended in a baseline, for it found nothing to make a model of.

    Examples
    --------
    >>> is_baseline(ModelOrigin("zero rule", "heuristic"))
    True
    """
    return origin.made_of == "zero rule"


@dataclass(frozen=True)
class WindowFit:
    """A training window that was tried.

    Attributes
    ----------
    window : TrainingWindow
    n_rows : int
        Training rows in it.
    figure : float, optional
        The metric that is optimised, on the rows that choose; None where it is not defined or the
        window was not fitted.
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
