"""Evolution and a controller: they learn what networks are good, of the ordinary space."""

import pytest

from evertune.search.configurations import build_space, nearest_configuration
from tests.search.studies import OBJECTIVE, evaluate, make_study, past_trial, play

FAMILIES = ("mlp", "linear")
SPACE = build_space(FAMILIES, columns=OBJECTIVE.schema.features)
SEARCHERS = ("evolution", "reinforce")


def width_error(point):
    """Return a score that is best for a network of three layers with tanh."""
    values = point.hyperparameters
    if point.family != "mlp":
        return 3.0
    return abs(values["layers"] - 3) + (values["activation"] != "tanh") + values["dropout"]


@pytest.mark.parametrize("searcher", SEARCHERS)
def test_points_are_inside_the_space_and_new(searcher):
    asked = play(make_study(FAMILIES, trials=40, searcher=searcher), score=width_error)
    assert all(nearest_configuration(point, SPACE) is not None for point in asked)
    assert all(nearest_configuration(point, SPACE) == point for point in asked[2:])
    assert len(set(map(str, asked))) == 40


@pytest.mark.parametrize("searcher", SEARCHERS)
def test_the_same_seed_asks_the_same_also_after_a_kill(searcher):
    first, second, other = (
        play(make_study(FAMILIES, trials=24, searcher=searcher, seed=seed), score=width_error)
        for seed in (0, 0, 1)
    )
    assert first == second != other
    past = tuple(past_trial(n, point, width_error(point)) for n, point in enumerate(first[:16]))
    rest = play(make_study(FAMILIES, trials=24, searcher=searcher, past=past), score=width_error)
    assert len(rest) == 8
    assert not [point for point in rest if point in first[:16]]


@pytest.mark.parametrize("searcher", SEARCHERS)
@pytest.mark.parametrize("seed", [0, 1])
def test_later_points_are_better_than_random_ones(searcher, seed):
    def mean_of_last(name):
        study = make_study(FAMILIES, trials=60, searcher=name, seed=seed, scheduler="none")
        return sum(map(width_error, play(study, score=width_error)[-20:])) / 20

    assert mean_of_last(searcher) < 0.8 * mean_of_last("random")


@pytest.mark.parametrize("searcher", SEARCHERS)
def test_jobs_at_once_differ_and_failed_trials_are_no_end(searcher):
    study = make_study(FAMILIES, seconds=1000.0, searcher=searcher, scheduler="none")
    for n in range(20):
        evaluate(study, study.ask(), 1.0 + n, failed=n % 3 == 0)
    jobs = [study.ask() for _ in range(8)]
    assert len({str(job.configuration) for job in jobs}) == 8
