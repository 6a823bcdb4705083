"""What is evaluated, and one fold of it."""

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from pipelines.core.encoding import Form, encoder, matrix
from pipelines.core.folds import Fold
from pipelines.core.metrics import Metric, figures
from pipelines.core.model import said_by
from pipelines.core.pool import FoldModel
from pipelines.core.predictions import Floats
from pipelines.core.schema import Schema
from pipelines.core.serialised import dumped
from pipelines.core.trials import Configuration, FoldResult
from pipelines.tuning.families import form_of, grow, setting_of
from pipelines.tuning.growing import Grown

BYTES_OF_A_CELL = 8
MOST_ENCODED_BYTES = 400_000_000  # kept by one worker; older encodings make room


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


@dataclass(frozen=True, eq=False)
class Encoded:
    """The rows of one fold as a form of encoding shows them.

    Attributes
    ----------
    training, validation : arrays
    seconds : float
        What the validation rows took, once the encoder was fitted.
    """

    training: Floats
    validation: Floats
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class FoldYield:
    """What one fold gave.

    Attributes
    ----------
    result : FoldResult
    model : FoldModel
    whole : bool
        False where the fit was cut short.
    """

    result: FoldResult
    model: FoldModel
    whole: bool


Encodings = dict[tuple[Form, int], Encoded]


def fold_yield(  # noqa: PLR0913
    work: Work,
    configuration: Configuration,
    fold: int,
    *,
    encodings: Encodings,
    iterations: int | None = None,
    deadline: float = math.inf,
) -> FoldYield:
    """Return how a configuration does on one fold, with one thread.

    Parameters
    ----------
    work : Work
    configuration : Configuration
    fold : int
    encodings : dict
        Of folds that were encoded before; this fold's is added.
    iterations : int, optional
        Exactly so many rounds, trees or epochs; by default as many as the validation rows ask for.
    deadline : float
        Moment of the monotonic clock at which a fit ends with what it has.
    """
    start = time.perf_counter()
    encoded = _encoded(work, form_of(configuration), fold, encodings)
    setting = setting_of(
        configuration,
        work.schema,
        seed=work.seed,
        n_jobs=1,
        validation=(encoded.validation, work.truth[work.folds[fold].validation]),
        metric=work.metrics[0].name,
        iterations=iterations,
        deadline=deadline,
    )
    grown = grow(configuration, encoded.training, work.truth[work.folds[fold].training], setting)
    middle = time.perf_counter()
    model = _model(work, fold, grown, encoded)
    end = time.perf_counter()
    reached = figures(work.metrics, work.truth[model.rows], model.predictions)
    seconds = middle - start, end - middle
    result = FoldResult(fold, reached, *seconds, grown.iterations, encoded.seconds)
    return FoldYield(result, model, grown.whole)


def encoded_bytes(
    work: Work, configuration: Configuration, fold: int, encodings: Encodings
) -> tuple[int, bool]:
    """Return about how large a fold's encoded rows are, and whether they are there already.

    Of a form that no fold was encoded in yet, a column for each feature is taken.
    """
    form, folds = form_of(configuration), work.folds[fold]
    if (form, fold) in encodings:
        return _bytes(encodings[form, fold]), True
    alike = [_bytes(encoded) for (known, _), encoded in encodings.items() if known == form]
    n_rows = len(folds.training) + len(folds.validation)
    return max([*alike, n_rows * len(work.schema.features) * BYTES_OF_A_CELL]), False


def mean_score(results: Iterable[FoldResult], metric: str) -> float | None:
    """Return the mean of a metric over the folds in which it is defined."""
    known = [value for fold in results if (value := fold.figures[metric]) is not None]
    return sum(known) / len(known) if known else None


def _encoded(work: Work, form: Form, fold: int, known: Encodings) -> Encoded:
    if (form, fold) not in known:
        training, validation = work.folds[fold].training, work.folds[fold].validation
        columns = encoder(form, work.schema)
        rows = matrix(work.table.iloc[training], work.schema)
        X = columns.fit_transform(rows, work.truth[training])
        began = time.perf_counter()
        others = columns.transform(matrix(work.table.iloc[validation], work.schema))
        known[(form, fold)] = Encoded(X, others, time.perf_counter() - began)
        _make_room(known)
    return known[(form, fold)]


def _make_room(known: Encodings) -> None:
    while len(known) > 1 and sum(map(_bytes, known.values())) > MOST_ENCODED_BYTES:
        del known[next(iter(known))]


def _bytes(encoded: Encoded) -> int:
    return int(encoded.training.nbytes + encoded.validation.nbytes)


def _model(work: Work, fold: int, grown: Grown, encoded: Encoded) -> FoldModel:
    X = encoded.validation if grown.columns is None else encoded.validation[:, list(grown.columns)]
    schema = work.schema
    said = said_by(grown.predictor, X, task=schema.task, n_classes=len(schema.classes))
    kind, data = dumped(grown.predictor)
    return FoldModel(
        fold=fold,
        rows=work.folds[fold].validation,
        predictions=said,
        kind=kind,
        data=data,
        columns=grown.columns,
        iterations=grown.iterations,
    )
