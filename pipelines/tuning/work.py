"""What is evaluated, and one fold of it."""

import time
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from pipelines.core.folds import Fold
from pipelines.core.metrics import Metric, figures
from pipelines.core.model import predict
from pipelines.core.predictions import Floats
from pipelines.core.schema import Schema
from pipelines.core.trials import Configuration, FoldResult
from pipelines.tuning.families import fit_configuration


@dataclass(frozen=True, eq=False)
class Work:
    """All that a worker needs to evaluate configurations; it is sent once.

    Attributes
    ----------
    table : DataFrame of n rows
        Clean training rows.
    truth : array of shape (n,)
    metrics : tuple of Metric
        The first is optimised, the others are written down.
    """

    table: pd.DataFrame
    truth: Floats
    schema: Schema
    folds: tuple[Fold, ...]
    metrics: tuple[Metric, ...]
    seed: int


def fold_result(work: Work, configuration: Configuration, fold: int) -> FoldResult:
    """Return how a configuration does on one fold, with one thread."""
    training, validation = work.folds[fold].training, work.folds[fold].validation
    start = time.perf_counter()
    fitted = fit_configuration(
        configuration,
        work.table.iloc[training],
        work.truth[training],
        schema=work.schema,
        seed=work.seed,
        n_jobs=1,
    )
    middle = time.perf_counter()
    predictions = predict(fitted, work.table.iloc[validation], work.schema)
    end = time.perf_counter()
    reached = figures(work.metrics, work.truth[validation], predictions)
    return FoldResult(fold, reached, middle - start, end - middle)


def mean_score(results: Iterable[FoldResult], metric: str) -> float | None:
    """Return the mean of a metric over the folds in which it is defined."""
    known = [value for fold in results if (value := fold.figures[metric]) is not None]
    return sum(known) / len(known) if known else None
