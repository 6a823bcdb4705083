"""The model that what a search found becomes, in the time that is left."""

from dataclasses import dataclass

from pipelines.core.ensembling import Selection
from pipelines.core.model import Ensemble, Fitted
from pipelines.core.selection import best_part
from pipelines.core.trials import Configuration, Trial
from pipelines.tuning.making import (
    Found,
    Members,
    ensemble_of,
    members_of,
    members_of_part,
    selected,
    taught,
)


@dataclass(frozen=True, eq=False)
class Tuned:
    """A model and how it came about.

    Attributes
    ----------
    fitted : Fitted or Ensemble
    configuration : Configuration
        That of the model, or of its heaviest member.
    trials : tuple of Trial
        In the order in which they ended.
    weights : dict
        What each trial that is part of the model weighs in it, by its number; empty where the
        model is the zero rule.
    score : float, optional
        Of the metric that is optimised, on rows that neither models nor weights saw; that of a
        single trial chose it, and flatters.
    """

    fitted: Fitted | Ensemble
    configuration: Configuration
    trials: tuple[Trial, ...]
    weights: dict[int, float]
    score: float | None


def made_of(found: Found) -> Tuned | None:
    """Return the model of what was found; None where no trial left anything to use.

    Where no trial ran on all folds, the best of those that were cut off is the model.
    """
    selection = selected(found)
    return _of_part(found) if selection is None else _of_selection(found, selection)


def _of_selection(found: Found, selection: Selection) -> Tuned:
    single = len(selection.weights) == 1
    score = selection.single_score if single else selection.cross_fitted
    ensemble, weights = ensemble_of(members_of(found, selection.weights))
    return _tuned(found, taught(ensemble, selection, found), weights, score=score)


def _of_part(found: Found) -> Tuned | None:
    part = best_part(found.trials, found.metric)
    members: Members = {} if part is None else members_of_part(found, part)
    if part is None or not members:
        return None
    return _tuned(found, *ensemble_of(members), score=part.score)


def _tuned(
    found: Found, ensemble: Ensemble, weights: dict[int, float], *, score: float | None
) -> Tuned:
    heaviest = ensemble.members[0].configuration
    return Tuned(ensemble, heaviest, found.trials, weights, score)
