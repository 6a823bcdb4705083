"""The whole search, run again for every fold without the rows that judge it."""

import time

from pipelines.core.folds import Fold
from pipelines.core.metrics import figures
from pipelines.core.model import predict
from pipelines.core.nesting import Nested, Rows, inner_folds, mean_figures
from pipelines.core.trials import Figures
from pipelines.core.truths import truth_of
from pipelines.errors import ParamsError
from pipelines.library.tune import Settings, tune
from pipelines.sections import FitSection, SearchSection
from pipelines.tuning.strategies import Strategy
from pipelines.tuning.work import Work

MOST_SEARCHES = 20


def nested(rows: Rows, *, search: SearchSection, fit: FitSection) -> Nested:
    """Return what the search reaches on the folds of the training rows.

    Each fold's search sees the fold's training rows alone, parted as the other folds part them. It
    has an equal share of the search's seconds, or all of its trials. Folds whose training rows no
    other fold parts, such as the first of folds in time, are left out.

    Raises
    ------
    ParamsError
        If there are too many folds, or none can be judged.
    """
    few = rows.folds if len(rows.folds) <= MOST_SEARCHES else ()
    made = {number: inner_folds(few, number) for number in range(len(few))}
    inner = {number: folds for number, folds in made.items() if folds}
    if not inner:
        raise ParamsError(
            f"evaluation.nested: expected at most {MOST_SEARCHES} folds, of which each has rows of "
            f"others to learn from, but split makes {len(rows.folds)}. Set split.folds or "
            "split.n_folds, or evaluation.nested: false."
        )
    settings = _settings(search, fit, n_searches=len(inner))
    truth = truth_of(rows.table, rows.schema)
    work = Work(rows.table, truth, rows.schema, rows.folds, rows.metrics, search.seed)
    reached = [
        _reached(work, number, within=folds, settings=settings) for number, folds in inner.items()
    ]
    optimised = tuple(found[rows.metrics[0].name] for found in reached)
    return Nested(mean_figures(reached), optimised, settings.budget_seconds)


def _reached(work: Work, outer: int, *, within: tuple[Fold, ...], settings: Settings) -> Figures:
    rows, judging = work.folds[outer].training, work.folds[outer].validation
    seen = Work(
        table=work.table.iloc[rows].reset_index(drop=True),
        truth=work.truth[rows],
        schema=work.schema,
        folds=within,
        metrics=work.metrics[:1],
        seed=work.seed,
    )
    tuned = tune(seen, settings, started=time.monotonic())
    said = predict(tuned.fitted, work.table.iloc[judging], work.schema)
    return figures(work.metrics, work.truth[judging], said)


def _settings(search: SearchSection, fit: FitSection, *, n_searches: int) -> Settings:
    seconds = search.budget_seconds
    strategy = Strategy(
        families=search.families,
        searcher=search.searcher,
        scheduler=search.scheduler,
        space={str(family): ranges for family, ranges in search.space.items()},
        workers=None if search.workers == "auto" else search.workers,
        seed=search.seed,
    )
    share = None if seconds is None else seconds / n_searches
    return Settings(strategy, share, search.budget_trials, fit.mode)
