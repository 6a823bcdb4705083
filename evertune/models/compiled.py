"""Compile a fitted model so that it predicts a few rows quickly.

For one row, a model needs milliseconds, most of them for checks, tables and thread scheduling.
`compile_model` removes them: each categorical encoder is evaluated once for every known level
and then looked up, numbers pass through the fitted transformers as plain arrays, and predictors
run single-threaded. `predict_compiled` gives the same predictions as
`evertune.models.model.predict`.
"""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    RobustScaler,
    StandardScaler,
)
from threadpoolctl import ThreadpoolController

from evertune.data.schema import TableSchema
from evertune.models.compiled_rows import CellColumns, Row, RowReader, make_row_reader, read_rows
from evertune.models.model import (
    UNSEEN_LEVEL_CODE,
    Ensemble,
    FittedPipeline,
    Model,
    expand_to_all_classes,
    finalize_predictions,
    group_by_encoder,
)
from evertune.preprocessing.transformers import HASH_WIDTH, LEVEL_SEPARATOR, hash_levels
from evertune.types import FloatArray, Predictions

RowTransform = Callable[[CellColumns], FloatArray]  # from columns of the matrix to columns of X
CategoryPair = tuple[str, str, str]  # the name of two categories made one, and theirs


def row_transforms(encoder: Any) -> Iterator[tuple[slice, RowTransform]]:
    """Yield the parts that are worked out for each row, with the columns of X that they fill."""
    places = encoder.output_indices_
    for name, part, columns in encoder.transformers_:
        if name == "hashes":
            for place, column in enumerate(columns):
                start = places[name].start + HASH_WIDTH * place
                yield slice(start, start + HASH_WIDTH), partial(_hash_column, name=column)
        elif name == "texts":
            yield from _text_transforms(part, list(columns), start=places[name].start)
        elif name == "products":
            yield places[name], _make_product_transform(part, list(columns))


def category_pairs(encoder: Any) -> tuple[CategoryPair, ...]:
    """Return the pairs of categories that an encoder makes one."""
    for name, part, columns in encoder.transformers_:
        if name == "crosses":
            pairs = enumerate(part.places_)
            return tuple((f"cross{n}", columns[a], columns[b]) for n, (a, b) in pairs)
    return ()


def add_category_pairs(columns: CellColumns, pairs: Sequence[CategoryPair]) -> CellColumns:
    r"""Return columns of the matrix with pairs of categories among them.

    Examples
    --------
    >>> add_category_pairs({"a": ["x"], "b": ["y"]}, [("cross0", "a", "b")])["cross0"]
    ['x\x1fy']
    """
    made: CellColumns = {
        name: [
            f"{left}{LEVEL_SEPARATOR}{right}"
            for left, right in zip(columns[first], columns[second], strict=True)
        ]
        for name, first, second in pairs
    }
    return columns | made if made else columns


def _hash_column(columns: CellColumns, *, name: str) -> FloatArray:
    return hash_levels(columns[name])  # type: ignore[arg-type]


def _text_transforms(
    part: Any, columns: list[str], *, start: int
) -> Iterator[tuple[slice, RowTransform]]:
    ends = start + np.cumsum(part.widths_)
    for place, name in enumerate(columns):
        if part.ways_[place] != "target":
            first = int(ends[place]) - part.widths_[place]
            yield (
                slice(first, int(ends[place])),
                partial(_encode_text, part=part, place=place, name=name),
            )


def _encode_text(columns: CellColumns, *, part: Any, place: int, name: str) -> FloatArray:
    found: FloatArray = part.column(place, columns[name])
    return found


def _make_product_transform(part: Any, names: list[str]) -> RowTransform:
    pairs, scaler = (part[0], part[1]) if isinstance(part, Pipeline) else (part, None)
    return partial(_encode_products, pairs=pairs, names=names, scaler=scaler)


def _encode_products(
    columns: CellColumns, *, pairs: Any, names: list[str], scaler: StandardScaler | None
) -> FloatArray:
    cells = np.array([columns[name] for name in names], dtype=np.float64).T
    found: FloatArray = pairs.transform(cells)
    return found if scaler is None else (found - scaler.mean_) / scaler.scale_


UNKNOWN_LEVEL = "\x00 a level that no table has"
IndexArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class LevelTable:
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
    places: IndexArray
    codes: dict[str, int]
    table: FloatArray


@dataclass(frozen=True, eq=False)
class CompiledEncoder:
    """An encoder made ready.

    Attributes
    ----------
    unknown : array of shape (width,)
        The row of X in which every word is unknown.
    levels : tuple of LevelTable
    numbers : tuple of str
        Columns of the matrix that are numbers.
    number_places : slice
        Where they stand in X.
    transform : callable
        From numbers to columns of X.
    joints : tuple of (str, str, str)
        Pairs of categories that are looked up as one, with the name that they have in `levels`.
    makers : tuple of (slice, callable)
        What is worked out for each row, and where it stands in X.
    """

    unknown: FloatArray
    levels: tuple[LevelTable, ...]
    numbers: tuple[str, ...]
    number_places: slice
    transform: Callable[[FloatArray], FloatArray]
    joints: tuple[CategoryPair, ...] = ()
    makers: tuple[tuple[slice, RowTransform], ...] = ()


def compile_encoder(encoder: Any) -> CompiledEncoder:
    """Return a fitted encoder made ready for a few rows at a time."""
    numbers, transform = _compile_numbers(encoder)
    return CompiledEncoder(
        unknown=_unknown_row(encoder),
        levels=tuple(_level_tables(encoder)),
        numbers=numbers,
        number_places=encoder.output_indices_.get("numbers", slice(0, 0)),
        transform=transform,
        joints=category_pairs(encoder),
        makers=tuple(row_transforms(encoder)),
    )


def encode_columns(made: CompiledEncoder, columns: CellColumns, n_rows: int) -> FloatArray:
    """Return columns of the matrix as predictors take them.

    Parameters
    ----------
    made : CompiledEncoder
    columns : dict of lists of n
        From `read_rows`.
    n_rows : int

    Returns
    -------
    array of shape (n, width)
    """
    X = np.tile(made.unknown, (n_rows, 1))
    columns = add_category_pairs(columns, made.joints)
    for level in made.levels:
        unknown = len(level.table) - 1
        codes = [level.codes.get(word, unknown) for word in columns[level.name]]  # type: ignore[arg-type]
        X[:, level.places] = level.table[codes]
    if made.numbers:
        cells = np.array([columns[name] for name in made.numbers], dtype=np.float64).T
        X[:, made.number_places] = made.transform(cells)
    for places, make in made.makers:
        X[:, places] = make(columns)
    return X


def _compile_numbers(encoder: Any) -> tuple[tuple[str, ...], Callable[[FloatArray], FloatArray]]:
    for name, part, columns in encoder.transformers_:
        if name == "numbers":
            passes = part == "passthrough" or isinstance(part, FunctionTransformer)
            steps = [] if passes else [_array_function(step) for step in _flatten_pipeline(part)]
            return tuple(columns), partial(_apply_steps, steps=steps)
    return (), partial(_apply_steps, steps=())


def _flatten_pipeline(part: Any) -> list[Any]:
    """Return the transformers of a pipeline, and of pipelines in it."""
    inner = [step for _, step in getattr(part, "steps", [])]
    return [last for step in inner for last in _flatten_pipeline(step)] or [part]


def _apply_steps(
    X: FloatArray, *, steps: Sequence[Callable[[FloatArray], FloatArray]]
) -> FloatArray:
    for step in steps:
        X = step(X)
    return X


def _array_function(step: Any) -> Callable[[FloatArray], FloatArray]:
    """Return what a fitted transformer does to an array, whose columns have no names."""
    if isinstance(step, SimpleImputer):
        return partial(_impute, medians=step.statistics_, gaps=step.indicator_.features_)
    if isinstance(step, StandardScaler):
        return partial(_standardize, means=step.mean_, scales=step.scale_)
    if isinstance(step, RobustScaler):
        return partial(_standardize, means=step.center_, scales=step.scale_)
    if isinstance(step, FunctionTransformer) and step.func is not None:
        function: Callable[[FloatArray], FloatArray] = step.func
        return function
    if isinstance(step, KBinsDiscretizer):
        return partial(_one_hot_bins, edges=[each[1:-1] for each in step.bin_edges_])
    copy = deepcopy(step)
    vars(copy).pop("feature_names_in_", None)
    transform: Callable[[FloatArray], FloatArray] = copy.transform
    return transform


def _impute(X: FloatArray, *, medians: FloatArray, gaps: IndexArray) -> FloatArray:
    missing = np.isnan(X)
    return np.hstack([np.where(missing, medians, X), missing[:, gaps]])


def _one_hot_bins(X: FloatArray, *, edges: Sequence[FloatArray]) -> FloatArray:
    parts = [
        np.eye(len(inner) + 1)[np.searchsorted(inner, cells, side="right")]
        for cells, inner in zip(X.T, edges, strict=True)
    ]
    return np.hstack(parts)


def _standardize(X: FloatArray, *, means: FloatArray, scales: FloatArray) -> FloatArray:
    return (X - means) / scales


def _level_tables(encoder: Any) -> Iterator[LevelTable]:
    for name, part, columns in encoder.transformers_:
        if name in ("levels", "targets"):
            start = encoder.output_indices_[name].start
            for place in range(len(columns)):
                yield _make_level_table(part, list(columns), place, start=start)
        elif name == "texts":
            yield from _text_level_tables(part, columns, start=encoder.output_indices_[name].start)
        elif name == "crosses":
            start = encoder.output_indices_[name].start
            names = [joint for joint, _, _ in category_pairs(encoder)]
            for place in range(len(names)):
                yield _make_level_table(part.means_, names, place, start=start)


def _text_level_tables(part: Any, columns: Sequence[str], *, start: int) -> Iterator[LevelTable]:
    """Yield the texts that are means of the target, those without one of their own as unknown."""
    for place, name in enumerate(columns):
        known = part.known_[place]
        places = np.arange(start, start + part.widths_[place])
        if part.ways_[place] == "target":
            table = part.column(place, [*known, UNKNOWN_LEVEL])
            yield LevelTable(name, places, {word: code for code, word in enumerate(known)}, table)
        start += part.widths_[place]


def _make_level_table(part: Any, columns: list[str], place: int, *, start: int) -> LevelTable:
    """Ask an encoder about every level of one column, while the others have an unknown one."""
    first = part.steps[0][1] if hasattr(part, "steps") else part
    words = [word for word in first.categories_[place] if isinstance(word, str)]
    probe = {name: [UNKNOWN_LEVEL] * (len(words) + 1) for name in columns}
    probe[columns[place]] = [*words, UNKNOWN_LEVEL]
    table = np.asarray(part.transform(pd.DataFrame(probe, dtype=object)), dtype=np.float64)
    codes = {word: code for code, word in enumerate(words)}
    decided = np.flatnonzero(_differs(table[:-1], table[-1]).any(axis=0))
    return LevelTable(columns[place], decided + start, codes, table[:, decided])


def _differs(table: FloatArray, row: FloatArray) -> NDArray[np.bool_]:
    same: NDArray[np.bool_] = (table == row) | (np.isnan(table) & np.isnan(row))
    return ~same


def _unknown_row(encoder: Any) -> FloatArray:
    """Return what the encoder makes of a row in which every word is unknown; numbers are 0."""
    places = encoder.output_indices_
    row = np.zeros(max(part.stop for part in places.values()))
    for name, part, columns in encoder.transformers_:
        if name in ("levels", "targets"):
            unknown = pd.DataFrame({column: [UNKNOWN_LEVEL] for column in columns}, dtype=object)
            row[places[name]] = np.asarray(part.transform(unknown), dtype=np.float64)[0]
        elif name == "crosses":
            names = [joint for joint, _, _ in category_pairs(encoder)]
            unknown = pd.DataFrame({joint: [UNKNOWN_LEVEL] for joint in names}, dtype=object)
            row[places[name]] = np.asarray(part.means_.transform(unknown), dtype=np.float64)[0]
    return row


FORESTS = (ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor)
HIST_BOOSTERS = (HistGradientBoostingClassifier, HistGradientBoostingRegressor)
NEIGHBOUR_MODELS = (KNeighborsClassifier, KNeighborsRegressor)

CompiledPredictor = Callable[[FloatArray], FloatArray]


def compile_predictor(fitted: FittedPipeline, schema: TableSchema) -> CompiledPredictor:
    """Return the function from encoded rows to probabilities, or values, of one fitted model.

    Its figures are those of `evertune.models.model.predict_encoded`.
    """
    raw, places = (
        _compile_raw(fitted.predictor, regression=schema.task == "regression"),
        fitted.columns,
    )
    known, n_classes = getattr(fitted.predictor, "classes_", None), len(schema.classes)
    columns = None if places is None else list(places)

    def answer(X: FloatArray) -> FloatArray:
        said = np.asarray(raw(X if columns is None else X[:, columns]), dtype=np.float64)
        return said if n_classes == 0 else expand_to_all_classes(said, known, n_classes=n_classes)

    return answer


def _compile_raw(predictor: Any, *, regression: bool) -> CompiledPredictor:
    library = type(predictor).__module__.partition(".")[0]
    if library == "lightgbm":
        return partial(predictor.predict, num_threads=1)
    if library == "xgboost":
        return _compile_xgboost(predictor)
    if library == "catboost":
        return _compile_catboost(predictor, regression=regression)
    if isinstance(predictor, FORESTS):
        return _compile_forest(predictor)
    if isinstance(predictor, HIST_BOOSTERS):
        return _compile_hist_booster(predictor, regression=regression)
    said: CompiledPredictor = predictor.predict if regression else predictor.predict_proba
    return _single_threaded(said) if isinstance(predictor, NEIGHBOUR_MODELS) else said


def _compile_xgboost(booster: Any) -> CompiledPredictor:
    copy = booster.copy()
    copy.set_param({"nthread": 1})
    said: CompiledPredictor = copy.inplace_predict
    return said


def _compile_catboost(model: Any, *, regression: bool) -> CompiledPredictor:
    """Return a function that hands rows over as lists, which are read faster than a table is."""
    places = [int(place) for place in model.get_cat_feature_indices()]
    kind = "RawFormulaVal" if regression else "Probability"
    said = partial(model.predict, prediction_type=kind, thread_count=1)

    def of_codes(X: FloatArray) -> FloatArray:
        codes = np.nan_to_num(X[:, places], nan=UNSEEN_LEVEL_CODE).astype(np.int64).tolist()
        rows = X.tolist()
        for row, own in zip(rows, codes, strict=True):
            for place, code in zip(places, own, strict=True):
                row[place] = code
        return np.asarray(said(rows))

    return of_codes if places else said


def _compile_forest(forest: Any) -> Callable[[FloatArray], FloatArray]:
    """Return the mean over the trees, added up in the forest's own order."""
    trees = [each.tree_ for each in forest.estimators_]
    width = int(forest.n_classes_) if hasattr(forest, "n_classes_") else None

    def mean(X: FloatArray) -> FloatArray:
        cells = np.ascontiguousarray(X, dtype=np.float32)
        total = np.zeros((len(X), trees[0].value.shape[2] if width is None else width))
        for tree in trees:
            total += tree.predict(cells).reshape(len(X), -1)
        total /= len(trees)
        return total[:, 0] if width is None else total

    return mean


def _compile_hist_booster(booster: Any, *, regression: bool) -> CompiledPredictor:
    """Return the sum over the trees, added up in the booster's own order."""
    bits, places = booster._bin_mapper.make_known_categories_bitsets()
    iterations, loss, start = booster._predictors, booster._loss, booster._baseline_prediction

    def summed(X: FloatArray) -> FloatArray:
        cells = np.ascontiguousarray(X, dtype=np.float64)
        raw = np.zeros((len(X), len(iterations[0])), order="F") + start
        for trees in iterations:
            for place, tree in enumerate(trees):
                raw[:, place] += tree.predict(cells, bits, places, 1)
        return np.asarray(loss.link.inverse(raw.ravel()) if regression else loss.predict_proba(raw))

    return summed


def _single_threaded(said: CompiledPredictor) -> CompiledPredictor:
    threads = ThreadpoolController()

    def answer(X: FloatArray) -> FloatArray:
        with threads.limit(limits=1):
            return said(X)

    return answer


EncodedRows = Sequence[FloatArray]


@dataclass(frozen=True, eq=False)
class CompiledModel:
    """A model made ready.

    Attributes
    ----------
    reading : RowReader
    encodings : tuple of CompiledEncoder
    score : callable
        From what the encodings make of rows to predictions.
    """

    reading: RowReader
    encodings: tuple[CompiledEncoder, ...]
    score: Callable[[EncodedRows], Predictions]


def compile_model(model: Model) -> CompiledModel:
    """Return a model made ready for a few rows at a time."""
    reading, schema = make_row_reader(model.schema), model.schema
    if isinstance(model.fitted, FittedPipeline):
        made = (compile_encoder(model.fitted.encoder),)
        return CompiledModel(reading, made, _make_single_scorer(model.fitted, schema))
    encodings = tuple(compile_encoder(encoder) for encoder, _ in group_by_encoder(model.fitted))
    return CompiledModel(reading, encodings, _make_ensemble_scorer(model.fitted, schema))


def encode_rows(columns: CellColumns, n_rows: int, fast: CompiledModel) -> list[FloatArray]:
    """Return columns of the matrix as the predictors take them, once for each encoder.

    Parameters
    ----------
    columns : dict of lists of n
        From `read_rows`.
    n_rows : int
    fast : CompiledModel

    Returns
    -------
    list of arrays of shape (n, width)
    """
    return [encode_columns(each, columns, n_rows) for each in fast.encodings]


def predict_compiled(rows: Sequence[Row], fast: CompiledModel) -> Predictions:
    """Return predictions for n rows that have no faults, the same as those of `predict`.

    Raises
    ------
    ValueError
        Where a row cannot be read.
    """
    columns, faults = read_rows(rows, fast.reading)
    if faults:
        raise ValueError(f"Expected rows that can be read, but got {faults=}.")
    return fast.score(encode_rows(columns, len(rows), fast))


def _make_single_scorer(
    fitted: FittedPipeline, schema: TableSchema
) -> Callable[[EncodedRows], Predictions]:
    answer = compile_predictor(fitted, schema)

    def score(encoded: EncodedRows) -> Predictions:
        said = answer(encoded[0])
        if said.ndim == 1:
            return Predictions(said)
        return Predictions(said.argmax(axis=1).astype(np.float64), said)

    return score


def _make_ensemble_scorer(
    ensemble: Ensemble, schema: TableSchema
) -> Callable[[EncodedRows], Predictions]:
    groups: list[list[tuple[float, CompiledPredictor]]] = [
        [(part.weight, compile_predictor(part.fitted, schema)) for part in parts]
        for _, parts in group_by_encoder(ensemble)
    ]

    def score(encoded: EncodedRows) -> Predictions:
        said = [
            weight * answer(X)
            for X, answers in zip(encoded, groups, strict=True)
            for weight, answer in answers
        ]
        return finalize_predictions(np.sum(said, axis=0), ensemble)

    return score
