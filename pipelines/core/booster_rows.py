"""Encoded rows as the boosters that know categories take them.

The first columns of X may be codes of levels, in which NaN is a level that was never seen.
"""

from typing import Any

import numpy as np
import pandas as pd

from pipelines.core.predictions import Floats

UNSEEN = -1


def catboost_rows(X: Floats, places: tuple[int, ...]) -> Any:
    """Return encoded rows for CatBoost: codes whole, a level that was never seen -1.

    Parameters
    ----------
    X : array of shape (n, width)
    places : tuple of int
        Columns that are codes; of a fitted model, `get_cat_feature_indices()`.

    Examples
    --------
    >>> catboost_rows(np.array([[np.nan, 0.5], [2.0, 0.25]]), (0,)).to_numpy().tolist()
    [[-1.0, 0.5], [2.0, 0.25]]
    """
    if not places:
        return X
    codes = {
        place: np.where(np.isnan(X[:, place]), UNSEEN, X[:, place]).astype(np.int64)
        for place in places
    }
    return pd.DataFrame({place: codes.get(place, X[:, place]) for place in range(X.shape[1])})
