"""What single columns add to what boosters say: their own SHAP values, through an ensemble.

A booster says a sum over columns; the mean size of a column's part, over the sizes of all, is its
share. Shares have no unit, so that boosters of several libraries can be averaged by their weights.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.preprocessing import OneHotEncoder

from pipelines.core.booster_rows import catboost_rows
from pipelines.core.encoding import matrix
from pipelines.core.model import Ensemble, Fitted, Part, by_encoder
from pipelines.core.predictions import Floats
from pipelines.core.schema import Schema

CUBE = 3
Shares = dict[str, float]


@dataclass(frozen=True)
class Contribution:
    """The share of one column in what the boosters say; the shares of all columns sum to 1."""

    column: str
    share: float


@dataclass(frozen=True)
class Contributions:
    """What columns add to what boosters say.

    Attributes
    ----------
    columns : tuple of Contribution
        The largest first.
    weight : float
        The share of the ensemble's weight that is explained so; 0 where no member is a booster.
    rows : int
        Rows that were looked at.
    """

    columns: tuple[Contribution, ...] = ()
    weight: float = 0.0
    rows: int = 0


def contributions(fitted: Fitted | Ensemble, table: pd.DataFrame, schema: Schema) -> Contributions:
    """Return what columns add to what the boosters of a model say of rows.

    They are the libraries' own tree SHAP values (Lundberg and others, 2020), of the figure before
    it becomes a probability: the mean of |value| over rows and classes, as shares of a booster's
    sum. One-hot columns count for the column that they come from. Of a member's fold models the
    first is asked, for all of them. Boosters whose encoded columns cannot be traced back are left
    out.

    Parameters
    ----------
    fitted : Fitted or Ensemble
    table : DataFrame, n rows
        Clean rows.
    schema : Schema
    """
    if table.empty:
        return Contributions()
    cells = matrix(table, schema)
    found = [
        (part.weight, shares)
        for encoder, parts in _parts(fitted)
        for part, shares in _of_encoder(encoder, parts, cells, schema)
    ]
    weight = sum(each for each, _ in found)
    if not weight:
        return Contributions()
    names = {name for _, shares in found for name in shares}
    sums = {n: sum(w * shares.get(n, 0.0) for w, shares in found) / weight for n in names}
    ranked = sorted(sums.items(), key=lambda pair: (-pair[1], pair[0]))
    return Contributions(tuple(Contribution(*pair) for pair in ranked), weight, len(table))


def encoded_columns(encoder: Any) -> tuple[str, ...] | None:
    """Return which column each encoded column comes from, None where that cannot be told.

    Parameters
    ----------
    encoder : ColumnTransformer
        Fitted, from `pipelines.core.encoding.encoder`.
    """
    width = max((each.stop for each in encoder.output_indices_.values()), default=0)
    names: list[str | None] = [None] * width
    for step, transformer, columns in encoder.transformers_:
        place = encoder.output_indices_[step]
        sources = _sources(transformer, list(columns), place.stop - place.start)
        names[place] = sources
    known = tuple(name for name in names if name is not None)
    return known if len(known) == width else None


def _sources(transformer: Any, columns: list[str], width: int) -> list[str | None]:
    if width == len(columns):
        return [*columns]
    if not isinstance(transformer, OneHotEncoder):
        return [None] * width
    rare = transformer.infrequent_categories_
    counts = [
        len(levels) if few is None else len(levels) - len(few) + 1
        for levels, few in zip(transformer.categories_, rare, strict=True)
    ]
    return [name for name, count in zip(columns, counts, strict=True) for _ in range(count)]


def _parts(fitted: Fitted | Ensemble) -> list[tuple[Any, list[Part]]]:
    """Return one part of each member with the member's whole weight, by encoder."""
    if isinstance(fitted, Ensemble):
        first = [replace(member, fitted=member.fitted[:1]) for member in fitted.members]
        return by_encoder(replace(fitted, members=tuple(first)))
    return [(fitted.encoder, [Part(fitted, 1.0, None)])]


def _of_encoder(
    encoder: Any, parts: list[Part], cells: pd.DataFrame, schema: Schema
) -> Iterator[tuple[Part, Shares]]:
    asked = [part for part in parts if _library(part.fitted.predictor) in VALUES]
    sources = encoded_columns(encoder) if asked else None
    if sources is None:
        return
    X = np.asarray(encoder.transform(cells))
    for part in asked:
        taken = part.fitted.columns
        rows = X if taken is None else X[:, list(taken)]
        named = sources if taken is None else tuple(sources[place] for place in taken)
        values = VALUES[_library(part.fitted.predictor)](part.fitted.predictor, rows)
        yield part, _shares(values, [_column(name, schema) for name in named])


def _shares(values: Floats, names: list[str]) -> Shares:
    """Return each column's share; values are (n, width + 1) or (n, classes, width + 1)."""
    width = len(names) + 1
    flat = values.reshape(-1, width) if values.ndim == CUBE else values.reshape(len(values), -1)
    sizes = np.abs(flat.reshape(-1, width)[:, :-1]).mean(axis=0)
    total = float(sizes.sum())
    shares: Shares = {}
    for name, size in zip(names, sizes, strict=True):
        shares[name] = shares.get(name, 0.0) + (float(size) / total if total else 0.0)
    return shares


def _column(name: str, schema: Schema) -> str:
    """Return the column of a table that a column of `matrix` comes from, such as `date:hour`."""
    known = {column.name for column in schema.features} | {schema.time}
    return name if name in known else name.rpartition(":")[0]


def _library(predictor: Any) -> str:
    return type(predictor).__module__.partition(".")[0]


def _of_lightgbm(predictor: Any, X: Floats) -> Floats:
    return np.asarray(predictor.predict(X, pred_contrib=True), dtype=np.float64)


def _of_xgboost(predictor: Any, X: Floats) -> Floats:
    from xgboost import DMatrix

    rows = DMatrix(X, feature_types=predictor.feature_types, enable_categorical=True)
    return np.asarray(predictor.predict(rows, pred_contribs=True), dtype=np.float64)


def _of_catboost(predictor: Any, X: Floats) -> Floats:
    from catboost import Pool

    places = tuple(predictor.get_cat_feature_indices())
    rows = Pool(catboost_rows(X, places), cat_features=list(places))
    return np.asarray(predictor.get_feature_importance(rows, type="ShapValues"), dtype=np.float64)


VALUES: dict[str, Callable[[Any, Floats], Floats]] = {
    "lightgbm": _of_lightgbm,
    "xgboost": _of_xgboost,
    "catboost": _of_catboost,
}
