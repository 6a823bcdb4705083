"""Categories of many levels as a few columns, by a fixed hash: no level is unseen."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

from pipelines.core.predictions import Floats

WIDTH = 16  # columns of one category
HITS = 2  # columns that a level has a say in: two levels that share both are rare
REMEMBERED = 100_000


def hashed(words: Iterable[str]) -> Floats:
    """Return each level as two of 16 columns that are 1 or -1; the empty one, missing, as zeros.

    The same level is the same on every machine and in every process (BLAKE2b), as in feature
    hashing with signs (Weinberger et al. 2009).

    Returns
    -------
    array of shape (n, 16)

    Examples
    --------
    >>> found = hashed(["Berlin", "", "Berlin"])
    >>> found.shape, np.abs(found).sum(axis=1).tolist(), bool((found[0] == found[2]).all())
    ((3, 16), [2.0, 0.0, 2.0], True)
    """
    codes, levels = pd.factorize(np.array(list(words), dtype=object))
    return np.array([_row(str(level)) for level in levels]).reshape(-1, WIDTH)[codes]


class HashedLevels(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Make columns of words into 16 columns each.

    Examples
    --------
    >>> HashedLevels().fit_transform(pd.DataFrame({"city": ["a", "b"], "zip": ["1", "2"]})).shape
    (2, 32)
    """

    def fit(self, X: pd.DataFrame, y: Any = None) -> Self:  # noqa: ARG002
        """Learn the names of the columns alone; returns itself."""
        self.feature_names_in_ = np.asarray(X.columns, dtype=object)
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X: pd.DataFrame) -> Floats:
        """Return n rows, of shape (n, 16 times the columns)."""
        return np.hstack([hashed(X[name]) for name in X])

    def get_feature_names_out(self, _: Sequence[str] | None = None) -> NDArray[np.object_]:
        """Return a name for each column."""
        names = [f"{name}:hash{place}" for name in self.feature_names_in_ for place in range(WIDTH)]
        return np.array(names, dtype=object)


@lru_cache(REMEMBERED)
def _row(level: str) -> tuple[float, ...]:
    row = [0.0] * WIDTH
    if level == "":
        return tuple(row)
    digest = blake2b(level.encode("utf-8", "surrogatepass"), digest_size=HITS * 2).digest()
    first = digest[0] % WIDTH
    second = (first + 1 + digest[1] % (WIDTH - 1)) % WIDTH
    for place, sign in ((first, digest[2]), (second, digest[3])):
        row[place] = 1.0 if sign % 2 else -1.0
    return tuple(row)
