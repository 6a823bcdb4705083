import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from evertune.data.folds import Fold
from evertune.evaluation.baselines import BaselineResult
from evertune.evaluation.phases import (
    Phase,
    best_baseline_of_kind,
    compare_phases,
    count_parameters,
    count_predictor_parameters,
    simplest_sufficient_phase,
)
from evertune.metrics.metrics import METRICS
from evertune.models.fitted_model import Ensemble, EnsembleMember, FittedPipeline
from evertune.models.provenance import ModelOrigin, TrialWeight
from evertune.trials import Configuration, FoldResult, Trial

AUC, RMSE = METRICS["roc_auc"], METRICS["rmse"]
FOLDS = tuple(Fold(np.arange(400), np.arange(100)) for _ in range(5))
NOISE = (-0.002, -0.001, 0.0, 0.001, 0.002)
OTHER = (0.001, -0.002, 0.002, 0.0, -0.001)
MORE = (0.0, 0.002, -0.001, -0.002, 0.001)


def results(mean, *, spread=NOISE, name="roc_auc", seconds=0.1):
    return tuple(
        FoldResult(fold, {name: mean + noise}, 2.0, seconds) for fold, noise in enumerate(spread)
    )


def baseline(name, kind, mean, metric="roc_auc"):
    folds = results(mean, name=metric)
    return BaselineResult(name, kind, "as described", folds, {metric: mean}, 10.0, 0.5)


def trial(number, family, mean, *, metric="roc_auc", status="complete"):
    spread = OTHER if family == "linear" else MORE
    folds = results(mean, spread=spread, name=metric)
    return Trial(number, Configuration(family), status, folds, mean, None, 1.0)


BASELINES = (
    baseline("zero_rule", "none", 0.5),
    baseline("heuristic", "none", 0.6),
    baseline("logistic_regression", "model", 0.7),
    baseline("small_tree", "model", 0.65),
    baseline("human", "given", 0.9),
)
TRIALS = (
    trial(0, "linear", 0.702),
    trial(1, "lightgbm", 0.8),
    trial(2, "tree", 0.95, status="stopped"),
)


def test_each_phase_is_the_best_of_its_kind():
    found = compare_phases(TRIALS, BASELINES, AUC, folds=FOLDS)
    assert [phase.name for phase in found] == [
        "heuristic",
        "simplest",
        "optimised simple",
        "complex",
    ]
    assert [phase.score for phase in found] == pytest.approx([0.6, 0.7, 0.702, 0.8])
    assert found[3].what == "trial 1, lightgbm"


def test_a_phase_pays_if_its_gain_is_more_than_noise():
    found = compare_phases(TRIALS, BASELINES, AUC, folds=FOLDS)
    assert [phase.pays for phase in found] == [None, None, False, True]
    assert found[2].low < 0 < found[2].gain == pytest.approx(0.002)


def test_a_gain_is_positive_if_less_is_better():
    few = (baseline("ridge", "model", 3.0, "rmse"),)
    found = compare_phases([trial(0, "lightgbm", 2.0, metric="rmse")], few, RMSE, folds=FOLDS)
    assert found[3].gain == pytest.approx(1.0)
    assert found[3].pays


def test_the_ensemble_counts_with_the_scores_of_weights_that_other_folds_chose():
    weights = (TrialWeight(0, "linear", 0.5), TrialWeight(1, "lightgbm", 0.5))
    scores = (0.81, 0.82, 0.83, 0.84, 0.85)
    origin = ModelOrigin("ensemble", "complex", (), weights, scores, values={"complex": 900})
    found = compare_phases(TRIALS, BASELINES, AUC, folds=FOLDS, origin=origin)[3]
    assert (found.what, found.score, found.values) == (
        "an ensemble of 2 trials",
        pytest.approx(0.83),
        900,
    )
    assert found.fit_seconds == pytest.approx(20.0)


def test_the_cost_of_a_phase_is_that_of_a_thousand_rows():
    found = compare_phases(TRIALS, BASELINES, AUC, folds=FOLDS, values={"heuristic": 4})
    assert [phase.fit_seconds for phase in found] == pytest.approx([10, 10, 10, 10])
    assert [phase.predict_milliseconds for phase in found] == pytest.approx([1000] * 4)
    assert found[0].values == 4


def test_a_phase_that_has_nothing_is_passed_over():
    found = compare_phases([TRIALS[1]], BASELINES, AUC, folds=FOLDS)
    assert (found[2].what, found[2].score, found[2].gain) == ("nothing", None, None)
    assert found[3].gain == pytest.approx(0.1)


def test_the_simplest_phase_within_noise_of_the_best_is_named():
    found = compare_phases(TRIALS[:1], BASELINES, AUC, folds=FOLDS)
    assert simplest_sufficient_phase(found, AUC, folds=FOLDS) == "simplest"


def test_the_best_phase_is_named_if_all_others_are_worse():
    found = compare_phases(TRIALS, BASELINES, AUC, folds=FOLDS)
    assert simplest_sufficient_phase(found, AUC, folds=FOLDS) == "complex"


def test_a_phase_of_which_one_fold_cannot_tell_counts_as_worse():
    one = FOLDS[:1]
    found = [Phase("simplest", "", 0.7, (0.7,)), Phase("complex", "", 0.8, (0.8,))]
    assert simplest_sufficient_phase(found, AUC, folds=one) == "complex"


def test_a_phase_with_the_same_scores_is_not_worse():
    found = [Phase("simplest", "", 0.7, (0.7, 0.7)), Phase("complex", "", 0.7, (0.7, 0.7))]
    assert simplest_sufficient_phase(found, AUC, folds=FOLDS[:2]) == "simplest"


def test_without_any_score_the_last_phase_is_named():
    assert simplest_sufficient_phase([Phase("complex", "nothing")], AUC, folds=FOLDS) == "complex"


def test_a_baseline_without_a_score_is_never_the_best():
    rows = [("ridge", None), ("small_tree", 4.0)]
    found = [BaselineResult(n, "model", "", (), {"rmse": v}, 0.0, 0.0) for n, v in rows]
    assert best_baseline_of_kind(found, RMSE, kind="model").name == "small_tree"
    assert best_baseline_of_kind(found, RMSE, kind="none") is None


X = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 1.0], [3.0, 0.0]])
Y = np.array([0, 0, 1, 1])


@pytest.mark.parametrize(
    ("predictor", "expected"),
    [
        (LogisticRegression(), 3),
        (GaussianNB(), 10),
        (DecisionTreeClassifier(), 2),
        (DummyClassifier(), 2),
    ],
)
def test_the_numbers_of_a_simple_model_are_counted(predictor, expected):
    assert count_predictor_parameters(predictor.fit(X, Y)) == expected


def test_the_leaves_of_all_trees_are_counted():
    forest = RandomForestClassifier(3, bootstrap=False, random_state=0).fit(X, Y)
    assert count_predictor_parameters(forest) == sum(
        tree.get_n_leaves() for tree in forest.estimators_
    )


def test_the_size_of_an_unknown_predictor_is_not_known():
    assert count_predictor_parameters(object()) is None


def test_a_member_counts_as_often_as_it_has_models():
    fitted = FittedPipeline(None, LogisticRegression().fit(X, Y))
    member = EnsembleMember(Configuration("linear"), 1.0, (fitted, fitted), (None, None))
    assert count_parameters(Ensemble((member,))) == 6
    assert count_parameters(fitted) == 3
