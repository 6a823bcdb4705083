from types import SimpleNamespace

import pytest

from evertune.metrics.metrics import METRICS
from evertune.search.ray_tune import FOLDS_DONE, OBJECTIVE, build_scheduler
from evertune.search.study import PastTrials
from evertune.trials import Configuration, FoldResult, Trial


def past(number, *scores):
    folds = tuple(FoldResult(fold, {"rmse": score}, 0.1, 0.1) for fold, score in enumerate(scores))
    return Trial(number, Configuration("linear"), "stopped", folds, scores[-1], None, 1.0)


def decisions(race, objectives):
    made = []
    for number, objective in enumerate(objectives):
        trial = SimpleNamespace(trial_id=f"t{number}")
        race.on_trial_add(None, trial)
        result = {FOLDS_DONE: 1, OBJECTIVE: objective}
        made.append(race.on_trial_result(None, trial, result))
    return made


def test_the_first_three_pass_and_then_a_third():
    race = build_scheduler("asha", PastTrials(METRICS["rmse"], 5))
    assert decisions(race, [3, 2, 1, 2.1, 4, 2.5]) == ["CONTINUE"] * 3 + [
        "STOP",
        "CONTINUE",
        "STOP",
    ]


def test_trials_of_an_earlier_run_set_the_mark():
    finished = (past(0, 1.0), past(1, 2.0), past(2, 3.0))
    race = build_scheduler("asha", PastTrials(METRICS["rmse"], 5, finished))
    assert decisions(race, [-2.5, -0.5]) == ["STOP", "CONTINUE"]


def test_without_a_scheduler_every_trial_goes_on():
    race = build_scheduler("none", PastTrials(METRICS["rmse"], 5))
    assert decisions(race, [3, 2, 1, 0]) == ["CONTINUE"] * 4


def test_a_scheduler_that_does_not_exist_is_refused():
    with pytest.raises(
        ValueError, match="scheduler must be one of racing, asha, none, but got 'pbt'"
    ):
        build_scheduler("pbt", PastTrials(METRICS["rmse"], 5))
