import pytest

from pipelines.core.metrics import METRICS
from pipelines.core.trials import Configuration, FoldResult, Trial
from pipelines.tuning.searchers import OBJECTIVE, searcher, suggested
from pipelines.tuning.spaces import default_points, grid, nearest, space
from pipelines.tuning.strategies import History, Strategy

FAMILIES = ("linear", "lightgbm")
RMSE = METRICS["rmse"]


def history(*finished):
    return History(RMSE, 2, tuple(finished))


def finished(number, configuration, score, status="complete"):
    folds = tuple(FoldResult(fold, {"rmse": score}, 0.1, 0.1) for fold in range(2))
    return Trial(number, configuration, status, folds, score, None, 1.0)


def suggestions(strategy, past, n, objective=lambda _: 0.0):
    made = searcher(strategy, past, n_trials=n)
    configurations = []
    while (config := made.suggest(f"t{len(configurations)}")) != made.FINISHED:
        configurations.append(suggested(config))
        result = {OBJECTIVE: objective(configurations[-1]), "training_iteration": 2}
        made.on_trial_complete(f"t{len(configurations) - 1}", result)
    return configurations


def test_warm_starts_come_before_the_defaults():
    start = Configuration("linear", {"numbers": "power", "regularisation": 0.5})
    made = suggestions(Strategy(FAMILIES, warm_starts=(start,)), history(), 3)
    assert made == [start, *(nearest(p, space(FAMILIES)) for p in default_points(FAMILIES))]


@pytest.mark.parametrize("kind", ["tpe", "random", "grid"])
def test_the_same_seed_gives_the_same_suggestions(kind):
    first, second = (suggestions(Strategy(FAMILIES, kind), history(), 20) for _ in range(2))
    assert first == second


def test_tpe_comes_back_to_what_was_good():
    def objective(configuration):
        rate = configuration.hyperparameters.get("learning_rate", 1.0)
        return -abs(rate - 0.1) - (configuration.family == "linear")

    late = suggestions(Strategy(FAMILIES), history(), 60, objective)[30:]
    rates = [c.hyperparameters["learning_rate"] for c in late if c.family == "lightgbm"]
    assert len(rates) > 20
    assert sum(0.05 < rate < 0.2 for rate in rates) > 0.6 * len(rates)


def test_what_was_finished_is_not_suggested_again():
    points = [nearest(point, space(FAMILIES)) for point in default_points(FAMILIES)]
    past = history(finished(0, points[0], 1.0), finished(4, points[1], 2.0, "stopped"))
    made = suggestions(Strategy(FAMILIES), past, 5)
    assert not [point for point in made if point in points]


def test_numbers_go_on_where_the_last_run_ended():
    past = history(finished(4, Configuration("linear"), 1.0))
    assert searcher(Strategy(FAMILIES), past, n_trials=1).suggest("t")["number"] == 5


def test_a_grid_ends_when_all_of_it_was_suggested():
    made = suggestions(Strategy(("linear",), "grid"), history(), None)
    assert sorted(map(str, made)) == sorted(map(str, grid(space(["linear"]))))


def test_given_points_alone_are_suggested():
    start = Configuration("linear", {"numbers": "scaled", "regularisation": 3.0})
    assert suggestions(Strategy(FAMILIES, "given", warm_starts=(start,)), history(), None) == [
        start
    ]


@pytest.mark.parametrize("result", [None, {"reason": "MemoryError: "}, {"training_iteration": 1}])
def test_a_failed_trial_teaches_nothing(result):
    made = searcher(Strategy(FAMILIES), history(), n_trials=2)
    made.suggest("t")
    made.on_trial_complete("t", result, error=result is None)
    assert [trial.state.name for trial in made._study.trials] == ["FAIL"]


def test_a_stopped_trial_counts_as_pruned():
    made = searcher(Strategy(FAMILIES), history(), n_trials=2)
    made.suggest("t")
    made.on_trial_complete("t", {OBJECTIVE: -2.0, "training_iteration": 1})
    assert made._study.trials[0].state.name == "PRUNED"
    assert made._study.trials[0].intermediate_values == {1: -2.0}


def test_a_searcher_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match=r"searcher must be one of tpe, .* but got 'guess'"):
        searcher(Strategy(FAMILIES, "guess"), history(), n_trials=1)
