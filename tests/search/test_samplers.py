"""The contract that every sampler keeps, and what each of them promises beside."""

import json
from dataclasses import asdict, replace
from functools import cache

import numpy as np
import pytest

from evertune.search.configurations import (
    build_space,
    default_configurations,
    grid_points,
    nearest_configuration,
)
from evertune.search.samplers import SEARCHERS, GivenSampler, mutate_configuration
from evertune.search.samplers.mixture import MEMBERS
from evertune.search.samplers.optuna_samplers import reached_step
from evertune.search.space import DEFAULT_SPACES, Choice, Float, Integer
from evertune.search.trial_log import parse_trial
from evertune.trials import Configuration
from tests.search.studies import (
    OBJECTIVE,
    evaluate,
    make_study,
    past_trial,
    play,
    small_objective,
)

FAMILIES = ("linear", "lightgbm")
SPACE = build_space(FAMILIES, columns=OBJECTIVE.schema.features)
GIVEN = [Configuration("tree", {"max_depth": depth}) for depth in range(2, 45)]
# A proposal of these takes a good part of a second, so that their studies are short.
THOROUGH = (
    "gp",
    "bayesian_optimization",
    "skopt_gp",
    "skopt_forest",
    "hyperopt_tpe",
    "hyperopt_atpe",
    "mixture",
)
UNPLANTED = (
    "portfolio",
    "grid",
    "random",
)  # the portfolio has no tree, and the others learn nothing
PYTHON = {Float: float, Integer: int}
# All but the one that has families of its own: tests.search.test_gradient_sampler.
ORDINARY = tuple(name for name in SEARCHERS if name != "gradient")
LISTED = ("manual", "given")  # evaluate what they are given
TWO_NUMBERS = {
    "tree": {
        "categorical_encoding": ("one_hot",),
        "feature_selection": ("none",),
        "max_depth": (2, 16),
        "min_samples_leaf": (2, 100),
    }
}


def settings_of(searcher):
    """Return the settings without which a searcher has nothing to do."""
    several = {"objective": small_objective(others=("mae",)), "objectives": ("mae",)}
    special = {"manual": {"configurations": tuple(GIVEN)}, "nsga2": several}
    return {"searcher": searcher} | special.get(searcher, {})


def skip_without_library(searcher):
    if SEARCHERS[searcher].needs is not None:
        pytest.importorskip(SEARCHERS[searcher].needs)


@pytest.fixture(params=[*ORDINARY, "given"])
def study_of(request):
    """Return a function that makes a study with the sampler."""
    name = request.param
    if name in SEARCHERS:
        skip_without_library(name)

    def make(past=(), **settings):
        if name == "given":
            return make_study(past=past, sampler=GivenSampler(GIVEN, past), **settings)
        return make_study(past=past, **settings_of(name) | settings)

    make.name, make.samples, make.thorough = name, name not in LISTED, name in THOROUGH
    return make


def test_a_sampler_asks_inside_the_space(study_of):
    n = 12 if study_of.thorough else 40
    study = study_of(trials=n)
    for job in iter(study.ask, None):
        evaluate(study, job, 1.0 + job.number % 5)
        assert job.folds == (0, 1, 2)
        if study_of.samples and job.phase == "search":
            values = job.configuration.hyperparameters
            for name, part in SPACE[job.configuration.family].items():
                assert (
                    isinstance(part, Choice)
                    or name not in values
                    or isinstance(values[name], PYTHON[type(part)])
                )
            assert nearest_configuration(job.configuration, SPACE) == job.configuration
    assert len(study.trials) >= 0.7 * n


def test_a_sampler_asks_the_same_with_the_same_seed(study_of):
    n = 11 if study_of.thorough else 30
    first, second, other = (
        play(study_of(trials=n, seed=seed), score=lambda point: len(str(point)) / 100)
        for seed in (0, 0, 1)
    )
    assert first == second
    assert (first != other) == study_of.samples


def test_a_sampler_goes_on_after_pruned_failed_and_undefined_trials(study_of):
    n_trials = 13 if study_of.thorough else 20
    study, n = study_of(trials=n_trials, scheduler="none"), 0
    for n, job in enumerate(iter(study.ask, None), start=1):
        evaluate(study, job, None if n % 3 == 0 else n, failed=n % 4 == 0)
    assert n == n_trials
    assert {trial.status for trial in study.trials} == {"complete", "failed"}


def test_a_sampler_goes_on_where_every_trial_failed(study_of):
    study = study_of(trials=16, scheduler="none")
    for job in iter(study.ask, None):
        evaluate(study, job, None, failed=True)
    # the portfolio ends where no family has a trial that did not fail
    assert len(study.trials) == 16 or (study_of.name == "portfolio" and study.exhausted)


def test_a_sampler_gives_workers_that_ask_at_once_different_points(study_of):
    study = study_of(seconds=1000.0)
    study.workers = 8
    for n in range(11 if study_of.thorough else 14):
        evaluate(study, study.ask(), 1.0 + n % 3)
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


@pytest.mark.parametrize("searcher", [name for name in ORDINARY if name not in LISTED])
def test_a_pinned_value_is_kept_by_every_searcher(searcher):
    skip_without_library(searcher)
    pinned = {"lightgbm": {"num_leaves": (20,), "categorical_encoding": ("target",)}}
    study = make_study(("lightgbm",), space=pinned, trials=12, **settings_of(searcher))
    proposed = []
    for job in iter(study.ask, None):
        evaluate(study, job, 1.0 + job.number % 4)
        if job.phase == "search" or searcher == "grid":
            proposed.append(job.configuration.hyperparameters)
    assert proposed
    assert {values["num_leaves"] for values in proposed} == {20}
    assert {values["categorical_encoding"] for values in proposed} == {"target"}
    assert not [values for values in proposed if "cat_smooth" in values]


@pytest.mark.parametrize("searcher", [n for n in ORDINARY if n not in (*LISTED, *UNPLANTED)])
def test_a_searcher_beats_random_search_on_a_planted_optimum(searcher):
    skip_without_library(searcher)
    n_seeds = 2 if searcher in THOROUGH else 4
    random = np.mean([random_error(seed) for seed in range(n_seeds)])
    # qmc covers the space, and learns nothing
    limit = 1.5 * random if searcher == "qmc" else random
    # once a study is well below, more trials could not change what is asserted
    errors = [planted_error(searcher, seed, enough=limit / 2) for seed in range(n_seeds)]
    assert np.mean(errors) < limit


@cache
def random_error(seed):
    return planted_error("random", seed)


def planted_error(searcher, seed, *, enough=0.0):
    """Return the distance of the best of 30 points from the optimum, on the parameters' scale.

    The study ends with the first point whose distance is `enough`.
    """

    def distance(point):
        values = {"max_depth": 2, "min_samples_leaf": 2} | point.hyperparameters
        depth, leaf = values["max_depth"], values["min_samples_leaf"]
        return abs(np.log(depth / 12)) + abs(np.log(leaf / 40))

    settings = settings_of(searcher) | {"scheduler": "none", "space": TWO_NUMBERS}
    study, best = make_study(("tree",), trials=30, seed=seed, **settings), np.inf
    while best > enough and (job := study.ask()) is not None:
        best = min(best, distance(job.configuration))
        evaluate(study, job, distance(job.configuration))
    return best


def test_a_sampler_ends_with_the_trials_of_the_budget(study_of):
    study = study_of(trials=3)
    assert len(play(study)) == 3
    assert study.exhausted
    assert study.ask() is None


def test_a_mixture_that_was_killed_remembers_what_its_members_gained():
    first = make_study(searcher="mixture", scheduler="none", trials=16)
    play(first, score=lambda point: len(str(point)) / 100)
    past = [parse_trial(json.dumps(asdict(trial))) for trial in first.trials]
    second = make_study(searcher="mixture", scheduler="none", trials=24, past=past)
    credits_before, credits_after = (
        [study.sampler.credit(name) for name in MEMBERS] for study in (first, second)
    )
    assert credits_after == credits_before
    assert max(credits_after) < np.inf


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


def test_a_trial_that_was_stopped_at_a_share_of_its_rows_came_less_far_than_one_with_all():
    whole = past_trial(0, Configuration("linear"), 1.0, "stopped")
    part = replace(whole, fidelity=1 / 9)
    assert 1 <= reached_step(part) < reached_step(whole)
