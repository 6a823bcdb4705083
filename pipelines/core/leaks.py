"""How much of a target one column tells by itself; nearly all of it is suspicious."""

import numpy as np
import pandas as pd

from pipelines.core.predictions import Task

N_BINS = 50
FEWEST_ROWS = 50
SUSPICIOUS = 0.98


def leaks(clean: pd.DataFrame, features: list[str], truth: pd.Series, task: Task) -> list[str]:
    """Return the features that alone tell the target nearly perfectly.

    Parameters
    ----------
    clean : DataFrame of n rows
    features : list of str
    truth : series of n
    task : str

    Examples
    --------
    >>> clean = pd.DataFrame({"copy": ["a", "b"] * 30, "age": range(60)})
    >>> leaks(clean, ["copy", "age"], pd.Series(["no", "yes"] * 30), "binary")
    ['copy']
    """
    if len(truth) < FEWEST_ROWS:
        return []
    told = told_values if task == "regression" else told_classes
    return [name for name in features if told(clean[name], truth) >= SUSPICIOUS]


def told_classes(column: pd.Series, truth: pd.Series) -> float:
    """Return the share of a majority guess's errors that guessing by one column avoids, 0 to 1.

    Levels with a single row tell nothing.

    Examples
    --------
    >>> told_classes(pd.Series(["a", "a", "b", "b"]), pd.Series(["no", "no", "yes", "yes"]))
    1.0
    """
    counts = pd.crosstab(_bins(column), truth.to_numpy())
    single = counts.sum(axis=1) == 1
    n_right = counts[~single].max(axis=1).sum() + single.sum() * counts.sum().max() / len(truth)
    n_wrong_alone = len(truth) - counts.sum().max()
    return float(1 - (len(truth) - n_right) / n_wrong_alone)


def told_values(column: pd.Series, truth: pd.Series) -> float:
    """Return how well one column orders or groups a number, 0 to 1.

    Of a number, the size of Spearman's rank correlation; of other columns, the share of the
    variance that lies between levels with several rows.

    Examples
    --------
    >>> told_values(pd.Series([1.0, 2.0, 3.0]), pd.Series([1.0, 4.0, 9.0]))
    1.0
    """
    if column.dtype.kind in "fM":
        return _rank_correlation(column, truth)
    groups = truth.groupby(_bins(column)).transform
    within = np.where(groups("size") > 1, truth - groups("mean"), truth - truth.mean())
    return float(1 - (within**2).mean() / truth.var(ddof=0))


def _rank_correlation(column: pd.Series, truth: pd.Series) -> float:
    filled = column.notna()
    left, right = column[filled].rank(), truth[filled].rank()
    if min(left.nunique(), right.nunique()) <= 1:
        return 0.0
    return float(abs(round(left.corr(right), 12)) * filled.mean())


def _bins(column: pd.Series) -> np.ndarray:
    if column.dtype.kind not in "fM" or column.nunique() <= N_BINS:
        return column.astype("str").fillna("").to_numpy(dtype=object)
    codes = pd.qcut(column, N_BINS, labels=False, duplicates="drop")
    return codes.fillna(-1).to_numpy(dtype=object)
