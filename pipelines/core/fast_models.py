"""A fitted model made ready for a few rows at a time.

Encoders and forests of scikit-learn cost milliseconds for one row, most of it checks and tables.
What an encoder of words does is asked of it once, for every level that it knows, and then looked
up; numbers go through the fitted transformers as plain arrays; a forest's trees are asked without
what schedules them. The figures are those of `pipelines.core.model.predict`.
"""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import FunctionTransformer, KBinsDiscretizer, StandardScaler

from pipelines.core.fast_rows import Columns, Row, RowReader, read_rows, row_reader
from pipelines.core.model import Fitted, Model
from pipelines.core.predictions import Floats, Predictions
from pipelines.core.schema import Schema

UNKNOWN = "\x00 a level that no table has"
Places = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Levels:
    """What the encoder makes of one column of words.

    Attributes
    ----------
    name : str
    places : array of shape (w,)
        The columns of X that it decides.
    codes : dict
        Each known level's row in `table`; unknown levels have the last one.
    table : array of shape (n_levels + 1, w)
    """

    name: str
    places: Places
    codes: dict[str, int]
    table: Floats


@dataclass(frozen=True, eq=False)
class FastModel:
    """A model made ready.

    Attributes
    ----------
    reading : RowReader
    unknown : array of shape (width,)
        The row of X in which every word is unknown.
    levels : tuple of Levels
    numbers : tuple of str
        Columns of the matrix that are numbers.
    number_places : slice
        Where they stand in X.
    transform : callable
        From numbers to columns of X.
    score : callable
        From X to predictions.
    """

    reading: RowReader
    unknown: Floats
    levels: tuple[Levels, ...]
    numbers: tuple[str, ...]
    number_places: slice
    transform: Callable[[Floats], Floats]
    score: Callable[[Floats], Predictions]


def fast_model(model: Model) -> FastModel:
    """Return a model made ready for a few rows at a time."""
    encoder = model.fitted.encoder
    numbers, transform = _number_part(encoder)
    return FastModel(
        reading=row_reader(model.schema),
        unknown=_unknown_row(encoder),
        levels=tuple(_level_parts(encoder)),
        numbers=numbers,
        number_places=encoder.output_indices_.get("numbers", slice(0, 0)),
        transform=transform,
        score=scorer(model.fitted, model.schema),
    )


def encoded(columns: Columns, n_rows: int, fast: FastModel) -> Floats:
    """Return columns of the matrix as the predictor takes them.

    Parameters
    ----------
    columns : dict of lists of n
        From `read_rows`.
    n_rows : int
    fast : FastModel

    Returns
    -------
    array of shape (n, width)
    """
    X = np.tile(fast.unknown, (n_rows, 1))
    for level in fast.levels:
        unknown = len(level.table) - 1
        codes = [level.codes.get(word, unknown) for word in columns[level.name]]  # type: ignore[arg-type]
        X[:, level.places] = level.table[codes]
    if fast.numbers:
        cells = np.array([columns[name] for name in fast.numbers], dtype=np.float64).T
        X[:, fast.number_places] = fast.transform(cells)
    return X


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


def scorer(fitted: Fitted, schema: Schema) -> Callable[[Floats], Predictions]:
    """Return the function from X to predictions of a fitted model."""
    predictor = fitted.predictor
    if hasattr(predictor, "num_trees"):
        raw: Callable[[Floats], Floats] = partial(predictor.predict, num_threads=1)
    elif hasattr(predictor, "estimators_"):
        raw = _forest(predictor)
    elif schema.task == "regression":
        raw = predictor.predict
    else:
        raw = predictor.predict_proba
    if schema.task == "regression":
        return lambda X: Predictions(np.asarray(raw(X), dtype=float))
    known = getattr(predictor, "classes_", None)
    return lambda X: _classified(raw(X), known, n_classes=len(schema.classes))


def _classified(raw: Floats, known: Any, *, n_classes: int) -> Predictions:
    shares = np.asarray(raw, dtype=float)
    if known is not None:
        all_shares = np.zeros((len(shares), n_classes))
        all_shares[:, np.asarray(known, dtype=int)] = shares
        shares = all_shares
    elif shares.ndim == 1:
        shares = np.column_stack([1 - shares, shares])
    return Predictions(shares.argmax(axis=1).astype(float), shares)


def _forest(forest: Any) -> Callable[[Floats], Floats]:
    """Return the mean over the trees, added up in the forest's own order."""
    trees = [each.tree_ for each in forest.estimators_]
    width = int(forest.n_classes_) if hasattr(forest, "n_classes_") else None

    def mean(X: Floats) -> Floats:
        cells = np.ascontiguousarray(X, dtype=np.float32)
        total = np.zeros((len(X), trees[0].value.shape[2] if width is None else width))
        for tree in trees:
            total += tree.predict(cells).reshape(len(X), -1)
        total /= len(trees)
        return total[:, 0] if width is None else total

    return mean


def _number_part(encoder: Any) -> tuple[tuple[str, ...], Callable[[Floats], Floats]]:
    for name, part, columns in encoder.transformers_:
        if name == "numbers":
            passes = part == "passthrough" or isinstance(part, FunctionTransformer)
            steps = [] if passes else [_on_arrays(step) for step in _steps(part)]
            return tuple(columns), partial(_one_by_one, steps=steps)
    return (), partial(_one_by_one, steps=())


def _steps(part: Any) -> list[Any]:
    """Return the transformers of a pipeline, and of pipelines in it."""
    inner = [step for _, step in getattr(part, "steps", [])]
    return [last for step in inner for last in _steps(step)] or [part]


def _one_by_one(X: Floats, *, steps: Sequence[Callable[[Floats], Floats]]) -> Floats:
    for step in steps:
        X = step(X)
    return X


def _on_arrays(step: Any) -> Callable[[Floats], Floats]:
    """Return what a fitted transformer does to an array, whose columns have no names."""
    if isinstance(step, SimpleImputer):
        return partial(_imputed, medians=step.statistics_, gaps=step.indicator_.features_)
    if isinstance(step, StandardScaler):
        return partial(_scaled, means=step.mean_, scales=step.scale_)
    if isinstance(step, KBinsDiscretizer):
        return partial(_binned, edges=[each[1:-1] for each in step.bin_edges_])
    copy = deepcopy(step)
    vars(copy).pop("feature_names_in_", None)
    transform: Callable[[Floats], Floats] = copy.transform
    return transform


def _imputed(X: Floats, *, medians: Floats, gaps: Places) -> Floats:
    missing = np.isnan(X)
    return np.hstack([np.where(missing, medians, X), missing[:, gaps]])


def _binned(X: Floats, *, edges: Sequence[Floats]) -> Floats:
    parts = [
        np.eye(len(inner) + 1)[np.searchsorted(inner, cells, side="right")]
        for cells, inner in zip(X.T, edges, strict=True)
    ]
    return np.hstack(parts)


def _scaled(X: Floats, *, means: Floats, scales: Floats) -> Floats:
    return (X - means) / scales


def _level_parts(encoder: Any) -> Iterator[Levels]:
    for name, part, columns in encoder.transformers_:
        if name in ("levels", "targets"):
            start = encoder.output_indices_[name].start
            for place in range(len(columns)):
                yield _levels_of(part, list(columns), place, start=start)


def _levels_of(part: Any, columns: list[str], place: int, *, start: int) -> Levels:
    """Ask an encoder about every level of one column, while the others have an unknown one."""
    first = part.steps[0][1] if hasattr(part, "steps") else part
    words = [word for word in first.categories_[place] if isinstance(word, str)]
    probe = {name: [UNKNOWN] * (len(words) + 1) for name in columns}
    probe[columns[place]] = [*words, UNKNOWN]
    table = np.asarray(part.transform(pd.DataFrame(probe, dtype=object)), dtype=np.float64)
    codes = {word: code for code, word in enumerate(words)}
    decided = np.flatnonzero(_differs(table[:-1], table[-1]).any(axis=0))
    return Levels(columns[place], decided + start, codes, table[:, decided])


def _differs(table: Floats, row: Floats) -> NDArray[np.bool_]:
    same: NDArray[np.bool_] = (table == row) | (np.isnan(table) & np.isnan(row))
    return ~same


def _unknown_row(encoder: Any) -> Floats:
    """Return what the encoder makes of a row in which every word is unknown; numbers are 0."""
    places = encoder.output_indices_
    row = np.zeros(max(part.stop for part in places.values()))
    for name, part, columns in encoder.transformers_:
        if name in ("levels", "targets"):
            unknown = pd.DataFrame({column: [UNKNOWN] for column in columns}, dtype=object)
            row[places[name]] = np.asarray(part.transform(unknown), dtype=np.float64)[0]
    return row
