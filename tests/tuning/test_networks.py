import numpy as np
import pytest

from evertune.models.families import fit_encoded
from evertune.trials import Configuration
from tests.tuning.rows import rows, setting


@pytest.mark.parametrize(
    "chosen",
    [{"solver": "sgd", "learning_rate": 0.03}, {"activation": "tanh"}, {"schedule": "coslog4"}],
)
def test_a_network_learns_in_every_way(chosen):
    X, y = rows("regression")
    grown = fit_encoded(Configuration("neural_network", chosen), X, y, setting("regression"))
    assert np.corrcoef(grown.predictor.predict(X), y)[0, 1] > 0.85


def test_values_far_from_0_are_learned_as_well():
    X, y = rows("regression")
    found = fit_encoded(Configuration("neural_network"), X, 1e6 + 1e3 * y, setting("regression"))
    assert found.predictor.predict(X).mean() == pytest.approx(1e6 + 1e3 * y.mean(), abs=200)


def test_the_best_epoch_is_kept():
    X, y = rows("binary", n=60)
    noise = (X, np.random.default_rng(1).integers(0, 2, 60).astype(float))
    watched = setting("binary", validation=noise, metric="log_loss")
    assert fit_encoded(Configuration("neural_network"), X, y, watched).iterations < 30
