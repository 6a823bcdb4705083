"""What a search left, and the members of a model that are made of it in the time that is left."""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from pipelines.core.assembling import calibrated
from pipelines.core.candidates import Guards
from pipelines.core.ensembling import Selection, alone, select
from pipelines.core.folds import Fold
from pipelines.core.metrics import Metric
from pipelines.core.model import Ensemble, Member, with_whole_weight
from pipelines.core.pool import PoolEntry
from pipelines.core.trials import Trial
from pipelines.tuning.refitting import Lesson, Wanted, bagged, refitted

Making = Literal["bag", "refit", "single"]
Members = Mapping[int, Member]
Read = Callable[[Iterable[int]], tuple[PoolEntry, ...]]


@dataclass(frozen=True, eq=False)
class Found:
    """What a search left, and how and until when a model is made of it.

    Attributes
    ----------
    lesson : Lesson
        All training rows.
    folds : tuple of Fold
    trials : tuple of Trial
    entries : tuple of PoolEntry
        All that the pool has, without models.
    read : callable
        From numbers of trials to what the pool has of them, with models.
    metric : Metric
        The one that is optimised.
    guards : sequence of (Metric, float)
    mode : str
        `bag` (the models of the folds), `refit` (all configurations on all rows) or `single` (the
        best one on all rows).
    end : float
        Moment of the monotonic clock.
    """

    lesson: Lesson
    folds: tuple[Fold, ...]
    trials: tuple[Trial, ...]
    entries: tuple[PoolEntry, ...]
    read: Read
    metric: Metric
    mode: Making
    guards: Guards = ()
    end: float = float("inf")

    @cached_property
    def fold_rows(self) -> int:
        """Training rows of the largest fold."""
        return max(len(fold.training) for fold in self.folds)

    def trial(self, number: int) -> Trial:
        """Return the trial of a number."""
        return next(trial for trial in self.trials if trial.number == number)

    def wanted(self, number: int, weight: float) -> Wanted:
        """Return a trial as it is wanted on all rows."""
        trial = self.trial(number)
        return Wanted(trial.configuration, weight, trial.folds, self.fold_rows)


def selected(found: Found) -> Selection | None:
    """Return which trials make the model together; None where none ran on every fold."""
    selection = select(
        found.entries,
        found.lesson.truth,
        found.metric,
        folds=found.folds,
        seed=found.lesson.seed,
        searched={trial.number for trial in found.trials if trial.phase == "search"},
        guards=found.guards,
    )
    if selection is None or found.mode != "single":
        return selection
    return alone(selection, found.entries, found.lesson.truth)


def members_of(found: Found, weights: Sequence[tuple[int, float]]) -> Members:
    """Return trials as members of a model, by their numbers, the heaviest always among them.

    They are fitted again on all rows where the mode asks for it and the time allows it; the others
    are the models of the folds, the lightest of which are left out where time is up.
    """
    anew = {} if found.mode == "bag" else _refitted(found, weights)
    late = bool(anew) and time.monotonic() >= found.end
    kept = {} if late else _of_folds(found, weights, but=anew)
    return {**anew, **kept}


def members_of_part(found: Found, part: Trial) -> Members:
    """Return a trial that did not run on every fold as the only member; none if it left nothing.

    It is fitted on all rows, or is the models that it has where there is no time for that.
    """
    weights = [(part.number, 1.0)]
    return _refitted(found, weights) or _of_folds(found, weights, but=())


def ensemble_of(members: Members) -> tuple[Ensemble, dict[int, float]]:
    """Return members as an ensemble, the heaviest first, and what each trial weighs in it."""
    numbers = sorted(members, key=lambda number: -members[number].weight)
    ensemble = with_whole_weight([members[number] for number in numbers])
    weights = [member.weight for member in ensemble.members]
    return ensemble, dict(zip(numbers, weights, strict=True))


def taught(ensemble: Ensemble, selection: Selection, found: Found) -> Ensemble:
    """Return an ensemble with what rows that it never saw teach about its predictions."""
    return calibrated(ensemble, selection.unseen, found.metric, guards=found.guards)


def _refitted(found: Found, weights: Iterable[tuple[int, float]]) -> dict[int, Member]:
    """Return the members that can be fitted on all rows in time, by the numbers of their trials."""
    members: dict[int, Member] = {}
    for number, weight in weights:
        made = refitted([found.wanted(number, weight)], found.lesson, end=found.end)
        members |= dict(zip([number], made, strict=False))
    return members


def _of_folds(
    found: Found, weights: Iterable[tuple[int, float]], *, but: Collection[int]
) -> dict[int, Member]:
    """Return the members whose fold models the pool has, but for some."""
    wanted = {number: weight for number, weight in weights if number not in but}
    entries = found.read(wanted)
    pairs = sorted(((entry.number, wanted[entry.number]) for entry in entries), key=_lightness)
    if not pairs:
        return {}
    made = bagged(pairs, entries, found.lesson, folds=found.folds, end=found.end)
    return {
        number: replace(member, weight=weight)
        for number, weight in pairs
        for member in made.members
        if member.configuration == found.trial(number).configuration
    }


def _lightness(weighed: tuple[int, float]) -> float:
    return -weighed[1]
