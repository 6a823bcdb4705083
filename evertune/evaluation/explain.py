"""Which columns a model relies on: permutation importance, and SHAP values of its boosters.

`permutation_importance` measures how much worse the metric gets when a column is shuffled.
`shap_contributions` uses the SHAP values of the boosting libraries: a column's share is its mean
absolute value over the sum of all columns'. Shares have no unit, so that boosters of several
libraries can be averaged by their weights in the ensemble.

Why not `sklearn.inspection.permutation_importance`: it predicts shuffle by shuffle, and its spread
is that of shuffles, not of rows.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.preprocessing import OneHotEncoder

from evertune.data.profiling import number_skill
from evertune.data.schema import TableSchema
from evertune.metrics.metrics import Metric, compute_metrics, lift
from evertune.models.fitted_model import (
    Ensemble,
    FittedPipeline,
    WeightedPredictor,
    group_by_encoder,
    to_catboost_rows,
)
from evertune.preprocessing.encoders import feature_frame
from evertune.stats.bootstrap import BootstrapConfig
from evertune.types import FloatArray, Predictions, probabilities_or_values, take_rows

MAX_IMPORTANCE_DRAWS = 200  # an interval of a bar needs no more


@dataclass(frozen=True)
class Importance:
    """The mean loss in the optimised metric if one column is shuffled, with its interval.

    The unit is that of the metric; positive means that the model needs the column.
    """

    column: str
    loss: float
    low: float
    high: float


def permutation_importance(
    predict: Callable[[pd.DataFrame], Predictions],
    table: pd.DataFrame,
    y_true: FloatArray,
    pred: Predictions,
    *,
    metric: Metric,
    repeats: int,
    bootstrap: BootstrapConfig,
    columns: Sequence[str] | None = None,
) -> tuple[Importance, ...]:
    """Return what a model loses when a column is shuffled, largest loss first.

    Each column is shuffled on its own while the others stay (Breiman, 2001; Fisher, Rudin and
    Dominici, 2019). The loss is the mean over shuffles, its interval a percentile bootstrap over
    rows of that mean. Columns for which the loss is undefined are left out.

    Parameters
    ----------
    predict : callable
        From a table like `table` to predictions for its rows.
    table : DataFrame, n rows
        Rows that the model was not trained on, with the columns that it takes and no others.
    pred : Predictions
        For the rows as they are.
    repeats : int
        Shuffles of each column, at least 1.
    bootstrap : BootstrapConfig
        At most 200 draws are made; its seed shuffles, too.
    columns : sequence of str, optional
        Those to shuffle; by default all.

    Raises
    ------
    ValueError
        If `repeats` is not positive.

    Examples
    --------
    >>> from evertune.metrics.metrics import METRICS
    >>> table = pd.DataFrame({"used": [0.0, 1.0, 0.0, 1.0], "unused": [1.0, 2.0, 3.0, 4.0]})
    >>> y_true = table["used"].to_numpy()
    >>> rows = permutation_importance(
    ...     lambda rows: Predictions(rows["used"].to_numpy()),
    ...     table,
    ...     y_true,
    ...     Predictions(y_true),
    ...     metric=METRICS["accuracy"],
    ...     repeats=5,
    ...     bootstrap=BootstrapConfig(100, 0.9, 0),
    ... )
    >>> [(row.column, row.loss > 0) for row in rows]
    [('used', True), ('unused', False)]
    """
    if repeats < 1:
        raise ValueError(f"The 'repeats' of an importance must be positive. Got {repeats} instead.")
    n_rows, rng = len(table), np.random.default_rng(bootstrap.seed)
    n_draws = min(bootstrap.draws, MAX_IMPORTANCE_DRAWS)
    weights = rng.multinomial(n_rows, np.full(n_rows, 1 / n_rows), size=n_draws).astype(np.float64)
    tails = [(1 - bootstrap.confidence) / 2, (1 + bootstrap.confidence) / 2]
    sign = 1.0 if metric.greater_is_better else -1.0
    whole = compute_metrics([metric], y_true, pred)[metric.name]
    stacked = pd.concat([table] * repeats, ignore_index=True)
    rows = []
    for column in table.columns if columns is None else columns:
        order = np.concatenate([rng.permutation(n_rows) for _ in range(repeats)])
        shuffled = table[column].take(order).reset_index(drop=True)
        every = predict(stacked.assign(**{column: shuffled}))
        shuffles = [take_rows(every, part) for part in np.arange(order.size).reshape(repeats, -1)]
        scores = [compute_metrics([metric], y_true, each)[metric.name] for each in shuffles]
        losses = [loss for score in scores if (loss := lift(metric, whole, score)) is not None]
        if losses:
            drawn = np.mean([metric.kernel(y_true, each)(weights) for each in shuffles], axis=0)
            gaps = sign * (metric.kernel(y_true, pred)(weights) - drawn)
            low, high = np.nanquantile(gaps, tails)
            rows.append(Importance(str(column), float(np.mean(losses)), float(low), float(high)))
    return tuple(sorted(rows, key=lambda row: (-row.loss, row.column)))


def rank_columns(
    table: pd.DataFrame, pred: Predictions, contributions: "Contributions"
) -> list[str]:
    """Return the columns of a table, those first on which a model seems to rely most.

    Their order is that of the SHAP values of the model's boosters. Without boosters it is that of
    how well a column alone orders or groups the predictions; of several classes, the probability
    that varies most.

    Examples
    --------
    >>> table = pd.DataFrame({"unused": [3.0, 1.0, 2.0], "used": [1.0, 2.0, 3.0]})
    >>> rank_columns(table, Predictions(np.array([0.1, 0.2, 0.4])), Contributions())
    ['used', 'unused']
    """
    if contributions.columns:
        strength = {each.column: each.share for each in contributions.columns}
    else:
        scores = probabilities_or_values(pred)
        if scores.ndim == 2:
            scores = scores[:, scores.var(axis=0).argmax()]
        if not np.ptp(scores):
            return list(table.columns)
        strength = {str(name): number_skill(cells, scores) for name, cells in table.items()}
    return sorted(table.columns, key=lambda name: -strength.get(name, 0.0))


@dataclass(frozen=True)
class Contribution:
    """The share of one column in the boosters' predictions; the shares of all columns sum to 1."""

    column: str
    share: float


@dataclass(frozen=True)
class Contributions:
    """The columns' shares in the boosters' predictions.

    Attributes
    ----------
    columns : tuple of Contribution
        The largest first.
    weight : float
        The share of the ensemble's weight that is explained so; 0 if no member is a booster.
    rows : int
        Rows that were explained.
    """

    columns: tuple[Contribution, ...] = ()
    weight: float = 0.0
    rows: int = 0


def shap_contributions(
    fitted: FittedPipeline | Ensemble, table: pd.DataFrame, schema: TableSchema
) -> Contributions:
    """Return the columns' shares in the SHAP values of a model's boosters.

    They are the libraries' own tree SHAP values (Lundberg and others, 2020) of the raw score,
    before it becomes a probability: the mean of |value| over rows and classes, as shares of a
    booster's sum. One-hot columns count for the column that they come from. Of a member's fold
    models the first stands for all. Boosters whose encoded columns cannot be traced back are left
    out.

    Parameters
    ----------
    table : DataFrame, n rows
        Clean rows.
    """
    if table.empty:
        return Contributions()
    if isinstance(fitted, Ensemble):
        first = tuple(replace(member, fitted=member.fitted[:1]) for member in fitted.members)
        fitted = replace(fitted, members=first)
    cells = feature_frame(table, schema)
    found = [
        pair
        for encoder, parts in group_by_encoder(fitted)
        for pair in _booster_shares(encoder, parts, cells, schema)
    ]
    weight = sum(each for each, _ in found)
    if not weight:
        return Contributions()
    names = {name for _, shares in found for name in shares}
    means = {n: sum(w * shares.get(n, 0.0) for w, shares in found) / weight for n in names}
    ranked = sorted(means.items(), key=lambda pair: (-pair[1], pair[0]))
    return Contributions(tuple(Contribution(*pair) for pair in ranked), weight, len(table))


def encoded_column_sources(encoder: Any) -> tuple[str, ...] | None:
    """Return the source column of each encoded column of a fitted ColumnTransformer.

    None if that of one is not known: of a transformer that neither keeps the number of columns
    nor is a OneHotEncoder.
    """
    width = max((part.stop for part in encoder.output_indices_.values()), default=0)
    names: list[str | None] = [None] * width
    for step, transformer, columns in encoder.transformers_:
        place = encoder.output_indices_[step]
        sources = list(columns)
        if isinstance(transformer, OneHotEncoder):
            rare = transformer.infrequent_categories_
            counts = [
                len(levels) if few is None else len(levels) - len(few) + 1
                for levels, few in zip(transformer.categories_, rare, strict=True)
            ]
            sources = [name for name, n in zip(columns, counts, strict=True) for _ in range(n)]
        if len(sources) == place.stop - place.start:
            names[place] = sources
    known = tuple(name for name in names if name is not None)
    return known if len(known) == width else None


def _booster_shares(
    encoder: Any, parts: list[WeightedPredictor], cells: pd.DataFrame, schema: TableSchema
) -> Iterator[tuple[float, dict[str, float]]]:
    """Yield the weight of each booster behind an encoder, and its shares by column."""
    boosters = [part for part in parts if _library(part.fitted.predictor) in SHAP_FUNCTIONS]
    sources = encoded_column_sources(encoder) if boosters else None
    if sources is None:
        return
    known = {column.name for column in schema.features} | {schema.time}
    # A column of `feature_frame` may be a part of one, such as `date:hour`.
    sources = tuple(name if name in known else name.rpartition(":")[0] for name in sources)
    X = np.asarray(encoder.transform(cells))
    for part in boosters:
        columns = range(len(sources)) if part.fitted.columns is None else part.fitted.columns
        predictor = part.fitted.predictor
        values = SHAP_FUNCTIONS[_library(predictor)](predictor, X[:, list(columns)])
        # LightGBM gives (n, classes * (width + 1)), others (n, classes, width + 1); the last is
        # the expected value.
        sizes = np.abs(values.reshape(-1, len(columns) + 1)[:, :-1]).mean(axis=0)
        total, shares = float(sizes.sum()), dict.fromkeys((sources[i] for i in columns), 0.0)
        for i, size in zip(columns, sizes, strict=True):
            shares[sources[i]] += float(size) / total if total else 0.0
        yield part.weight, shares


def _library(predictor: Any) -> str:
    return type(predictor).__module__.partition(".")[0]


def _lightgbm_shap(predictor: Any, X: FloatArray) -> FloatArray:
    return np.asarray(predictor.predict(X, pred_contrib=True), dtype=np.float64)


def _xgboost_shap(predictor: Any, X: FloatArray) -> FloatArray:
    from xgboost import DMatrix

    rows = DMatrix(X, feature_types=predictor.feature_types, enable_categorical=True)
    return np.asarray(predictor.predict(rows, pred_contribs=True), dtype=np.float64)


def _catboost_shap(predictor: Any, X: FloatArray) -> FloatArray:
    from catboost import Pool

    categorical = tuple(predictor.get_cat_feature_indices())
    rows = Pool(to_catboost_rows(X, categorical), cat_features=list(categorical))
    return np.asarray(predictor.get_feature_importance(rows, type="ShapValues"), dtype=np.float64)


SHAP_FUNCTIONS: dict[str, Callable[[Any, FloatArray], FloatArray]] = {
    "lightgbm": _lightgbm_shap,
    "xgboost": _xgboost_shap,
    "catboost": _catboost_shap,
}
