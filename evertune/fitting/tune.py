"""Tune a model in memory within one budget: search, select and build, as the estimators use it.

`tune` does what the stages search and fit do, with the fold models in a temporary folder. It
keeps part of the budget back for the steps after the search. `nested_cross_validation` runs the
whole search again on each fold's training rows, for an estimate that selection does not bias.
"""

import math
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path

from evertune.config.schema import FitSection, SearchSection
from evertune.data.folds import Fold
from evertune.data.schema import encode_target
from evertune.ensemble.oof import TrialArtifacts
from evertune.errors import ParamsError
from evertune.evaluation.nested import CrossValidationData, NestedResult, inner_folds
from evertune.fitting.build import BuiltModel, SearchResult, build_model
from evertune.fitting.refit import (
    FitMode,
    ModeOption,
    TrainingSet,
    fit_sample_encoder,
    resolve_mode,
)
from evertune.metrics.metrics import compute_metrics, mean_metrics
from evertune.models.fitted_model import predict
from evertune.search.leaderboard import all_failed
from evertune.search.objective import Objective
from evertune.search.run import run_search
from evertune.search.samplers import make_sampler
from evertune.search.study import Budget, SearchConfig, Study
from evertune.search.summary import failure_reasons
from evertune.search.trial_log import read_entries, save_entry, shrink_pool
from evertune.trials import MetricValues, Trial

REFIT_BUDGET_SHARES: dict[FitMode, float] = {"refit": 0.25, "single": 0.15}  # of the budget
MIN_RESERVE_SECONDS = 0.5
SELECTION_BUDGET_SHARE = 0.01  # of the budget: longer searches leave more trials to select from
MAX_RESERVED_SHARE = 0.2  # of the budget, beside refits
MAX_POOL_MEGABYTES = 1000
EXPECTED_ENCODINGS = 3  # encoders that an ensemble usually has
PROBE_ROWS = (500, 4_000)
MAX_SEARCHES = 20  # of nested cross-validation


def tune(
    objective: Objective,
    config: SearchConfig,
    *,
    started: float,
    budget_seconds: float | None = None,
    budget_trials: int | None = None,
    mode: ModeOption = "auto",
    prefer_simplest: bool = False,
) -> tuple[BuiltModel, tuple[Trial, ...]]:
    """Return the best model that the budget allows, and the trials in the order they ended.

    If no trial was finished, or there are no folds, the model is the zero rule.

    Parameters
    ----------
    started : float
        Moment of the monotonic clock from which the budget counts.
    budget_seconds, budget_trials : float or int, optional
        At least one is given.
    mode : str
        See `evertune.fitting.refit.resolve_mode`.
    prefer_simplest : bool
        Whether to build the simplest model that is not significantly worse than the best.

    Raises
    ------
    ConnectionError
        If the Ray cluster that RAY_ADDRESS names does not answer.
    """
    training = TrainingSet(objective.table, objective.y, objective.schema, objective.seed)
    fit_mode = resolve_mode(mode, objective.folds, n_rows=len(objective.table), has_windows=False)
    end = math.inf if budget_seconds is None else started + budget_seconds
    trials: list[Trial] = []
    with tempfile.TemporaryDirectory() as name:
        pool = Path(name) / "pool"
        pool.mkdir()

        def keep_trial(trial: Trial, artifacts: TrialArtifacts | None) -> None:
            trials.append(trial)
            if artifacts is not None:
                save_entry(pool, artifacts)
                shrink_pool(
                    pool,
                    trials,
                    greater_is_better=objective.metrics[0].greater_is_better,
                    max_megabytes=MAX_POOL_MEGABYTES,
                )

        if objective.folds:
            seconds = budget_seconds
            if seconds is not None:
                seconds -= _reserve_seconds(training, len(objective.folds), fit_mode, seconds)
            study = Study(
                objective,
                config,
                sampler=make_sampler(objective, config),
                budget=Budget(started, seconds=seconds, trials=budget_trials),
                on_finished=keep_trial,
            )
            run_search(study, root=Path.cwd(), state=Path(name))
        if all_failed(trials):
            warnings.warn(
                f"All {len(trials)} trials failed: {failure_reasons(trials)}. The model is the "
                "zero rule.",
                UserWarning,
                stacklevel=4,
            )
        search = SearchResult(
            training=training,
            folds=objective.folds,
            trials=tuple(trials),
            entries=read_entries(pool, models=False),
            read=partial(read_entries, pool),
            metric=objective.metrics[0],
            mode=fit_mode,
            end=end,
            advice="Raise budget_seconds or budget_trials.",
        )
        return build_model(search, prefer_simplest=prefer_simplest), search.trials


def nested_cross_validation(
    rows: CrossValidationData, *, search: SearchSection, fit: FitSection
) -> NestedResult:
    """Return the score of the whole search on the folds of the training rows.

    Each fold's search sees only the fold's training rows, split as the other folds split them. It
    has an equal share of the search's seconds, or all of its trials. Folds whose training rows no
    other fold splits, such as the first of folds in time, are left out.

    Raises
    ------
    ParamsError
        If there are too many folds, or none can be scored.
    """
    few = rows.folds if len(rows.folds) <= MAX_SEARCHES else ()
    inner = {number: inner_folds(few, number) for number in range(len(few))}
    inner = {number: folds for number, folds in inner.items() if folds}
    if not inner:
        raise ParamsError(
            f"evaluation.nested: expected at most {MAX_SEARCHES} folds, each with training rows "
            f"that other folds split, but split makes {len(rows.folds)}. Set split.folds or "
            "split.n_folds, or evaluation.nested: false."
        )
    seconds = None if search.budget_seconds is None else search.budget_seconds / len(inner)
    scores = [
        _score_outer_fold(rows, rows.folds[number], folds, search=search, fit=fit, seconds=seconds)
        for number, folds in inner.items()
    ]
    optimised = tuple(score[rows.metrics[0].name] for score in scores)
    return NestedResult(mean_metrics(scores), optimised, seconds)


def _score_outer_fold(
    rows: CrossValidationData,
    outer: Fold,
    inner: tuple[Fold, ...],
    *,
    search: SearchSection,
    fit: FitSection,
    seconds: float | None,
) -> MetricValues:
    y = encode_target(rows.table, rows.schema)
    first, *others = rows.metrics
    objective = Objective(
        table=rows.table.iloc[outer.training].reset_index(drop=True),
        y=y[outer.training],
        schema=rows.schema,
        folds=inner,
        metrics=(first, *(each for each in others if each.name in search.objectives)),
        seed=search.seed,
    )
    config = SearchConfig.of(search)
    built, _ = tune(
        objective,
        config,
        started=time.monotonic(),
        budget_seconds=seconds,
        budget_trials=search.budget_trials,
        mode=fit.mode,
    )
    predictions = predict(built.fitted, rows.table.iloc[outer.validation], rows.schema)
    return compute_metrics(rows.metrics, y[outer.validation], predictions)


def _reserve_seconds(
    training: TrainingSet, n_folds: int, mode: FitMode, budget_seconds: float
) -> float:
    """Return the seconds of the budget to keep back for the steps after the search."""
    share = SELECTION_BUDGET_SHARE + REFIT_BUDGET_SHARES.get(mode, 0.0)
    few, more = PROBE_ROWS
    seconds = []
    for n_rows in (few, few, more):  # the first is a warm-up
        began = time.monotonic()
        fit_sample_encoder(training, n_rows)
        seconds.append(time.monotonic() - began)
    per_row = max(0.0, seconds[2] - seconds[1]) / (more - few)
    encoding = seconds[2] + per_row * max(0, len(training.table) - more)
    wanted = MIN_RESERVE_SECONDS + EXPECTED_ENCODINGS * n_folds * encoding + share * budget_seconds
    return min(wanted, (MAX_RESERVED_SHARE + share) * budget_seconds)
