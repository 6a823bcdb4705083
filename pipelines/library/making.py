"""The model that what a search found becomes, in the time that is left."""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pipelines.core.assembling import calibrated
from pipelines.core.ensembling import Selection, alone, select
from pipelines.core.model import Ensemble, Fitted, Member, with_whole_weight
from pipelines.core.selection import best_part
from pipelines.core.trials import Configuration, Trial
from pipelines.core.unseen import Unseen
from pipelines.stores.pool import read_entries
from pipelines.tuning.refitting import Lesson, Wanted, bagged, refitted
from pipelines.tuning.work import Work

Making = Literal["bag", "refit", "single"]


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


@dataclass(frozen=True, eq=False)
class Found:
    """What a search left, and how and until when a model is made of it."""

    work: Work
    trials: tuple[Trial, ...]
    pool: Path
    mode: Making
    end: float

    def trial(self, number: int) -> Trial:
        """Return the trial of a number."""
        return next(trial for trial in self.trials if trial.number == number)


def made_of(found: Found) -> Tuned | None:
    """Return the model of what was found; None where no trial left anything to use.

    Members are fitted again on all rows where the mode asks for it and the time allows it; the
    others are the models of the folds, the lightest of which are left out where time is up. Where
    no trial ran on all folds, the best of those that were cut off is the model.
    """
    selection = _selection(found)
    return _of_part(found) if selection is None else _of_selection(found, selection)


def _selection(found: Found) -> Selection | None:
    entries, work = read_entries(found.pool, models=False), found.work
    selection = select(
        entries,
        work.truth,
        work.metrics[0],
        folds=work.folds,
        seed=work.seed,
        searched={trial.number for trial in found.trials if trial.phase == "search"},
    )
    if selection is None or found.mode != "single":
        return selection
    return alone(selection, entries, work.truth)


def _of_selection(found: Found, selection: Selection) -> Tuned:
    weights = dict(selection.weights)
    anew = {} if found.mode == "bag" else _refitted(found, weights)
    late = bool(anew) and time.monotonic() >= found.end
    kept = {} if late else _of_folds(found, weights, but=anew)
    single = len(selection.weights) == 1
    score = selection.single_score if single else selection.cross_fitted
    return _tuned(found, anew | kept, selection.unseen, score=score)


def _of_part(found: Found) -> Tuned | None:
    part = best_part(found.trials, found.work.metrics[0])
    weights = {} if part is None else {part.number: 1.0}
    members = _refitted(found, weights) or _of_folds(found, weights, but=())
    return _tuned(found, members, None, score=part.score) if part and members else None


def _tuned(
    found: Found, members: Mapping[int, Member], unseen: Unseen | None, *, score: float | None
) -> Tuned:
    numbers = sorted(members, key=lambda number: -members[number].weight)
    ensemble = with_whole_weight([members[number] for number in numbers])
    shares = [member.weight for member in ensemble.members]
    heaviest = ensemble.members[0].configuration
    if unseen is not None:
        ensemble = calibrated(ensemble, unseen, found.work.metrics[0])
    weights = dict(zip(numbers, shares, strict=True))
    return Tuned(ensemble, heaviest, found.trials, weights, score)


def _refitted(found: Found, weights: Mapping[int, float]) -> dict[int, Member]:
    """Return the members that can be fitted on all rows in time, by the numbers of their trials."""
    fold_rows = max(len(fold.training) for fold in found.work.folds)
    members: dict[int, Member] = {}
    for number, weight in weights.items():
        trial = found.trial(number)
        wanted = Wanted(trial.configuration, weight, trial.folds, fold_rows)
        made = refitted([wanted], _lesson(found.work), end=found.end)
        members |= dict(zip([number], made, strict=False))
    return members


def _of_folds(
    found: Found, weights: Mapping[int, float], *, but: Collection[int]
) -> dict[int, Member]:
    """Return the members whose fold models the pool has, but for some."""
    entries = read_entries(found.pool, [number for number in weights if number not in but])
    kept = sorted(((entry.number, weights[entry.number]) for entry in entries), key=_lightness)
    if not kept:
        return {}
    lesson, folds = _lesson(found.work), found.work.folds
    ensemble = bagged(kept, entries, lesson, folds=folds, end=found.end)
    return {
        number: replace(member, weight=weight)
        for number, weight in kept
        for member in ensemble.members
        if member.configuration == found.trial(number).configuration
    }


def _lightness(weighed: tuple[int, float]) -> float:
    return -weighed[1]


def _lesson(work: Work) -> Lesson:
    return Lesson(work.table, work.truth, work.schema, work.seed)
