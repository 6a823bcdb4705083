"""Turn clean tables into numeric features: stateless features first, learned encoders after.

`feature_frame` transforms one row at a time. All that is learned from rows (medians, scales,
levels, mean targets) is learned by the transformer of `make_encoder`, inside the fold, so
nothing leaks. `EncodingSpec` holds the encoding of each kind of column; `parse_encoding` and
`format_encoding` convert it from and to its name, such as `scaled+target+text:words`.
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
from evertune.preprocessing.text import TEXT_ENCODINGS, TextColumns, count_words
from evertune.preprocessing.transformers import (
    MIN_LEVEL_ROWS,
    BoxCox,
    Crosses,
    HashedLevels,
    Products,
    make_target_encoder,
)

EncodingName = str  # the encoding of numbers, then what differs from its defaults, joined by +

MAX_ONE_HOT_LEVELS = 30  # a category with more is encoded by the mean of the target
MAX_MAGNITUDE = 1e37  # forests compute in float32, which ends at 3e38
MICROSECONDS_PER_DAY = 8.64e10
N_QUANTILES = 100
ROBUST_PERCENTILES = (5.0, 95.0)
DERIVED_FEATURES = {"date": ("days", "month", "weekday", "hour"), "text": ("characters", "words")}
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
ORDINAL_ENCODINGS = ("ordinal", "ordinal_all")
NUMERIC_ENCODINGS: tuple[EncodingName, ...] = (*NUMERIC_TRANSFORMERS, "plain", *ORDINAL_ENCODINGS)
CATEGORICAL_ENCODINGS = ("one_hot", "target", *ORDINAL_ENCODINGS, "hashed")
INTERACTION_KINDS = ("none", "numeric", "categorical", "both")
TEXT_PREFIX, INTERACTIONS_PREFIX = "text:", "interactions:"


@dataclass(frozen=True)
class EncodingSpec:
    """The encoding of each kind of column.

    Attributes
    ----------
    numeric_transform : str
        One of `NUMERIC_TRANSFORMERS`, or `plain`: as they are, gaps included.
    categorical_encoding : str
        One of `CATEGORICAL_ENCODINGS`.
    text_encoding : str
        One of `TEXT_ENCODINGS`.
    interactions : str
        Pairs of columns to add: one of `INTERACTION_KINDS`.
    """

    numeric_transform: str
    categorical_encoding: str
    text_encoding: str = "auto"
    interactions: str = "none"

    @property
    def scaled(self) -> bool:
        """Whether all encoded columns have about the same spread."""
        return self.numeric_transform in NUMERIC_TRANSFORMERS


def format_encoding(spec: EncodingSpec) -> EncodingName:
    """Return the one name of an encoding.

    Examples
    --------
    >>> format_encoding(EncodingSpec("plain", "ordinal"))
    'ordinal'
    >>> format_encoding(EncodingSpec("scaled", "target", "words", "numeric"))
    'scaled+target+text:words+interactions:numeric'
    """
    parts = [spec.numeric_transform]
    if spec.categorical_encoding in ORDINAL_ENCODINGS and spec.numeric_transform in (
        "plain",
        *ORDINAL_ENCODINGS,
    ):
        parts = [spec.categorical_encoding]
    elif spec.categorical_encoding != "one_hot":
        parts.append(spec.categorical_encoding)
    if spec.text_encoding != "auto":
        parts.append(f"{TEXT_PREFIX}{spec.text_encoding}")
    if spec.interactions != "none":
        parts.append(f"{INTERACTIONS_PREFIX}{spec.interactions}")
    return "+".join(parts)


def parse_encoding(name: EncodingName) -> EncodingSpec:
    """Return the encoding of a name."""
    numbers, *others = name.split("+")
    found = {"categorical_encoding": numbers if numbers in ORDINAL_ENCODINGS else "one_hot"}
    fields = []
    for part in others:
        field, value = "categorical_encoding", part
        for prefix, prefixed in (
            (TEXT_PREFIX, "text_encoding"),
            (INTERACTIONS_PREFIX, "interactions"),
        ):
            if part.startswith(prefix):
                field, value = prefixed, part.removeprefix(prefix)
        fields.append(field)
        found[field] = value
    spec = EncodingSpec(numbers, **found)
    known = (
        spec.numeric_transform in NUMERIC_ENCODINGS
        and spec.categorical_encoding in CATEGORICAL_ENCODINGS
        and spec.text_encoding in TEXT_ENCODINGS
        and spec.interactions in INTERACTION_KINDS
    )
    if not known or len(set(fields)) < len(fields):
        raise ValueError(
            f"The encoding must be one of {', '.join(NUMERIC_ENCODINGS)}, with "
            f"{', '.join(CATEGORICAL_ENCODINGS)}, {TEXT_PREFIX}{'|'.join(TEXT_ENCODINGS)} or "
            f"{INTERACTIONS_PREFIX}{'|'.join(INTERACTION_KINDS)} after plus signs, but got "
            f"{name!r}."
        )
    return spec


def feature_frame(table: pd.DataFrame, schema: TableSchema) -> pd.DataFrame:
    """Return the columns that the encoders take, made row by row from a clean table.

    Numbers and booleans stay; categories and text become text in which a missing value is the
    empty string; a date becomes days since 1970, month, weekday and hour; a text adds its lengths
    in characters and words; the time column gives only weekday and hour, because days only grow.

    Parameters
    ----------
    table : DataFrame of n rows
        A clean table with the schema's features; a missing time column counts as unknown times.

    Returns
    -------
    DataFrame of n rows
        float64 and object columns in an order that only the schema decides.

    Examples
    --------
    >>> columns = (Column("age", "number"), Column("plan", "category", ("a",)))
    >>> schema = TableSchema(columns, "y", "binary")
    >>> table = pd.DataFrame({"plan": ["a", None], "age": [1.0, 2.0]})
    >>> feature_frame(table, schema).to_dict("list")
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


def make_encoder(name: EncodingName, schema: TableSchema) -> ColumnTransformer:
    """Return an unfitted transformer from `feature_frame` to numbers; unseen levels are allowed.

    Parameters
    ----------
    name : str
        Begins with the encoding of numbers: `scaled` (gaps filled, standardised), `power`
        (Yeo-Johnson), `box_cox` (for positive columns, else as `power`), `quantile` (ranks, as of a
        normal distribution), `robust` (scaled by percentiles, tails bounded), `spline`, `piecewise`
        and `binned` (curves, bent lines and steps for linear models and networks), each with
        one-hot levels; `plain` (numbers with their gaps, one-hot levels), `ordinal` (levels as
        codes, in the first columns) and `ordinal_all` (high cardinality included) for trees.
        After a plus sign, `target`, `ordinal`, `ordinal_all` or `hashed` replaces the encoding of
        levels, as in `scaled+target`; `text:...` is the encoding of texts (`TextColumns`), and
        `interactions:numeric`, `:categorical` or `:both` adds pairs of columns. A category with
        more than 30 levels that are neither codes nor hashed is encoded by the mean of the target.

    Raises
    ------
    ValueError
        If there is no such encoding.

    Examples
    --------
    >>> columns = (Column("age", "number"), Column("plan", "category", ("a",)))
    >>> schema = TableSchema(columns, "y", "binary")
    >>> X = feature_frame(pd.DataFrame({"plan": ["a", "b", "a"], "age": [1.0, 2.0, 3.0]}), schema)
    >>> make_encoder("ordinal", schema).fit_transform(X, [0, 1, 1]).tolist()
    [[0.0, 1.0], [0.0, 2.0], [0.0, 3.0]]
    """
    spec = parse_encoding(name)
    categories, texts = _columns_of_kind(schema, "category"), _columns_of_kind(schema, "text")
    numbers = [
        part
        for column in schema.features
        for part in feature_column_names(column, schema)
        if part != column.name or column.kind not in ("category", "text")
    ]
    numbers += [part for part in time_feature_names(schema) if part not in numbers]
    coded = ordinal_columns(name, schema)
    many = [column.name for column in schema.features if has_high_cardinality(column)]
    one_hot = (
        [] if spec.categorical_encoding == "target" else [c for c in categories if c not in many]
    )
    by_target = {"target": categories, "ordinal_all": [], "hashed": []}.get(
        spec.categorical_encoding, many
    )
    kinds = {"continuous": schema.task == "regression", "scaled": spec.scaled}
    products: Any = Products(continuous=kinds["continuous"])
    if spec.scaled:
        products = make_pipeline(products, StandardScaler())
    pairs_numbers = spec.interactions in ("numeric", "both") and len(numbers) > 1
    pairs_levels = spec.interactions in ("categorical", "both") and len(categories) > 1
    parts = [
        ("levels", make_ordinal_encoder() if coded else make_one_hot_encoder(), coded or one_hot),
        ("targets", make_target_encoder(**kinds), by_target),
        ("hashes", HashedLevels(), many if spec.categorical_encoding == "hashed" else []),
        ("texts", TextColumns(spec.text_encoding, **kinds), texts),  # type: ignore[arg-type]
        (
            "numbers",
            make_numeric_encoder(spec.numeric_transform) if spec.scaled else "passthrough",
            numbers,
        ),
        ("products", products, numbers if pairs_numbers else []),
        ("crosses", Crosses(**kinds), categories if pairs_levels else []),
    ]  # codes of levels stand first
    return ColumnTransformer(
        [part for part in parts if part[2]], sparse_threshold=0, verbose_feature_names_out=False
    )


def make_numeric_encoder(name: str) -> Any:
    """Return an unfitted transformer of numbers: gaps filled by medians and marked, then `name`."""
    gaps = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    return make_pipeline(gaps, NUMERIC_TRANSFORMERS[name]())


def make_one_hot_encoder() -> OneHotEncoder:
    """Return an unfitted transformer from levels to columns of 0 and 1."""
    return OneHotEncoder(
        handle_unknown="infrequent_if_exist", min_frequency=MIN_LEVEL_ROWS, sparse_output=False
    )


def make_ordinal_encoder() -> OrdinalEncoder:
    """Return an unfitted transformer from levels to codes; an unseen level is NaN."""
    return OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=np.nan, min_frequency=MIN_LEVEL_ROWS
    )


def ordinal_columns(name: EncodingName, schema: TableSchema) -> list[str]:
    """Return the columns that an encoding makes codes, which stand first in its result.

    Examples
    --------
    >>> columns = (Column("age", "number"), Column("plan", "category", ("a",)))
    >>> schema = TableSchema(columns, "y", "binary")
    >>> ordinal_columns("plain", schema), ordinal_columns("ordinal_all", schema)
    ([], ['plan'])
    """
    encoding = parse_encoding(name).categorical_encoding
    if encoding not in ORDINAL_ENCODINGS:
        return []
    return [
        column.name
        for column in schema.features
        if column.kind == "category"
        and (encoding == "ordinal_all" or not has_high_cardinality(column))
    ]


def has_high_cardinality(column: Column) -> bool:
    """Return whether a column is a category with more than 30 levels."""
    return column.kind == "category" and len(column.categories) > MAX_ONE_HOT_LEVELS


def feature_column_names(column: Column, schema: TableSchema) -> tuple[str, ...]:
    """Return the names of a feature's columns in `feature_frame`, distinct from other features.

    Examples
    --------
    >>> schema = TableSchema((Column("d", "date"), Column("d:hour", "number")), "y", "binary")
    >>> feature_column_names(schema.features[0], schema)
    ('d:days', 'd:month', 'd:weekday', 'd::hour')
    """
    own = [column.name] if column.kind == "text" else []
    parts = [
        _derived_name(column.name, part, schema) for part in DERIVED_FEATURES.get(column.kind, ())
    ]
    return (*own, *parts) or (column.name,)


def time_feature_names(schema: TableSchema) -> tuple[str, ...]:
    """Return the names of the time column's parts in `feature_frame`: weekday and hour."""
    if schema.time is None:
        return ()
    return tuple(_derived_name(schema.time, part, schema) for part in ("weekday", "hour"))


def _derived_name(name: str, part: str, schema: TableSchema) -> str:
    taken, separator = {column.name for column in schema.features}, ":"
    while f"{name}{separator}{part}" in taken:
        separator += ":"
    return f"{name}{separator}{part}"


def _columns_of_kind(schema: TableSchema, kind: str) -> list[str]:
    return [column.name for column in schema.features if column.kind == kind]


def _column_features(table: pd.DataFrame, column: Column) -> Iterator[pd.Series]:
    cells = table[column.name]
    if column.kind == "date":
        dates = pd.to_datetime(cells)
        # whole microseconds, which reach the year 9999
        microseconds = dates.dt.as_unit("us").to_numpy().astype(np.int64).astype(np.float64)
        days = pd.Series(microseconds / MICROSECONDS_PER_DAY, index=dates.index)
        yield days.where(dates.notna())
        yield dates.dt.month.astype(float)
        yield dates.dt.day_of_week.astype(float)
        yield dates.dt.hour.astype(float)
    elif column.kind in ("category", "text"):
        yield cells.astype(object).where(cells.notna(), "")
        if column.kind == "text":
            yield cells.str.len().astype(float)
            yield cells.map(count_words, na_action="ignore").astype(float)
    else:
        yield cells.astype(float).clip(-MAX_MAGNITUDE, MAX_MAGNITUDE)


def _time_features(table: pd.DataFrame, name: str) -> Iterator[pd.Series]:
    known = name in table and pd.api.types.is_datetime64_any_dtype(table[name])
    times = table[name] if known else pd.Series(pd.NaT, index=table.index)
    yield times.dt.day_of_week.astype(float)
    yield times.dt.hour.astype(float)
