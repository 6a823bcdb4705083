"""A fitted model made ready for a few rows at a time.

Encoders and predictors cost milliseconds for one row, most of it checks and tables; made ready they
do not. The figures are those of `pipelines.core.model.predict`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.core.fast_encoders import Encoding, encoded_by, encoding
from pipelines.core.fast_predictors import Answer, answer_of
from pipelines.core.fast_rows import Columns, Row, RowReader, read_rows, row_reader
from pipelines.core.model import Ensemble, Fitted, Model, by_encoder, concluded
from pipelines.core.predictions import Floats, Predictions
from pipelines.core.schema import Schema

Encoded = Sequence[Floats]


@dataclass(frozen=True, eq=False)
class FastModel:
    """A model made ready.

    Attributes
    ----------
    reading : RowReader
    encodings : tuple of Encoding
    score : callable
        From what the encodings make of rows to predictions.
    """

    reading: RowReader
    encodings: tuple[Encoding, ...]
    score: Callable[[Encoded], Predictions]


def fast_model(model: Model) -> FastModel:
    """Return a model made ready for a few rows at a time."""
    reading, schema = row_reader(model.schema), model.schema
    if isinstance(model.fitted, Fitted):
        made = (encoding(model.fitted.encoder),)
        return FastModel(reading, made, _score_of_one(model.fitted, schema))
    encodings = tuple(encoding(encoder) for encoder, _ in by_encoder(model.fitted))
    return FastModel(reading, encodings, _score_of_many(model.fitted, schema))


def encoded(columns: Columns, n_rows: int, fast: FastModel) -> list[Floats]:
    """Return columns of the matrix as the predictors take them, once for each encoder.

    Parameters
    ----------
    columns : dict of lists of n
        From `read_rows`.
    n_rows : int
    fast : FastModel

    Returns
    -------
    list of arrays of shape (n, width)
    """
    return [encoded_by(each, columns, n_rows) for each in fast.encodings]


def predict_quickly(rows: Sequence[Row], fast: FastModel) -> Predictions:
    """Return predictions for n rows that have no faults, the same as those of `predict`.

    Raises
    ------
    ValueError
        Where a row cannot be read.
    """
    columns, faults = read_rows(rows, fast.reading)
    if faults:
        raise ValueError(f"Expected rows that can be read, but got {faults=}.")
    return fast.score(encoded(columns, len(rows), fast))


def _score_of_one(fitted: Fitted, schema: Schema) -> Callable[[Encoded], Predictions]:
    answer = answer_of(fitted, schema)

    def score(encoded: Encoded) -> Predictions:
        said = answer(encoded[0])
        if said.ndim == 1:
            return Predictions(said)
        return Predictions(said.argmax(axis=1).astype(np.float64), said)

    return score


def _score_of_many(ensemble: Ensemble, schema: Schema) -> Callable[[Encoded], Predictions]:
    groups: list[list[tuple[float, Answer]]] = [
        [(part.weight, answer_of(part.fitted, schema)) for part in parts]
        for _, parts in by_encoder(ensemble)
    ]

    def score(encoded: Encoded) -> Predictions:
        said = [
            weight * answer(X)
            for X, answers in zip(encoded, groups, strict=True)
            for weight, answer in answers
        ]
        return concluded(np.sum(said, axis=0), ensemble)

    return score
