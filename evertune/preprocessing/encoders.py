"""Turn clean tables into numeric features: stateless features first, learned encoders after.

`feature_frame` looks at one row at a time. All that is learned from rows (medians, scales,
levels, mean targets) is learned by the transformer of `make_encoder`, inside the fold, so
nothing leaks. `EncodingSpec` says how each kind of column is encoded; `parse_encoding` and
`format_encoding` convert it from and to its one name, such as `scaled+target+text:words`.
Encoders consist of scikit-learn's and our own classes only, so they can be saved without
pickle.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
)

from evertune.data.schema import Column, TableSchema
from evertune.preprocessing.text import TEXT_ENCODINGS, TextColumns
from evertune.preprocessing.transformers import (
    MIN_LEVEL_ROWS,
    BoxCox,
    Crosses,
    HashedLevels,
    Products,
    make_target_encoder,
)

ROBUST_PERCENTILES = (5.0, 95.0)  # percentiles between which a robust scale lies
N_QUANTILES = 100

NUMERIC_TRANSFORMERS: dict[str, Callable[[], Any]] = {
    "scaled": StandardScaler,
    "power": PowerTransformer,
    "box_cox": BoxCox,
    "spline": lambda: make_pipeline(StandardScaler(), SplineTransformer(6, knots="quantile")),
    "piecewise": lambda: make_pipeline(
        StandardScaler(), SplineTransformer(8, degree=1, knots="quantile")
    ),
    "binned": lambda: KBinsDiscretizer(8, encode="onehot-dense", random_state=0),
    "robust": lambda: make_pipeline(
        RobustScaler(quantile_range=ROBUST_PERCENTILES),
        FunctionTransformer(np.tanh),
        StandardScaler(),
    ),
    "quantile": lambda: QuantileTransformer(
        n_quantiles=N_QUANTILES, output_distribution="normal", random_state=0
    ),
}


def make_numeric_encoder(way: str) -> Any:
    """Return an unfitted transformer of numbers: gaps filled by the median and marked, then `way`.

    Examples
    --------
    >>> make_numeric_encoder("scaled").fit_transform(np.array([[1.0], [np.nan], [3.0]])).round(2).tolist()
    [[-1.22, -0.71], [0.0, 1.41], [1.22, -0.71]]
    """
    gaps = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    return make_pipeline(gaps, NUMERIC_TRANSFORMERS[way]())


def make_one_hot_encoder() -> OneHotEncoder:
    """Return an unfitted transformer from levels to columns of 0 and 1."""
    return OneHotEncoder(
        handle_unknown="infrequent_if_exist", min_frequency=MIN_LEVEL_ROWS, sparse_output=False
    )


def make_ordinal_encoder() -> OrdinalEncoder:
    """Return an unfitted transformer from levels to codes; a level never seen is NaN."""
    return OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=np.nan, min_frequency=MIN_LEVEL_ROWS
    )


EncodingName = str  # how numbers are encoded, then what differs from that, each after a plus sign
ORDINAL_ENCODINGS = ("ordinal", "codes")
NUMERIC_ENCODINGS: tuple[EncodingName, ...] = (*NUMERIC_TRANSFORMERS, "plain", *ORDINAL_ENCODINGS)
CATEGORICAL_ENCODINGS = ("one_hot", "target", *ORDINAL_ENCODINGS, "hashed")
INTERACTION_KINDS = ("none", "numbers", "levels", "both")
TEXT_PREFIX, INTERACTIONS_PREFIX = "text:", "pairs:"  # what stands before these ways in a form


@dataclass(frozen=True)
class EncodingSpec:
    """How each kind of column is encoded.

    Attributes
    ----------
    numbers : str
        One of `NUMERIC_TRANSFORMERS`, or `plain`: as they are, gaps included.
    levels : str
        Of categories: one of `CATEGORICAL_ENCODINGS`.
    text : str
        One of `TEXT_ENCODINGS`.
    pairs : str
        Which pairs of columns are added: one of `INTERACTION_KINDS`.
    """

    numbers: str
    levels: str
    text: str = "auto"
    pairs: str = "none"

    @property
    def scaled(self) -> bool:
        """Whether all columns have about the same spread."""
        return self.numbers in NUMERIC_TRANSFORMERS


def format_encoding(ways: EncodingSpec) -> EncodingName:
    """Return the one name of the form with these ways.

    Examples
    --------
    >>> format_encoding(EncodingSpec("plain", "ordinal")), format_encoding(EncodingSpec("scaled", "one_hot"))
    ('ordinal', 'scaled')
    >>> format_encoding(EncodingSpec("scaled", "target", "words", "numbers"))
    'scaled+target+text:words+pairs:numbers'
    """
    first = _format_base(ways)
    text = [] if ways.text == "auto" else [f"{TEXT_PREFIX}{ways.text}"]
    pairs = [] if ways.pairs == "none" else [f"{INTERACTIONS_PREFIX}{ways.pairs}"]
    return "+".join([first, *text, *pairs])


def parse_encoding(form: EncodingName) -> EncodingSpec:
    """Return the ways that a form's name stands for.

    Raises
    ------
    ValueError
        If there is no such form.

    Examples
    --------
    >>> parse_encoding("ordinal+text:hashed")
    EncodingSpec(numbers='ordinal', levels='ordinal', text='hashed', pairs='none')
    """
    numbers, *others = form.split("+")
    text = [each.removeprefix(TEXT_PREFIX) for each in others if each.startswith(TEXT_PREFIX)]
    pairs = [
        each.removeprefix(INTERACTIONS_PREFIX)
        for each in others
        if each.startswith(INTERACTIONS_PREFIX)
    ]
    ways = [each for each in others if not each.startswith((TEXT_PREFIX, INTERACTIONS_PREFIX))]
    found = EncodingSpec(
        numbers,
        *(ways or [numbers if numbers in ORDINAL_ENCODINGS else "one_hot"])[:1],
        *(text or ["auto"])[:1],
        *(pairs or ["none"])[:1],
    )
    if not _is_known(found) or max(len(text), len(pairs), len(ways)) > 1:
        raise ValueError(
            f"form must be one of {', '.join(NUMERIC_ENCODINGS)}, with {', '.join(CATEGORICAL_ENCODINGS)}, "
            f"{TEXT_PREFIX}{'|'.join(TEXT_ENCODINGS)} or {INTERACTIONS_PREFIX}{'|'.join(INTERACTION_KINDS)} after plus signs, but "
            f"got {form=}."
        )
    return found


def _format_base(ways: EncodingSpec) -> str:
    if ways.numbers in ("plain", *ORDINAL_ENCODINGS) and ways.levels in ORDINAL_ENCODINGS:
        return ways.levels
    return ways.numbers if ways.levels == "one_hot" else f"{ways.numbers}+{ways.levels}"


def _is_known(ways: EncodingSpec) -> bool:
    return (
        ways.numbers in NUMERIC_ENCODINGS
        and ways.levels in CATEGORICAL_ENCODINGS
        and ways.text in TEXT_ENCODINGS
        and ways.pairs in INTERACTION_KINDS
    )


MAX_ONE_HOT_LEVELS = 30  # above, a category is encoded by the mean of the target
MAX_MAGNITUDE = 1e37  # forests compute in float32, which ends at 3e38
MICROSECONDS_PER_DAY = 8.64e10
DERIVED_FEATURES = {"date": ("days", "month", "weekday", "hour"), "text": ("characters", "words")}


def feature_frame(table: pd.DataFrame, schema: TableSchema) -> pd.DataFrame:
    """Return the columns that the encoders take, made row by row from a clean table.

    Numbers and booleans stay; categories and text become text in which a missing value is the
    empty string; a date becomes days since 1970, month, weekday and hour; a text adds its lengths
    in characters and words; the time column gives weekday and hour alone, for the days that it
    counts only ever grow.

    Parameters
    ----------
    table : DataFrame of n rows
        A clean table with the schema's features; a missing time column counts as unknown times.
    schema : TableSchema

    Returns
    -------
    DataFrame of n rows
        float64 and object columns, in an order that only the schema decides.

    Examples
    --------
    >>> columns = (Column("age", "number"), Column("plan", "category", ("a",)))
    >>> schema = TableSchema(columns, "y", "binary")
    >>> feature_frame(pd.DataFrame({"plan": ["a", None], "age": [1.0, 2.0]}), schema).to_dict("list")
    {'age': [1.0, 2.0], 'plan': ['a', '']}
    """
    parts: dict[str, pd.Series] = {}
    for column in schema.features:
        parts |= zip(
            feature_column_names(column, schema), _column_features(table, column), strict=True
        )
    if schema.time is not None:
        parts |= zip(time_feature_names(schema), _time_features(table, schema.time), strict=True)
    return pd.DataFrame(parts, index=table.index)


def make_encoder(form: EncodingName, schema: TableSchema) -> ColumnTransformer:
    """Return an unfitted transformer from `feature_frame` to numbers; unseen levels are harmless.

    Parameters
    ----------
    form : str
        How numbers are encoded: `scaled` (gaps filled, standardised), `power` (Yeo-Johnson),
        `box_cox` (where a column is positive, else as `power`), `quantile` (ranks, as of a normal
        distribution), `robust` (scaled by percentiles, tails drawn in), `spline`, `piecewise` and
        `binned` (curves, bent lines and steps for linear models and networks), each with one
        column a level; `plain` (numbers with their gaps, one column a level), `ordinal` (levels as
        codes, first columns) and `codes` (those with many levels too) for trees. After a plus
        sign, `target`, `ordinal`, `codes` or `hashed` say otherwise for levels, as in
        `scaled+target`; `text:...` says how texts are read (`TextColumns`), and `pairs:numbers`,
        `pairs:levels` or `pairs:both` adds pairs of columns. A category with more than 30 levels
        that are neither codes nor hashed is encoded by the mean of the target.
    schema : TableSchema

    Raises
    ------
    ValueError
        If there is no such form.

    Examples
    --------
    >>> columns = (Column("age", "number"), Column("plan", "category", ("a",)))
    >>> schema = TableSchema(columns, "y", "binary")
    >>> X = feature_frame(pd.DataFrame({"plan": ["a", "b", "a"], "age": [1.0, 2.0, 3.0]}), schema)
    >>> make_encoder("ordinal", schema).fit_transform(X, [0, 1, 1]).tolist()
    [[0.0, 1.0], [0.0, 2.0], [0.0, 3.0]]
    """
    parts = [part for part in _column_transformers(parse_encoding(form), schema) if part[2]]
    return ColumnTransformer(parts, sparse_threshold=0, verbose_feature_names_out=False)


def low_cardinality_columns(schema: TableSchema) -> list[str]:
    """Return the categories with few levels."""
    return [c.name for c in schema.features if c.kind == "category" and not has_high_cardinality(c)]


def ordinal_columns(form: EncodingName, schema: TableSchema) -> list[str]:
    """Return the columns that a form makes codes, which stand first in its result.

    Examples
    --------
    >>> columns = (Column("age", "number"), Column("plan", "category", ("a",)))
    >>> schema = TableSchema(columns, "y", "binary")
    >>> ordinal_columns("plain", schema), ordinal_columns("codes", schema)
    ([], ['plan'])
    """
    way = parse_encoding(form).levels
    if way == "codes":
        return _columns_of_kind(schema, "category")
    return low_cardinality_columns(schema) if way == "ordinal" else []


def feature_column_names(column: Column, schema: TableSchema) -> tuple[str, ...]:
    """Return the names of a feature's columns in the matrix, none of them another feature's.

    Examples
    --------
    >>> schema = TableSchema((Column("d", "date"), Column("d:hour", "number")), "y", "binary")
    >>> feature_column_names(schema.features[0], schema)
    ('d:days', 'd:month', 'd:weekday', 'd::hour')
    """
    own = [column.name] if column.kind == "text" else []
    parts = [
        _feature_name(column.name, part, schema) for part in DERIVED_FEATURES.get(column.kind, ())
    ]
    return (*own, *parts) or (column.name,)


def time_feature_names(schema: TableSchema) -> tuple[str, ...]:
    """Return the names of the time column's parts in the matrix: weekday and hour."""
    if schema.time is None:
        return ()
    return tuple(_feature_name(schema.time, part, schema) for part in ("weekday", "hour"))


def _feature_name(name: str, part: str, schema: TableSchema) -> str:
    taken, between = {column.name for column in schema.features}, ":"
    while f"{name}{between}{part}" in taken:
        between += ":"
    return f"{name}{between}{part}"


def _column_transformers(
    ways: EncodingSpec, schema: TableSchema
) -> list[tuple[str, Any, list[str]]]:
    """Return what encodes which columns of the matrix; codes of levels stand first."""
    kind = {"continuous": schema.task == "regression", "scaled": ways.scaled}
    numbers, words = _numeric_columns(schema), _columns_of_kind(schema, "category")
    coded, many = ordinal_columns(format_encoding(ways), schema), _high_cardinality_columns(schema)
    few = [] if ways.levels == "target" or coded else low_cardinality_columns(schema)
    means = words if ways.levels == "target" else many
    products = Products(continuous=kind["continuous"])
    return [
        ("levels", make_ordinal_encoder() if coded else make_one_hot_encoder(), coded or few),
        (
            "targets",
            make_target_encoder(**kind),
            [] if ways.levels in ("codes", "hashed") else means,
        ),
        ("hashes", HashedLevels(), many if ways.levels == "hashed" else []),
        ("texts", TextColumns(ways.text, **kind), _columns_of_kind(schema, "text")),  # type: ignore[arg-type]
        ("numbers", make_numeric_encoder(ways.numbers) if ways.scaled else "passthrough", numbers),
        (
            "products",
            make_pipeline(products, StandardScaler()) if ways.scaled else products,
            numbers if ways.pairs in ("numbers", "both") and len(numbers) > 1 else [],
        ),
        (
            "crosses",
            Crosses(**kind),
            words if ways.pairs in ("levels", "both") and len(words) > 1 else [],
        ),
    ]


def _columns_of_kind(schema: TableSchema, kind: str) -> list[str]:
    return [column.name for column in schema.features if column.kind == kind]


def _high_cardinality_columns(schema: TableSchema) -> list[str]:
    return [column.name for column in schema.features if has_high_cardinality(column)]


def has_high_cardinality(column: Column) -> bool:
    """Return whether a column is a category with more than 30 levels."""
    return column.kind == "category" and len(column.categories) > MAX_ONE_HOT_LEVELS


def _numeric_columns(schema: TableSchema) -> list[str]:
    worded = {column.name for column in schema.features if column.kind in ("category", "text")}
    names = [name for column in schema.features for name in feature_column_names(column, schema)]
    return [
        name for name in dict.fromkeys([*names, *time_feature_names(schema)]) if name not in worded
    ]


def _column_features(table: pd.DataFrame, column: Column) -> Iterator[pd.Series]:
    cells = table[column.name]
    if column.kind == "date":
        yield from _date_features(cells)
    elif column.kind in ("category", "text"):
        yield cells.astype(object).where(cells.notna(), "")
        if column.kind == "text":
            yield cells.str.len().astype(float)
            yield cells.str.count(r"\S+").astype(float)
    else:
        yield cells.astype(float).clip(-MAX_MAGNITUDE, MAX_MAGNITUDE)


def _date_features(cells: pd.Series) -> Iterator[pd.Series]:
    dates = pd.to_datetime(cells)
    yield _days_since_1970(dates)
    yield dates.dt.month.astype(float)
    yield dates.dt.day_of_week.astype(float)
    yield dates.dt.hour.astype(float)


def _days_since_1970(dates: pd.Series) -> pd.Series:
    """Return days since 1970 from whole microseconds, in which the year 9999 has a place."""
    counts = dates.dt.as_unit("us").to_numpy().astype(np.int64).astype(np.float64)
    days = pd.Series(counts / MICROSECONDS_PER_DAY, index=dates.index)
    return days.where(dates.notna())


def _time_features(table: pd.DataFrame, name: str) -> Iterator[pd.Series]:
    known = name in table and pd.api.types.is_datetime64_any_dtype(table[name])
    times = table[name] if known else pd.Series(pd.NaT, index=table.index)
    yield times.dt.day_of_week.astype(float)
    yield times.dt.hour.astype(float)
