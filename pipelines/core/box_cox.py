"""Numbers bent towards a bell: by Box and Cox where they are above 0, else by Yeo and Johnson."""

from typing import Any, Self

import numpy as np
from scipy import optimize, special, stats
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.preprocessing import PowerTransformer, StandardScaler

from pipelines.core.predictions import Floats

MOST_POWER = 5.0  # beyond, values a little above those seen would leave the range of numbers


class BoxCox(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    r"""Bend columns towards a normal distribution and standardise them.

    A column whose values are all above 0 becomes $(x^\lambda - 1) / \lambda$, or $\log x$ where
    $\lambda = 0$, with the most likely $\lambda$ between -5 and 5 (Box and Cox 1964); later values
    below the smallest one seen count as that one. Other columns are bent by Yeo and Johnson.

    Attributes
    ----------
    powers_ : array of shape (width,)
        NaN where the column is bent by Yeo and Johnson.
    least_ : array of shape (width,)

    Examples
    --------
    >>> X = np.exp(np.array([[0.0], [1.0], [2.0], [3.0]]))
    >>> BoxCox().fit_transform(X).round(2).tolist()
    [[-1.34], [-0.45], [0.45], [1.34]]
    """

    def fit(self, X: Floats, y: Any = None) -> Self:  # noqa: ARG002
        """Learn from n rows; returns itself."""
        cells = np.asarray(X, dtype=np.float64)
        self.n_features_in_ = cells.shape[1]
        self.least_ = cells.min(axis=0)
        self.powers_ = np.array([_power(column) for column in cells.T])
        positive = ~np.isnan(self.powers_)
        self.others_ = None if positive.all() else PowerTransformer(standardize=False)
        if self.others_ is not None:
            self.others_.fit(cells[:, ~positive])
        self.scaler_ = StandardScaler().fit(self._bent(cells))
        return self

    def transform(self, X: Floats) -> Floats:
        """Return n rows bent and standardised, of shape (n, width)."""
        found: Floats = self.scaler_.transform(self._bent(np.asarray(X, dtype=np.float64)))
        return found

    def _bent(self, cells: Floats) -> Floats:
        positive = ~np.isnan(self.powers_)
        bent = np.empty(cells.shape)
        kept = np.maximum(cells[:, positive], self.least_[positive])
        bent[:, positive] = special.boxcox(kept, self.powers_[positive])
        if self.others_ is not None:
            bent[:, ~positive] = self.others_.transform(cells[:, ~positive])
        return bent


def _power(column: Floats) -> float:
    """Return the most likely power of a positive column, NaN of any other."""
    if column.min() <= 0 or column.min() == column.max():
        return float("nan")
    unit = column / np.exp(np.log(column).mean())  # the power is the same in any unit
    found = optimize.minimize_scalar(
        lambda power: -stats.boxcox_llf(power, unit),
        bounds=(-MOST_POWER, MOST_POWER),
        method="bounded",
    )
    return float(found.x)
