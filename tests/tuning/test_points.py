import math

import numpy as np
import pandas as pd
import pytest

from evertune.data.schema import Column, TableSchema
from evertune.metrics.metrics import METRICS
from evertune.search.objective import Objective
from evertune.search.samplers import SamplerContext, SequentialSampler
from evertune.search.space import (
    build_space,
    default_configurations,
    grid_points,
    nearest_configuration,
)
from evertune.search.study import PastTrials, SearchConfig, TimeBudget, TrialTracker
from evertune.trials import Configuration, FoldResult, Trial

FAMILIES = ("linear", "lightgbm")
RMSE = METRICS["rmse"]
WORK = Objective(
    pd.DataFrame({"a": [0.0, 1.0]}),
    np.zeros(2),
    TableSchema((Column("a", "number"),), "y", "regression"),
    (),
    (RMSE,),
    0,
)


def history(*finished):
    return PastTrials(RMSE, 2, tuple(finished))


def finished(number, configuration, score, status="complete"):
    folds = tuple(FoldResult(fold, {"rmse": score}, 0.1, 0.1) for fold in range(2))
    return Trial(number, configuration, status, folds, score, None, 1.0)


def points(strategy, past, n=None):
    account = TrialTracker(WORK, clock=lambda: 0.0, on_finished=lambda *_: None)
    return SequentialSampler(
        WORK, strategy, SamplerContext(past, account, TimeBudget(math.inf, math.inf, 1), n)
    )


def suggestions(strategy, past, n=None, objective=lambda _: 0.0):
    made, configurations = points(strategy, past, n), []
    while (unit := made.next_unit()) is not None:
        configurations.append(unit.configuration)
        made.tell(
            unit.number, finished(unit.number, unit.configuration, -objective(unit.configuration))
        )
    return configurations


def test_warm_starts_come_before_the_defaults():
    start = Configuration("linear", {"numbers": "power", "regularisation": 0.5})
    made = suggestions(SearchConfig(FAMILIES, "tpe", warm_starts=(start,)), history(), 3)
    assert made == [
        nearest_configuration(start, build_space(FAMILIES)),
        *(
            nearest_configuration(p, build_space(FAMILIES))
            for p in default_configurations(FAMILIES)
        ),
    ]


@pytest.mark.parametrize("kind", ["tpe", "random", "grid"])
def test_the_same_seed_gives_the_same_suggestions(kind):
    first, second = (suggestions(SearchConfig(FAMILIES, kind), history(), 20) for _ in range(2))
    assert first == second


def test_tpe_comes_back_to_what_was_good():
    def objective(configuration):
        rate = configuration.hyperparameters.get("learning_rate", 1.0)
        return -abs(rate - 0.1) - (configuration.family == "linear")

    late = suggestions(SearchConfig(FAMILIES, "tpe"), history(), 60, objective)[30:]
    rates = [c.hyperparameters["learning_rate"] for c in late if c.family == "lightgbm"]
    assert len(rates) > 20
    assert sum(0.05 < rate < 0.2 for rate in rates) > 0.6 * len(rates)


def test_what_was_finished_is_not_suggested_again():
    points = [
        nearest_configuration(point, build_space(FAMILIES))
        for point in default_configurations(FAMILIES)
    ]
    past = history(finished(0, points[0], 1.0), finished(4, points[1], 2.0, "stopped"))
    made = suggestions(SearchConfig(FAMILIES, "tpe"), past, 5)
    assert not [point for point in made if point in points]


def test_numbers_go_on_where_the_last_run_ended():
    past = history(finished(4, Configuration("linear"), 1.0))
    assert points(SearchConfig(FAMILIES, "tpe"), past, 1).next_unit().number == 5


def test_a_grid_ends_when_all_of_it_was_suggested():
    made = suggestions(SearchConfig(("linear",), "grid"), history())
    assert sorted(map(str, made)) == sorted(map(str, grid_points(build_space(["linear"]))))


def test_a_failed_trial_teaches_nothing():
    made = points(SearchConfig(FAMILIES, "tpe"), history())
    unit = made.next_unit()
    made.tell(unit.number, finished(0, unit.configuration, None, "failed"))
    assert [trial.state.name for trial in made._study.trials] == ["FAIL"]


def test_a_stopped_trial_counts_as_pruned():
    made = points(SearchConfig(FAMILIES, "tpe"), history())
    unit = made.next_unit()
    made.tell(unit.number, finished(0, unit.configuration, 2.0, "stopped"))
    assert made._study.trials[0].state.name == "PRUNED"
    assert made._study.trials[0].intermediate_values == {2: -2.0}
