"""The searcher `gradient` keeps the samplers' contract, and goes where the derivative points."""

import numpy as np
import pandas as pd
import pytest

from evertune.config.search_rules import GRADIENT_FAMILIES
from evertune.data.folds import Fold
from evertune.data.schema import Column, TableSchema
from evertune.metrics.metrics import METRICS
from evertune.search.configurations import build_space, nearest_configuration
from evertune.search.objective import Objective, run_job
from evertune.search.samplers.gradient import FOLLOWED
from evertune.trials import Configuration
from tests.search.studies import OBJECTIVE, evaluate, make_study, past_trial, play

SMALL = {"interactions": ["none"], "feature_selection": ["none"]}
SMALL_SPACE = {"linear": SMALL, "mlp": SMALL | {"layers": [1], "width": [8]}}
SPACE = build_space(["linear", "mlp"], SMALL_SPACE, columns=OBJECTIVE.schema.features)
ONLY_ALPHA = {"linear": SMALL | {"numeric_transform": ["scaled"], "penalty": ["l2"]}}


def gradient_study(families=("linear", "mlp"), **settings):
    settings = {"space": SMALL_SPACE} | settings
    return make_study(families, searcher="gradient", scheduler="none", **settings)


def test_it_asks_inside_the_space_and_never_twice():
    study, asked = gradient_study(trials=12), []
    for job in iter(study.ask, None):
        evaluate(study, job, 1.0)
        assert job.folds == (0, 1, 2)
        assert nearest_configuration(job.configuration, SPACE) == job.configuration
        assert job.configuration not in asked
        asked.append(job.configuration)
    assert len(asked) == 12
    assert {point.family for point in asked} == {"linear", "mlp"}


def test_it_asks_the_same_with_the_same_seed():
    first, second, other = (
        play(gradient_study(trials=12, seed=seed), score=lambda point: len(str(point)) / 100)
        for seed in (0, 0, 1)
    )
    assert first == second != other


def test_jobs_at_once_differ_and_faults_are_no_end():
    study = gradient_study(seconds=1000.0)
    jobs = [study.ask() for _ in range(10)]
    assert len({str(job.configuration) for job in jobs}) == 10
    for number, job in enumerate(jobs):
        evaluate(study, job, 1.0, failed=number % 2 == 0)
    assert study.ask() is not None


def test_it_goes_on_from_earlier_trials():
    points = play(gradient_study(trials=8), score=lambda _: 1.0)
    past = tuple(past_trial(number, point, 1.0) for number, point in enumerate(points))
    again = play(gradient_study(trials=16, past=past), score=lambda _: 1.0)
    assert len(again) == 8
    assert not [point for point in again if point in points]


def test_a_penalty_is_proposed_where_the_validation_loss_is_least():
    study = make_study(
        ["linear"],
        searcher="gradient",
        trials=4,
        objective=noisy_regression(),
        space=ONLY_ALPHA,
    )
    scores = {}
    while (job := study.ask()) is not None:
        scores[job.number] = job_rmse(study.objective, job)
        evaluate(study, job, scores[job.number])
    alphas = np.geomspace(1e-3, 1e3, 13)
    grid = [linear_rmse(study.objective, alpha) for alpha in alphas]
    assert scores[1] <= min(grid) * 1.001
    assert scores[1] < scores[0]  # the default


def test_a_network_steps_downhill_and_halves_a_step_that_was_worse():
    study = gradient_study(["mlp"], seconds=1000.0)
    start = study.ask()
    evaluate(study, start, 1.0)
    step = study.ask()
    evaluate(study, step, 2.0)  # an RMSE: worse
    evaluate(study, study.ask(), 9.0)  # another start
    half = study.ask()
    before, far, near = (
        np.log([job.configuration.hyperparameters[name] for name in ("learning_rate", "alpha")])
        for job in (start, step, half)
    )
    np.testing.assert_allclose(near - before, (far - before) / 2)
    assert np.abs(far - before).max() > 0.5


@pytest.mark.parametrize(
    ("families", "settings", "message"),
    [
        (
            ["linear", "lightgbm"],
            {},
            "needs families with derivatives .linear, mlp., but there .*lightgbm",
        ),
        (
            ["linear"],
            {"space": {"linear": {"penalty": ["l1"]}}},
            "needs the penalty l2, but there is l1",
        ),
    ],
)
def test_what_has_no_derivative_is_refused(families, settings, message):
    with pytest.raises(ValueError, match=message):
        gradient_study(families, trials=4, **settings)


def test_the_families_of_the_rules_are_those_that_it_follows():
    assert tuple(FOLLOWED) == GRADIENT_FAMILIES


def noisy_regression(n=90, width=40):
    """Return a regression with about as many columns as informative rows: alpha matters."""
    rng = np.random.default_rng(3)
    names = [f"x{number}" for number in range(width)]
    table = pd.DataFrame(rng.normal(size=(n, width)), columns=names)
    y = table.to_numpy() @ rng.normal(size=width) * 0.3 + 3 * rng.normal(size=n)
    rows = np.arange(n)
    folds = tuple(Fold(rows[rows % 2 != part], rows[rows % 2 == part]) for part in range(2))
    schema = TableSchema(tuple(Column(name, "number") for name in names), "y", "regression")
    return Objective(table, y, schema, folds, (METRICS["rmse"],), 0)


def linear_rmse(objective, alpha):
    study = make_study(["linear"], trials=1, objective=objective, searcher="random")
    job = study.new_job(
        Configuration("linear", {"alpha": float(alpha), "numeric_transform": "scaled"}), "given"
    )
    return job_rmse(objective, job)


def job_rmse(objective, job):
    outcomes = [each for part in run_job(objective, job, {}) for each in part.outcomes]
    return np.mean([each.result.figures["rmse"] for each in outcomes])
