"""Build the final model from a finished search within the remaining time, and record its origin.

`build_model` is the one way from a search to a model, for the stage `fit` and the estimators:

1. select trials and their weights (`evertune.ensemble.selection`), only the best one if the mode
   is `single`; with `prefer_simplest`, replace them by the simplest model that is not worse
2. make members: fold models (mode `bag`), or fits on all rows (`refit`, `single`), or on the best
   of several training windows (`evertune.fitting.choose_window`)
3. calibrate on out-of-fold predictions (`evertune.ensemble.calibration`)

If no trial ran on every fold, the model is the best trial, the warm start, a partial trial, or the
zero rule. `ModelOrigin` records which, with sentences for the log and the model card.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from evertune.data.folds import Fold
from evertune.ensemble.calibration import (
    Guards,
    calibrate_on_oof,
    fit_threshold,
)
from evertune.ensemble.oof import OOFPredictions, TrialArtifacts
from evertune.ensemble.selection import EnsembleSelection, select_ensemble, single_best
from evertune.evaluation.baselines import SIMPLEST_FAMILIES, BaselineResult
from evertune.evaluation.formatting import (
    count_noun,
    family_name,
    format_score,
    metric_name,
)
from evertune.evaluation.phases import (
    SIMPLE_FAMILIES,
    PhaseName,
    best_baseline_of_kind,
    best_complex_trial,
    best_simple_trial,
    compare_phases,
    count_parameters,
    count_predictor_parameters,
    simplest_sufficient_phase,
)
from evertune.fitting.choose_window import WindowCandidates, fit_best_window
from evertune.fitting.refit import (
    FitMode,
    TrainingSet,
    fit_on_training_set,
    fold_model_members,
    iterations_for,
    refit_member,
)
from evertune.messages import format_percent
from evertune.metrics.metrics import Metric, keeps_bound, mean_metrics
from evertune.models.families import can_keep_monotone, default_configuration
from evertune.models.fitted_model import (
    Ensemble,
    EnsembleMember,
    FittedPipeline,
    apply_threshold,
    normalized_ensemble,
)
from evertune.models.predictor_files import load_predictor
from evertune.models.provenance import FoldScores, ModelOrigin, TrialWeight, WindowChoice
from evertune.search.leaderboard import (
    all_failed,
    best_partial_trial,
    best_trial,
    zero_rule_configuration,
)
from evertune.search.summary import count_endings, failure_reasons
from evertune.trials import Configuration, FoldResult, MetricValues, Trial
from evertune.types import Predictions, take_rows

MAX_NAMED_FAMILIES = 6  # families that a note names
RAN_OUT = "The search ran out of time before any model was finished"


@dataclass(frozen=True, eq=False)
class SearchResult:
    """A finished search, with how and until when to build a model from it.

    Attributes
    ----------
    training : TrainingSet
        All training rows.
    entries : tuple of TrialArtifacts
        All artifacts that were kept, without models.
    read : callable
        From trial numbers to their artifacts with models.
    metric : Metric
        The optimised one.
    mode : str
        `bag` (fold models), `refit` (all selected configurations on all rows) or `single` (the
        best one on all rows).
    guards : sequence of (Metric, float)
        Bounds on other metrics.
    end : float
        Moment of the monotonic clock.
    advice : str
        What to do where it was too short, a sentence.
    """

    training: TrainingSet
    folds: tuple[Fold, ...]
    trials: tuple[Trial, ...]
    entries: tuple[TrialArtifacts, ...]
    read: Callable[[Iterable[int]], tuple[TrialArtifacts, ...]]
    metric: Metric
    mode: FitMode
    guards: Guards = ()
    end: float = float("inf")
    advice: str = "Give the search a larger budget."

    @cached_property
    def fold_rows(self) -> int:
        """Training rows of the largest fold."""
        return max((len(fold.training) for fold in self.folds), default=len(self.training.table))

    def trial(self, number: int) -> Trial:
        """Return the trial of a number."""
        return next(trial for trial in self.trials if trial.number == number)


@dataclass(frozen=True, eq=False)
class BuiltModel:
    """A model and how it was built.

    Attributes
    ----------
    configuration : Configuration
        Of an ensemble, its heaviest member's.
    choice : WindowChoice, optional
        If training windows were tried.
    weights : dict
        From the numbers of the trials in the model to their weights; empty for the zero rule and
        a warm start.
    score : float, optional
        The optimised metric on rows that neither the models nor the weights were fitted on; the
        score of a single trial chose it, and is optimistic.
    """

    fitted: FittedPipeline | Ensemble
    configuration: Configuration
    origin: ModelOrigin
    choice: WindowChoice | None = None
    weights: dict[int, float] = field(default_factory=dict)
    score: float | None = None


def build_model(
    search: SearchResult,
    *,
    windows: WindowCandidates | None = None,
    warm_starts: Sequence[Configuration] = (),
    prefer_simplest: bool = False,
    baselines: Sequence[BaselineResult] = (),
) -> BuiltModel:
    """Return the best model that the search allows, at least the zero rule.

    If every trial failed it is the zero rule: the warm starts would fail, too.

    Parameters
    ----------
    windows : WindowCandidates, optional
        Training windows to try; by default all rows are used.
    warm_starts : sequence of Configuration
        Configurations of the previous model.
    prefer_simplest : bool
        Whether to build the simplest model that is not significantly worse than the best.
    baselines : sequence of BaselineResult
        With `prefer_simplest`, the simplest models are among them.

    Raises
    ------
    ValueError
        If no training window can be used, or a fit on all rows fails.
    """
    if windows is not None and not windows.windows:
        windows = None
    if all_failed(search.trials):
        return _build_zero_rule(search, windows)
    selection = select_trials(search)
    if selection is None:
        return _build_without_selection(search, windows, warm_starts)
    origin = selection_origin(search, selection)
    simpler = (
        find_simpler_model(search, selection, origin, baselines=baselines)
        if prefer_simplest
        else None
    )
    if simpler is None:
        return _build_from_selection(search, windows, selection, origin)
    origin = replace(origin, made_of="simplest", phase=simpler.phase, notes=(simpler.note,))
    if simpler.selection is None:
        return _build_one(search, windows, simpler.configuration, simpler.folds, origin)
    alone = replace(search, mode="single")
    return _build_from_selection(alone, windows, simpler.selection, origin)


def count_complexity(search: SearchResult, built: BuiltModel) -> BuiltModel:
    """Return the model with the number of parameters of each phase's best model in its origin.

    It is skipped after the search's end, because counting takes seconds for many trees.
    """
    if all_failed(search.trials) or time.monotonic() >= search.end:
        return built
    origin = built.origin
    simple = best_simple_trial(search.trials, search.metric)
    single = best_complex_trial(search.trials, search.metric)
    numbers = [weight.number for weight in origin.weights]
    if len(numbers) < 2:
        numbers = [] if single is None else [single.number]
    simple_numbers = [] if simple is None else [simple.number]
    values: dict[str, int | None] = {
        "optimised simple": _count_fold_models(search, simple_numbers),
        "complex": None if origin.phase == "complex" else _count_fold_models(search, numbers),
    }
    values[origin.phase] = count_parameters(built.fitted)
    return replace(built, origin=replace(origin, values=values))


def select_trials(search: SearchResult) -> EnsembleSelection | None:
    """Return the trials that make the model together; None if none ran on every fold."""
    selection = select_ensemble(
        search.entries,
        search.training.y,
        search.metric,
        folds=search.folds,
        seed=search.training.seed,
        searched={trial.number for trial in search.trials if trial.phase == "search"},
        guards=search.guards,
    )
    if selection is None or search.mode != "single":
        return selection
    return single_best(selection, search.entries, search.training.y)


def selection_origin(search: SearchResult, selection: EnsembleSelection) -> ModelOrigin:
    """Return the origin of the model of a selection: weights, and scores by fold."""
    families = {trial.number: trial.configuration.family for trial in search.trials}
    numbers = dict(selection.weights)
    several = len(numbers) > 1
    n_folds = len(search.folds)
    return ModelOrigin(
        made_of="ensemble" if several else "trial",
        phase="complex" if several else family_phase(families[selection.single]),
        weights=tuple(TrialWeight(n, families[n], weight) for n, weight in selection.weights),
        scores=oof_scores_by_fold(selection.unseen, search.metric, n_folds=n_folds)
        if several
        else (),
        single=selection.single,
        single_scores=tuple(
            fold.figures.get(search.metric.name) for fold in search.trial(selection.single).folds
        ),
        n_encoders=len({entry.encoding for entry in search.entries if entry.number in numbers}),
    )


def family_phase(family: str) -> PhaseName:
    """Return the phase that a trial of a family belongs to."""
    return "optimised simple" if family in SIMPLE_FAMILIES else "complex"


def oof_scores_by_fold(oof: OOFPredictions, metric: Metric, *, n_folds: int) -> FoldScores:
    """Return the metric on each fold's rows; metrics of labels at their best threshold."""
    predictions, threshold = oof.predictions, fit_threshold(oof, metric)
    if predictions.probabilities is not None and threshold is not None:
        labels = apply_threshold(predictions.probabilities, threshold)
        predictions = Predictions(labels, predictions.probabilities)
    scores: list[float | None] = []
    for fold in range(n_folds):
        rows = np.flatnonzero(oof.folds == fold)
        score = metric.score(oof.y_true[rows], take_rows(predictions, rows)) if len(rows) else None
        scores.append(float(score) if score is not None and np.isfinite(score) else None)
    return tuple(scores)


@dataclass(frozen=True, eq=False)
class SimplerModel:
    """A simpler model to build in place of the best one.

    Attributes
    ----------
    means : dict
        Its metrics, averaged over the folds.
    selection : EnsembleSelection, optional
        If its out-of-fold predictions were kept.
    """

    phase: PhaseName
    configuration: Configuration
    folds: tuple[FoldResult, ...]
    note: str
    means: MetricValues
    selection: EnsembleSelection | None = None


def find_simpler_model(
    search: SearchResult,
    selection: EnsembleSelection,
    origin: ModelOrigin,
    *,
    baselines: Sequence[BaselineResult],
) -> SimplerModel | None:
    """Return the model of the simplest phase that is not significantly worse than the best one.

    None if that is the best model itself. Heuristics are no models, so the first phase is that of
    the simplest models among the baselines; a model that violates a guard is skipped.
    """
    phases = compare_phases(
        search.trials, baselines, search.metric, folds=search.folds, origin=origin
    )
    candidates = _simpler_candidates(search, selection, baselines)
    by_phase = {
        candidate.phase: candidate
        for candidate in candidates
        if all(
            keeps_bound(guard, candidate.means.get(guard.name), bound)
            for guard, bound in search.guards
        )
    }
    rivals = [phase for phase in phases if phase.name == "complex" or phase.name in by_phase]
    name = simplest_sufficient_phase(rivals, search.metric, folds=search.folds)
    chosen = next((each for phase, each in by_phase.items() if phase == name), None)
    if chosen is None:
        return None
    score = next(phase.score for phase in phases if phase.name == chosen.phase)
    best = phases[-1]
    note = (
        f"fit.prefer is simplest: {chosen.note}, with {search.metric.name} {_format_score(score)}, "
        f"is not worse than {best.what}, with {_format_score(best.score)}."
    )
    return replace(chosen, note=note)


def all_failed_note(trials: Sequence[Trial], file: str) -> str:
    """Return that every trial failed, the reasons counted, and what was saved instead."""
    return (
        f"All {count_noun(len(trials), 'trial')} of the search failed:"
        f" {failure_reasons(trials)}. The zero rule was saved as the model. Fix the"
        f" cause, remove {file} and start again."
    )


def _simpler_candidates(
    search: SearchResult, selection: EnsembleSelection, baselines: Sequence[BaselineResult]
) -> list[SimplerModel]:
    candidates: list[SimplerModel] = []
    schema = search.training.schema
    baseline = best_baseline_of_kind(baselines, search.metric, kind="model")
    if baseline is not None and can_keep_monotone(SIMPLEST_FAMILIES[baseline.name], schema):
        configuration = default_configuration(SIMPLEST_FAMILIES[baseline.name])
        candidates.append(
            SimplerModel("simplest", configuration, baseline.folds, baseline.name, baseline.mean)
        )
    trial = best_simple_trial(search.trials, search.metric)
    if trial is not None:
        alone = replace(selection, single=trial.number, single_score=trial.score)
        kept = any(entry.number == trial.number for entry in search.entries)
        candidates.append(
            SimplerModel(
                phase="optimised simple",
                configuration=trial.configuration,
                folds=trial.folds,
                note=f"trial {trial.number}, {trial.configuration.family}",
                means=mean_metrics(fold.figures for fold in trial.folds),
                selection=single_best(alone, search.entries, search.training.y) if kept else None,
            )
        )
    return candidates


def _build_from_selection(
    search: SearchResult,
    windows: WindowCandidates | None,
    selection: EnsembleSelection,
    origin: ModelOrigin,
) -> BuiltModel:
    choice = None
    if windows is not None and search.mode != "bag":
        members, choice = _fit_members_on_best_window(search, windows, selection)
    else:
        members = _fit_members(search, selection.weights)
    ensemble, weights = _to_ensemble(members)
    ensemble = calibrate_on_oof(ensemble, selection.unseen, search.metric, guards=search.guards)
    notes = [*origin.notes, _selection_note(selection, ensemble, search)]
    n_left_out = len(selection.weights) - len(ensemble.members)
    if n_left_out > 0:
        notes.append(
            f"There was no time for {count_noun(n_left_out, 'lighter member')}; raise"
            " fit.budget_seconds."
        )
    return BuiltModel(
        fitted=ensemble,
        configuration=ensemble.members[0].configuration,
        origin=replace(origin, notes=tuple(notes)),
        choice=choice,
        weights=weights,
        score=selection.single_score if len(selection.weights) == 1 else selection.cross_fitted,
    )


def _build_without_selection(
    search: SearchResult, windows: WindowCandidates | None, warm_starts: Sequence[Configuration]
) -> BuiltModel:
    guards = {guard.name: bound for guard, bound in search.guards}
    metrics = (search.metric, *(guard for guard, _ in search.guards if guard != search.metric))
    best = best_trial(search.trials, metrics, guards)
    if best is not None:
        family = best.configuration.family
        note = _single_model_note(best.number, family, search.metric, best.score)
        origin = ModelOrigin("trial", family_phase(family), (note,), single=best.number)
        built = _build_one(search, windows, best.configuration, best.folds, origin)
        return replace(built, weights={best.number: 1.0}, score=best.score)
    if warm_starts:
        phase = family_phase(warm_starts[0].family)
        note = f"{RAN_OUT}; the configuration in use before is fitted on the new rows."
        origin = ModelOrigin("warm start", phase, (f"{note} {search.advice}",))
        return _build_one(search, windows, warm_starts[0], (), origin)
    part = best_partial_trial(search.trials, search.metric)
    if part is None:
        return _build_zero_rule(search, windows)
    return _build_from_partial_trial(search, windows, part)


def _build_from_partial_trial(
    search: SearchResult, windows: WindowCandidates | None, part: Trial
) -> BuiltModel:
    """Fit a trial that did not run on every fold on all rows, or keep its fold models."""
    family = part.configuration.family
    note = (
        f"No trial of the search finished all folds; {family_name(family)} (trial {part.number}),"
        f" which finished {len(part.folds)} of {count_noun(len(search.folds), 'fold')}, is used."
        f" {search.advice}"
    )
    origin = ModelOrigin("part", family_phase(family), (note,), single=part.number)
    weights = {part.number: 1.0}
    members: dict[int, EnsembleMember] = {}
    if windows is None:
        only = [(part.number, 1.0)]
        members = _refit_members(search, only) or _fold_model_members(search, only)
    if not members:
        built = _build_one(search, windows, part.configuration, part.folds, origin)
        return replace(built, weights=weights, score=part.score)
    ensemble, weights = _to_ensemble(members)
    return BuiltModel(ensemble, part.configuration, origin, None, weights, part.score)


def _build_zero_rule(search: SearchResult, windows: WindowCandidates | None) -> BuiltModel:
    endings = "; ".join(f"{each.trials} x {each.reason}" for each in count_endings(search.trials))
    why = f" ({endings})" if endings else ""
    note = f"{RAN_OUT}{why}. {search.advice}"
    origin = ModelOrigin("zero rule", "heuristic", (note,), values={"heuristic": 1})
    return _build_one(search, windows, zero_rule_configuration(search.metric), (), origin)


def _build_one(
    search: SearchResult,
    windows: WindowCandidates | None,
    configuration: Configuration,
    folds: tuple[FoldResult, ...],
    origin: ModelOrigin,
) -> BuiltModel:
    """Fit one configuration on all rows, or on the best window."""
    if windows is not None:
        result = fit_best_window(
            configuration,
            search.training,
            windows,
            folds=folds,
            fold_rows=search.fold_rows,
            metric=search.metric,
            end=search.end,
        )
        return BuiltModel(result.fitted, configuration, origin, result.choice)
    n_rows = len(search.training.table)
    iterations = iterations_for(folds, fold_rows=search.fold_rows, n_rows=n_rows)
    fitted, _ = fit_on_training_set(
        configuration, search.training, iterations=iterations, end=search.end
    )
    return BuiltModel(fitted, configuration, origin)


def _fit_members(
    search: SearchResult, weights: Sequence[tuple[int, float]]
) -> dict[int, EnsembleMember]:
    """Return trials as members, by number, the heaviest always among them.

    Those that cannot be fitted on all rows in time keep their fold models.
    """
    refitted = {} if search.mode == "bag" else _refit_members(search, weights)
    if refitted and time.monotonic() >= search.end:
        return refitted
    others = [(number, weight) for number, weight in weights if number not in refitted]
    return refitted | _fold_model_members(search, others)


def _refit_members(
    search: SearchResult,
    weights: Iterable[tuple[int, float]],
    training: TrainingSet | None = None,
) -> dict[int, EnsembleMember]:
    """Return the members that can be fitted on the training rows in time, by trial number."""
    members: dict[int, EnsembleMember] = {}
    for number, weight in weights:
        trial = search.trial(number)
        member = refit_member(
            trial.configuration,
            weight,
            search.training if training is None else training,
            folds=trial.folds,
            fold_rows=search.fold_rows,
            end=search.end,
        )
        if member is not None:
            members[number] = member
    return members


def _fold_model_members(
    search: SearchResult, weights: Sequence[tuple[int, float]]
) -> dict[int, EnsembleMember]:
    return fold_model_members(
        sorted(weights, key=lambda pair: -pair[1]),
        search.read([number for number, _ in weights]),
        search.training,
        folds=search.folds,
        end=search.end,
    )


def _fit_members_on_best_window(
    search: SearchResult, windows: WindowCandidates, selection: EnsembleSelection
) -> tuple[dict[int, EnsembleMember], WindowChoice]:
    """Choose the window with the best single trial, and fit the other trials on the same."""
    weights = dict(selection.weights)
    weight = weights.pop(selection.single, 0.0)
    trial = search.trial(selection.single)
    result = fit_best_window(
        trial.configuration,
        search.training,
        windows,
        folds=trial.folds,
        fold_rows=search.fold_rows,
        metric=search.metric,
        end=search.end,
    )
    others = _refit_members(search, weights.items(), result.training)
    if others and not weight:
        return others, result.choice
    member = EnsembleMember(
        trial.configuration, weight if others else 1.0, (result.fitted,), (result.iterations,)
    )
    return {selection.single: member, **others}, result.choice


def _to_ensemble(members: dict[int, EnsembleMember]) -> tuple[Ensemble, dict[int, float]]:
    """Return members as an ensemble, the heaviest first, and the weight of each trial in it."""
    numbers = sorted(members, key=lambda number: -members[number].weight)
    ensemble = normalized_ensemble([members[number] for number in numbers])
    weights = [member.weight for member in ensemble.members]
    return ensemble, dict(zip(numbers, weights, strict=True))


def _count_fold_models(search: SearchResult, numbers: Sequence[int]) -> int | None:
    """Return the parameters of one fold model of each trial; None if any is unknown."""
    first = [entry.folds[0] for entry in search.read(numbers)]
    counts = [count_predictor_parameters(load_predictor(model.kind, model.data)) for model in first]
    known = [count for count in counts if count is not None]
    return sum(known) if numbers and len(known) == len(numbers) else None


def _selection_note(selection: EnsembleSelection, ensemble: Ensemble, search: SearchResult) -> str:
    metric = search.metric
    if len(ensemble.members) == 1 and len(selection.weights) == 1:
        family = ensemble.members[0].configuration.family
        return _single_model_note(selection.single, family, metric, selection.single_score)
    weights: dict[str, float] = {}
    for each in ensemble.members:
        family = family_name(each.configuration.family)
        weights[family] = weights.get(family, 0.0) + each.weight
    model = f"combines {count_noun(len(ensemble.members), 'model')}"
    if len(ensemble.members) == 1:
        n_selected = len(selection.weights)
        model = f"is {family}, all of an ensemble of {n_selected} that there was time to fit"
    elif len(weights) == 1:
        model += f" of one kind, each {family}"
    else:
        named = [f"{family} ({format_percent(weight, 0)})" for family, weight in weights.items()]
        more = len(named) - MAX_NAMED_FAMILIES
        if more > 0:
            named = [*named[:MAX_NAMED_FAMILIES], f"{more} more"]
        model += f", {', '.join(named[:-1])} and {named[-1]}"
    is_partial = len(np.unique(selection.unseen.folds)) < len(search.folds)
    where = "on the first fold" if is_partial else "in cross-validation"
    return (
        f"The model {model}: {metric_name(metric.name)} {format_score(selection.cross_fitted)}"
        f" {where}; the best single model reaches {format_score(selection.single_score)}."
    )


def _single_model_note(number: int, family: str, metric: Metric, score: float | None) -> str:
    return (
        f"The model is {family_name(family)} (trial {number}): {metric_name(metric.name)}"
        f" {format_score(score)} in cross-validation."
    )


def _format_score(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.6g}"
