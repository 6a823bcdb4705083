import numpy as np
import pytest

from evertune.metrics.metrics import METRICS, REGRESSION
from evertune.metrics.weighted import (
    count_classes,
    r2,
    require_probabilities,
    row_nanmean,
    safe_divide,
    weight_by_repetition,
)
from evertune.types import Predictions


@pytest.mark.parametrize("name", METRICS)
def test_many_weightings_at_once_give_what_each_gives_alone(name):
    random = np.random.default_rng(1)
    truth = random.integers(0, 2, 60) + float(REGRESSION in METRICS[name].tasks)
    score = random.random(60).round(1)
    said = Predictions((score > 0.5).astype(float), np.column_stack([1 - score, score]))
    weights = random.integers(0, 3, (5, 60)).astype(float)
    together = METRICS[name].kernel(truth, said)(weights)
    alone = [METRICS[name].figure(truth, said, row) for row in weights]
    assert together == pytest.approx(alone)


def test_a_metric_of_probabilities_refuses_predictions_without_them():
    with pytest.raises(ValueError, match=r"needs predictions with probabilities. Got none"):
        require_probabilities(Predictions(np.zeros(1)))


def test_a_ratio_to_zero_is_undefined():
    assert np.isnan(safe_divide(np.array([0.0, 1.0]), np.zeros(2))).all()


def test_a_mean_of_nothing_is_undefined():
    found = row_nanmean(np.array([[np.nan, np.nan], [1.0, np.nan]]))
    assert np.isnan(found[0])
    assert found[1] == 1.0


def test_r2_is_exact_far_from_zero():
    truth = 1e9 + np.array([1.0, 2.0, 3.0, 4.0])
    found = r2(truth, Predictions(truth + np.array([0.5, -0.5, 0.5, -0.5])))(np.ones((1, 4)))
    assert found == pytest.approx([1 - 1 / 5])


def test_weights_that_are_no_whole_numbers_are_scaled_before_rows_are_repeated():
    def share(truth, values, _):
        return (truth == values).mean()

    weighed = weight_by_repetition(share, np.array([0.0, 1.0]), Predictions(np.zeros(2)))
    assert weighed(np.array([[0.3, 0.1]])) == pytest.approx([0.75], abs=1e-4)


def test_labels_alone_tell_of_at_least_two_classes():
    assert count_classes(np.zeros(2), Predictions(np.zeros(2))) == 2


@pytest.mark.parametrize("share", [0.2, 0.8])
def test_an_area_is_the_share_of_pairs_in_the_right_order_ties_half(share):
    random = np.random.default_rng(2)
    positive, score = random.random(80) < share, random.random(80).round(1)
    up, down = score[positive][:, None], score[~positive]
    said = Predictions(score, np.column_stack([1 - score, score]))
    found = METRICS["roc_auc"].figure(positive.astype(float), said)
    assert found == pytest.approx(((up > down) + 0.5 * (up == down)).mean())
