"""Pairs of columns: products of numbers, and two categories as one; few, chosen by their rows."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.feature_selection import f_classif, f_regression

from pipelines.core.column_encoders import target_encoder
from pipelines.core.predictions import Floats

STRONGEST = 6  # columns that are paired
MOST_PRODUCTS = 8
MOST_CROSSES = 6
MOST_SPREADS = 1e6  # that a value counts as lying off, at most
MOST_ROWS = 10_000  # that pairs are chosen by
BETWEEN = "\x1f"  # stands between two levels that are made one


class Products(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Multiply the columns that tell most of the target with one another.

    Each column is centred at its median and divided by its spread, so that a product says whether
    two values lie off on the same side; a gap counts as the median. Of the six columns whose ranks
    tell most of the target (F test) the eight products are kept that tell most.

    Parameters
    ----------
    continuous : bool
        Whether the target is a value rather than a class.

    Attributes
    ----------
    centres_, spreads_ : array of shape (width,)
    places_ : array of shape (n_products, 2)
        The columns of each product.

    Examples
    --------
    >>> X = np.array([[1.0, 2.0], [2.0, 1.0], [3.0, 3.0], [4.0, 0.0]])
    >>> Products(continuous=True).fit_transform(X, [2.0, 2.0, 9.0, 0.0]).round(2).tolist()
    [[-0.6], [0.2], [0.6], [-1.8]]
    """

    def __init__(self, *, continuous: bool) -> None:
        self.continuous = continuous

    def fit(self, X: Any, y: Any) -> Self:
        """Learn from n rows; returns itself."""
        cells, truth = _sample(np.asarray(X, dtype=np.float64)), _sample(np.asarray(y))
        empty = np.isnan(cells).all(axis=0)
        known = np.where(empty, 0.0, cells)
        self.n_features_in_ = cells.shape[1]
        self.centres_ = np.nanmedian(known, axis=0)
        spread = np.nanstd(known, axis=0)
        self.spreads_ = np.where(spread > 0, spread, 1.0)
        self.places_ = _chosen(self._centred(cells), truth, continuous=self.continuous)
        return self

    def transform(self, X: Any) -> Floats:
        """Return the products of n rows, of shape (n, n_products)."""
        centred = self._centred(np.asarray(X, dtype=np.float64))
        found: Floats = centred[:, self.places_[:, 0]] * centred[:, self.places_[:, 1]]
        return found

    def get_feature_names_out(self, _: Sequence[str] | None = None) -> NDArray[np.object_]:
        """Return a name for each column."""
        return np.array([f"product:{a}x{b}" for a, b in self.places_], dtype=object)

    def _centred(self, cells: Floats) -> Floats:
        with np.errstate(over="ignore"):
            off = (cells - self.centres_) / self.spreads_
        found: Floats = np.clip(np.nan_to_num(off, nan=0.0), -MOST_SPREADS, MOST_SPREADS)
        return found


class Crosses(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Make two categories one, and encode it by the mean target of other rows.

    Pairs are made of the six categories whose levels tell most of the target, and the six are kept
    whose joint levels do. A pair of levels that was never seen has the mean of all rows.

    Parameters
    ----------
    continuous, scaled : bool
        As `target_encoder` takes them.

    Attributes
    ----------
    places_ : array of shape (n_pairs, 2)
        The columns of each pair.
    means_ : TargetEncoder or Pipeline
    """

    def __init__(self, *, continuous: bool, scaled: bool) -> None:
        self.continuous, self.scaled = continuous, scaled

    def fit(self, X: pd.DataFrame, y: Any) -> Self:
        """Learn from n rows; returns itself."""
        self.fit_transform(X, y)
        return self

    def fit_transform(self, X: pd.DataFrame, y: Any) -> Floats:
        """Learn from n rows and return them, each by the means of other rows."""
        self.n_features_in_ = X.shape[1]
        self.places_ = _crossed(X, np.asarray(y), continuous=self.continuous)
        self.means_ = target_encoder(continuous=self.continuous, scaled=self.scaled)
        found = self.means_.fit_transform(self.joint(X), y)
        self.width_ = found.shape[1]
        return np.asarray(found, dtype=np.float64)

    def transform(self, X: pd.DataFrame) -> Floats:
        """Return n rows, of shape (n, n_pairs), times the classes where there are three or more."""
        return np.asarray(self.means_.transform(self.joint(X)), dtype=np.float64)

    def joint(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return the pairs as columns of words."""
        columns = [X.iloc[:, place].astype(object) for place in range(X.shape[1])]
        pairs = {
            f"cross{n}": columns[a] + BETWEEN + columns[b] for n, (a, b) in enumerate(self.places_)
        }
        return pd.DataFrame(pairs, index=X.index, dtype=object)

    def get_feature_names_out(self, _: Sequence[str] | None = None) -> NDArray[np.object_]:
        """Return a name for each column."""
        return np.array([f"cross:{place}" for place in range(self.width_)], dtype=object)


def _sample(rows: Any) -> Any:
    """Return rows spread evenly over all, in their order."""
    return rows[:: -(-len(rows) // MOST_ROWS)]


def _strength(X: Floats, y: NDArray[Any], *, continuous: bool) -> Floats:
    """Return the F statistic of each column's ranks, -1 where a column does not vary."""
    found = np.full(X.shape[1], -1.0)
    varying = np.ptp(X, axis=0) > 0
    if varying.any() and len(np.unique(y)) > 1:
        ranks = rankdata(X[:, varying], axis=0)
        score = f_regression if continuous else f_classif
        target = rankdata(y) if continuous else y
        found[varying] = np.nan_to_num(score(ranks, target)[0], posinf=1e300)
    return found


def _best(strength: Floats, most: int) -> NDArray[np.intp]:
    return np.sort(np.argsort(-strength, kind="stable")[:most])


def _chosen(X: Floats, y: NDArray[Any], *, continuous: bool) -> NDArray[np.intp]:
    kept = _best(_strength(X, y, continuous=continuous), STRONGEST)
    places = np.array(list(combinations(kept.tolist(), 2)), dtype=np.intp).reshape(-1, 2)
    products = X[:, places[:, 0]] * X[:, places[:, 1]]
    return places[_best(_strength(products, y, continuous=continuous), MOST_PRODUCTS)]


def _crossed(X: pd.DataFrame, y: NDArray[Any], *, continuous: bool) -> NDArray[np.intp]:
    rows, truth = _sample(X), _sample(y)
    codes = np.column_stack([pd.factorize(rows[name])[0] for name in rows])
    outcomes = truth[:, None] if continuous else np.eye(int(truth.max()) + 1)[truth.astype(int)]
    alone = np.array([_told(each, outcomes) for each in codes.T])
    kept = _best(alone, STRONGEST)
    places = np.array(list(combinations(kept.tolist(), 2)), dtype=np.intp).reshape(-1, 2)
    joint = [codes[:, a] * (int(codes[:, b].max()) + 1) + codes[:, b] for a, b in places]
    gains = [
        _told(each, outcomes) - max(alone[a], alone[b])
        for each, (a, b) in zip(joint, places, strict=True)
    ]
    best = _best(np.array(gains), MOST_CROSSES)
    return places[[place for place in best if gains[place] > 0] or best[:1]]


def _told(codes: NDArray[Any], outcomes: Floats) -> float:
    r"""Return the adjusted share of the target's variance that lies between levels.

    $1 - (1 - R^2) (n - 1) / (n - k)$ of n rows in k levels: many levels alone tell nothing.
    """
    levels, places = np.unique(codes, return_inverse=True)
    n, k = len(codes), len(levels)
    total = float(((outcomes - outcomes.mean(axis=0)) ** 2).sum())
    if total == 0 or n <= k:
        return -1.0
    sums = np.column_stack([np.bincount(places, column) for column in outcomes.T])
    means = sums / np.bincount(places)[:, None]
    within = float(((outcomes - means[places]) ** 2).sum())
    return 1 - within / total * (n - 1) / (n - k)
