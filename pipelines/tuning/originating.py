"""How a model came about, told while the pool is at hand."""

from collections.abc import Iterable

from pipelines.core.ensembling import Selection
from pipelines.core.explained import numbers_of, numbers_to_read
from pipelines.core.four_phases import Name
from pipelines.core.model import Ensemble, Fitted
from pipelines.core.origins import Origin, Scores, scores_by_fold, weights_of
from pipelines.core.phase_bests import SIMPLE_FAMILIES, best_complex_trial, best_simple_trial
from pipelines.core.serialised import loaded
from pipelines.core.trials import Trial
from pipelines.tuning.making import Found


def selection_origin(found: Found, selection: Selection | None) -> Origin:
    """Return what a selection is: its weights, and its scores fold by fold."""
    if selection is None:
        return Origin("zero rule", "heuristic")
    n_folds = len(found.folds)
    families = {trial.number: trial.configuration.family for trial in found.trials}
    several = len(selection.weights) > 1
    chosen = dict(selection.weights)
    scores = scores_by_fold(selection.unseen, found.metric, n_folds=n_folds) if several else ()
    return Origin(
        made_of="ensemble" if several else "trial",
        phase="complex" if several else phase_of(families[selection.single]),
        weights=weights_of(selection.weights, families),
        scores=scores,
        single=selection.single,
        single_scores=_scores(found.trial(selection.single), found.metric.name),
        n_encoders=len({entry.form for entry in found.entries if entry.number in chosen}),
    )


def phase_of(family: str) -> Name:
    """Return the phase that a trial of a family belongs to.

    Examples
    --------
    >>> phase_of("linear"), phase_of("lightgbm")
    ('optimised simple', 'complex')
    """
    return "optimised simple" if family in SIMPLE_FAMILIES else "complex"


def numbers_by_phase(
    found: Found, origin: Origin, fitted: Fitted | Ensemble
) -> dict[str, int | None]:
    """Return how much there is to read in the best model of each phase that the search reached.

    Parameters
    ----------
    found : Found
    origin : Origin
        Of the model that was made.
    fitted : Fitted or Ensemble
        That model.
    """
    simple = best_simple_trial(found.trials, found.metric)
    several = [weight.number for weight in origin.weights] if len(origin.weights) > 1 else []
    single = best_complex_trial(found.trials, found.metric)
    numbers = several or ([] if single is None else [single.number])
    told = {
        "optimised simple": _of_trials(found, [] if simple is None else [simple.number]),
        "complex": None if origin.phase == "complex" else _of_trials(found, numbers),
    }
    return told | {origin.phase: numbers_to_read(fitted)}


def _of_trials(found: Found, numbers: Iterable[int]) -> int | None:
    """Return the numbers of one fold model of each trial; None where the pool has not all."""
    wanted = list(numbers)
    first = [entry.folds[0] for entry in found.read(wanted)]
    counts = [numbers_of(loaded(model.kind, model.data)) for model in first]
    known = [count for count in counts if count is not None]
    return sum(known) if wanted and len(known) == len(wanted) else None


def _scores(trial: Trial, metric: str) -> Scores:
    return tuple(fold.figures.get(metric) for fold in trial.folds)
