from evertune.evaluation.baselines import BaselineResult
from evertune.evaluation.phases import best_baseline_of_kind, best_complex_trial, best_simple_trial
from evertune.metrics.metrics import METRICS
from evertune.trials import Configuration, Trial

RMSE = METRICS["rmse"]


def trial(number, family, score, status="complete"):
    return Trial(number, Configuration(family), status, (), score, None, 1.0)


TRIALS = (
    trial(0, "linear", 3.0),
    trial(1, "tree", 2.0),
    trial(2, "lightgbm", 1.0),
    trial(3, "tree", 0.5, "stopped"),
    trial(4, "svm", None),
)


def test_simple_and_complex_families_are_told_apart():
    assert best_simple_trial(TRIALS, RMSE).number == 1
    assert best_complex_trial(TRIALS, RMSE).number == 2


def test_a_baseline_without_a_figure_is_never_the_best():
    rows = [("ridge", None), ("small_tree", 4.0)]
    found = [BaselineResult(n, "model", "", (), {"rmse": v}, 0.0, 0.0) for n, v in rows]
    assert best_baseline_of_kind(found, RMSE, kind="model").name == "small_tree"
    assert best_baseline_of_kind(found, RMSE, kind="none") is None
