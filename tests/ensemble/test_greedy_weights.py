import numpy as np
import pytest

from evertune.ensemble.blend_metrics import make_blend_scorer
from evertune.ensemble.selection import greedy_weights
from evertune.metrics.metrics import METRICS

RMSE, ACCURACY = METRICS["rmse"], METRICS["accuracy"]


def weights(said, truth, metric=RMSE, **limits):
    how = make_blend_scorer(metric, np.array(truth))
    free = np.zeros(len(said), dtype=bool)
    return greedy_weights(how.view(np.array(said)), how, **{"capped": free, **limits}).tolist()


def test_members_whose_errors_cancel_out_share_the_weight():
    assert weights([[2.0, 5.0], [0.0, 5.0], [9.0, 9.0]], [1.0, 5.0]) == [0.5, 0.5, 0.0]


def test_a_member_that_cannot_be_helped_stands_alone():
    assert weights([[1.0, 5.0], [0.0, 5.0]], [1.0, 5.0]) == [1.0, 0.0]


def test_a_member_may_be_taken_more_than_once():
    found = weights([[0.0, 0.0], [4.0, 4.0]], [1.0, 1.0])
    assert found == [0.75, 0.25]


def test_of_equal_members_the_first_is_taken():
    assert weights([[1.0, 2.0]] * 3, [0.0, 0.0]) == [1.0, 0.0, 0.0]


def test_equal_labels_are_decided_by_the_log_loss():
    assert weights([[0.4, 0.6], [0.1, 0.9]], [0.0, 1.0], ACCURACY) == [0.0, 1.0]


def test_capped_members_keep_to_their_share():
    said, truth = [[3.0, 3.0], [1.0, 1.0]], [1.0, 1.0]
    capped = np.array([False, True])
    assert weights(said, truth, capped=capped, largest_share=0.5) == [0.5, 0.5]


def test_where_all_are_capped_none_is():
    found = weights([[3.0, 3.0], [1.0, 1.0]], [1.0, 1.0], capped=np.array([True, True]))
    assert found == [0.0, 1.0]


def test_where_no_blend_has_a_score_the_first_member_is_taken():
    assert weights([[0.2, 0.3], [0.1, 0.3]], [0.0, 0.0], METRICS["roc_auc"]) == [1.0, 0.0]


@pytest.mark.parametrize("n_steps", [1, 2, 25])
def test_more_steps_are_never_worse(n_steps):
    draws = np.random.default_rng(0)
    truth = draws.normal(size=50)
    said = truth + draws.normal(size=(5, 50))
    blend = np.array(weights(said, truth, n_steps=n_steps)) @ said
    first = np.array(weights(said, truth, n_steps=1)) @ said
    assert ((blend - truth) ** 2).mean() <= ((first - truth) ** 2).mean()
