import numpy as np
import pytest

from pipelines.core.trials import Configuration
from pipelines.tuning.nearby import near
from pipelines.tuning.parameters import Choice
from pipelines.tuning.spaces import SPACES, nearest, space


@pytest.mark.parametrize("family", list(SPACES))
def test_a_step_stays_in_the_space(family):
    searched, draws = space([family]), np.random.default_rng(0)
    for _ in range(20):
        step = near(Configuration(family), searched, draws)
        assert nearest(step, searched) == step


def test_steps_are_small():
    searched = space(["lightgbm"])
    start = Configuration("lightgbm", {"learning_rate": 0.03})
    steps = [near(start, searched, np.random.default_rng(seed)) for seed in range(99)]
    rates = [step.hyperparameters["learning_rate"] for step in steps]
    assert np.median(rates) == pytest.approx(0.03, rel=0.2)


def test_most_choices_stay_as_they_are():
    searched, draws = space(["linear"]), np.random.default_rng(0)
    start = Configuration("linear", {"numbers": "power"})
    steps = [near(start, searched, draws).hyperparameters["numbers"] for _ in range(99)]
    assert isinstance(searched["linear"]["numbers"], Choice)
    assert steps.count("power") > 60
