"""Joint drift: whether a classifier can tell rows of a window from rows of the reference.

It sees what no column shows on its own, such as two columns that no longer go together. The area
under its ROC curve on rows that it did not learn from is calibrated on windows of the reference,
each against the rest (a classifier two-sample test; Lopez-Paz and Oquab, 2017).
"""

import base64
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from pipelines.core.bins import MISSING, Bin
from pipelines.core.calibration import Calibration, beyond, calibrated, distances
from pipelines.core.reference_windows import Windows
from pipelines.core.window_figures import Figure

MOST_SAMPLED = 2000
CALIBRATING_WINDOWS = 20
FEWEST_SAMPLED = 10
N_FOLDS, N_TREES, N_LEAVES, LEARNING_RATE = 2, 20, 8, 0.2
# the variance of an area is a twelfth of that of a row (Mann and Whitney, 1947)
AREA = (Figure("area", 1 / 12, 0.01, rises=True),)


@dataclass(frozen=True)
class JointReference:
    """Rows of the reference, and how well its own windows can be told from the rest.

    Attributes
    ----------
    sample : str
        The bins of some rows, packed.
    calibration : Calibration
    """

    sample: str
    calibration: Calibration


def joint_reference(codes: Bin, windows: Windows, *, seed: int) -> JointReference | None:
    """Return the reference of joint drift; None with fewer than two columns or too few windows.

    Parameters
    ----------
    codes : array of shape (n_rows, n_columns)
    windows : Windows
    seed : int
    """
    n_windows = len(windows.rows)
    if codes.shape[1] < 2 or n_windows < 2:  # noqa: PLR2004
        return None
    random = np.random.default_rng(seed)
    within = np.flatnonzero(windows.places >= 0)
    drawn = np.sort(random.choice(within, min(MOST_SAMPLED, len(within)), replace=False))
    chosen = np.unique(np.linspace(0, n_windows - 1, CALIBRATING_WINDOWS).astype(np.int64))
    areas, rows = [], []
    for window in chosen:
        own = np.flatnonzero(windows.places == window)[:MOST_SAMPLED]
        rest = drawn[windows.places[drawn] != window]
        areas.append(area(codes[own], codes[rest]))
        rows.append(float(len(own)))
    calibration, _ = calibrated(
        np.array(areas)[:, None],
        AREA,
        phases=np.zeros(len(areas), dtype=np.int64),
        rows=np.array(rows),
        n_phases=1,
    )
    return JointReference(packed(codes[drawn]), calibration)


def area(window: Bin, reference: Bin) -> float:
    """Return the area under the ROC curve of telling rows of a window from others; NaN of few.

    Parameters
    ----------
    window, reference : arrays of shape (n, n_columns) and (m, n_columns)

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> area(random.integers(5, 9, (50, 2)).astype(np.uint8),
    ...      random.integers(0, 5, (50, 2)).astype(np.uint8))
    1.0
    """
    if min(len(window), len(reference)) < FEWEST_SAMPLED:
        return float("nan")
    rows = np.vstack([window, reference]).astype(np.float64)
    rows[rows == MISSING] = -1  # a place of its own, below all others
    truth = np.repeat([1, 0], [len(window), len(reference)])
    learner = HistGradientBoostingClassifier(
        max_iter=N_TREES,
        max_leaf_nodes=N_LEAVES,
        learning_rate=LEARNING_RATE,
        early_stopping=False,
        random_state=0,
    )
    folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=0)
    with threadpool_limits(1):  # small tables: threads would wait for each other
        said = cross_val_predict(learner, rows, truth, cv=folds, method="predict_proba")[:, 1]
    return float(roc_auc_score(truth, said))


def joint_distance(sample: str, reference: JointReference, n_columns: int) -> tuple[float, float]:
    """Return the area of a window's sample, and how far it is beyond the worst of the reference.

    Both are NaN where the sample is too small.
    """
    rows = unpacked(sample, n_columns)
    found = area(rows, unpacked(reference.sample, n_columns))
    if np.isnan(found):
        return found, found
    figures, size = np.array([found]), np.array([float(len(rows))])
    off = distances(reference.calibration, figures, AREA, phase_rows=size)
    return found, float(beyond(reference.calibration, off, AREA)[0])


def drawn_sample(codes: Bin) -> str:
    """Return at most 2,000 rows of a window, evenly spread over it, packed."""
    return packed(codes[_spread(len(codes))])


def joined_samples(samples: list[str], n_columns: int) -> str:
    """Return the sample of several windows together."""
    return drawn_sample(np.vstack([unpacked(sample, n_columns) for sample in samples]))


def _spread(n_rows: int) -> NDArray[np.int64]:
    size = min(MOST_SAMPLED, n_rows)
    return (np.arange(size) * (n_rows / max(size, 1))).astype(np.int64)


def packed(codes: Bin) -> str:
    """Return bins as text, shape (n, n_columns).

    Examples
    --------
    >>> unpacked(packed(np.array([[1, 2], [3, 255]], dtype=np.uint8)), 2).tolist()
    [[1, 2], [3, 255]]
    """
    whole = np.ascontiguousarray(codes, dtype=np.uint8).tobytes()
    return base64.b64encode(zlib.compress(whole)).decode("ascii")


def unpacked(sample: str, n_columns: int) -> Bin:
    """Return the bins that `packed` made text of; no rows of an empty text."""
    whole = zlib.decompress(base64.b64decode(sample)) if sample else b""
    return np.frombuffer(whole, dtype=np.uint8).reshape(-1, max(n_columns, 1))
