"""Turn clean tables into numeric features: stateless features first, learned encoders after.

`feature_frame` transforms one row at a time. All that is learned from rows (medians, scales,
categories, mean targets) is learned by the transformer of `make_encoder`, inside the fold, so
nothing leaks. Encoders consist of scikit-learn's and our own classes only, so they can be saved
without pickle; the names of their parts (`levels`, `targets`, ...) are stored too.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
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
    DATE_PARTS,
    MAX_MAGNITUDE,
    MIN_CATEGORY_ROWS,
    Arithmetic,
    BoxCox,
    Crosses,
    HashedLevels,
    Products,
    date_columns,
    make_target_encoder,
)

MAX_ONE_HOT_CATEGORIES = 30
N_QUANTILES = 100
ROBUST_PERCENTILES = (5.0, 95.0)
DERIVED_FEATURES = {"date": DATE_PARTS, "text": ("characters", "words")}
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
CATEGORICAL_ENCODINGS = ("one_hot", "target", *ORDINAL_ENCODINGS, "hashed")
INTERACTION_KINDS = ("none", "numeric", "categorical", "both", "arithmetic")
ENCODING_CHOICES: dict[str, tuple[str, ...]] = {
    "numeric_transform": (*NUMERIC_TRANSFORMERS, "plain"),
    "categorical_encoding": CATEGORICAL_ENCODINGS,
    "text_encoding": TEXT_ENCODINGS,
    "interactions": INTERACTION_KINDS,
}


@dataclass(frozen=True, order=True)
class Encoding:
    """The encoding of each kind of column.

    Attributes
    ----------
    numeric_transform : str
        `plain` leaves numbers as they are, gaps included, as trees like them. All others fill gaps
        by medians and mark them: `scaled` (standardised), `power` (Yeo-Johnson), `box_cox` (for
        positive columns, else as `power`), `quantile` (ranks, as of a normal distribution),
        `robust` (scaled by percentiles, tails bounded), `spline`, `piecewise` and `binned` (curves,
        bent lines and steps, for linear models and networks).
    categorical_encoding : str
        `one_hot`; `target` (mean target); `ordinal` (codes, in the first columns); `ordinal_all`
        (codes of categories with high cardinality too); `hashed` (those with high cardinality). A
        category with more than 30 values that is neither coded nor hashed has its mean target.
    text_encoding : str
        See `evertune.preprocessing.text.TextColumns`.
    interactions : str
        Pairs of columns to add: `none`, `numeric` (products), `categorical` (crosses), `both`, or
        `arithmetic` (sums, differences, products and ratios of numbers, for trees).

    Raises
    ------
    ValueError
        If there is no such choice.
    """

    numeric_transform: str = "plain"
    categorical_encoding: str = "one_hot"
    text_encoding: str = "auto"
    interactions: str = "none"

    def __post_init__(self) -> None:
        """Check every choice."""
        for field in fields(self):
            value, choices = getattr(self, field.name), ENCODING_CHOICES[field.name]
            if value not in choices:
                raise ValueError(
                    f"{field.name} must be one of {', '.join(choices)}, but got {value!r}."
                )

    @property
    def scaled(self) -> bool:
        """Whether all encoded columns have about the same spread."""
        return self.numeric_transform != "plain"


def feature_frame(table: pd.DataFrame, schema: TableSchema) -> pd.DataFrame:
    """Return the columns that the encoders take, made row by row from a clean table.

    Numbers and booleans stay; categories and text become text in which a missing value is the
    empty string; a date becomes days since 1970, month, weekday and hour; a text adds its lengths
    in characters and words; the time column gives only weekday and hour, because days only grow. A
    missing time column counts as unknown times.

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


def make_encoder(encoding: Encoding, schema: TableSchema) -> ColumnTransformer:
    """Return an unfitted transformer from `feature_frame` to numbers; unseen values are allowed.

    Examples
    --------
    >>> columns = (Column("age", "number"), Column("plan", "category", ("a",)))
    >>> schema = TableSchema(columns, "y", "binary")
    >>> X = feature_frame(pd.DataFrame({"plan": ["a", "b", "a"], "age": [1.0, 2.0, 3.0]}), schema)
    >>> encoder = make_encoder(Encoding(categorical_encoding="ordinal"), schema)
    >>> encoder.fit_transform(X, [0, 1, 1]).tolist()
    [[0.0, 1.0], [0.0, 2.0], [0.0, 3.0]]
    """
    numbers = [
        name
        for column in schema.features
        for name in feature_column_names(column, schema)
        if name != column.name or column.kind not in ("category", "text")
    ]
    numbers += [name for name in time_feature_names(schema) if name not in numbers]
    texts = [column.name for column in schema.features if column.kind == "text"]
    categories = [column.name for column in schema.features if column.kind == "category"]
    many = [column.name for column in schema.features if has_high_cardinality(column)]
    few = [name for name in categories if name not in many]
    method = encoding.categorical_encoding
    ordinal = ordinal_columns(encoding, schema)
    kinds = {"continuous": schema.task == "regression", "scaled": encoding.scaled}
    numeric: Any = "passthrough"
    products: Any = Products(continuous=kinds["continuous"])
    if encoding.interactions == "arithmetic":
        products = Arithmetic(continuous=kinds["continuous"], fill=encoding.scaled)
    if encoding.scaled:
        numeric = make_numeric_encoder(encoding.numeric_transform)
        products = make_pipeline(products, StandardScaler())
    one_hot = [] if method == "target" else few
    by_target = {"target": categories, "ordinal_all": [], "hashed": []}.get(method, many)
    multiplied = encoding.interactions in ("numeric", "both", "arithmetic") and len(numbers) > 1
    crossed = encoding.interactions in ("categorical", "both") and len(categories) > 1
    parts = [  # ordinal codes come first
        (
            "levels",
            make_ordinal_encoder() if ordinal else make_one_hot_encoder(),
            ordinal or one_hot,
        ),
        ("targets", make_target_encoder(**kinds), by_target),
        ("hashes", HashedLevels(), many if method == "hashed" else []),
        ("texts", TextColumns(encoding.text_encoding, **kinds), texts),
        ("numbers", numeric, numbers),
        ("products", products, numbers if multiplied else []),
        ("crosses", Crosses(**kinds), categories if crossed else []),
    ]
    return ColumnTransformer(
        [part for part in parts if part[2]], sparse_threshold=0, verbose_feature_names_out=False
    )


def monotone_columns(encoder: ColumnTransformer, schema: TableSchema) -> tuple[int, ...]:
    """Return for each encoded column 1 or -1 where predictions may only rise or fall with it.

    Parameters
    ----------
    encoder : ColumnTransformer
        Of `make_encoder`, fitted.

    Returns
    -------
    tuple of int
        0 for all other columns; empty if no column of the table is monotone.

    Raises
    ------
    ValueError
        If such a column is transformed, or a part of others.
    """
    if not schema.is_monotone:
        return ()
    signs = {
        column.name: 1 if column.monotone == "up" else -1
        for column in schema.features
        if column.monotone
    }
    parts = {name: (part, columns) for name, part, columns in encoder.transformers_}
    if "products" in parts or isinstance(parts["numbers"][0], Pipeline):
        raise ValueError(
            "data.monotone needs numeric_transform plain and interactions none or categorical:"
            " predictions are monotone in what is no part of other columns."
        )
    place = encoder.output_indices_["numbers"]
    found = [0] * max(part.stop for part in encoder.output_indices_.values())
    found[place] = [signs.get(name, 0) for name in parts["numbers"][1]]
    return tuple(found)


def make_numeric_encoder(transform: str) -> Any:
    """Return an unfitted transformer: gaps filled by medians and marked, then one of the list."""
    gaps = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    return make_pipeline(gaps, NUMERIC_TRANSFORMERS[transform]())


def make_one_hot_encoder() -> OneHotEncoder:
    """Return an unfitted transformer from categories to columns of 0 and 1."""
    return OneHotEncoder(
        handle_unknown="infrequent_if_exist", min_frequency=MIN_CATEGORY_ROWS, sparse_output=False
    )


def make_ordinal_encoder() -> OrdinalEncoder:
    """Return an unfitted transformer from categories to codes; an unseen one is NaN."""
    return OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=np.nan, min_frequency=MIN_CATEGORY_ROWS
    )


def ordinal_columns(encoding: Encoding, schema: TableSchema) -> list[str]:
    """Return the columns that an encoding turns into codes, which come first in its result."""
    method = encoding.categorical_encoding
    if method not in ORDINAL_ENCODINGS:
        return []
    return [
        column.name
        for column in schema.features
        if column.kind == "category"
        and (method == "ordinal_all" or not has_high_cardinality(column))
    ]


def has_high_cardinality(column: Column) -> bool:
    """Return whether a column is a category with more than 30 values."""
    return column.kind == "category" and len(column.categories) > MAX_ONE_HOT_CATEGORIES


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


def _column_features(table: pd.DataFrame, column: Column) -> Iterator[pd.Series]:
    cells = table[column.name]
    if column.kind == "date":
        yield from date_columns(pd.to_datetime(cells))
    elif column.kind in ("category", "text"):
        texts = cells.to_numpy(dtype=object, na_value="")
        yield pd.Series(texts, index=cells.index)
        if column.kind == "text":
            yield cells.str.len().astype(float)
            yield cells.map(count_words, na_action="ignore").astype(float)
    else:
        numbers = np.clip(cells.to_numpy(dtype=float), -MAX_MAGNITUDE, MAX_MAGNITUDE)
        yield pd.Series(numbers, index=cells.index)


def _time_features(table: pd.DataFrame, name: str) -> tuple[pd.Series, pd.Series]:
    known = name in table and pd.api.types.is_datetime64_any_dtype(table[name])
    times = table[name] if known else pd.Series(pd.NaT, index=table.index)
    _, _, weekday, hour = date_columns(times)
    return weekday, hour
