"""Strategies: axis by axis, with any searcher."""

from dataclasses import replace

import pytest

from evertune.search.configurations import build_space
from evertune.search.samplers.strategies import AXES, axis_of, free_space
from evertune.trials import Configuration
from tests.search.studies import OBJECTIVE, evaluate, make_study, play

FAMILIES = ("linear", "tree", "lightgbm")
SPACE = build_space(FAMILIES, columns=OBJECTIVE.schema.features)


def score(point):
    """Return an error; each axis of LightGBM has a best value."""
    values = point.hyperparameters
    return (
        {"linear": 2.0, "tree": 1.5, "lightgbm": 1.0}[point.family]
        + (values.get("numeric_transform") not in ("power", None))
        + 0.5 * (values["feature_selection"] != "filter")
        + abs(values.get("num_leaves", 200) - 60) / 200
        + abs(values.get("learning_rate", 0.2) - 0.05)
    )


@pytest.mark.parametrize("searcher", ["random", "tpe", "genetic", "grid", "cmaes"])
def test_in_sequence_one_axis_is_searched_at_a_time(searcher):
    study = make_study(
        FAMILIES, searcher=searcher, strategy="sequence", scheduler="none", trials=40
    )
    points = play(study, score=score)
    assert points[0].family == "linear"
    assert len(points) == len({str(point) for point in points}) == 40
    turns = [changed_axes(point, points[:n]) for n, point in enumerate(points) if n]
    assert all(len(axes) <= 1 for axes in turns)
    order = [AXES.index(axis) for axes in turns for axis in axes]
    assert order == sorted(order)
    assert {*order} == {0, 1, 2, 3, 4}
    assert points[-1].family == "lightgbm"
    assert points[-1].hyperparameters["feature_selection"] == "filter"


def changed_axes(point, before):
    """Return the axes in which a point differs from the nearest one before it."""
    alike = [other.hyperparameters for other in before if other.family == point.family]
    changes = [
        {
            axis_of(name)
            for name, value in point.hyperparameters.items()
            if name in SPACE[point.family] and other.get(name, value) != value
        }
        for other in alike
    ]
    return min(changes, key=len, default={"family"})


def test_alternating_takes_features_out_and_searches_the_model_in_turn():
    def error(point):
        values = point.hyperparameters
        kept = 1.0
        if values["feature_selection"] == "recursive":
            kept = values["selected_fraction"]
        return abs(kept - 0.5) + abs(values.get("num_leaves", 200) - 60) / 200

    study = make_study(
        ("lightgbm",), searcher="genetic", strategy="alternating", scheduler="none", trials=40
    )
    points = play(study, score=error)
    fractions = [
        point.hyperparameters["selected_fraction"]
        for point in points
        if point.hyperparameters["feature_selection"] == "recursive"
    ]
    assert min(abs(fraction - 0.5) for fraction in fractions) < 0.05
    assert len(set(fractions)) < len(fractions)  # the searcher works with the columns that are left
    best = min(points, key=error)
    assert error(best) < 0.2


@pytest.mark.parametrize("strategy", ["sequence", "alternating"])
def test_a_strategy_goes_on_from_the_trials_of_an_earlier_run(strategy):
    given = {"searcher": "genetic", "strategy": strategy, "scheduler": "none"}
    first = make_study(FAMILIES, trials=16, **given)
    done = play(first, score=score)
    second = make_study(FAMILIES, trials=24, past=tuple(first.trials), **given)
    more = play(second, score=score)
    assert len(more) == 8
    assert not [point for point in more if point in done]


@pytest.mark.parametrize("n_before", [6, 9, 20, 31])
def test_a_sequence_that_was_killed_goes_on_with_the_axis_whose_turn_it_was(n_before):
    few = {"numeric_transform": ("scaled", "power")}  # used up before its share of the budget
    given = {
        "searcher": "random",
        "strategy": "sequence",
        "scheduler": "none",
        "space": {"linear": few | {"interactions": ("none",)}},
    }
    families = ("linear", "lightgbm")
    first = make_study(families, trials=n_before, **given)
    first.budget = replace(first.budget, trials=40)
    done = play(first, score=score)
    second = make_study(families, trials=40, past=tuple(first.trials), **given)
    points = [*done, *play(second, score=score)]
    order = [
        AXES.index(axis)
        for n, point in enumerate(points)
        if n
        for axis in changed_axes(point, points[:n])
    ]
    assert order == sorted(order)
    assert set(order) == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("strategy", ["sequence", "alternating"])
def test_a_strategy_survives_failed_trials_and_workers_that_ask_at_once(strategy):
    study = make_study(FAMILIES, searcher="tpe", strategy=strategy, seconds=1000.0)
    study.workers = 3
    for n in range(12):
        jobs = [job for job in (study.ask() for _ in range(3)) if job is not None]
        assert jobs
        assert len({str(job.configuration) for job in jobs}) == len(jobs)
        for job in jobs:
            evaluate(study, job, 1.0 + n % 3, failed=n % 4 == 1)


def test_a_sequence_ends_when_there_is_nothing_left_to_try():
    pinned = {
        "tree": {
            "categorical_encoding": ("one_hot",),
            "feature_selection": ("none",),
            "max_depth": (2, 4),
            "min_samples_leaf": (2, 3),
        }
    }
    study = make_study(("tree",), searcher="random", strategy="sequence", space=pinned, trials=500)
    points = play(study)
    assert len(points) == len({str(point) for point in points}) <= 6
    assert study.exhausted


def test_what_another_family_lacks_becomes_its_default():
    fixed = Configuration("linear", {"numeric_transform": "power", "feature_selection": "l1"})
    part = free_space(SPACE, ["family"], fixed)
    assert part["linear"]["numeric_transform"].values == ("power",)
    assert part["lightgbm"]["feature_selection"].values == ("l1",)
    assert part["lightgbm"]["num_leaves"].values == (16,)
