import numpy as np
import pytest

from evertune.ensemble.calibration import OOFPredictions
from evertune.fitting.build import oof_scores_by_fold
from evertune.metrics.metrics import METRICS
from evertune.types import Predictions


def unseen(truth, chance, folds):
    shares = np.column_stack([1 - np.array(chance), chance])
    said = Predictions(shares.argmax(axis=1).astype(float), shares)
    return OOFPredictions(np.arange(len(truth)), np.array(folds), np.array(truth, float), said)


def test_each_fold_is_scored_on_its_own_rows():
    found = unseen([0, 1, 0, 1], [0.2, 0.9, 0.8, 0.3], [0, 0, 1, 1])
    assert oof_scores_by_fold(found, METRICS["roc_auc"], n_folds=2) == (1.0, 0.0)


@pytest.mark.parametrize(("folds", "n_folds"), [([0, 0], 2), ([1, 1], 2)])
def test_a_fold_without_a_figure_has_none(folds, n_folds):
    found = unseen([1, 1], [0.2, 0.9], folds)
    assert oof_scores_by_fold(found, METRICS["roc_auc"], n_folds=n_folds) == (None, None)
