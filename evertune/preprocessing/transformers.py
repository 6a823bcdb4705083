"""Column transformers: Box-Cox, hashed categories, products of numbers, crosses of categories.

- `BoxCox`: Box-Cox for positive columns, Yeo-Johnson for the others, then standardised;
  scikit-learn's `PowerTransformer` does the first for all columns or for none, and lets powers
  grow until later values overflow.
- `HashedLevels`: signed feature hashing (Weinberger et al. 2009) with BLAKE2b. scikit-learn's
  `FeatureHasher` gives a category one column, so that of many some are surely confused; here it
  has two.
- `Products` and `Crosses`: a few pairs of columns that relate most strongly to the target.
- `Arithmetic`: sums, differences, products and ratios of two numbers, for trees, which split on
  one column at a time.
- `make_target_encoder`: cross-fitted mean target of each category.
- `date_columns` and `date_cells`: `DATE_PARTS` of a column of dates, and the same of one moment,
  where a table would take too long.

The class names and this module's path are stored in saved models: do not rename them.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from itertools import combinations
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize, special, stats
from scipy.stats import rankdata
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.feature_selection import f_classif, f_regression
from sklearn.model_selection import KFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import PowerTransformer, StandardScaler, TargetEncoder

from evertune.times import EPOCH, MICROSECONDS_PER_DAY
from evertune.types import FloatArray

MAX_POWER = 5.0  # beyond, values a little above those seen would overflow
HASH_WIDTH = 16  # columns of one category
HASHES_PER_CATEGORY = 2  # columns that are not 0: few categories share both
HASH_CACHE_SIZE = 100_000
MAX_PAIRED_COLUMNS = 6
MAX_PRODUCTS = 8
MAX_CROSSES = 6
MAX_ARITHMETIC_COLUMNS = 30
ARITHMETIC_DRAWS, MAX_ARITHMETIC = 200, 40  # pairs that are tried, and that are kept
MAX_MAGNITUDE = 1e37  # of a feature: forests compute in float32, which ends at 3e38
ARITHMETIC = ("add", "subtract", "multiply", "divide")
MAX_STANDARD_DEVIATIONS = 1e6  # to which a value is clipped before it is multiplied
MAX_PAIR_ROWS = 10_000  # rows that choose pairs
CROSS_SEPARATOR = "\x1f"  # between the two categories of a cross
DATE_PARTS = ("days", "month", "weekday", "hour")  # days are counted from 1970
MIN_CATEGORY_ROWS = 3  # categories with fewer rows share one code


class BoxCox(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    r"""Bend columns towards a normal distribution and standardise them.

    A column whose values are all above 0 becomes $(x^\lambda - 1) / \lambda$, or $\log x$ where
    $\lambda = 0$, with the most likely $\lambda$ between -5 and 5 (Box and Cox 1964); later values
    below the smallest one seen count as that one. Other columns are bent by Yeo and Johnson.

    Attributes
    ----------
    powers_ : array of shape (width,)
        NaN where the column is bent by Yeo and Johnson.

    Examples
    --------
    >>> X = np.exp(np.array([[0.0], [1.0], [2.0], [3.0]]))
    >>> BoxCox().fit_transform(X).round(2).tolist()
    [[-1.34], [-0.45], [0.45], [1.34]]
    """

    def fit(self, X: FloatArray, y: Any = None) -> Self:  # noqa: ARG002
        """Learn from n rows."""
        cells = np.asarray(X, dtype=np.float64)
        self.n_features_in_ = cells.shape[1]
        self.least_ = cells.min(axis=0)
        self.powers_ = np.array([_box_cox_lambda(column) for column in cells.T])
        positive = ~np.isnan(self.powers_)
        self.others_ = None if positive.all() else PowerTransformer(standardize=False)
        if self.others_ is not None:
            self.others_.fit(cells[:, ~positive])
        self.scaler_ = StandardScaler().fit(self._transform(cells))
        return self

    def transform(self, X: FloatArray) -> FloatArray:
        """Return n rows transformed, of shape (n, width)."""
        cells = self._transform(np.asarray(X, dtype=np.float64))
        return np.asarray(self.scaler_.transform(cells), dtype=np.float64)

    def _transform(self, cells: FloatArray) -> FloatArray:
        positive = ~np.isnan(self.powers_)
        result = np.empty(cells.shape)
        clipped = np.maximum(cells[:, positive], self.least_[positive])
        result[:, positive] = special.boxcox(clipped, self.powers_[positive])
        if self.others_ is not None:
            result[:, ~positive] = self.others_.transform(cells[:, ~positive])
        return result


def _box_cox_lambda(column: FloatArray) -> float:
    """Return the most likely power of a positive column, NaN of any other column."""
    if column.min() <= 0 or column.min() == column.max():
        return float("nan")
    unit = column / np.exp(np.log(column).mean())  # the power is the same in any unit
    result = optimize.minimize_scalar(
        lambda power: -stats.boxcox_llf(power, unit),
        bounds=(-MAX_POWER, MAX_POWER),
        method="bounded",
    )
    return float(result.x)


def hash_categories(words: Iterable[str]) -> FloatArray:
    """Return each category with two of 16 columns 1 or -1, and the empty (missing) one as zeros.

    Examples
    --------
    >>> codes = hash_categories(["Berlin", "", "Berlin"])
    >>> codes.shape, np.abs(codes).sum(axis=1).tolist(), bool((codes[0] == codes[2]).all())
    ((3, 16), [2.0, 0.0, 2.0], True)
    """
    codes, categories = pd.factorize(np.array(list(words), dtype=object))
    return np.array([_hash_row(str(category)) for category in categories]).reshape(-1, HASH_WIDTH)[
        codes
    ]


class HashedLevels(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Hash each column of words into 16 columns."""

    def fit(self, X: pd.DataFrame, y: Any = None) -> Self:  # noqa: ARG002
        """Learn the names of the columns."""
        self.feature_names_in_ = np.asarray(X.columns, dtype=object)
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X: pd.DataFrame) -> FloatArray:
        """Return n rows, of shape (n, 16 times the columns)."""
        return np.hstack([hash_categories(X[name]) for name in X])

    def get_feature_names_out(self, _: Sequence[str] | None = None) -> NDArray[np.object_]:
        """Return a name for each column."""
        names = [
            f"{name}:hash{place}" for name in self.feature_names_in_ for place in range(HASH_WIDTH)
        ]
        return np.array(names, dtype=object)


@lru_cache(HASH_CACHE_SIZE)
def _hash_row(category: str) -> tuple[float, ...]:
    row = [0.0] * HASH_WIDTH
    if category == "":
        return tuple(row)
    digest = blake2b(
        category.encode("utf-8", "surrogatepass"), digest_size=HASHES_PER_CATEGORY * 2
    ).digest()
    first = digest[0] % HASH_WIDTH
    second = (first + 1 + digest[1] % (HASH_WIDTH - 1)) % HASH_WIDTH
    for place, sign in ((first, digest[2]), (second, digest[3])):
        row[place] = 1.0 if sign % 2 else -1.0
    return tuple(row)


class Products(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Multiply pairs of the columns that relate most strongly to the target.

    Each column is centred at its median and divided by its standard deviation, so that a product
    is positive if two values deviate to the same side; a gap counts as the median. Of the six best
    columns by an F test of their ranks, the eight best products by the same test are kept.

    Parameters
    ----------
    continuous : bool
        Whether the target is a number, not a class.

    Attributes
    ----------
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
        """Learn from n rows."""
        cells = _subsample_evenly(np.asarray(X, dtype=np.float64))
        target = _subsample_evenly(np.asarray(y))
        empty = np.isnan(cells).all(axis=0)
        known = np.where(empty, 0.0, cells)
        self.n_features_in_ = cells.shape[1]
        self.centres_ = np.nanmedian(known, axis=0)
        spread = np.nanstd(known, axis=0)
        self.spreads_ = np.where(spread > 0, spread, 1.0)
        self.places_ = _choose_products(self._centred(cells), target, continuous=self.continuous)
        return self

    def transform(self, X: Any) -> FloatArray:
        """Return the products of n rows, of shape (n, n_products)."""
        centred = self._centred(np.asarray(X, dtype=np.float64))
        products: FloatArray = centred[:, self.places_[:, 0]] * centred[:, self.places_[:, 1]]
        return products

    def get_feature_names_out(self, _: Sequence[str] | None = None) -> NDArray[np.object_]:
        """Return a name for each column."""
        return np.array([f"product:{a}x{b}" for a, b in self.places_], dtype=object)

    def _centred(self, cells: FloatArray) -> FloatArray:
        with np.errstate(over="ignore"):
            off = (cells - self.centres_) / self.spreads_
        limit = MAX_STANDARD_DEVIATIONS
        return np.asarray(np.clip(np.nan_to_num(off, nan=0.0), -limit, limit))


class Arithmetic(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Add, subtract, multiply and divide pairs of columns.

    200 pairs of the 30 columns that relate most strongly to the target are drawn, each with one of
    the four operations. Of those that relate more strongly than both of their columns, by an F
    test of ranks, the 40 strongest are kept; the strongest of all, if none does.

    Parameters
    ----------
    continuous : bool
        Whether the target is a number, not a class.
    fill : bool
        Whether gaps get the median of the training rows, and values are held to their range, as
        linear models and networks need it. Otherwise a gap stays one, and so does a division by 0.

    Attributes
    ----------
    places_ : array of shape (n_made, 3)
        Two columns and an operation (the index in `ARITHMETIC`).

    Examples
    --------
    >>> X = np.array([[1.0, 2.0], [2.0, 1.0], [3.0, 4.0], [4.0, 2.0], [5.0, 9.0]])
    >>> made = Arithmetic(continuous=True).fit(X, X[:, 0] / X[:, 1])
    >>> "divide:0,1" in made.get_feature_names_out()
    True
    """

    def __init__(self, *, continuous: bool, fill: bool = False) -> None:
        self.continuous, self.fill = continuous, fill

    def fit(self, X: Any, y: Any) -> Self:
        """Learn from n rows."""
        cells = np.asarray(X, dtype=np.float64)
        few, target = _subsample_evenly(cells), _subsample_evenly(np.asarray(y))
        self.n_features_in_ = cells.shape[1]
        alone = self._strengths(few, target)
        kept = _top_indices(alone, MAX_ARITHMETIC_COLUMNS)
        drawn = np.random.default_rng(0).permutation(
            [
                (a, b, operation)
                for operation in range(len(ARITHMETIC))
                for a in kept
                for b in kept
                if a < b or (a != b and ARITHMETIC[operation] == "divide")
            ]
        )[:ARITHMETIC_DRAWS]
        self.places_ = drawn.astype(np.int64)
        together = self._strengths(self._computed(few), target)
        gains = together - np.maximum(alone[drawn[:, 0]], alone[drawn[:, 1]])
        strongest = np.argsort(-together, kind="stable")
        places = [place for place in strongest if gains[place] > 0][:MAX_ARITHMETIC]
        self.places_ = self.places_[places or strongest[:1]]
        made = self._computed(cells)
        known = np.where(np.isnan(made).all(axis=0), 0.0, made)
        self.medians_ = np.nanmedian(known, axis=0)
        self.least_, self.most_ = np.nanmin(known, axis=0), np.nanmax(known, axis=0)
        return self

    def transform(self, X: Any) -> FloatArray:
        """Return n rows, of shape (n, n_made)."""
        made = self._computed(np.asarray(X, dtype=np.float64))
        if self.fill:
            made = np.clip(np.where(np.isnan(made), self.medians_, made), self.least_, self.most_)
        return made

    def get_feature_names_out(self, _: Sequence[str] | None = None) -> NDArray[np.object_]:
        """Return a name for each column."""
        return np.array([f"{ARITHMETIC[how]}:{a},{b}" for a, b, how in self.places_], dtype=object)

    def _computed(self, cells: FloatArray) -> FloatArray:
        made = np.empty((len(cells), len(self.places_)))
        with np.errstate(all="ignore"):
            for how, name in enumerate(ARITHMETIC):
                own = self.places_[:, 2] == how
                left, right = self.places_[own, 0], self.places_[own, 1]
                made[:, own] = getattr(np, name)(cells[:, left], cells[:, right])
        made[~(np.abs(made) <= MAX_MAGNITUDE)] = np.nan
        return made

    def _strengths(self, cells: FloatArray, target: NDArray[Any]) -> FloatArray:
        middle = np.nanmedian(np.where(np.isnan(cells).all(axis=0), 0.0, cells), axis=0)
        filled = np.where(np.isnan(cells), middle, cells)
        return _f_statistics(filled, target, continuous=self.continuous)


class Crosses(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Cross pairs of categories, and encode the crosses by the mean target of other rows.

    Pairs are made of the six columns with the largest adjusted R2, and the six pairs are kept that
    add most to it. An unseen pair of categories has the mean of all rows.

    Parameters
    ----------
    continuous, scaled : bool
        See `make_target_encoder`.

    Attributes
    ----------
    places_ : array of shape (n_pairs, 2)
        The columns of each pair.
    """

    def __init__(self, *, continuous: bool, scaled: bool) -> None:
        self.continuous, self.scaled = continuous, scaled

    def fit(self, X: pd.DataFrame, y: Any) -> Self:
        """Learn from n rows."""
        self.fit_transform(X, y)
        return self

    def fit_transform(self, X: pd.DataFrame, y: Any) -> FloatArray:
        """Learn from n rows and return them, each encoded by the means of other rows."""
        self.n_features_in_ = X.shape[1]
        self.places_ = _choose_crosses(X, np.asarray(y), continuous=self.continuous)
        self.means_ = make_target_encoder(continuous=self.continuous, scaled=self.scaled)
        encoded = self.means_.fit_transform(self.joint(X), y)
        self.width_ = encoded.shape[1]
        return np.asarray(encoded, dtype=np.float64)

    def transform(self, X: pd.DataFrame) -> FloatArray:
        """Return n rows, of shape (n, n_pairs), times n_classes if there are three or more."""
        return np.asarray(self.means_.transform(self.joint(X)), dtype=np.float64)

    def joint(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return the crosses as columns of words."""
        columns = [X.iloc[:, place].astype(object) for place in range(X.shape[1])]
        pairs = {
            f"cross{n}": columns[a] + CROSS_SEPARATOR + columns[b]
            for n, (a, b) in enumerate(self.places_)
        }
        return pd.DataFrame(pairs, index=X.index, dtype=object)

    def get_feature_names_out(self, _: Sequence[str] | None = None) -> NDArray[np.object_]:
        """Return a name for each column."""
        return np.array([f"cross:{place}" for place in range(self.width_)], dtype=object)


def _subsample_evenly(rows: Any) -> Any:
    """Return rows spread evenly over all, in their order."""
    return rows[:: -(-len(rows) // MAX_PAIR_ROWS)]


def _f_statistics(X: FloatArray, y: NDArray[Any], *, continuous: bool) -> FloatArray:
    """Return the F statistic of each column's ranks, -1 where a column does not vary."""
    statistics = np.full(X.shape[1], -1.0)
    varying = np.ptp(X, axis=0) > 0
    if varying.any() and len(np.unique(y)) > 1:
        ranks = rankdata(X[:, varying], axis=0)
        score = f_regression if continuous else f_classif
        target = rankdata(y) if continuous else y
        # of a perfect relation the statistic is infinite, or negative by rounding
        statistics[varying] = np.nan_to_num(np.abs(score(ranks, target)[0]), posinf=1e300)
    return statistics


def _top_indices(strength: FloatArray, most: int) -> NDArray[np.intp]:
    return np.sort(np.argsort(-strength, kind="stable")[:most])


def _choose_products(X: FloatArray, y: NDArray[Any], *, continuous: bool) -> NDArray[np.intp]:
    kept = _top_indices(_f_statistics(X, y, continuous=continuous), MAX_PAIRED_COLUMNS)
    places = np.array(list(combinations(kept.tolist(), 2)), dtype=np.intp).reshape(-1, 2)
    products = X[:, places[:, 0]] * X[:, places[:, 1]]
    return places[_top_indices(_f_statistics(products, y, continuous=continuous), MAX_PRODUCTS)]


def _choose_crosses(X: pd.DataFrame, y: NDArray[Any], *, continuous: bool) -> NDArray[np.intp]:
    rows, target = _subsample_evenly(X), _subsample_evenly(y)
    codes = np.column_stack([pd.factorize(rows[name])[0] for name in rows])
    outcomes = target[:, None]
    if not continuous:
        outcomes = np.eye(int(target.max()) + 1)[target.astype(int)]
    alone = np.array([_adjusted_r2(column, outcomes) for column in codes.T])
    kept = _top_indices(alone, MAX_PAIRED_COLUMNS)
    places = np.array(list(combinations(kept.tolist(), 2)), dtype=np.intp).reshape(-1, 2)
    joint = [codes[:, a] * (int(codes[:, b].max()) + 1) + codes[:, b] for a, b in places]
    gains = [
        _adjusted_r2(column, outcomes) - max(alone[a], alone[b])
        for column, (a, b) in zip(joint, places, strict=True)
    ]
    best = _top_indices(np.array(gains), MAX_CROSSES)
    return places[[place for place in best if gains[place] > 0] or best[:1]]


def _adjusted_r2(codes: NDArray[Any], outcomes: FloatArray) -> float:
    r"""Return the adjusted share of the target's variance between categories.

    $1 - (1 - R^2) (n - 1) / (n - k)$ for n rows in k categories; many categories alone do not
    raise it.
    """
    categories, places = np.unique(codes, return_inverse=True)
    n, k = len(codes), len(categories)
    total = float(((outcomes - outcomes.mean(axis=0)) ** 2).sum())
    if total == 0 or n <= k:
        return -1.0
    sums = np.column_stack([np.bincount(places, column) for column in outcomes.T])
    means = sums / np.bincount(places)[:, None]
    within = float(((outcomes - means[places]) ** 2).sum())
    return 1 - within / total * (n - 1) / (n - k)


def make_target_encoder(*, continuous: bool, scaled: bool) -> TargetEncoder | Pipeline:
    """Return an unfitted transformer from categories to the mean target of other rows.

    The target is a number if it is `continuous`, else a class; `scaled` means are standardised.
    """
    means = TargetEncoder(
        target_type="continuous" if continuous else "auto",
        cv=KFold(5, shuffle=True, random_state=0),
    )
    return make_pipeline(means, StandardScaler()) if scaled else means


def date_columns(dates: pd.Series) -> tuple[pd.Series, ...]:
    """Return `DATE_PARTS` of n dates in UTC as columns of floats, NaN where a date is missing.

    Days have a fraction; they are exact from whole microseconds, which reach the year 9999.

    Examples
    --------
    >>> dates = pd.Series(pd.to_datetime(["1970-01-02 12:00", None]))
    >>> [column.tolist() for column in date_columns(dates)]
    [[1.5, nan], [1.0, nan], [4.0, nan], [12.0, nan]]
    """
    microseconds = dates.dt.as_unit("us").to_numpy().astype(np.int64).astype(np.float64)
    days = pd.Series(microseconds / MICROSECONDS_PER_DAY, index=dates.index)
    return (
        days.where(dates.notna()),
        dates.dt.month.astype(float),
        dates.dt.day_of_week.astype(float),
        dates.dt.hour.astype(float),
    )


def date_cells(moment: datetime) -> tuple[float, float, float, float]:
    """Return `DATE_PARTS` of an aware moment in UTC, equal to those of `date_columns`."""
    since = moment - EPOCH
    count = since.days * MICROSECONDS_PER_DAY + since.seconds * 1_000_000 + since.microseconds
    days = float(count) / MICROSECONDS_PER_DAY  # any other way rounds differently
    return (days, float(moment.month), float(moment.weekday()), float(moment.hour))
