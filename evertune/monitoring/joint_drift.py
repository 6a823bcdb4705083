"""Joint drift: whether a classifier can tell a window's rows from those of the reference.

It sees what no single column shows, such as two columns that no longer go together. The score
is the out-of-fold ROC AUC of a boosted tree (a classifier two-sample test; Lopez-Paz and Oquab,
2017), calibrated on windows of the reference, each against the rest: `build_joint_reference`,
then `joint_drift_score`. Rows are stored as a packed sample of at most 2,000 rows of bin codes.
"""

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from evertune.monitoring.bins import MISSING_CODE, BinCodes
from evertune.monitoring.drift_null import NullDistribution, fit_null_distribution
from evertune.monitoring.drift_statistics import DriftStatistic
from evertune.monitoring.window_bounds import ReferenceWindows

MAX_SAMPLED_ROWS = 2000
N_CALIBRATION_WINDOWS = 20
MIN_SAMPLED_ROWS = 10
N_FOLDS, N_TREES, N_LEAVES, LEARNING_RATE = 2, 20, 8, 0.2
# the variance of an area is a twelfth of that of a row (Mann and Whitney, 1947)
AUC_STATISTICS = (DriftStatistic("area", 1 / 12, 0.01, rises=True),)


@dataclass(frozen=True)
class JointReference:
    """Rows of the reference, and how well its own windows can be told from the rest.

    Attributes
    ----------
    sample : str
        The bins of some rows, packed.
    """

    sample: str
    calibration: NullDistribution


def build_joint_reference(
    codes: BinCodes, windows: ReferenceWindows, *, seed: int
) -> JointReference | None:
    """Return the reference of joint drift; None with fewer than two columns or windows."""
    n_windows = len(windows.rows)
    if codes.shape[1] < 2 or n_windows < 2:
        return None
    random = np.random.default_rng(seed)
    inside = np.flatnonzero(windows.places >= 0)
    drawn = np.sort(random.choice(inside, min(MAX_SAMPLED_ROWS, len(inside)), replace=False))
    chosen = np.unique(np.linspace(0, n_windows - 1, N_CALIBRATION_WINDOWS).astype(np.int64))
    areas, rows = [], []
    for window in chosen:
        own = np.flatnonzero(windows.places == window)[:MAX_SAMPLED_ROWS]
        rest = drawn[windows.places[drawn] != window]
        areas.append(classifier_auc(codes[own], codes[rest]))
        rows.append(float(len(own)))
    calibration, _ = fit_null_distribution(
        np.array(areas)[:, None],
        AUC_STATISTICS,
        phases=np.zeros(len(areas), dtype=np.int64),
        rows=np.array(rows),
        n_phases=1,
    )
    return JointReference(pack_codes(codes[drawn]), calibration)


def classifier_auc(window: BinCodes, reference: BinCodes) -> float:
    """Return the ROC AUC of telling rows of a window from others; NaN with fewer than ten rows."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    if min(len(window), len(reference)) < MIN_SAMPLED_ROWS:
        return float("nan")
    X = np.vstack([window, reference]).astype(np.float64)
    X[X == MISSING_CODE] = -1  # a place of its own, below all others
    y = np.repeat([1, 0], [len(window), len(reference)])
    classifier = HistGradientBoostingClassifier(
        max_iter=N_TREES,
        max_leaf_nodes=N_LEAVES,
        learning_rate=LEARNING_RATE,
        early_stopping=False,
        random_state=0,
    )
    folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=0)
    with threadpool_limits(1):  # small tables: threads would wait for each other
        y_proba = cross_val_predict(classifier, X, y, cv=folds, method="predict_proba")
    return float(roc_auc_score(y, y_proba[:, 1]))


def joint_drift_score(
    sample: str, reference: JointReference, n_columns: int
) -> tuple[float, float]:
    """Return the AUC of a window's sample, and how far it is beyond the worst of the reference.

    Both are NaN where the sample is too small.
    """
    rows = unpack_codes(sample, n_columns)
    auc = classifier_auc(rows, unpack_codes(reference.sample, n_columns))
    if np.isnan(auc):
        return auc, auc
    null, n_rows = reference.calibration, np.array([float(len(rows))])
    z = null.z_scores(np.array([auc]), AUC_STATISTICS, phase_rows=n_rows)
    return auc, float(null.excess(z, AUC_STATISTICS)[0])


def sample_rows(codes: BinCodes) -> str:
    """Return at most 2,000 rows of a window, evenly spread over it, packed."""
    size = min(MAX_SAMPLED_ROWS, len(codes))
    return pack_codes(codes[(np.arange(size) * (len(codes) / max(size, 1))).astype(np.int64)])


def merge_samples(samples: Sequence[str], n_columns: int) -> str:
    """Return the sample of several windows together."""
    return sample_rows(np.vstack([unpack_codes(sample, n_columns) for sample in samples]))


def pack_codes(codes: BinCodes) -> str:
    """Return bins as text, shape (n, n_columns)."""
    whole = np.ascontiguousarray(codes, dtype=np.uint8).tobytes()
    return base64.b64encode(zlib.compress(whole)).decode("ascii")


def unpack_codes(sample: str, n_columns: int) -> BinCodes:
    """Return the bins that `pack_codes` made text of; no rows of an empty text."""
    whole = zlib.decompress(base64.b64decode(sample)) if sample else b""
    return np.frombuffer(whole, dtype=np.uint8).reshape(-1, max(n_columns, 1))
