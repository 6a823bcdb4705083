"""The contract that every sampler keeps, and what each of them promises beside."""

import numpy as np
import pytest

from evertune.search.configurations import (
    build_space,
    default_configurations,
    grid_points,
    nearest_configuration,
)
from evertune.search.samplers import GivenSampler, mutate_configuration
from evertune.search.space import DEFAULT_SPACES
from evertune.trials import Configuration
from tests.search.studies import OBJECTIVE, evaluate, make_study, past_trial, play

FAMILIES = ("linear", "lightgbm")
SEARCHERS = ("portfolio", "tpe", "random", "grid")
SPACE = build_space(FAMILIES, columns=OBJECTIVE.schema.features)
GIVEN = [Configuration("tree", {"max_depth": depth}) for depth in range(2, 30)]


@pytest.fixture(params=[*SEARCHERS, "given"])
def study_of(request):
    """Return a function that makes a study with the sampler."""

    def make(past=(), **settings):
        if request.param == "given":
            settings["sampler"] = GivenSampler(GIVEN, past)
        else:
            settings["searcher"] = request.param
        return make_study(past=past, **settings)

    make.samples = request.param != "given"
    return make


def test_a_sampler_asks_inside_the_space(study_of):
    study = study_of(trials=40)
    for job in iter(study.ask, None):
        evaluate(study, job, 1.0)
        assert job.folds == (0, 1, 2)
        if study_of.samples and job.phase == "search":
            assert nearest_configuration(job.configuration, SPACE) == job.configuration
    assert len(study.trials) >= 28


def test_a_sampler_asks_the_same_with_the_same_seed(study_of):
    first, second, other = (
        play(study_of(trials=30, seed=seed), score=lambda point: len(str(point)) / 100)
        for seed in (0, 0, 1)
    )
    assert first == second
    assert (first != other) == study_of.samples


def test_a_sampler_goes_on_after_pruned_and_failed_trials(study_of):
    study, n = study_of(trials=24, scheduler="none"), 0
    for n, job in enumerate(iter(study.ask, None), start=1):
        evaluate(study, job, None if n % 3 == 0 else n, failed=n % 4 == 0)
    assert n == 24
    assert {trial.status for trial in study.trials} == {"complete", "failed"}


def test_a_sampler_gives_workers_that_ask_at_once_different_points(study_of):
    study = study_of(seconds=1000.0)
    study.workers = 8
    for _ in range(20):
        evaluate(study, study.ask(), 1.0)
    jobs = [study.ask() for _ in range(8)]
    points = [str((job.configuration, job.folds)) for job in jobs if job is not None]
    assert len(points) == 8
    assert len(set(points)) == 8


def test_a_sampler_goes_on_from_the_trials_of_an_earlier_run(study_of):
    first = study_of(trials=8)
    done = play(first)
    second = study_of(past=first.trials, trials=16)
    more = play(second)
    assert [trial.number for trial in sorted(second.trials, key=lambda t: t.number)] == [
        *range(8, 16)
    ]
    assert not [point for point in more if point in done]


def test_a_sampler_ends_with_the_trials_of_the_budget(study_of):
    study = study_of(trials=3)
    assert len(play(study)) == 3
    assert study.exhausted
    assert study.ask() is None


@pytest.mark.parametrize("searcher", ["tpe", "random", "grid"])
def test_warm_starts_come_first_then_defaults_each_once(searcher):
    start = Configuration("linear", {"numeric_transform": "power", "alpha": 0.5})
    points = play(make_study(searcher=searcher, warm_starts=(start, start), trials=3))
    expected = [start, *default_configurations(FAMILIES)]
    assert points == [nearest_configuration(point, SPACE) for point in expected]


def test_tpe_comes_back_to_what_was_good():
    def score(configuration):
        rate = configuration.hyperparameters.get("learning_rate", 1.0)
        return abs(rate - 0.1) + (configuration.family == "linear")

    late = play(make_study(searcher="tpe", scheduler="none", trials=60), score=score)[30:]
    rates = [c.hyperparameters["learning_rate"] for c in late if c.family == "lightgbm"]
    assert len(rates) > 20
    assert sum(0.05 < rate < 0.2 for rate in rates) > 0.6 * len(rates)


def test_a_point_that_another_run_stopped_is_not_proposed_again():
    first = [nearest_configuration(point, SPACE) for point in default_configurations(FAMILIES)]
    past = [past_trial(0, first[0], 1.0), past_trial(4, first[1], 2.0, "stopped")]
    study = make_study(searcher="tpe", past=past, trials=7)
    assert study.next_number == 5
    assert not [point for point in play(study) if point in first]


def test_a_grid_ends_when_all_of_it_was_proposed():
    points = play(
        make_study(("tree",), searcher="grid", space={"tree": {"feature_selection": ("none",)}})
    )
    grid = grid_points(build_space(["tree"], {"tree": {"feature_selection": ["none"]}}))
    assert sorted(map(str, points[1:])) == sorted(map(str, grid))


@pytest.mark.parametrize("family", list(DEFAULT_SPACES))
def test_a_mutation_stays_in_the_space(family):
    space, rng = build_space([family]), np.random.default_rng(0)
    for _ in range(20):
        step = mutate_configuration(Configuration(family), space, rng)
        assert nearest_configuration(step, space) == step


def test_mutations_are_small_and_most_choices_stay():
    space, rng = build_space(["linear"]), np.random.default_rng(0)
    start = Configuration("linear", {"numeric_transform": "power", "alpha": 2.0})
    steps = [mutate_configuration(start, space, rng).hyperparameters for _ in range(99)]
    assert np.median([step["alpha"] for step in steps]) == pytest.approx(2.0, rel=0.9)
    assert [step["numeric_transform"] for step in steps].count("power") > 60
