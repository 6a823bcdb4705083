import numpy as np
import pytest

from evertune.models.model import Ensemble, EnsembleMember, FittedPipeline
from evertune.registry.reproduce import (
    FoldRefit,
    environment_differences,
    keep_recorded_members,
    metric_rows,
    prediction_row,
    refit_rows,
    text_row,
    trials_to_refit,
    worst_metric_row,
)
from evertune.trials import Configuration, FoldResult, Trial
from evertune.types import Predictions

LINEAR, TREE = Configuration("linear"), Configuration("tree")


def trial(number, status, *, score=1.0, n_folds=1):
    folds = tuple(FoldResult(fold, {"mae": 1.0}, 0.1, 0.1) for fold in range(n_folds))
    return Trial(number, TREE, status, folds, score, None, 1.0)


def members(*weights):
    pairs = zip((LINEAR, TREE), weights, strict=False)
    return tuple(
        EnsembleMember(each, weight, (FittedPipeline(None, each.family),)) for each, weight in pairs
    )


def test_what_ran_on_every_fold_is_fitted_again():
    trials = [trial(0, "stopped"), trial(1, "complete"), trial(2, "complete", score=None)]
    assert [each.number for each in trials_to_refit(trials, None)] == [1]


def test_where_nothing_ran_on_every_fold_the_first_with_a_fold_is_fitted_again():
    trials = [trial(0, "failed", n_folds=0), trial(1, "stopped"), trial(2, "stopped")]
    assert [each.number for each in trials_to_refit(trials, None)] == [1]


def test_a_pool_that_is_known_says_what_is_fitted_again():
    trials = [trial(number, "complete") for number in range(3)]
    assert [each.number for each in trials_to_refit(trials, (0, 2, 9))] == [0, 2]


def test_members_that_there_was_no_time_for_are_left_out_and_the_rest_weighs_one():
    whole = Ensemble(members(0.75, 0.25), temperature=2.0, threshold=0.4)
    settled = keep_recorded_members(whole, [LINEAR])
    assert [member.weight for member in settled.members] == [1.0]
    assert (settled.temperature, settled.threshold) == (2.0, 0.4)


@pytest.mark.parametrize("wanted", [None, [LINEAR, TREE], [Configuration("svm")]])
def test_an_ensemble_stays_where_nothing_is_to_be_left_out(wanted):
    whole = Ensemble(members(0.75, 0.25))
    assert keep_recorded_members(whole, wanted) is whole


def test_a_single_model_has_no_members_to_leave_out():
    fitted = FittedPipeline(None, "tree")
    assert keep_recorded_members(fitted, [LINEAR]) is fitted


@pytest.mark.parametrize(
    ("recorded", "rebuilt", "equal"),
    [
        (0.5, 0.5 + 9e-7, True),
        (0.5, 0.5 + 2e-6, False),
        (1000.0, 1000.0 + 9e-4, True),
        (1000.0, 1000.01, False),
        (None, None, True),
        (None, 0.5, False),
        (0.5, None, False),
    ],
)
def test_figures_are_equal_within_a_millionth_of_their_size_or_of_one(recorded, rebuilt, equal):
    (row,) = metric_rows({"mae": recorded}, {"mae": rebuilt})
    assert row.equal is equal


def test_a_figure_that_is_not_made_any_more_differs():
    assert [row.equal for row in metric_rows({"mae": 1.0, "rmse": 2.0}, {"mae": 1.0})] == [
        True,
        False,
    ]


def test_the_worst_figure_stands_for_all_and_a_missing_one_is_worst():
    row = worst_metric_row(
        "training", {"mae": 1.0, "rmse": 2.0, "mape": None}, {"mae": 1.0, "rmse": 2.5}
    )
    assert (row.what, row.difference, row.equal) == ("training: 3 figures, rmse", 0.5, False)
    assert not worst_metric_row("training", {"mae": 1.0, "mape": 3.0}, {"mae": 1.0}).equal


def test_no_figure_beside_no_figure_is_equal():
    assert worst_metric_row("training", {}, {}).equal


def test_probabilities_are_compared_as_they_are():
    left = np.array([[0.4, 0.6], [0.9, 0.1]])
    said = [Predictions(shares.argmax(axis=1).astype(float), shares) for shares in (left, left + 0)]
    said[1].probabilities[1, 0] = 0.89
    row = prediction_row(*said)
    assert (round(row.difference, 9), row.equal) == (0.01, False)


def test_values_are_compared_by_their_spread():
    left = np.array([0.0, 2000.0])
    row = prediction_row(Predictions(left), Predictions(left + 0.0005))
    assert (row.difference, row.equal) == (pytest.approx(5e-7), True)


def test_predictions_of_other_rows_differ():
    row = prediction_row(Predictions(np.zeros(3)), Predictions(np.zeros(2)))
    assert (row.rebuilt, row.equal) == ("2 rows", False)


def test_values_that_are_all_the_same_are_compared_as_they_are():
    row = prediction_row(Predictions(np.ones(3)), Predictions(np.full(3, 1.5)))
    assert row.difference == 0.5


def test_each_family_has_a_row_with_its_worst_fold():
    rows = refit_rows(
        [
            FoldRefit(0, 0, "tree", {"mae": 1.0}, {"mae": 1.0}),
            FoldRefit(0, 1, "tree", {"mae": 1.0}, {"mae": 1.25}),
            FoldRefit(1, 0, "linear", {"mae": 1.0}, {"mae": 1.0}),
        ]
    )
    assert [(row.what, row.difference, row.equal) for row in rows] == [
        ("linear, 1 folds fitted again: 1 figures, mae", 0.0, True),
        ("tree, 2 folds fitted again: 2 figures, mae", 0.25, False),
    ]


def test_texts_are_equal_or_not():
    assert text_row("chosen", "model", "model").equal
    assert not text_row("chosen", "model", "simplest:ridge").equal


def test_other_versions_of_what_is_pinned_are_told_and_names_are_read_as_registries_do():
    recorded = "# made by hand\nNumPy==2.0\nscikit_learn==1.9\nrich==13\n"
    found = environment_differences(
        recorded, "numpy==2.1\nrich==14\n", names=["numpy", "scikit-learn", "torch"]
    )
    assert found == (
        "numpy 2.0 was recorded, 2.1 is installed",
        "scikit-learn 1.9 was recorded, none is installed",
    )
