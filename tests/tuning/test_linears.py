import numpy as np
import pytest

from evertune.models.families import fit_encoded
from evertune.trials import Configuration
from tests.tuning.rows import rows, setting


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_an_l1_penalty_leaves_columns_out(task):
    X, y = rows(task)
    noise = np.random.default_rng(3).normal(size=(400, 20))
    point = Configuration("linear", {"penalty": "l1", "regularisation": 30.0})
    coefficients = fit_encoded(
        point, np.hstack([X, noise]), y, setting(task)
    ).predictor.coef_.ravel()
    assert (coefficients[3:] == 0).mean() > 0.5
    assert coefficients[1] > 0


def test_a_linear_model_past_its_deadline_says_so():
    X, y = rows("binary")
    assert not fit_encoded(
        Configuration("linear"), X * 1e3, y, setting("binary", deadline=0.0)
    ).whole
