import numpy as np
import pytest

from pipelines.core.metrics import METRICS
from pipelines.core.model import Ensemble, Model
from pipelines.core.origins import Origin, Weight
from pipelines.core.out_of_fold import folded, out_of_fold, positive_chances
from pipelines.core.schema import Schema
from pipelines.core.trials import Configuration, FoldResult, Trial
from tests.core.pooled import entry, folds_of_rows

TRUTH = np.tile([0.0, 1.0], 40)
FOLDS = folds_of_rows(80)
LEFT = np.where(TRUTH == 1, 0.7, 0.2)
RIGHT = np.full(80, 0.5)
ENTRIES = [entry(number, said, FOLDS, classes=True) for number, said in enumerate([LEFT, RIGHT])]
METRIC = METRICS["log_loss"]


def unseen(threshold=None):
    return out_of_fold(Ensemble((), threshold=threshold), ENTRIES, {0: 0.5, 1: 0.5}, truth=TRUTH)


def figures(weights, scores=(), said=None):
    results = tuple(FoldResult(k, {METRIC.name: 0.9}, 1.0, 0.1) for k in range(4))
    configuration = Configuration("linear")
    return folded(
        Model(Schema((), "y", "binary", ("no", "yes")), configuration, Ensemble(()), ()),
        [Trial(0, configuration, "complete", results, 0.9, None, 1.0)],
        [METRIC],
        origin=Origin("ensemble", "complex", (), weights, scores),
        unseen=said or unseen(),
        folds=FOLDS,
        confidence=0.9,
    )


def test_the_ensemble_says_the_weighted_mean_and_decides_by_its_threshold():
    _, chances = positive_chances(unseen())
    assert set(chances.round(2)) == {0.35, 0.6}
    assert unseen(threshold=0.3).predictions.values.all()


def test_without_what_a_trial_said_nothing_is_told():
    assert out_of_fold(Ensemble(()), ENTRIES[:1], {0: 0.5, 1: 0.5}, truth=TRUTH) is None


def test_the_figures_over_the_folds_are_the_ensembles_and_not_the_heaviest_members():
    weights = (Weight(0, "linear", 0.5), Weight(1, "linear", 0.5))
    found = figures(weights)
    expected = -(np.log(0.6) + np.log(0.65)) / 2
    assert found.of == "ensemble"
    assert found.figures["log_loss"].mean == pytest.approx(expected)
    assert found.member["log_loss"].mean == pytest.approx(0.9)


def test_in_the_metric_that_is_optimised_weights_are_those_of_other_folds():
    weights = (Weight(0, "linear", 0.5), Weight(1, "linear", 0.5))
    found = figures(weights, scores=(0.5, 0.7, 0.5, 0.7))
    assert found.figures["log_loss"].mean == pytest.approx(0.6)


def test_a_single_trial_stands_for_itself():
    assert figures((Weight(0, "linear", 1.0),)).of == "trial"
