"""Tune a model in memory within one budget: search, select and build, as the estimators use it.

`tune` does what the stages search and fit do, with the fold models in a temporary folder. It
keeps part of the budget back for the steps after the search. `nested_cross_validation` runs the
whole search again on each fold's training rows, for an estimate that selection does not bias.
"""

import math
import tempfile
import time
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from evertune.config.schema import FitSection, SearchSection
from evertune.data.folds import Fold
from evertune.data.schema import encode_target
from evertune.ensemble.oof import TrialArtifacts
from evertune.errors import ParamsError
from evertune.evaluation.nested import CrossValidationData, NestedResult, inner_folds, mean_metrics
from evertune.fitting.build import FitMode, SearchResult, TunedModel, build_tuned_model
from evertune.fitting.refit import ModeOption, TrainingSet, resolve_mode
from evertune.metrics.metrics import Metric, compute_metrics
from evertune.models.families import fit_encoded
from evertune.models.model import FittedPipeline, predict
from evertune.models.training import FitContext
from evertune.preprocessing.encoders import feature_frame, make_encoder
from evertune.search.leaderboard import all_failed, top_trials, zero_rule_configuration
from evertune.search.objective import Objective
from evertune.search.run import run_search
from evertune.search.study import Budget, ProjectFolders, SearchConfig
from evertune.search.summary import failure_reasons
from evertune.search.trial_log import drop_entries, pool_megabytes, read_entries, save_entry
from evertune.trials import MetricValues, Trial

POOL_FOLDER = "pool"
REFIT_BUDGET_SHARES: dict[FitMode, float] = {"refit": 0.25, "single": 0.15}  # of the budget
MIN_RESERVE_SECONDS = 0.5
SELECTION_BUDGET_SHARE = 0.01  # of the budget: longer searches leave more trials to select from
MAX_RESERVED_SHARE = 0.2  # of the budget, beside refits
MAX_POOL_MEGABYTES = 1000
EXPECTED_ENCODINGS = 3  # of encoders that an ensemble has as a rule
PROBE_ROWS = (500, 4_000)


@dataclass(frozen=True)
class TuneSettings:
    """How a model is tuned.

    Attributes
    ----------
    strategy : SearchConfig
    budget_seconds, budget_trials : float or int, optional
        At least one is given.
    mode : str
        `bag` (fold models of the selected trials), `refit` (the selected configurations on all
        rows), `single` (the best configuration on all rows) or `auto`.
    """

    strategy: SearchConfig
    budget_seconds: float | None
    budget_trials: int | None
    mode: ModeOption = "auto"


def tune(work: Objective, settings: TuneSettings, *, started: float) -> TunedModel:
    """Return the best model that the budget allows, the zero rule where no trial was finished.

    Parameters
    ----------
    work : Objective
        Without folds nothing is searched.
    settings : TuneSettings
    started : float
        Moment of the monotonic clock from which the budget counts.

    Raises
    ------
    ConnectionError
        If the Ray cluster that RAY_ADDRESS names does not answer.
    """
    if not work.folds:
        return _tuned_zero_rule(work, ())
    mode = resolve_mode(settings.mode, work.folds, n_rows=len(work.table), has_windows=False)
    end = math.inf if settings.budget_seconds is None else started + settings.budget_seconds
    with tempfile.TemporaryDirectory() as name:
        trials = _run_search(work, settings, mode, started=started, folder=Path(name))
        _warn_of_failures(trials)
        found = _make_search_result(work, trials, Path(name) / POOL_FOLDER, mode=mode, end=end)
        return build_tuned_model(found) or _tuned_zero_rule(work, trials)


def _warn_of_failures(trials: tuple[Trial, ...]) -> None:
    if all_failed(trials):
        warnings.warn(
            f"All {len(trials)} trials failed: {failure_reasons(trials)}. The model is the zero "
            "rule.",
            UserWarning,
            stacklevel=5,
        )


def _make_search_result(
    work: Objective, trials: tuple[Trial, ...], pool: Path, *, mode: FitMode, end: float
) -> SearchResult:
    return SearchResult(
        lesson=TrainingSet(work.table, work.truth, work.schema, work.seed),
        folds=work.folds,
        trials=trials,
        entries=read_entries(pool, models=False),
        read=partial(read_entries, pool),
        metric=work.metrics[0],
        mode=mode,
        end=end,
    )


def _tuned_zero_rule(work: Objective, trials: tuple[Trial, ...]) -> TunedModel:
    """Return the best constant; its encoder, which it does not look at, learns from few rows."""
    constant = zero_rule_configuration(work.metrics[0])
    schema, blank = work.schema, np.zeros((len(work.truth), 1))
    setting = FitContext(schema.task, len(schema.classes), n_levels=0, seed=work.seed, n_jobs=1)
    predictor = fit_encoded(constant, blank, work.truth, setting).predictor
    return TunedModel(
        FittedPipeline(_fit_probe_encoder(work, PROBE_ROWS[0]), predictor),
        constant,
        trials,
        {},
        None,
    )


def _fit_probe_encoder(work: Objective, most_rows: int) -> Any:
    """Return an encoder that was fitted on few rows, spread over all targets."""
    n_rows = min(len(work.table), most_rows)
    places = np.linspace(0, len(work.table) - 1, n_rows).astype(np.int64)
    rows = np.argsort(work.truth, kind="stable")[places]
    cells = feature_frame(work.table.iloc[rows], work.schema)
    return make_encoder("plain", work.schema).fit(cells, work.truth[rows])


def _run_search(
    work: Objective, settings: TuneSettings, mode: FitMode, *, started: float, folder: Path
) -> tuple[Trial, ...]:
    trials: list[Trial] = []
    (folder / POOL_FOLDER).mkdir()
    seconds = settings.budget_seconds
    reserve = 0.0 if seconds is None else _reserve_seconds(work, mode, seconds)
    run_search(
        work,
        settings.strategy,
        budget=Budget(
            started, seconds=seconds and seconds - reserve, trials=settings.budget_trials
        ),
        finished=(),
        places=ProjectFolders(Path(__file__).parents[2], folder),
        on_finished=partial(_store_trial, folder / POOL_FOLDER, trials, work.metrics[0]),
    )
    return tuple(trials)


def _store_trial(
    pool: Path, trials: list[Trial], metric: Metric, trial: Trial, entry: TrialArtifacts | None
) -> None:
    trials.append(trial)
    if entry is None:
        return
    save_entry(pool, entry)
    ranked = top_trials(trials, greater_is_better=metric.greater_is_better, most=len(trials))
    order = [each.number for each in ranked]
    while len(order) > 1 and pool_megabytes(pool) > MAX_POOL_MEGABYTES:
        drop_entries(pool, [order.pop()])


def _reserve_seconds(work: Objective, mode: FitMode, budget_seconds: float) -> float:
    """Return the seconds to keep back for what follows the search."""
    share = SELECTION_BUDGET_SHARE + REFIT_BUDGET_SHARES.get(mode, 0.0)
    encodings = EXPECTED_ENCODINGS * len(work.folds) * _encoding_seconds(work)
    wanted = MIN_RESERVE_SECONDS + encodings + share * budget_seconds
    return min(wanted, (MAX_RESERVED_SHARE + share) * budget_seconds)


def _encoding_seconds(work: Objective) -> float:
    """Return about how long an encoder takes to fit, by two looks at few rows after a first one."""
    few, more = PROBE_ROWS
    seconds = []
    for n_rows in (few, few, more):
        began = time.monotonic()
        _fit_probe_encoder(work, n_rows)
        seconds.append(time.monotonic() - began)
    a_row = max(0.0, seconds[2] - seconds[1]) / (more - few)
    return seconds[2] + a_row * max(0, len(work.table) - more)


MAX_SEARCHES = 20


def nested_cross_validation(
    rows: CrossValidationData, *, search: SearchSection, fit: FitSection
) -> NestedResult:
    """Return what the search reaches on the folds of the training rows.

    Each fold's search sees the fold's training rows alone, parted as the other folds part them. It
    has an equal share of the search's seconds, or all of its trials. Folds whose training rows no
    other fold parts, such as the first of folds in time, are left out.

    Raises
    ------
    ParamsError
        If there are too many folds, or none can be judged.
    """
    few = rows.folds if len(rows.folds) <= MAX_SEARCHES else ()
    made = {number: inner_folds(few, number) for number in range(len(few))}
    inner = {number: folds for number, folds in made.items() if folds}
    if not inner:
        raise ParamsError(
            f"evaluation.nested: expected at most {MAX_SEARCHES} folds, of which each has rows of "
            f"others to learn from, but split makes {len(rows.folds)}. Set split.folds or "
            "split.n_folds, or evaluation.nested: false."
        )
    settings = _make_tune_settings(search, fit, n_searches=len(inner))
    truth = encode_target(rows.table, rows.schema)
    work = Objective(rows.table, truth, rows.schema, rows.folds, rows.metrics, search.seed)
    reached = [
        _score_outer_fold(work, number, within=folds, settings=settings)
        for number, folds in inner.items()
    ]
    optimised = tuple(found[rows.metrics[0].name] for found in reached)
    return NestedResult(mean_metrics(reached), optimised, settings.budget_seconds)


def _score_outer_fold(
    work: Objective, outer: int, *, within: tuple[Fold, ...], settings: TuneSettings
) -> MetricValues:
    rows, judging = work.folds[outer].training, work.folds[outer].validation
    seen = Objective(
        table=work.table.iloc[rows].reset_index(drop=True),
        truth=work.truth[rows],
        schema=work.schema,
        folds=within,
        metrics=work.metrics[:1],
        seed=work.seed,
    )
    tuned = tune(seen, settings, started=time.monotonic())
    said = predict(tuned.fitted, work.table.iloc[judging], work.schema)
    return compute_metrics(work.metrics, work.truth[judging], said)


def _make_tune_settings(search: SearchSection, fit: FitSection, *, n_searches: int) -> TuneSettings:
    seconds = search.budget_seconds
    strategy = SearchConfig(
        families=search.families,
        searcher=search.searcher,
        scheduler=search.scheduler,
        space={str(family): ranges for family, ranges in search.space.items()},
        workers=None if search.workers == "auto" else search.workers,
        seed=search.seed,
    )
    share = None if seconds is None else seconds / n_searches
    return TuneSettings(strategy, share, search.budget_trials, fit.mode)
