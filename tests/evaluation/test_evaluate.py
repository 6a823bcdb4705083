from dataclasses import replace

import numpy as np
import pytest

from evertune.data.schema import TableSchema
from evertune.evaluation.baselines import BaselineResult
from evertune.evaluation.evaluate import (
    FoldScores,
    best_baseline,
    check_guards,
    choose_model,
    compare_with_baselines,
    evaluate_on_folds,
    model_oof_predictions,
    positive_class_probabilities,
)
from evertune.evaluation.evaluation_record import (
    BaselineRow,
    Evaluation,
    baseline_row,
    chosen_model_metrics,
    chosen_simple_model,
    metric_row,
)
from evertune.files import read_record, write_record
from evertune.metrics.metrics import METRICS
from evertune.models.fitted_model import Ensemble, Model
from evertune.models.provenance import ModelOrigin, TrialWeight
from evertune.stats.bootstrap import BootstrapConfig, bootstrap_interval
from evertune.stats.results import Estimate
from evertune.trials import Configuration, FoldResult, Trial
from evertune.types import Predictions
from tests.ensemble.pooled import entry, folds_of_rows

ACCURACY, LOG_LOSS = METRICS["accuracy"], METRICS["log_loss"]
AUC, RMSE = METRICS["roc_auc"], METRICS["rmse"]
HOW = {"draws": 200, "confidence": 0.9, "seed": 0}
Y_TRUE = np.tile([1.0, 0.0, 1.0, 0.0], 10)
P = np.tile([0.8, 0.3, 0.7, 0.6], 10)
MODEL = Predictions((P > 0.5) * 1.0, np.column_stack([1 - P, P]))
PREDICTIONS = {
    "rule": Predictions(np.zeros(40)),
    "human": Predictions(np.where(np.arange(40) % 4 == 1, np.nan, Y_TRUE)),
}
EXPECTED = {"uniform_random": {"accuracy": 0.5, "log_loss": 0.69}}


def compare(*baselines, metrics=(ACCURACY, LOG_LOSS), mean=None):
    """Return the metric rows and the baseline rows, both by name."""
    results = [
        BaselineResult(name, "none", "", (), mean or {"accuracy": 0.4}, 0.0, 0.0)
        for name in baselines
    ]
    found = compare_with_baselines(
        metrics,
        Y_TRUE,
        MODEL,
        baselines=results,
        baseline_predictions=PREDICTIONS,
        expected=EXPECTED,
        bootstrap=BootstrapConfig(**HOW),
        training_scores={"accuracy": 1.0, "log_loss": 0.2},
        folds=FoldScores("trial", {"accuracy": Estimate(0.8, 0.7, 0.9)}, {}),
    )
    return tuple({row.name: row for row in rows} for rows in found)


def test_a_baseline_with_predictions_is_compared_row_by_row():
    row = compare("rule")[1]["rule"]
    assert row.holdout == {"accuracy": 0.5, "log_loss": None}
    assert (row.lift, row.paired, row.n_rows) == (0.25, True, 40)
    assert row.low < 0.25 < row.high


def test_people_are_compared_on_the_rows_that_they_predicted():
    row = compare("human")[1]["human"]
    assert (row.n_rows, row.holdout["accuracy"]) == (30, 1.0)
    assert row.lift == pytest.approx(-1 / 3)


@pytest.mark.parametrize(("metric", "sign"), [(ACCURACY, 1), (LOG_LOSS, -1)])
def test_an_expected_score_shifts_the_interval_of_the_model(metric, sign):
    row = compare("uniform_random", metrics=(metric,))[1]["uniform_random"]
    own = bootstrap_interval(metric, Y_TRUE, MODEL, **HOW)
    other = EXPECTED["uniform_random"][metric.name]
    ends = sorted(sign * (end - other) for end in (own.low, own.high))
    assert (row.lift, row.low, row.high) == pytest.approx((sign * (own.value - other), *ends))
    assert not row.paired


def test_a_score_that_was_stated_holds_everywhere():
    row = compare("human_stated", mean={"accuracy": 0.9})[1]["human_stated"]
    assert row.holdout == {"accuracy": 0.9}
    assert row.lift == pytest.approx(-0.15)


def test_each_metric_stands_beside_the_whole_baseline_that_is_best_in_it():
    metrics, _ = compare("human", "rule", "uniform_random")
    assert (metrics["accuracy"].baseline, metrics["accuracy"].lift) == ("rule", 0.25)
    assert metrics["log_loss"].baseline == "uniform_random"


def test_a_metric_without_any_baseline_has_no_lift():
    row = compare("rule")[0]["log_loss"]
    assert (row.baseline, row.baseline_holdout, row.lift) == (None, None, None)


def test_the_gap_is_by_how_much_training_is_better_and_folds_may_lack_a_metric():
    metrics, _ = compare("rule")
    accuracy, log_loss = metrics["accuracy"], metrics["log_loss"]
    assert (accuracy.gap, log_loss.gap) == pytest.approx((0.25, log_loss.holdout - 0.2))
    assert (accuracy.folds, accuracy.folds_low, log_loss.folds) == (0.8, 0.7, None)


def test_of_baselines_without_a_score_none_is_best():
    row = BaselineRow("rule", "none", "", {"accuracy": None}, {})
    assert best_baseline(ACCURACY, [row, replace(row, holdout={})]) is None


# Choice and guards


def simple_row(name, score, low, kind="model"):
    return BaselineRow(name, kind, "", {"roc_auc": score}, {}, lift=0.02, low=low, high=0.04)


def test_a_model_that_is_better_than_the_simplest_on_the_same_rows_is_chosen():
    chosen, reasons = choose_model(
        AUC, [simple_row("logistic_regression", 0.8, 0.001)], confidence=0.95
    )
    assert chosen == "model"
    assert reasons == (
        "The search's model is used: it is clearly better than logistic regression, the best"
        " simple model (difference in ROC AUC +0.020, 95 % interval 0.001 to 0.040; above zero is"
        " better).",
    )


@pytest.mark.parametrize("low", [0.0, -0.01])
def test_the_simplest_is_chosen_if_the_model_cannot_be_told_from_it(low):
    rows = [simple_row("small_tree", 0.7, 0.05), simple_row("logistic_regression", 0.8, low)]
    chosen, reasons = choose_model(AUC, rows, confidence=0.95)
    assert chosen == "simplest:logistic_regression"
    assert "The search's model is not clearly better than logistic regression (" in reasons[0]


def test_a_model_whose_interval_lies_below_zero_is_called_clearly_worse():
    row = replace(simple_row("small_tree", 0.7, -0.52), lift=-0.327, high=-0.109)
    chosen, reasons = choose_model(AUC, [row], confidence=0.95)
    assert chosen == "simplest:small_tree"
    assert reasons == (
        "The search's model is clearly worse than small tree (difference in ROC AUC -0.327,"
        " 95 % interval -0.520 to -0.109; above zero is better), so the simpler one is used.",
    )


@pytest.mark.parametrize("low", [0.01, -0.01])
def test_where_the_search_finished_nothing_the_best_baseline_is_used(low):
    rows = [simple_row("small_tree", 0.7, low)]
    chosen, reasons = choose_model(AUC, rows, confidence=0.95, finished=False)
    assert chosen == "simplest:small_tree"
    assert reasons == (
        "The search ran out of time before any model was finished; the best baseline, small tree,"
        " is used.",
    )


def test_a_baseline_without_a_model_is_never_chosen():
    chosen, reasons = choose_model(
        AUC, [simple_row("heuristic", 0.9, -0.1, kind="none")], confidence=0.95
    )
    assert chosen == "model"
    assert "no simple model" in reasons[0]


@pytest.mark.parametrize(
    ("metric", "score", "kept"),
    [
        (AUC, 0.8, True),
        (AUC, 0.79, False),
        (RMSE, 0.8, True),
        (RMSE, 0.81, False),
        (RMSE, None, False),
    ],
)
def test_a_guard_is_kept_at_its_bound_and_on_the_better_side(metric, score, kept):
    (guard,) = check_guards({metric.name: 0.8}, [AUC, RMSE], scores={metric.name: score})
    assert guard.kept is kept


def test_metrics_without_a_bound_guard_nothing():
    assert check_guards({}, [AUC], scores={"roc_auc": 0.5}) == ()


# Records


def test_an_evaluation_comes_back_from_disk_as_it_was(evaluation, tmp_path):
    write_record(tmp_path / "figures.json", evaluation)
    assert read_record(tmp_path / "figures.json", Evaluation) == evaluation


def test_rows_are_found_by_name_and_an_unknown_one_is_refused(evaluation):
    assert metric_row(evaluation, "log_loss").holdout == 0.4
    assert baseline_row(evaluation, "zero_rule").kind == "none"
    with pytest.raises(ValueError, match=r"Expected a metric .*roc_auc, log_loss.* name='f1'"):
        metric_row(evaluation, "f1")
    with pytest.raises(ValueError, match=r"Expected a baseline .*zero_rule.* name='oracle'"):
        baseline_row(evaluation, "oracle")


def test_the_scores_of_the_choice_are_those_of_the_simplest_model_if_it_was_chosen(evaluation):
    assert chosen_simple_model(evaluation) is None
    assert chosen_model_metrics(evaluation)["roc_auc"] == 0.84
    simple = replace(evaluation, chosen="simplest:logistic_regression")
    assert chosen_simple_model(simple) == "logistic_regression"
    assert chosen_model_metrics(simple)["roc_auc"] == 0.81


# Over the folds

TRUTH = np.tile([0.0, 1.0], 40)
FOLDS = folds_of_rows(80)
ENTRIES = [
    entry(number, proba, FOLDS, classes=True)
    for number, proba in enumerate([np.where(TRUTH == 1, 0.7, 0.2), np.full(80, 0.5)])
]
HALVES = (TrialWeight(0, "linear", 0.5), TrialWeight(1, "linear", 0.5))


def oof(threshold=None):
    ensemble = Ensemble((), threshold=threshold)
    return model_oof_predictions(ensemble, ENTRIES, {0: 0.5, 1: 0.5}, truth=TRUTH)


def on_folds(weights, scores=(), fold_scores=(0.9,) * 4, metric=LOG_LOSS):
    results = [FoldResult(k, {metric.name: score}, 1.0, 0.1) for k, score in enumerate(fold_scores)]
    configuration = Configuration("linear")
    return evaluate_on_folds(
        Model(TableSchema((), "y", "binary", ("no", "yes")), configuration, Ensemble(()), ()),
        [Trial(0, configuration, "complete", tuple(results), 0.9, None, 1.0)],
        [LOG_LOSS],
        origin=ModelOrigin("ensemble", "complex", (), weights, scores),
        oof=oof(),
        folds=FOLDS,
        confidence=0.9,
    )


def test_the_ensemble_predicts_the_weighted_mean_and_decides_by_its_threshold():
    _, proba = positive_class_probabilities(oof())
    assert set(proba.round(2)) == {0.35, 0.6}
    assert oof(threshold=0.3).predictions.values.all()


def test_without_the_predictions_of_one_trial_there_are_none_of_the_ensemble():
    weights = {0: 0.5, 1: 0.5}
    assert model_oof_predictions(Ensemble(()), ENTRIES[:1], weights, truth=TRUTH) is None
    assert positive_class_probabilities(None) is None


def test_the_scores_over_the_folds_are_the_ensembles_and_not_the_heaviest_members():
    found = on_folds(HALVES)
    assert found.of == "ensemble"
    assert found.scores["log_loss"].value == pytest.approx(-(np.log(0.6) + np.log(0.65)) / 2)
    assert found.member["log_loss"].value == pytest.approx(0.9)


def test_in_the_optimised_metric_weights_are_those_of_other_folds():
    found = on_folds(HALVES, scores=(0.5, 0.7, 0.5, 0.7))
    assert found.scores["log_loss"].value == pytest.approx(0.6)


def test_a_single_trial_stands_for_itself_without_its_undefined_folds():
    found = on_folds((TrialWeight(0, "linear", 1.0),), fold_scores=(0.7, None, 0.8, 0.9))
    assert found.of == "trial"
    assert found.scores["log_loss"].value == pytest.approx(0.8)
    assert found.scores["log_loss"].low < 0.8


def test_a_metric_that_no_fold_has_has_no_mean():
    found = on_folds((TrialWeight(0, "linear", 1.0),), metric=ACCURACY)
    assert (found.scores["log_loss"].value, found.scores["log_loss"].low) == (None, None)
