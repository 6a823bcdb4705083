import math
import time

import numpy as np
import pandas as pd
import pytest

from evertune.data.folds import Fold
from evertune.data.schema import Column, TableSchema
from evertune.metrics.metrics import METRICS
from evertune.search.objective import Objective, run_job
from evertune.search.portfolio import PortfolioSampler
from evertune.search.samplers import SamplerContext
from evertune.search.study import PastTrials, SearchConfig, TimeBudget, TrialTracker
from evertune.trials import Configuration

FAMILIES = ("linear", "lightgbm", "extra_trees")


@pytest.fixture
def work():
    draws = np.random.default_rng(0)
    table = pd.DataFrame(draws.normal(size=(90, 2)), columns=["a", "b"])
    rows = np.arange(90)
    folds = tuple(Fold(rows[rows % 3 != part], rows[rows % 3 == part]) for part in range(3))
    schema = TableSchema((Column("a", "number"), Column("b", "number")), "y", "regression")
    return Objective(
        table, (table["a"] + table["b"] ** 2).to_numpy(), schema, folds, (METRICS["rmse"],), 0
    )


def proposing(work, *, seconds=math.inf, n_trials=None, warm_starts=()):
    account = TrialTracker(work, clock=lambda: 1.0, on_finished=lambda *_: None)
    moment = math.inf if math.isinf(seconds) else time.monotonic() + seconds
    start = SamplerContext(
        PastTrials(work.metrics[0], 3), account, TimeBudget(seconds, moment, 2), n_trials
    )
    strategy = SearchConfig(FAMILIES, warm_starts=warm_starts)
    return PortfolioSampler(work, strategy, start), account


def follow(made, account, work, unit):
    account.begin(unit)
    for step in run_job(work, unit, {}):
        account.take(unit, step)
    made.tell(unit.number, account.end(unit, step))


def followed(work, n_units, **start):
    made, account = proposing(work, **start)
    units = []
    for _ in range(n_units):
        units.append(made.next_unit())
        follow(made, account, work, units[-1])
    return units


def test_the_cheapest_default_runs_on_all_folds_and_others_on_one(work):
    first, second = followed(work, 2, seconds=1000.0)
    assert (first.configuration.family, first.folds) == ("linear", (0, 1, 2))
    assert second.folds == (0,)


def test_a_default_whose_first_fold_was_cheap_is_completed_at_once(work):
    units = followed(work, 3, seconds=1000.0)
    assert units[1].number == units[2].number
    assert (units[1].folds, units[2].folds) == ((0,), (1, 2))


def test_warm_starts_stand_before_the_portfolio(work):
    start = Configuration("extra_trees", {"max_features": 0.5, "min_samples_leaf": 4})
    made, _ = proposing(work, n_trials=3, warm_starts=(start,))
    assert made.next_unit().configuration == start


def test_after_the_portfolio_families_are_searched_that_the_ensemble_gains_from(work):
    made, account = proposing(work, n_trials=40)
    while (unit := made.next_unit()).phase == "portfolio":
        follow(made, account, work, unit)
    assert unit.configuration.family in FAMILIES
    assert unit.folds == (0, 1, 2)


def test_no_unit_comes_when_the_time_is_over(work):
    made, _ = proposing(work, seconds=0.0)
    assert made.ended
    assert made.next_unit() is None


def test_every_fit_has_a_share_of_the_time(work):
    made, _ = proposing(work, seconds=300.0)
    assert made.next_unit().fold_seconds == pytest.approx(0.2 * 2 * 300 / 3)
