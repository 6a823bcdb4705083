"""Compile a fitted model so that it predicts a few rows quickly.

For one row, a model needs milliseconds, most of them for checks, tables and thread scheduling.
`compile_model` removes them: each categorical encoder is evaluated once for every known category
and then looked up, numbers pass through the fitted transformers as plain arrays, and predictors
run single-threaded. The predictions are those of `evertune.models.fitted_model.predict`.
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
from evertune.models.fitted_model import (
    UNKNOWN_CODE,
    FittedPipeline,
    Model,
    expand_to_all_classes,
    finalize_predictions,
    group_by_encoder,
)
from evertune.preprocessing.transformers import CROSS_SEPARATOR, HASH_WIDTH, hash_categories
from evertune.types import FloatArray, Predictions

UNKNOWN_CATEGORY = "\x00 a category that no table has"
FORESTS = (ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor)
THREADED = (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    KNeighborsClassifier,
    KNeighborsRegressor,
)

ArrayFunction = Callable[[FloatArray], FloatArray]
RowTransform = Callable[[CellColumns], FloatArray]  # from columns of cells to columns of X
CategoryPair = tuple[str, str, str]  # the name of a pair of categories, and theirs


@dataclass(frozen=True, eq=False)
class CategoryTable:
    """The encoded categories of one column of words.

    Attributes
    ----------
    columns : array of int of shape (w,)
        The columns of X that it fills.
    codes : dict
        Each known category's row in `table`; unknown ones have the last row.
    """

    name: str
    columns: NDArray[np.int64]
    codes: dict[str, int]
    table: FloatArray


@dataclass(frozen=True, eq=False)
class CompiledEncoder:
    """An encoder that takes columns of cells.

    Attributes
    ----------
    unknown : array of shape (width,)
        The row of X in which every category is unknown.
    numbers : tuple of str
        The columns of cells that are numbers.
    number_columns : slice
        Their columns of X.
    pairs : tuple of (str, str, str)
        Pairs of columns that are looked up as one, with their name in `categories`.
    row_transforms : tuple of (slice, callable)
        The parts that are computed for each row, and the columns of X that they fill.
    """

    unknown: FloatArray
    categories: tuple[CategoryTable, ...]
    numbers: tuple[str, ...]
    number_columns: slice
    transform_numbers: ArrayFunction
    pairs: tuple[CategoryPair, ...] = ()
    row_transforms: tuple[tuple[slice, RowTransform], ...] = ()

    def encode(self, columns: CellColumns, n_rows: int) -> FloatArray:
        """Return n rows as predictors take them, of shape (n, width), from `read_rows`' columns."""
        X = np.tile(self.unknown, (n_rows, 1))
        for name, first, second in self.pairs:
            words = zip(columns[first], columns[second], strict=True)
            columns = columns | {name: [f"{a}{CROSS_SEPARATOR}{b}" for a, b in words]}
        for category in self.categories:
            unknown = len(category.table) - 1
            codes = [category.codes.get(word, unknown) for word in columns[category.name]]  # type: ignore[arg-type]
            X[:, category.columns] = category.table[codes]
        if self.numbers:
            cells = np.array([columns[name] for name in self.numbers], dtype=np.float64).T
            X[:, self.number_columns] = self.transform_numbers(cells)
        for filled, transform in self.row_transforms:
            X[:, filled] = transform(columns)
        return X


@dataclass(frozen=True, eq=False)
class CompiledModel:
    """A model that predicts a few rows at a time.

    Attributes
    ----------
    encoders : tuple of (CompiledEncoder, predictors)
        Each encoder, with the predictors that take its rows and their weights.
    finalize : callable
        From the weighted mean over the predictors to predictions.
    """

    reading: RowReader
    encoders: tuple[tuple[CompiledEncoder, tuple[tuple[float, ArrayFunction], ...]], ...]
    finalize: Callable[[FloatArray], Predictions]

    def predict(self, columns: CellColumns, n_rows: int) -> Predictions:
        """Return predictions for n rows, from the columns of `read_rows`."""
        weighted = []
        for encoder, predictors in self.encoders:
            X = encoder.encode(columns, n_rows)
            weighted += [weight * predict(X) for weight, predict in predictors]
        return self.finalize(np.sum(weighted, axis=0))


def compile_model(model: Model) -> CompiledModel:
    """Return a model that predicts a few rows at a time."""
    encoders = tuple(
        (
            compile_encoder(encoder),
            tuple((part.weight, _compile_predictor(part.fitted, model.schema)) for part in parts),
        )
        for encoder, parts in group_by_encoder(model.fitted)
    )
    finalize = partial(finalize_predictions, fitted=model.fitted)
    return CompiledModel(make_row_reader(model.schema), encoders, finalize)


def predict_compiled(rows: Sequence[Row], compiled: CompiledModel) -> Predictions:
    """Return predictions for n rows without faults, the same as those of `predict`.

    Raises
    ------
    ValueError
        If a row cannot be read.
    """
    columns, faults = read_rows(rows, compiled.reading)
    if faults:
        raise ValueError(f"Expected rows that can be read, but got {faults=}.")
    return compiled.predict(columns, len(rows))


def compile_encoder(encoder: Any) -> CompiledEncoder:
    """Return a fitted encoder (a ColumnTransformer of `make_encoder`) that takes cells."""
    parts = {name: (part, list(columns)) for name, part, columns in encoder.transformers_}
    slices = encoder.output_indices_
    unknown = np.zeros(max(part.stop for part in slices.values()))
    categories: list[CategoryTable] = []
    pairs: tuple[CategoryPair, ...] = ()
    for name in ("levels", "targets", "crosses"):
        if name not in parts:
            continue
        part, columns = parts[name]
        if name == "crosses":
            named = [(f"cross{n}", columns[a], columns[b]) for n, (a, b) in enumerate(part.places_)]
            part, columns, pairs = part.means_, [pair for pair, _, _ in named], tuple(named)
        row = pd.DataFrame({column: [UNKNOWN_CATEGORY] for column in columns}, dtype=object)
        unknown[slices[name]] = np.asarray(part.transform(row), dtype=np.float64)[0]
        categories += [
            _category_table(part, columns, index, start=slices[name].start)
            for index in range(len(columns))
        ]
    if "texts" in parts:
        categories += _text_category_tables(*parts["texts"], start=slices["texts"].start)
    numbers, transform_numbers = _compile_numbers(*parts.get("numbers", ("passthrough", [])))
    return CompiledEncoder(
        unknown=unknown,
        categories=tuple(categories),
        numbers=numbers,
        number_columns=slices.get("numbers", slice(0, 0)),
        transform_numbers=transform_numbers,
        pairs=pairs,
        row_transforms=tuple(_row_transforms(parts, slices)),
    )


def _category_table(part: Any, columns: list[str], index: int, *, start: int) -> CategoryTable:
    """Encode every category of one column, while the others have an unknown one."""
    first = part.steps[0][1] if hasattr(part, "steps") else part
    words = [word for word in first.categories_[index] if isinstance(word, str)]
    cells = {name: [UNKNOWN_CATEGORY] * (len(words) + 1) for name in columns}
    cells[columns[index]] = [*words, UNKNOWN_CATEGORY]
    table = np.asarray(part.transform(pd.DataFrame(cells, dtype=object)), dtype=np.float64)
    same = (table[:-1] == table[-1]) | (np.isnan(table[:-1]) & np.isnan(table[-1]))
    filled = np.flatnonzero(~same.all(axis=0))
    codes = {word: code for code, word in enumerate(words)}
    return CategoryTable(columns[index], filled + start, codes, table[:, filled])


def _text_category_tables(part: Any, columns: list[str], *, start: int) -> Iterator[CategoryTable]:
    """Yield the texts encoded by means of the target; rare texts are unknown."""
    for index, name in enumerate(columns):
        known, width = part.known_[index], part.widths_[index]
        if part.ways_[index] == "target":
            table = part.column(index, [*known, UNKNOWN_CATEGORY])
            codes = {word: code for code, word in enumerate(known)}
            yield CategoryTable(name, np.arange(start, start + width), codes, table)
        start += width


def _row_transforms(
    parts: dict[str, tuple[Any, list[str]]], slices: dict[str, slice]
) -> Iterator[tuple[slice, RowTransform]]:
    """Yield the parts that are computed for each row, with the columns of X that they fill."""
    if "hashes" in parts:
        for index, name in enumerate(parts["hashes"][1]):
            start = slices["hashes"].start + HASH_WIDTH * index
            yield (
                slice(start, start + HASH_WIDTH),
                partial(_transform_column, hash_categories, name),
            )
    if "texts" in parts:
        part, columns = parts["texts"]
        ends = slices["texts"].start + np.cumsum(part.widths_)
        for index, name in enumerate(columns):
            if part.ways_[index] != "target":
                start = int(ends[index]) - part.widths_[index]
                encode = partial(part.column, index)
                yield slice(start, int(ends[index])), partial(_transform_column, encode, name)
    if "products" in parts:
        part, columns = parts["products"]
        products, scaler = (part[0], part[1]) if isinstance(part, Pipeline) else (part, None)
        yield (
            slices["products"],
            partial(_encode_products, products=products, names=columns, scaler=scaler),
        )


def _transform_column(transform: Any, name: str, columns: CellColumns) -> FloatArray:
    encoded: FloatArray = transform(columns[name])
    return encoded


def _encode_products(
    columns: CellColumns, *, products: Any, names: list[str], scaler: StandardScaler | None
) -> FloatArray:
    cells = np.array([columns[name] for name in names], dtype=np.float64).T
    values: FloatArray = products.transform(cells)
    return values if scaler is None else (values - scaler.mean_) / scaler.scale_


def _compile_numbers(part: Any, columns: list[str]) -> tuple[tuple[str, ...], ArrayFunction]:
    passes = part == "passthrough" or isinstance(part, FunctionTransformer)
    steps = [] if passes else [_array_function(step) for step in _flatten_pipeline(part)]

    def transform(X: FloatArray) -> FloatArray:
        for step in steps:
            X = step(X)
        return X

    return tuple(columns), transform


def _flatten_pipeline(part: Any) -> list[Any]:
    """Return the transformers of a pipeline, and of pipelines in it."""
    inner = [step for _, step in getattr(part, "steps", [])]
    return [last for step in inner for last in _flatten_pipeline(step)] or [part]


def _array_function(step: Any) -> ArrayFunction:
    """Return the function of a fitted transformer on plain arrays."""
    if isinstance(step, SimpleImputer):
        return partial(_impute, medians=step.statistics_, gaps=step.indicator_.features_)
    if isinstance(step, StandardScaler):
        return partial(_standardize, means=step.mean_, scales=step.scale_)
    if isinstance(step, RobustScaler):
        return partial(_standardize, means=step.center_, scales=step.scale_)
    if isinstance(step, FunctionTransformer) and step.func is not None:
        function: ArrayFunction = step.func
        return function
    if isinstance(step, KBinsDiscretizer):
        return partial(_one_hot_bins, edges=[edges[1:-1] for edges in step.bin_edges_])
    copy = deepcopy(step)
    vars(copy).pop("feature_names_in_", None)  # else each array without names causes a warning
    transform: ArrayFunction = copy.transform
    return transform


def _impute(X: FloatArray, *, medians: FloatArray, gaps: NDArray[np.int64]) -> FloatArray:
    missing = np.isnan(X)
    return np.hstack([np.where(missing, medians, X), missing[:, gaps]])


def _standardize(X: FloatArray, *, means: FloatArray, scales: FloatArray) -> FloatArray:
    return (X - means) / scales


def _one_hot_bins(X: FloatArray, *, edges: Sequence[FloatArray]) -> FloatArray:
    parts = [
        np.eye(len(inner) + 1)[np.searchsorted(inner, cells, side="right")]
        for cells, inner in zip(X.T, edges, strict=True)
    ]
    return np.hstack(parts)


def _compile_predictor(fitted: FittedPipeline, schema: TableSchema) -> ArrayFunction:
    """Return the function from encoded rows to the probabilities, or values, of one predictor."""
    raw = _single_thread_function(fitted.predictor, regression=schema.task == "regression")
    known, n_classes = getattr(fitted.predictor, "classes_", None), len(schema.classes)
    columns = None if fitted.columns is None else list(fitted.columns)

    def predict(X: FloatArray) -> FloatArray:
        values = np.asarray(raw(X if columns is None else X[:, columns]), dtype=np.float64)
        if n_classes == 0:
            return values
        return expand_to_all_classes(values, known, n_classes=n_classes)

    return predict


def _single_thread_function(predictor: Any, *, regression: bool) -> ArrayFunction:
    library = type(predictor).__module__.partition(".")[0]
    if library == "lightgbm":
        return partial(predictor.predict, num_threads=1)
    if library == "xgboost":
        copy = predictor.copy()
        copy.set_param({"nthread": 1})
        in_place: ArrayFunction = copy.inplace_predict
        return in_place
    if library == "catboost":
        return _catboost_function(predictor, regression=regression)
    if isinstance(predictor, FORESTS):
        return _forest_function(predictor)
    function: ArrayFunction = predictor.predict if regression else predictor.predict_proba
    if not isinstance(predictor, THREADED):
        return function
    threads = ThreadpoolController()

    def single_threaded(X: FloatArray) -> FloatArray:
        with threads.limit(limits=1):
            return function(X)

    return single_threaded


def _catboost_function(model: Any, *, regression: bool) -> ArrayFunction:
    """Return a function that passes rows as lists, which CatBoost reads faster than a table."""
    ordinal = [int(column) for column in model.get_cat_feature_indices()]
    kind = "RawFormulaVal" if regression else "Probability"
    function = partial(model.predict, prediction_type=kind, thread_count=1)

    def with_codes(X: FloatArray) -> FloatArray:
        codes = np.nan_to_num(X[:, ordinal], nan=UNKNOWN_CODE).astype(np.int64).tolist()
        rows = X.tolist()
        for row, own in zip(rows, codes, strict=True):
            for column, code in zip(ordinal, own, strict=True):
                row[column] = code
        return np.asarray(function(rows))

    return with_codes if ordinal else function


def _forest_function(forest: Any) -> ArrayFunction:
    """Return the mean over the trees in the forest's own order.

    Without a forest's checks of each tree, one row of 100 trees takes 0.2 ms in place of 2.9.
    """
    trees = [tree.tree_ for tree in forest.estimators_]
    width = int(forest.n_classes_) if hasattr(forest, "n_classes_") else None

    def mean(X: FloatArray) -> FloatArray:
        cells = np.ascontiguousarray(X, dtype=np.float32)
        total = np.zeros((len(X), trees[0].value.shape[2] if width is None else width))
        for tree in trees:
            total += tree.predict(cells).reshape(len(X), -1)
        total /= len(trees)
        return total[:, 0] if width is None else total

    return mean
