"""Which columns a model relies on: permutation importance, and SHAP values of its boosters.

`permutation_importance` says what the metric loses when a column is shuffled.
`shap_contributions` uses the boosters' own SHAP values: a column's share is the mean absolute
value of its part over the sum of all columns'. Shares have no unit, so that boosters of several
libraries can be averaged by their weights in the ensemble.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.preprocessing import OneHotEncoder

from evertune.data.schema import TableSchema
from evertune.metrics.metrics import Metric, compute_metrics, lift
from evertune.models.model import (
    Ensemble,
    FittedPipeline,
    WeightedPredictor,
    group_by_encoder,
    to_catboost_rows,
)
from evertune.preprocessing.encoders import feature_frame
from evertune.stats.bootstrap import BootstrapConfig
from evertune.types import FloatArray, Predictions, take_rows

PredictFunction = Callable[[pd.DataFrame], Predictions]
MAX_IMPORTANCE_DRAWS = 200  # an interval of a bar needs no more


@dataclass(frozen=True, eq=False)
class ImportanceReference:
    """What predictions of shuffled rows are compared with.

    Attributes
    ----------
    metric : Metric
    truth : array of shape (n,)
    predictions : Predictions
        Of the rows as they are.
    """

    metric: Metric
    truth: FloatArray
    predictions: Predictions


@dataclass(frozen=True)
class Importance:
    """What the model loses when one column is shuffled.

    Attributes
    ----------
    column : str
    loss : float
        Mean loss in the metric that is optimised, in its unit; positive means that the model
        needs the column.
    low, high : float
        Its bootstrap interval over rows.
    """

    column: str
    loss: float
    low: float
    high: float


def permutation_importance(
    predict: PredictFunction,
    table: pd.DataFrame,
    *,
    beside: ImportanceReference,
    repeats: int,
    bootstrap: BootstrapConfig,
) -> tuple[Importance, ...]:
    """Return what a model loses when a column is shuffled, largest loss first.

    Each column is shuffled on its own while the others stay (Breiman, 2001; Fisher, Rudin and
    Dominici, 2019). The loss is the mean over shuffles, its interval a percentile bootstrap over
    rows of that mean. Columns for which the loss is undefined are left out.

    Parameters
    ----------
    predict : callable
        Takes a table like `table` and gives predictions for its rows.
    table : DataFrame, n rows
        Rows that the model was not trained on, with the columns to be shuffled and no others.
    beside : ImportanceReference
        For the same rows.
    repeats : int
        Shuffles of each column, at least 1.
    bootstrap : BootstrapConfig
        At most 200 draws are made; its seed shuffles, too.

    Returns
    -------
    tuple of Importance

    Raises
    ------
    ValueError
        If `repeats` is not positive.

    Examples
    --------
    >>> from evertune.metrics.metrics import METRICS
    >>> table = pd.DataFrame({"used": [0.0, 1.0, 0.0, 1.0], "unused": [1.0, 2.0, 3.0, 4.0]})
    >>> truth = table["used"].to_numpy()
    >>> rows = permutation_importance(
    ...     lambda rows: Predictions(rows["used"].to_numpy()),
    ...     table,
    ...     beside=ImportanceReference(METRICS["accuracy"], truth, Predictions(truth)),
    ...     repeats=5,
    ...     bootstrap=BootstrapConfig(100, 0.9, 0),
    ... )
    >>> [(row.column, row.loss > 0) for row in rows]
    [('used', True), ('unused', False)]
    """
    if repeats < 1:
        raise ValueError(f"The 'repeats' of an importance must be positive. Got {repeats} instead.")
    random = np.random.default_rng(bootstrap.seed)
    weights = _bootstrap_weights(len(table), bootstrap, random)
    found = []
    for column in table.columns:
        said = predict(_shuffle_column(table, column, repeats=repeats, random=random))
        parts = [take_rows(said, rows) for rows in np.arange(said.values.size).reshape(repeats, -1)]
        found.append(_column_importance(str(column), parts, beside, weights, bootstrap.confidence))
    known = [row for row in found if row is not None]
    return tuple(sorted(known, key=lambda row: (-row.loss, row.column)))


def _shuffle_column(
    table: pd.DataFrame, column: str, *, repeats: int, random: np.random.Generator
) -> pd.DataFrame:
    """Return `repeats` copies of the table, one below the other, the column shuffled in each."""
    orders = [random.permutation(len(table)) for _ in range(repeats)]
    stacked = pd.concat([table] * repeats, ignore_index=True)
    shuffled = table[column].take(np.concatenate(orders)).reset_index(drop=True)
    return stacked.assign(**{column: shuffled})


def _column_importance(
    column: str,
    shuffles: list[Predictions],
    beside: ImportanceReference,
    weights: FloatArray,
    confidence: float,
) -> Importance | None:
    metric, truth = beside.metric, beside.truth
    whole = compute_metrics([metric], truth, beside.predictions)[metric.name]
    losses = [
        lift(metric, whole, compute_metrics([metric], truth, s)[metric.name]) for s in shuffles
    ]
    known = [loss for loss in losses if loss is not None]
    if not known:
        return None
    drawn = np.mean([_weighted_scores(beside, said, weights) for said in shuffles], axis=0)
    sign = 1.0 if metric.greater_is_better else -1.0
    gaps = sign * (_weighted_scores(beside, beside.predictions, weights) - drawn)
    ends = np.nanquantile(gaps, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Importance(column, float(np.mean(known)), float(ends[0]), float(ends[1]))


def _weighted_scores(
    beside: ImportanceReference, said: Predictions, weights: FloatArray
) -> FloatArray:
    figures_of: Any = beside.metric.kernel(beside.truth, said)
    return np.asarray(figures_of(weights), dtype=np.float64)


def _bootstrap_weights(
    n_rows: int, bootstrap: BootstrapConfig, random: np.random.Generator
) -> FloatArray:
    draws = min(bootstrap.draws, MAX_IMPORTANCE_DRAWS)
    return random.multinomial(n_rows, np.full(n_rows, 1 / n_rows), size=draws).astype(np.float64)


MULTICLASS_NDIM = 3
ColumnShares = dict[str, float]


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


def shap_contributions(
    fitted: FittedPipeline | Ensemble, table: pd.DataFrame, schema: TableSchema
) -> Contributions:
    """Return what columns add to what the boosters of a model say of rows.

    They are the libraries' own tree SHAP values (Lundberg and others, 2020), of the figure before
    it becomes a probability: the mean of |value| over rows and classes, as shares of a booster's
    sum. One-hot columns count for the column that they come from. Of a member's fold models the
    first is asked, for all of them. Boosters whose encoded columns cannot be traced back are left
    out.

    Parameters
    ----------
    fitted : FittedPipeline or Ensemble
    table : DataFrame, n rows
        Clean rows.
    schema : TableSchema
    """
    if table.empty:
        return Contributions()
    cells = feature_frame(table, schema)
    found = [
        (part.weight, shares)
        for encoder, parts in _parts_by_encoder(fitted)
        for part, shares in _encoder_contributions(encoder, parts, cells, schema)
    ]
    weight = sum(each for each, _ in found)
    if not weight:
        return Contributions()
    names = {name for _, shares in found for name in shares}
    sums = {n: sum(w * shares.get(n, 0.0) for w, shares in found) / weight for n in names}
    ranked = sorted(sums.items(), key=lambda pair: (-pair[1], pair[0]))
    return Contributions(tuple(Contribution(*pair) for pair in ranked), weight, len(table))


def encoded_column_sources(encoder: Any) -> tuple[str, ...] | None:
    """Return which column each encoded column comes from, None where that cannot be told.

    Parameters
    ----------
    encoder : ColumnTransformer
        Fitted, from `evertune.preprocessing.encoders.make_encoder`.
    """
    width = max((each.stop for each in encoder.output_indices_.values()), default=0)
    names: list[str | None] = [None] * width
    for step, transformer, columns in encoder.transformers_:
        place = encoder.output_indices_[step]
        sources = _transformer_sources(transformer, list(columns), place.stop - place.start)
        names[place] = sources
    known = tuple(name for name in names if name is not None)
    return known if len(known) == width else None


def _transformer_sources(transformer: Any, columns: list[str], width: int) -> list[str | None]:
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


def _parts_by_encoder(
    fitted: FittedPipeline | Ensemble,
) -> list[tuple[Any, list[WeightedPredictor]]]:
    """Return one part of each member with the member's whole weight, by encoder."""
    if isinstance(fitted, Ensemble):
        first = [replace(member, fitted=member.fitted[:1]) for member in fitted.members]
        return group_by_encoder(replace(fitted, members=tuple(first)))
    return [(fitted.encoder, [WeightedPredictor(fitted, 1.0)])]


def _encoder_contributions(
    encoder: Any, parts: list[WeightedPredictor], cells: pd.DataFrame, schema: TableSchema
) -> Iterator[tuple[WeightedPredictor, ColumnShares]]:
    asked = [part for part in parts if _library_name(part.fitted.predictor) in SHAP_FUNCTIONS]
    sources = encoded_column_sources(encoder) if asked else None
    if sources is None:
        return
    X = np.asarray(encoder.transform(cells))
    for part in asked:
        taken = part.fitted.columns
        rows = X if taken is None else X[:, list(taken)]
        named = sources if taken is None else tuple(sources[place] for place in taken)
        values = SHAP_FUNCTIONS[_library_name(part.fitted.predictor)](part.fitted.predictor, rows)
        yield part, _column_shares(values, [_source_column(name, schema) for name in named])


def _column_shares(values: FloatArray, names: list[str]) -> ColumnShares:
    """Return each column's share; values are (n, width + 1) or (n, classes, width + 1)."""
    width = len(names) + 1
    flat = (
        values.reshape(-1, width)
        if values.ndim == MULTICLASS_NDIM
        else values.reshape(len(values), -1)
    )
    sizes = np.abs(flat.reshape(-1, width)[:, :-1]).mean(axis=0)
    total = float(sizes.sum())
    shares: ColumnShares = {}
    for name, size in zip(names, sizes, strict=True):
        shares[name] = shares.get(name, 0.0) + (float(size) / total if total else 0.0)
    return shares


def _source_column(name: str, schema: TableSchema) -> str:
    """Return the column of a table that a column of `feature_frame` comes from, such as
    `date:hour`.
    """
    known = {column.name for column in schema.features} | {schema.time}
    return name if name in known else name.rpartition(":")[0]


def _library_name(predictor: Any) -> str:
    return type(predictor).__module__.partition(".")[0]


def _lightgbm_shap(predictor: Any, X: FloatArray) -> FloatArray:
    return np.asarray(predictor.predict(X, pred_contrib=True), dtype=np.float64)


def _xgboost_shap(predictor: Any, X: FloatArray) -> FloatArray:
    from xgboost import DMatrix

    rows = DMatrix(X, feature_types=predictor.feature_types, enable_categorical=True)
    return np.asarray(predictor.predict(rows, pred_contribs=True), dtype=np.float64)


def _catboost_shap(predictor: Any, X: FloatArray) -> FloatArray:
    from catboost import Pool

    places = tuple(predictor.get_cat_feature_indices())
    rows = Pool(to_catboost_rows(X, places), cat_features=list(places))
    return np.asarray(predictor.get_feature_importance(rows, type="ShapValues"), dtype=np.float64)


SHAP_FUNCTIONS: dict[str, Callable[[Any, FloatArray], FloatArray]] = {
    "lightgbm": _lightgbm_shap,
    "xgboost": _xgboost_shap,
    "catboost": _catboost_shap,
}
