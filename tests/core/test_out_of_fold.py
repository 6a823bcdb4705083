import numpy as np
import pytest

from evertune.data.schema import TableSchema
from evertune.evaluation.evaluate import (
    evaluate_on_folds,
    model_oof_predictions,
    positive_class_probabilities,
)
from evertune.metrics.metrics import METRICS
from evertune.models.model import Ensemble, Model
from evertune.models.origin import ModelOrigin, TrialWeight
from evertune.trials import Configuration, FoldResult, Trial
from tests.core.pooled import entry, folds_of_rows

TRUTH = np.tile([0.0, 1.0], 40)
FOLDS = folds_of_rows(80)
LEFT = np.where(TRUTH == 1, 0.7, 0.2)
RIGHT = np.full(80, 0.5)
ENTRIES = [entry(number, said, FOLDS, classes=True) for number, said in enumerate([LEFT, RIGHT])]
METRIC = METRICS["log_loss"]


def unseen(threshold=None):
    return model_oof_predictions(
        Ensemble((), threshold=threshold), ENTRIES, {0: 0.5, 1: 0.5}, truth=TRUTH
    )


def figures(weights, scores=(), said=None):
    results = tuple(FoldResult(k, {METRIC.name: 0.9}, 1.0, 0.1) for k in range(4))
    configuration = Configuration("linear")
    return evaluate_on_folds(
        Model(TableSchema((), "y", "binary", ("no", "yes")), configuration, Ensemble(()), ()),
        [Trial(0, configuration, "complete", results, 0.9, None, 1.0)],
        [METRIC],
        origin=ModelOrigin("ensemble", "complex", (), weights, scores),
        unseen=said or unseen(),
        folds=FOLDS,
        confidence=0.9,
    )


def test_the_ensemble_says_the_weighted_mean_and_decides_by_its_threshold():
    _, chances = positive_class_probabilities(unseen())
    assert set(chances.round(2)) == {0.35, 0.6}
    assert unseen(threshold=0.3).predictions.values.all()


def test_without_what_a_trial_said_nothing_is_told():
    assert model_oof_predictions(Ensemble(()), ENTRIES[:1], {0: 0.5, 1: 0.5}, truth=TRUTH) is None


def test_the_figures_over_the_folds_are_the_ensembles_and_not_the_heaviest_members():
    weights = (TrialWeight(0, "linear", 0.5), TrialWeight(1, "linear", 0.5))
    found = figures(weights)
    expected = -(np.log(0.6) + np.log(0.65)) / 2
    assert found.of == "ensemble"
    assert found.figures["log_loss"].mean == pytest.approx(expected)
    assert found.member["log_loss"].mean == pytest.approx(0.9)


def test_in_the_metric_that_is_optimised_weights_are_those_of_other_folds():
    weights = (TrialWeight(0, "linear", 0.5), TrialWeight(1, "linear", 0.5))
    found = figures(weights, scores=(0.5, 0.7, 0.5, 0.7))
    assert found.figures["log_loss"].mean == pytest.approx(0.6)


def test_a_single_trial_stands_for_itself():
    assert figures((TrialWeight(0, "linear", 1.0),)).of == "trial"
