import numpy as np
import pytest

from evertune.ensemble.calibration import (
    calibrate_on_oof,
    fit_temperature,
    fit_threshold,
)
from evertune.ensemble.oof import OOFPredictions
from evertune.metrics.metrics import METRICS
from evertune.models.fitted_model import Ensemble, apply_temperature, apply_threshold
from evertune.types import Predictions

N_ROWS = 2_000
DRAWS = np.random.default_rng(0)
CHANCE = DRAWS.beta(2, 5, N_ROWS)
TRUTH = (DRAWS.random(N_ROWS) < CHANCE).astype(float)
ODDS = np.log(CHANCE / (1 - CHANCE))


def unseen(chance, y_true=TRUTH):
    predicted = Predictions((chance > 0.5).astype(float), np.column_stack([1 - chance, chance]))
    return OOFPredictions(np.arange(len(y_true)), np.arange(len(y_true)) % 5, y_true, predicted)


def too_sure(factor=2.5):
    return 1 / (1 + np.exp(-factor * ODDS))


def test_probabilities_that_are_too_sure_are_tempered():
    found = fit_temperature(unseen(too_sure()), METRICS["log_loss"])
    assert found == pytest.approx(2.5, rel=0.2)
    shares = apply_temperature(unseen(too_sure()).predictions.probabilities, found)
    assert shares[:, 1] == pytest.approx(CHANCE, abs=0.06)


def test_probabilities_that_are_right_are_left_as_they_are():
    assert fit_temperature(unseen(CHANCE), METRICS["log_loss"]) == 1.0


def test_a_metric_of_order_asks_for_no_temperature():
    assert fit_temperature(unseen(too_sure()), METRICS["roc_auc"]) == 1.0


def test_rows_of_a_single_fold_can_be_tempered():
    one = unseen(too_sure())
    one = OOFPredictions(one.rows, np.zeros(N_ROWS, dtype=int), one.y_true, one.predictions)
    assert fit_temperature(one, METRICS["log_loss"]) > 1.5


@pytest.mark.parametrize("name", ["f1", "balanced_accuracy"])
def test_a_threshold_is_found_where_the_positive_class_is_rare(name):
    given = unseen(CHANCE)
    threshold = fit_threshold(given, METRICS[name])
    shares = given.predictions.probabilities
    predicted = Predictions(apply_threshold(shares, threshold), shares)
    assert 0.2 < threshold < 0.4
    assert METRICS[name].score(TRUTH, predicted) > METRICS[name].score(TRUTH, given.predictions)


def test_where_one_half_is_as_good_there_is_no_threshold():
    chance = np.where(TRUTH == 1, 0.9, 0.1)
    assert fit_threshold(unseen(chance), METRICS["accuracy"]) is None


def test_a_metric_of_probabilities_asks_for_no_threshold():
    assert fit_threshold(unseen(CHANCE), METRICS["roc_auc"]) is None


def test_three_classes_have_no_threshold():
    shares = np.full((4, 3), 1 / 3)
    given = OOFPredictions(
        np.arange(4), np.arange(4) % 2, np.zeros(4), Predictions(np.zeros(4), shares)
    )
    assert fit_threshold(given, METRICS["accuracy"]) is None


def test_a_threshold_that_violates_a_guard_is_not_taken():
    chance = np.linspace(0.0, 0.5, 400)
    y_true = (np.arange(400) % 20 < 8 + 12 * (chance > 0.3)).astype(float)
    proba = np.column_stack([1 - chance, chance])
    oof = OOFPredictions(
        np.arange(400), np.arange(400) % 5, y_true, Predictions(np.zeros(400), proba)
    )
    ensemble = Ensemble(())
    assert calibrate_on_oof(ensemble, oof, METRICS["f1"]).threshold is not None
    guards = [(METRICS["precision"], 0.999)]
    assert calibrate_on_oof(ensemble, oof, METRICS["f1"], guards=guards).threshold is None
