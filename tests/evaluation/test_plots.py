from dataclasses import replace

import numpy as np
import pytest

from evertune.evaluation.explain import Contribution, Contributions, Importance
from evertune.evaluation.plots import (
    evaluation_plots,
    figure_to_png,
    plot_baselines,
    plot_confusion,
    plot_contributions,
    plot_costs,
    plot_ensemble_weights,
    plot_importance,
    plot_precision_recall,
    plot_reliability,
    plot_residuals,
    plot_roc,
    plot_slices,
    plot_thresholds,
    ranked_baselines,
    search_plots,
)
from evertune.evaluation.slices import SliceRow
from evertune.models.provenance import TrialWeight
from evertune.search.summary import SearchReport, TimeSpent
from evertune.types import Predictions

Y_TRUE = np.array([0.0, 0.0, 1.0, 1.0, 0.0, 1.0])
P = np.array([0.1, 0.6, 0.4, 0.9, 0.3, 0.7])
PROBA = np.column_stack([1 - P, P])
NAMES = ("no", "yes")


def labels(figure):
    return [label.get_text() for label in figure.axes[0].get_yticklabels()]


def legend(figure):
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def test_the_confusion_matrix_shows_counts_and_shares_of_the_true_class():
    figure = plot_confusion(((3, 1), (0, 2)), classes=NAMES)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["3\n75 %", "1\n25 %", "0\n0 %", "2\n100 %"]


def test_of_many_classes_the_most_frequent_are_in_the_confusion_matrix():
    counts = np.diag(np.arange(1, 21))
    names = tuple(f"class {code}" for code in range(20))
    figure = plot_confusion(tuple(map(tuple, counts.tolist())), classes=names)
    assert labels(figure) == list(names[8:])
    assert "12 most frequent" in figure.axes[0].get_title("left")


def test_the_same_plot_has_the_same_bytes_and_dollars_start_no_formula():
    first, again = (
        figure_to_png(plot_confusion(((1, 0), (0, 1)), classes=("$5", "$6"))) for _ in range(2)
    )
    assert first == again
    assert first.startswith(b"\x89PNG")


@pytest.mark.parametrize("plot", [plot_roc, plot_precision_recall])
def test_a_curve_is_named_by_its_class_and_stands_beside_guessing(plot):
    assert legend(plot(Y_TRUE, PROBA, classes=NAMES)) == ["guessing", "yes"]


@pytest.mark.parametrize("y_true", [np.zeros(6), np.ones(6)])
def test_one_class_alone_has_no_curve(evaluation, y_true):
    pred = Predictions((P > 0.5) * 1.0, PROBA)
    assert not {"roc", "precision_recall"} & set(evaluation_plots(evaluation, y_true, pred))


def test_only_the_ten_most_frequent_classes_have_a_curve():
    y_true = np.repeat(np.arange(12.0), np.arange(12, 0, -1))
    figure = plot_roc(y_true, np.full((len(y_true), 12), 1 / 12), classes=tuple("abcdefghijkl"))
    assert legend(figure) == ["guessing", *"abcdefghij"]


def test_calibration_is_that_of_the_positive_class_or_of_the_predicted_one():
    def points(y_true, proba):
        return plot_reliability(y_true, proba).axes[0].lines[1].get_xydata().tolist()

    assert points(Y_TRUE, np.full((6, 2), 0.5)) == [[0.5, 0.5]]
    three = np.tile([0.7, 0.2, 0.1], (4, 1))
    assert points(np.array([0.0, 1.0, 0.0, 2.0]), three) == [[pytest.approx(0.7), 0.5]]


def test_recall_falls_with_the_threshold():
    recall = plot_thresholds(Y_TRUE, P, in_use=0.5).axes[0].lines[1].get_ydata()
    assert (np.diff(recall) <= 0).all()


def test_the_threshold_in_use_and_the_cheapest_are_marked():
    costs = np.array([[0.0, 1.0], [4.0, 0.0]])
    figure = plot_costs(Y_TRUE, P, costs, in_use=0.5, chosen=0.3)
    assert legend(figure) == ["hold-out", "in use", "cheapest (out-of-fold)"]


def test_no_more_than_five_thousand_points_are_drawn():
    figure = plot_residuals(np.zeros(12_001), np.zeros(12_001))
    assert len(figure.axes[0].collections[0].get_offsets()) == 4001


def test_the_model_stands_above_the_baselines_that_have_the_metric(evaluation):
    assert labels(plot_baselines(evaluation)) == ["zero rule", "logistic regression", "model"]


def test_a_model_without_the_metric_leaves_the_baselines_standing(evaluation):
    row = replace(evaluation.metrics[0], holdout=None)
    figure = plot_baselines(replace(evaluation, metrics=(row,)))
    assert len(figure.axes[0].lines) == 2


@pytest.mark.parametrize(
    ("greater", "first"), [(True, "logistic_regression"), (False, "zero_rule")]
)
def test_the_best_baseline_comes_first_and_one_without_a_score_last(evaluation, greater, first):
    ranked = ranked_baselines(replace(evaluation, greater_is_better=greater))
    assert [ranked[0].name, ranked[-1].name] == [first, "human"]


def test_importance_shows_the_fifteen_largest_losses(evaluation):
    rows = tuple(Importance(f"column {n}", 1 - n / 20, 0.0, 1.0) for n in range(20))
    names = labels(plot_importance(replace(evaluation, importance=rows)))
    assert (names[-1], len(names)) == ("column 0", 15)


def test_a_long_name_is_cut():
    rows = Contributions((Contribution("price of the whole house in euros", 1.0),), 0.5, 10)
    assert labels(plot_contributions(rows)) == ["price of the whole hous…"]


def test_small_slices_are_not_drawn(evaluation):
    rows = (SliceRow("plan", "pro", 90, 0.7), SliceRow("plan", "x", 2, 0.1, small=True))
    figure = plot_slices(replace(evaluation, slices=rows))
    assert labels(figure) == ["plan: pro"]
    assert figure.axes[0].get_xlabel() == "ROC AUC (greater is better)"


STORY = SearchReport(
    weights=(TrialWeight(3, "lightgbm", 0.6), TrialWeight(0, "extra_trees", 0.4)),
    spent=(TimeSpent("portfolio", 9.0, 3), TimeSpent("outside fits", 1.0, 0)),
    families=(TimeSpent("lightgbm", 9.0, 1),),
    curve=((1.0, 0.7), (3.0, 0.7), (6.0, 0.8)),
    seconds=10.0,
)


def test_a_search_is_drawn_with_named_axes():
    figures = search_plots(STORY, metric="roc_auc")
    assert {name: figure.axes[0].get_xlabel() for name, figure in figures.items()} == {
        "search_best": "Seconds since the search began",
        "search_weights": "Weight in percent",
        "search_budget": "Seconds of all workers together",
    }
    assert search_plots(SearchReport(), metric="rmse") == {}


def test_the_best_score_stays_until_the_end_of_the_search():
    line = search_plots(STORY, metric="roc_auc")["search_best"].axes[0].lines[0]
    assert line.get_xdata().tolist() == [1.0, 3.0, 6.0, 10.0]
    assert line.get_ydata().tolist() == [0.7, 0.7, 0.8, 0.8]


def test_bars_are_named_in_words_and_have_their_weight_beside_them():
    figure = plot_ensemble_weights(STORY.weights)
    assert labels(figure) == ["lightgbm, trial 3", "extra trees, trial 0"]
    assert [text.get_text() for text in figure.axes[0].texts] == ["60 %", "40 %"]
