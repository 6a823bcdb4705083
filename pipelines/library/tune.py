"""From rows in memory to a model in one go: search, select and assemble within one budget.

What the stages search and fit do one after the other, with the pool in a temporary folder that is
gone afterwards. The clock runs from the moment that the caller names.
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

from pipelines.core.assembling import Mode, resolved_mode
from pipelines.core.encoding import encoder, matrix
from pipelines.core.metrics import Metric
from pipelines.core.model import Fitted
from pipelines.core.pool import PoolEntry
from pipelines.core.runs import kept_trials
from pipelines.core.search_story import counted_reasons
from pipelines.core.selection import all_failed, zero_rule_for
from pipelines.core.trials import Trial
from pipelines.library.making import Tuned, made_of
from pipelines.stores.pool import drop_entries, keep_entry, pool_megabytes, read_entries
from pipelines.tuning.families import grow
from pipelines.tuning.growing import Setting
from pipelines.tuning.making import Found, Making
from pipelines.tuning.refitting import Lesson
from pipelines.tuning.strategies import Budget, Places, Strategy
from pipelines.tuning.tuner import run_trials
from pipelines.tuning.work import Work

POOL = "pool"
REFIT_SHARES: dict[Making, float] = {"refit": 0.25, "single": 0.15}  # of the budget
LEAST_RESERVE = 0.5
SELECTING_SHARE = 0.01  # of the budget: longer searches leave more trials to select from
MOST_RESERVED = 0.2  # of the budget, beside refits
MOST_POOL_MEGABYTES = 1000
FORMS = 3  # of encoders that an ensemble has as a rule
PROBED_ROWS = (500, 4_000)


@dataclass(frozen=True)
class Settings:
    """How a model is tuned.

    Attributes
    ----------
    strategy : Strategy
    budget_seconds, budget_trials : float or int, optional
        At least one is given.
    mode : str
        `bag` (fold models of the selected trials), `refit` (the selected configurations on all
        rows), `single` (the best configuration on all rows) or `auto`.
    """

    strategy: Strategy
    budget_seconds: float | None
    budget_trials: int | None
    mode: Mode = "auto"


def tune(work: Work, settings: Settings, *, started: float) -> Tuned:
    """Return the best model that the budget allows, the zero rule where no trial was finished.

    Parameters
    ----------
    work : Work
        Without folds nothing is searched.
    settings : Settings
    started : float
        Moment of the monotonic clock from which the budget counts.

    Raises
    ------
    ConnectionError
        If the Ray cluster that RAY_ADDRESS names does not answer.
    """
    if not work.folds:
        return _zero_rule(work, ())
    mode = resolved_mode(settings.mode, work.folds, n_rows=len(work.table), has_windows=False)
    end = math.inf if settings.budget_seconds is None else started + settings.budget_seconds
    with tempfile.TemporaryDirectory() as name:
        trials = _searched(work, settings, mode, started=started, folder=Path(name))
        _warn_of_failures(trials)
        found = _found(work, trials, Path(name) / POOL, mode=mode, end=end)
        return made_of(found) or _zero_rule(work, trials)


def _warn_of_failures(trials: tuple[Trial, ...]) -> None:
    if all_failed(trials):
        warnings.warn(
            f"All {len(trials)} trials failed: {counted_reasons(trials)}. The model is the zero "
            "rule.",
            UserWarning,
            stacklevel=5,
        )


def _found(work: Work, trials: tuple[Trial, ...], pool: Path, *, mode: Making, end: float) -> Found:
    return Found(
        lesson=Lesson(work.table, work.truth, work.schema, work.seed),
        folds=work.folds,
        trials=trials,
        entries=read_entries(pool, models=False),
        read=partial(read_entries, pool),
        metric=work.metrics[0],
        mode=mode,
        end=end,
    )


def _zero_rule(work: Work, trials: tuple[Trial, ...]) -> Tuned:
    """Return the best constant; its encoder, which it does not look at, learns from few rows."""
    constant = zero_rule_for(work.metrics[0])
    schema, blank = work.schema, np.zeros((len(work.truth), 1))
    setting = Setting(schema.task, len(schema.classes), n_levels=0, seed=work.seed, n_jobs=1)
    predictor = grow(constant, blank, work.truth, setting).predictor
    return Tuned(Fitted(_probed(work, PROBED_ROWS[0]), predictor), constant, trials, {}, None)


def _probed(work: Work, most_rows: int) -> Any:
    """Return an encoder that was fitted on few rows, spread over all targets."""
    n_rows = min(len(work.table), most_rows)
    places = np.linspace(0, len(work.table) - 1, n_rows).astype(np.int64)
    rows = np.argsort(work.truth, kind="stable")[places]
    cells = matrix(work.table.iloc[rows], work.schema)
    return encoder("plain", work.schema).fit(cells, work.truth[rows])


def _searched(
    work: Work, settings: Settings, mode: Making, *, started: float, folder: Path
) -> tuple[Trial, ...]:
    trials: list[Trial] = []
    (folder / POOL).mkdir()
    seconds = settings.budget_seconds
    reserve = 0.0 if seconds is None else _reserve(work, mode, seconds)
    run_trials(
        work,
        settings.strategy,
        budget=Budget(
            started, seconds=seconds and seconds - reserve, trials=settings.budget_trials
        ),
        finished=(),
        places=Places(Path(__file__).parents[2], folder),
        on_finished=partial(_keep, folder / POOL, trials, work.metrics[0]),
    )
    return tuple(trials)


def _keep(
    pool: Path, trials: list[Trial], metric: Metric, trial: Trial, entry: PoolEntry | None
) -> None:
    trials.append(trial)
    if entry is None:
        return
    keep_entry(pool, entry)
    ranked = kept_trials(trials, greater_is_better=metric.greater_is_better, most=len(trials))
    order = [each.number for each in ranked]
    while len(order) > 1 and pool_megabytes(pool) > MOST_POOL_MEGABYTES:
        drop_entries(pool, [order.pop()])


def _reserve(work: Work, mode: Making, budget_seconds: float) -> float:
    """Return the seconds to keep back for what follows the search."""
    share = SELECTING_SHARE + REFIT_SHARES.get(mode, 0.0)
    encodings = FORMS * len(work.folds) * _encoding_seconds(work)
    wanted = LEAST_RESERVE + encodings + share * budget_seconds
    return min(wanted, (MOST_RESERVED + share) * budget_seconds)


def _encoding_seconds(work: Work) -> float:
    """Return about how long an encoder takes to fit, by two looks at few rows after a first one."""
    few, more = PROBED_ROWS
    seconds = []
    for n_rows in (few, few, more):
        began = time.monotonic()
        _probed(work, n_rows)
        seconds.append(time.monotonic() - began)
    a_row = max(0.0, seconds[2] - seconds[1]) / (more - few)
    return seconds[2] + a_row * max(0, len(work.table) - more)
