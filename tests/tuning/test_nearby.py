import numpy as np
import pytest

from evertune.search.default_space import DEFAULT_SPACES, Choice
from evertune.search.samplers import mutate_configuration
from evertune.search.space import build_space, nearest_configuration
from evertune.trials import Configuration


@pytest.mark.parametrize("family", list(DEFAULT_SPACES))
def test_a_step_stays_in_the_space(family):
    searched, draws = build_space([family]), np.random.default_rng(0)
    for _ in range(20):
        step = mutate_configuration(Configuration(family), searched, draws)
        assert nearest_configuration(step, searched) == step


def test_steps_are_small():
    searched = build_space(["lightgbm"])
    start = Configuration("lightgbm", {"learning_rate": 0.03})
    steps = [
        mutate_configuration(start, searched, np.random.default_rng(seed)) for seed in range(99)
    ]
    rates = [step.hyperparameters["learning_rate"] for step in steps]
    assert np.median(rates) == pytest.approx(0.03, rel=0.2)


def test_most_choices_stay_as_they_are():
    searched, draws = build_space(["linear"]), np.random.default_rng(0)
    start = Configuration("linear", {"numbers": "power"})
    steps = [
        mutate_configuration(start, searched, draws).hyperparameters["numbers"] for _ in range(99)
    ]
    assert isinstance(searched["linear"]["numbers"], Choice)
    assert steps.count("power") > 60
