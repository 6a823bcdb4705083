"""Encode text columns as numbers: target means, hashes, or n-grams of words or characters.

`TextColumns` chooses an encoding for each column from its training rows where none is given.
N-grams are hashed, weighted by TF-IDF and reduced by a truncated SVD (latent semantic analysis,
Deerwester et al. 1990). The class name is stored in saved models: do not rename it.
"""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler, TargetEncoder

from evertune.preprocessing.transformers import (
    MIN_CATEGORY_ROWS,
    hash_categories,
    make_target_encoder,
)
from evertune.types import FloatArray

TEXT_ENCODINGS = ("auto", "target", "hashed", "words", "characters")

N_HASH_FEATURES = 1024  # of n-grams
MAX_COMPONENTS = 12
MIN_NGRAM_ROWS = 100  # with fewer, n-grams fit chance
ROWS_PER_COMPONENT = 20  # with fewer, components fit chance
MAX_FITTED_TEXTS = 3_000  # distinct texts that the components are learned from
MIN_MEAN_WORDS = 2.5  # texts with fewer words on average are encoded by characters
NGRAM_OPTIONS: dict[str, dict[str, Any]] = {
    "words": {"analyzer": "word", "ngram_range": (1, 2), "token_pattern": r"\b\w+\b"},
    "characters": {"analyzer": "char_wb", "ngram_range": (3, 4)},
}


class TextColumns(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Encode columns of text as numbers.

    Parameters
    ----------
    way : str
        `target` (the mean target of other rows with the same text; texts of fewer than 3 rows
        count as one), `hashed` (16 columns, nothing learned), `words` and `characters` (n-grams
        weighted by TF-IDF, reduced to at most 12 components, one for 20 rows), or `auto`:
        `target`, unless there are 100 rows and most have a text of their own, whose mean would be
        noise; then `words`, or `characters` for short texts.
    continuous : bool
        Whether the target is a value rather than a class.
    scaled : bool
        Whether the columns are standardised.

    Attributes
    ----------
    ways_ : list of str
        The encoding of each column.
    parts_ : list
        The fitted transformer of each column; None if nothing is learned.
    known_ : list of lists of str
        Of each column encoded by target means, the texts with a mean of their own.

    Examples
    --------
    >>> names = [f"Mr {n}" for n in range(120)]
    >>> texts = pd.DataFrame({"note": ["good", "bad"] * 60, "name": names})
    >>> TextColumns("auto", continuous=False, scaled=False).fit(texts, [1, 0] * 60).ways_
    ['target', 'characters']
    """

    def __init__(self, way: str, *, continuous: bool, scaled: bool) -> None:
        self.way, self.continuous, self.scaled = way, continuous, scaled

    def fit(self, X: pd.DataFrame, y: Any) -> Self:
        """Learn from n rows; returns itself."""
        self.fit_transform(X, y)
        return self

    def fit_transform(self, X: pd.DataFrame, y: Any) -> FloatArray:
        """Learn from n rows and return them, each by the means of other rows."""
        self.feature_names_in_ = np.asarray(X.columns, dtype=object)
        self.n_features_in_ = X.shape[1]
        self.ways_: list[str] = []
        self.parts_: list[TargetEncoder | Pipeline | None] = []
        self.known_: list[list[str]] = []
        self.widths_: list[int] = []
        encoded = [self._fit_column(X[name], np.asarray(y)) for name in X]
        self.widths_ = [each.shape[1] for each in encoded]
        return np.hstack(encoded)

    def transform(self, X: pd.DataFrame) -> FloatArray:
        """Return n rows, of shape (n, width)."""
        return np.hstack([self.column(index, X[name].tolist()) for index, name in enumerate(X)])

    def column(self, index: int, words: Sequence[str]) -> FloatArray:
        """Return the encoding of n texts of one column, of shape (n, its width)."""
        way, part = self.ways_[index], self.parts_[index]
        if way == "hashed":
            return hash_categories(words)
        if part is None:
            return np.zeros((len(words), self.widths_[index]))
        cells = _mask_rare_texts(words, self.known_[index]) if way == "target" else list(words)
        return np.asarray(part.transform(cells), dtype=np.float64)

    def get_feature_names_out(self, _: Sequence[str] | None = None) -> NDArray[np.object_]:
        """Return a name for each column."""
        pairs = zip(self.feature_names_in_, self.ways_, self.widths_, strict=True)
        names = [f"{name}:{way}{index}" for name, way, n in pairs for index in range(n)]
        return np.array(names, dtype=object)

    def _fit_column(self, words: pd.Series, y: NDArray[Any]) -> FloatArray:
        way = _choose_encoding(self.way, words)
        known = _repeated_texts(words) if way == "target" else []
        texts = known if way == "target" else _distinct_texts(words)
        part = self._make_part(way, len(words)) if texts and way != "hashed" else None
        self.ways_.append(way)
        self.parts_.append(part)
        self.known_.append(known)
        self.widths_.append(1)
        if part is not None and way == "target":
            masked = _mask_rare_texts(words.tolist(), known)
            return np.asarray(part.fit_transform(masked, y), np.float64)
        if part is not None:
            with np.errstate(divide="ignore", invalid="ignore"):  # if all texts are alike
                part.fit(texts)
        return self.column(len(self.ways_) - 1, words.tolist())

    def _make_part(self, way: str, n_rows: int) -> TargetEncoder | Pipeline:
        if way == "target":
            return make_target_encoder(continuous=self.continuous, scaled=self.scaled)
        n_components = min(MAX_COMPONENTS, max(1, n_rows // ROWS_PER_COMPONENT))
        return make_pipeline(
            HashingVectorizer(
                n_features=N_HASH_FEATURES, alternate_sign=False, norm=None, **NGRAM_OPTIONS[way]
            ),
            TfidfTransformer(sublinear_tf=True),
            TruncatedSVD(n_components, n_iter=2, random_state=0),
            *([StandardScaler()] if self.scaled else []),
        )


def count_words(text: str) -> int:
    """Return the number of words, separated by blanks of any kind, such as a no-break space."""
    return len(text.split())


def _choose_encoding(way: str, words: pd.Series) -> str:
    if way != "auto":
        return way
    counts = words.map(words.value_counts())
    if len(words) < MIN_NGRAM_ROWS or (counts >= MIN_CATEGORY_ROWS).mean() >= 1 / 2:
        return "target"
    return "words" if words.map(count_words).mean() >= MIN_MEAN_WORDS else "characters"


def _repeated_texts(words: pd.Series) -> list[str]:
    counts = words.value_counts()
    return sorted(counts.index[counts >= MIN_CATEGORY_ROWS])


def _distinct_texts(words: pd.Series) -> list[str]:
    """Return distinct texts with letters or digits, at most `MAX_FITTED_TEXTS`."""
    texts = [word for word in dict.fromkeys(words) if any(sign.isalnum() for sign in word)]
    return texts[:: -(-len(texts) // MAX_FITTED_TEXTS)] if texts else []


def _mask_rare_texts(words: Sequence[str], known: Sequence[str]) -> pd.DataFrame:
    """Return one column in which texts without a mean of their own are one unknown category."""
    own = set(known)
    cells = [word if word in own else "\x00" for word in words]
    return pd.DataFrame({"text": np.array(cells, dtype=object)})
