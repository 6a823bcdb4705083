"""Build the final model from a finished search within the remaining time, and record its origin.

`build_model` is the stage's entry, `build_tuned_model` the estimators'. A `SearchResult` holds
the trials, the fold models and the mode: keep fold models (`bag`), fit all selected
configurations on all rows (`refit`), or fit the best one (`single`). Where no trial ran on
every fold the model is the warm start, a partial trial, or the zero rule. `find_simpler_model`
picks the model of the simplest phase that is not worse; `fit_best_window` tries training
windows.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Literal, cast

import numpy as np
import pandas as pd

from evertune.data.folds import Fold
from evertune.data.training_windows import TrainingWindow
from evertune.ensemble.calibration import OOFPredictions, fit_threshold
from evertune.ensemble.oof import TrialArtifacts
from evertune.ensemble.selection import (
    EnsembleSelection,
    Guards,
    meets_guard,
    select_ensemble,
    single_best,
)
from evertune.evaluation.baselines import SIMPLEST_FAMILIES, BaselineResult, mean_fold_metrics
from evertune.evaluation.phases import (
    SIMPLE_FAMILIES,
    Phase,
    PhaseName,
    best_baseline_of_kind,
    best_complex_trial,
    best_simple_trial,
    compare_phases,
    count_parameters,
    count_predictor_parameters,
    simplest_sufficient_phase,
)
from evertune.fitting.notes import (
    WARM_START_NOTE,
    incomplete_note,
    left_out_note,
    selection_note,
    simplest_model_note,
    trial_note,
    zero_rule_note,
)
from evertune.fitting.refit import (
    RefitSpec,
    TrainingSet,
    bag_fold_models,
    calibrate_on_oof,
    fit_on_training_set,
    fit_window,
    iterations_for,
    refit_members,
    unusable_windows_message,
    window_training_set,
)
from evertune.metrics.metrics import Metric, is_better
from evertune.models.families import default_configuration
from evertune.models.model import (
    Ensemble,
    EnsembleMember,
    FittedPipeline,
    apply_threshold,
    normalized_ensemble,
)
from evertune.models.origin import FoldScores, ModelOrigin, TrialWeight, WindowChoice, WindowFit
from evertune.models.persistence import load_predictor
from evertune.search.leaderboard import (
    all_failed,
    best_partial_trial,
    best_trial,
    zero_rule_configuration,
)
from evertune.trials import Configuration, FoldResult, MetricValues, Trial
from evertune.types import Predictions

FitMode = Literal["bag", "refit", "single"]
MembersByTrial = Mapping[int, EnsembleMember]
ArtifactReader = Callable[[Iterable[int]], tuple[TrialArtifacts, ...]]


@dataclass(frozen=True, eq=False)
class SearchResult:
    """What a search left, and how and until when a model is made of it.

    Attributes
    ----------
    lesson : TrainingSet
        All training rows.
    folds : tuple of Fold
    trials : tuple of Trial
    entries : tuple of TrialArtifacts
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

    lesson: TrainingSet
    folds: tuple[Fold, ...]
    trials: tuple[Trial, ...]
    entries: tuple[TrialArtifacts, ...]
    read: ArtifactReader
    metric: Metric
    mode: FitMode
    guards: Guards = ()
    end: float = float("inf")

    @cached_property
    def fold_rows(self) -> int:
        """Training rows of the largest fold."""
        return max(len(fold.training) for fold in self.folds)

    def trial(self, number: int) -> Trial:
        """Return the trial of a number."""
        return next(trial for trial in self.trials if trial.number == number)

    def wanted(self, number: int, weight: float) -> RefitSpec:
        """Return a trial as it is wanted on all rows."""
        trial = self.trial(number)
        return RefitSpec(trial.configuration, weight, trial.folds, self.fold_rows)


def select_trials(found: SearchResult) -> EnsembleSelection | None:
    """Return which trials make the model together; None where none ran on every fold."""
    selection = select_ensemble(
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
    return single_best(selection, found.entries, found.lesson.truth)


def fit_members(found: SearchResult, weights: Sequence[tuple[int, float]]) -> MembersByTrial:
    """Return trials as members of a model, by their numbers, the heaviest always among them.

    They are fitted again on all rows where the mode asks for it and the time allows it; the others
    are the models of the folds, the lightest of which are left out where time is up.
    """
    anew = {} if found.mode == "bag" else _refit_trials(found, weights)
    late = bool(anew) and time.monotonic() >= found.end
    kept = {} if late else _fold_model_members(found, weights, but=anew)
    return {**anew, **kept}


def fit_partial_trial(found: SearchResult, part: Trial) -> MembersByTrial:
    """Return a trial that did not run on every fold as the only member; none if it left nothing.

    It is fitted on all rows, or is the models that it has where there is no time for that.
    """
    weights = [(part.number, 1.0)]
    return _refit_trials(found, weights) or _fold_model_members(found, weights, but=())


def build_ensemble(members: MembersByTrial) -> tuple[Ensemble, dict[int, float]]:
    """Return members as an ensemble, the heaviest first, and what each trial weighs in it."""
    numbers = sorted(members, key=lambda number: -members[number].weight)
    ensemble = normalized_ensemble([members[number] for number in numbers])
    weights = [member.weight for member in ensemble.members]
    return ensemble, dict(zip(numbers, weights, strict=True))


def calibrate_selected(
    ensemble: Ensemble, selection: EnsembleSelection, found: SearchResult
) -> Ensemble:
    """Return an ensemble with what rows that it never saw teach about its predictions."""
    return calibrate_on_oof(ensemble, selection.unseen, found.metric, guards=found.guards)


def _refit_trials(
    found: SearchResult, weights: Iterable[tuple[int, float]]
) -> dict[int, EnsembleMember]:
    """Return the members that can be fitted on all rows in time, by the numbers of their trials."""
    members: dict[int, EnsembleMember] = {}
    for number, weight in weights:
        made = refit_members([found.wanted(number, weight)], found.lesson, end=found.end)
        members |= dict(zip([number], made, strict=False))
    return members


def _fold_model_members(
    found: SearchResult, weights: Iterable[tuple[int, float]], *, but: Collection[int]
) -> dict[int, EnsembleMember]:
    """Return the members whose fold models the pool has, but for some."""
    wanted = {number: weight for number, weight in weights if number not in but}
    entries = found.read(wanted)
    pairs = sorted(
        ((entry.number, wanted[entry.number]) for entry in entries), key=_negative_weight
    )
    if not pairs:
        return {}
    made = bag_fold_models(pairs, entries, found.lesson, folds=found.folds, end=found.end)
    return {
        number: replace(member, weight=weight)
        for number, weight in pairs
        for member in made.members
        if member.configuration == found.trial(number).configuration
    }


def _negative_weight(weighed: tuple[int, float]) -> float:
    return -weighed[1]


def selection_origin(found: SearchResult, selection: EnsembleSelection | None) -> ModelOrigin:
    """Return what a selection is: its weights, and its scores fold by fold."""
    if selection is None:
        return ModelOrigin("zero rule", "heuristic")
    n_folds = len(found.folds)
    families = {trial.number: trial.configuration.family for trial in found.trials}
    several = len(selection.weights) > 1
    chosen = dict(selection.weights)
    scores = oof_scores_by_fold(selection.unseen, found.metric, n_folds=n_folds) if several else ()
    return ModelOrigin(
        made_of="ensemble" if several else "trial",
        phase="complex" if several else family_phase(families[selection.single]),
        weights=named_trial_weights(selection.weights, families),
        scores=scores,
        single=selection.single,
        single_scores=_trial_fold_scores(found.trial(selection.single), found.metric.name),
        n_encoders=len({entry.form for entry in found.entries if entry.number in chosen}),
    )


def family_phase(family: str) -> PhaseName:
    """Return the phase that a trial of a family belongs to.

    Examples
    --------
    >>> family_phase("linear"), family_phase("lightgbm")
    ('optimised simple', 'complex')
    """
    return "optimised simple" if family in SIMPLE_FAMILIES else "complex"


def complexity_by_phase(
    found: SearchResult, origin: ModelOrigin, fitted: FittedPipeline | Ensemble
) -> dict[str, int | None]:
    """Return how much there is to read in the best model of each phase that the search reached.

    Parameters
    ----------
    found : SearchResult
    origin : ModelOrigin
        Of the model that was made.
    fitted : FittedPipeline or Ensemble
        That model.
    """
    simple = best_simple_trial(found.trials, found.metric)
    several = [weight.number for weight in origin.weights] if len(origin.weights) > 1 else []
    single = best_complex_trial(found.trials, found.metric)
    numbers = several or ([] if single is None else [single.number])
    told = {
        "optimised simple": _complexity_of_trials(found, [] if simple is None else [simple.number]),
        "complex": None if origin.phase == "complex" else _complexity_of_trials(found, numbers),
    }
    return told | {origin.phase: count_parameters(fitted)}


def _complexity_of_trials(found: SearchResult, numbers: Iterable[int]) -> int | None:
    """Return the numbers of one fold model of each trial; None where the pool has not all."""
    wanted = list(numbers)
    first = [entry.folds[0] for entry in found.read(wanted)]
    counts = [count_predictor_parameters(load_predictor(model.kind, model.data)) for model in first]
    known = [count for count in counts if count is not None]
    return sum(known) if wanted and len(known) == len(wanted) else None


def _trial_fold_scores(trial: Trial, metric: str) -> FoldScores:
    return tuple(fold.figures.get(metric) for fold in trial.folds)


@dataclass(frozen=True, eq=False)
class SimplerModel:
    """A simpler model to make in place of the best one.

    Attributes
    ----------
    phase : str
    configuration : Configuration
    folds : tuple of FoldResult
    note : str
    means : dict
        Its figures over the folds.
    selection : EnsembleSelection, optional
        Where the pool has it: what it says of rows that it never saw.
    """

    phase: PhaseName
    configuration: Configuration
    folds: tuple[FoldResult, ...]
    note: str
    means: MetricValues
    selection: EnsembleSelection | None = None


def find_simpler_model(
    found: SearchResult,
    selection: EnsembleSelection,
    origin: ModelOrigin,
    *,
    baselines: Sequence[BaselineResult],
) -> SimplerModel | None:
    """Return the model of the simplest phase that is not worse than the best one.

    None where that is the last phase, or where no baselines are given. A heuristic is no model
    that could be kept, so the first phase is that of the simplest models; one that breaks a bound
    is passed over.

    Parameters
    ----------
    found : SearchResult
    selection : EnsembleSelection
        What makes the best model.
    origin : ModelOrigin
        Of that model.
    baselines : sequence of BaselineResult
    """
    if not baselines:
        return None
    made = compare_phases(found.trials, baselines, found.metric, folds=found.folds, origin=origin)
    options = (_simplest_candidate(found, baselines), _optimised_simple_candidate(found, selection))
    known = {
        each.phase: each for each in options if each is not None and _meets_guards(found, each)
    }
    rivals = [phase for phase in made if phase.name == "complex" or phase.name in known]
    name = simplest_sufficient_phase(rivals, found.metric, folds=found.folds)
    chosen = next((each for phase, each in known.items() if phase == name), None)
    return None if chosen is None else replace(chosen, note=_preference_note(made, chosen, found))


def _simplest_candidate(
    found: SearchResult, baselines: Sequence[BaselineResult]
) -> SimplerModel | None:
    best = best_baseline_of_kind(baselines, found.metric, kind="model")
    if best is None:
        return None
    configuration = default_configuration(SIMPLEST_FAMILIES[best.name])
    return SimplerModel("simplest", configuration, best.folds, best.name, best.mean)


def _optimised_simple_candidate(
    found: SearchResult, selection: EnsembleSelection
) -> SimplerModel | None:
    best = best_simple_trial(found.trials, found.metric)
    if best is None:
        return None
    named = f"trial {best.number}, {best.configuration.family}"
    kept = any(entry.number == best.number for entry in found.entries)
    single = replace(selection, single=best.number, single_score=best.score)
    return SimplerModel(
        phase="optimised simple",
        configuration=best.configuration,
        folds=best.folds,
        note=named,
        means=mean_fold_metrics(best.folds),
        selection=single_best(single, found.entries, found.lesson.truth) if kept else None,
    )


def _meets_guards(found: SearchResult, simpler: SimplerModel) -> bool:
    return all(meets_guard(guard, simpler.means.get(guard[0].name)) for guard in found.guards)


def _preference_note(made: Sequence[Phase], chosen: SimplerModel, found: SearchResult) -> str:
    last = made[-1]
    score = next(phase.score for phase in made if phase.name == chosen.phase)
    return simplest_model_note(chosen.note, score, found.metric, beside=last.what, best=last.score)


@dataclass(frozen=True, eq=False)
class WindowCandidates:
    """The training windows that are tried, and what judges them.

    Attributes
    ----------
    windows : sequence of TrainingWindow
    moments : Series of n datetimes
        When the training rows happened.
    choosing : DataFrame
        Rows that are in no window.
    """

    windows: Sequence[TrainingWindow]
    moments: pd.Series
    choosing: pd.DataFrame


def fit_best_window(
    found: SearchResult, windows: WindowCandidates, wanted: RefitSpec
) -> tuple[FittedPipeline, WindowChoice, int | None]:
    """Return a configuration fitted on the best window, how all did, and for how many rounds.

    Raises
    ------
    ValueError
        If none of the windows can be learned from.
    """

    def learn(lesson: TrainingSet) -> FittedPipeline:
        return fit_on_training_set(
            wanted.configuration, lesson, iterations=_iterations_on(wanted, lesson), end=found.end
        )

    told = partial(
        fit_window,
        found.lesson,
        windows.moments,
        windows.choosing,
        learn=learn,
        metric=found.metric,
    )
    made = [told(window=window) for window in windows.windows]
    fits = tuple(fit for _, fit in made)
    best = best_window(fits, found.metric)
    if best is None:
        raise ValueError(unusable_windows_message(fits))
    choice = WindowChoice(windows.windows[best], fits)
    lesson = window_training_set(found.lesson, windows.moments, choice.chosen)
    return cast(FittedPipeline, made[best][0]), choice, _iterations_on(wanted, lesson)


def fit_ensemble_on_best_window(
    found: SearchResult, windows: WindowCandidates, selection: EnsembleSelection
) -> tuple[Ensemble, WindowChoice]:
    """Choose the window with the best single trial and fit the others on the same.

    Raises
    ------
    ValueError
        If none of the windows can be learned from.
    """
    weights = dict(selection.weights)
    single = found.wanted(selection.single, weights.pop(selection.single, 0.0))
    fitted, choice, iterations = fit_best_window(found, windows, single)
    lesson = window_training_set(found.lesson, windows.moments, choice.chosen)
    wanted = [found.wanted(number, weight) for number, weight in weights.items()]
    others = refit_members(wanted, lesson, end=found.end)
    weight = single.weight if others else 1.0
    first = EnsembleMember(single.configuration, weight, (fitted,), (iterations,))
    members = [first, *others] if weight else list(others)
    return normalized_ensemble(sorted(members, key=lambda member: -member.weight)), choice


def _iterations_on(wanted: RefitSpec, lesson: TrainingSet) -> int | None:
    n_rows = len(lesson.table)
    return iterations_for(wanted.folds, fold_rows=wanted.fold_rows, n_rows=n_rows)


@dataclass(frozen=True, eq=False)
class BuildRequest:
    """What a model is made of.

    Attributes
    ----------
    found : SearchResult
        What the search left.
    windows : WindowCandidates
        Which training windows are tried, where the plan names any.
    warm_starts : tuple of Configuration
        What was in use before.
    baselines : tuple of BaselineResult
        Given where the simplest model is preferred that is not worse.
    """

    found: SearchResult
    windows: WindowCandidates
    warm_starts: tuple[Configuration, ...] = ()
    baselines: tuple[BaselineResult, ...] = ()


@dataclass(frozen=True, eq=False)
class BuiltModel:
    """What was made, of which configuration first of all, and how it came about."""

    fitted: FittedPipeline | Ensemble
    configuration: Configuration
    origin: ModelOrigin
    choice: WindowChoice | None = None


def build_model(task: BuildRequest) -> BuiltModel:
    """Return the best model that there is, at least the zero rule.

    Where every trial failed it is the zero rule, whatever was in use before: that would fail too.

    Raises
    ------
    ValueError
        If no training window can be learned from, or a fit on all rows fails.
    """
    if all_failed(task.found.trials):
        return _build_zero_rule(task)
    selection = select_trials(task.found)
    made = (
        _build_without_selection(task) if selection is None else _build_preferred(task, selection)
    )
    if time.monotonic() >= task.found.end:  # counting takes seconds where trees are many
        return made
    values = complexity_by_phase(task.found, made.origin, made.fitted)
    return replace(made, origin=replace(made.origin, values=values))


def _build_preferred(task: BuildRequest, selection: EnsembleSelection) -> BuiltModel:
    origin = selection_origin(task.found, selection)
    simpler = find_simpler_model(task.found, selection, origin, baselines=task.baselines)
    if simpler is None:
        return _build_from_selection(task, selection, origin)
    origin = replace(origin, made_of="simplest", phase=simpler.phase, notes=(simpler.note,))
    if simpler.selection is None:
        return _build_from_configuration(task, simpler.configuration, simpler.folds, origin)
    alone = replace(task, found=replace(task.found, mode="single"))
    return _build_from_selection(alone, simpler.selection, origin)


def _build_from_selection(
    task: BuildRequest, selection: EnsembleSelection, origin: ModelOrigin
) -> BuiltModel:
    found, choice = task.found, None
    if task.windows.windows and found.mode != "bag":
        ensemble, choice = fit_ensemble_on_best_window(found, task.windows, selection)
    else:
        ensemble, _ = build_ensemble(fit_members(found, selection.weights))
    ensemble = calibrate_selected(ensemble, selection, found)
    notes = [*origin.notes, selection_note(selection, ensemble, found.metric)]
    n_left_out = len(selection.weights) - len(ensemble.members)
    notes += [left_out_note(n_left_out)] if n_left_out > 0 else []
    origin = replace(origin, notes=tuple(notes))
    return BuiltModel(ensemble, ensemble.members[0].configuration, origin, choice)


def _build_without_selection(task: BuildRequest) -> BuiltModel:
    found = task.found
    by_name = {guard.name: bound for guard, bound in found.guards}
    metrics = (found.metric, *(guard for guard, _ in found.guards if guard != found.metric))
    best = best_trial(found.trials, metrics, by_name)
    if best is not None:
        phase, note = family_phase(best.configuration.family), trial_note(best, found.metric)
        origin = ModelOrigin("trial", phase, (note,), single=best.number)
        return _build_from_configuration(task, best.configuration, best.folds, origin)
    if task.warm_starts:
        first = task.warm_starts[0]
        origin = ModelOrigin("warm start", family_phase(first.family), (WARM_START_NOTE,))
        return _build_from_configuration(task, first, (), origin)
    part = best_partial_trial(found.trials, found.metric)
    return _build_zero_rule(task) if part is None else _build_from_partial_trial(task, part)


def _build_zero_rule(task: BuildRequest) -> BuiltModel:
    note = zero_rule_note(task.found.trials)
    origin = ModelOrigin("zero rule", "heuristic", (note,), values={"heuristic": 1})
    return _build_from_configuration(task, zero_rule_configuration(task.found.metric), (), origin)


def _build_from_configuration(
    task: BuildRequest,
    configuration: Configuration,
    folds: tuple[FoldResult, ...],
    origin: ModelOrigin,
) -> BuiltModel:
    found, lesson = task.found, task.found.lesson
    wanted = RefitSpec(configuration, 1.0, folds, found.fold_rows)
    if task.windows.windows:
        fitted, choice, _ = fit_best_window(found, task.windows, wanted)
        return BuiltModel(fitted, configuration, origin, choice)
    n_rows = len(lesson.table)
    iterations = iterations_for(folds, fold_rows=found.fold_rows, n_rows=n_rows)
    fitted = fit_on_training_set(configuration, lesson, iterations=iterations, end=found.end)
    return BuiltModel(fitted, configuration, origin)


def _build_from_partial_trial(task: BuildRequest, part: Trial) -> BuiltModel:
    """Fit a trial that did not run on every fold on all rows, or keep the models that it has."""
    found, family = task.found, part.configuration.family
    note = incomplete_note(found.trials, part)
    origin = ModelOrigin("part", family_phase(family), (note,), single=part.number)
    if task.windows.windows:
        return _build_from_configuration(task, part.configuration, part.folds, origin)
    members = fit_partial_trial(found, part)
    if not members:
        return _build_from_configuration(task, part.configuration, part.folds, origin)
    ensemble, _ = build_ensemble(members)
    return BuiltModel(ensemble, part.configuration, origin)


@dataclass(frozen=True, eq=False)
class TunedModel:
    """A model and how it came about.

    Attributes
    ----------
    fitted : FittedPipeline or Ensemble
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

    fitted: FittedPipeline | Ensemble
    configuration: Configuration
    trials: tuple[Trial, ...]
    weights: dict[int, float]
    score: float | None


def build_tuned_model(found: SearchResult) -> TunedModel | None:
    """Return the model of what was found; None where no trial left anything to use.

    Where no trial ran on all folds, the best of those that were cut off is the model.
    """
    selection = select_trials(found)
    return (
        _tuned_from_partial_trial(found)
        if selection is None
        else _tuned_from_selection(found, selection)
    )


def _tuned_from_selection(found: SearchResult, selection: EnsembleSelection) -> TunedModel:
    single = len(selection.weights) == 1
    score = selection.single_score if single else selection.cross_fitted
    ensemble, weights = build_ensemble(fit_members(found, selection.weights))
    return _make_tuned_model(
        found, calibrate_selected(ensemble, selection, found), weights, score=score
    )


def _tuned_from_partial_trial(found: SearchResult) -> TunedModel | None:
    part = best_partial_trial(found.trials, found.metric)
    members: MembersByTrial = {} if part is None else fit_partial_trial(found, part)
    if part is None or not members:
        return None
    return _make_tuned_model(found, *build_ensemble(members), score=part.score)


def _make_tuned_model(
    found: SearchResult, ensemble: Ensemble, weights: dict[int, float], *, score: float | None
) -> TunedModel:
    heaviest = ensemble.members[0].configuration
    return TunedModel(ensemble, heaviest, found.trials, weights, score)


def oof_scores_by_fold(unseen: OOFPredictions, metric: Metric, *, n_folds: int) -> FoldScores:
    """Return the metric on each fold's rows; where labels are judged, at their best threshold.

    Parameters
    ----------
    unseen : OOFPredictions
    metric : Metric
    n_folds : int

    Returns
    -------
    tuple of float
        None for a fold without rows, or where the metric is undefined.

    Examples
    --------
    >>> from evertune.metrics.metrics import METRICS
    >>> said = Predictions(np.array([1.0, 4.0]))
    >>> unseen = OOFPredictions(np.arange(2), np.array([0, 1]), np.array([2.0, 2.0]), said)
    >>> oof_scores_by_fold(unseen, METRICS["mae"], n_folds=2)
    (1.0, 2.0)
    """
    said = _apply_best_threshold(unseen, metric)
    return tuple(_score_fold(unseen, said, metric, fold) for fold in range(n_folds))


def named_trial_weights(
    pairs: Sequence[tuple[int, float]], families: Mapping[int, str]
) -> tuple[TrialWeight, ...]:
    """Return numbers of trials and their weights with the families' names.

    Examples
    --------
    >>> named_trial_weights([(3, 1.0)], {3: "linear"})
    (TrialWeight(number=3, family='linear', weight=1.0),)
    """
    return tuple(TrialWeight(number, families[number], weight) for number, weight in pairs)


def _apply_best_threshold(unseen: OOFPredictions, metric: Metric) -> Predictions:
    shares, threshold = unseen.predictions.probabilities, fit_threshold(unseen, metric)
    if shares is None or threshold is None:
        return unseen.predictions
    return Predictions(apply_threshold(shares, threshold), shares)


def _score_fold(
    unseen: OOFPredictions, said: Predictions, metric: Metric, fold: int
) -> float | None:
    rows = np.flatnonzero(unseen.folds == fold)
    if not len(rows):
        return None
    shares = None if said.probabilities is None else said.probabilities[rows]
    figure = metric.score(unseen.truth[rows], Predictions(said.values[rows], shares))
    return float(figure) if np.isfinite(figure) else None


def best_window(fits: Sequence[WindowFit], metric: Metric) -> int | None:
    """Return the place of the best of the windows that were fitted, None where none was.

    Of equal ones the earliest is taken.

    Examples
    --------
    >>> from evertune.metrics.metrics import METRICS
    >>> old, new = TrainingWindow("all"), TrainingWindow("decayed", half_life_days=9)
    >>> fits = [WindowFit(old, 90, 2.0), WindowFit(new, 90, 1.0)]
    >>> best_window(fits, METRICS["rmse"])
    1
    """
    best: int | None = None
    for place, fit in enumerate(fits):
        if fit.reason is not None:
            continue
        if best is None or is_better(metric, fit.figure, fits[best].figure):
            best = place
    return best


def window_note(choice: WindowChoice, metric: str) -> str:
    """Return which window the model was fitted on and how the others did, in one sentence.

    Examples
    --------
    >>> every = TrainingWindow("all")
    >>> window_note(WindowChoice(every, (WindowFit(every, 90, 0.8),)), "roc_auc")
    'The model was fitted on the window `all`; roc_auc on rows that chose it: all 0.8 (90 rows).'
    """
    said = "; ".join(_format_window_fit(fit) for fit in choice.fits)
    name = choice.chosen.name
    return f"The model was fitted on the window `{name}`; {metric} on rows that chose it: {said}."


def _format_window_fit(fit: WindowFit) -> str:
    figure = "unknown" if fit.figure is None else f"{fit.figure:.4g}"
    return f"{fit.window.name} {figure} ({fit.n_rows} rows)"
