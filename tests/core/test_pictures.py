from dataclasses import replace

import numpy as np
import pytest

from evertune.evaluation.explain import Importance
from evertune.evaluation.plots import (
    Curve,
    figure_to_png,
    plot_baselines,
    plot_confusion,
    plot_importance,
    plot_residuals,
    plot_roc,
    ranked_baselines,
)


def labels(figure):
    return [label.get_text() for label in figure.axes[0].get_yticklabels()]


def test_the_confusion_matrix_shows_counts_and_shares_of_the_true_class():
    figure = plot_confusion(((3, 1), (0, 2)), classes=("no", "yes"))
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["3\n75%", "1\n25%", "0\n0%", "2\n100%"]


def test_of_many_classes_the_most_frequent_are_drawn():
    counts = np.diag(np.arange(1, 21))
    names = tuple(f"class {code}" for code in range(20))
    figure = plot_confusion(tuple(map(tuple, counts.tolist())), classes=names)
    assert labels(figure) == list(names[8:])
    assert "12 most frequent" in figure.axes[0].get_title("left")


def test_dollar_signs_in_names_are_no_formula():
    figure = plot_confusion(((1, 0), (0, 1)), classes=("$5", "$6"))
    assert figure_to_png(figure).startswith(b"\x89PNG")


def test_a_roc_curve_is_named_by_its_class():
    figure = plot_roc((Curve("yes", np.array([0.0, 1.0]), np.array([0.0, 1.0])),))
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert legend == ["guessing", "yes"]


def test_no_more_than_five_thousand_points_are_drawn():
    figure = plot_residuals(np.zeros(12_001), np.zeros(12_001))
    assert len(figure.axes[0].collections[0].get_offsets()) == 4001


def test_the_model_stands_above_the_baselines_that_have_the_metric(evaluation):
    names = ["zero rule", "logistic regression", "model"]
    assert labels(plot_baselines(evaluation)) == names


def test_a_model_without_the_metric_leaves_the_baselines_standing(evaluation):
    row = replace(evaluation.metrics[0], holdout=None)
    figure = plot_baselines(replace(evaluation, metrics=(row,)))
    assert len(figure.axes[0].lines) == 2


@pytest.mark.parametrize(
    ("greater", "first"), [(True, "logistic_regression"), (False, "zero_rule")]
)
def test_the_best_baseline_comes_first_and_one_without_a_figure_last(evaluation, greater, first):
    ranked = ranked_baselines(replace(evaluation, greater_is_better=greater))
    assert [ranked[0].name, ranked[-1].name] == [first, "human"]


def test_importance_shows_the_largest_loss_on_top(evaluation):
    rows = tuple(Importance(f"column {n}", 1 - n / 20, 0.0, 1.0) for n in range(20))
    names = labels(plot_importance(replace(evaluation, importance=rows)))
    assert (names[-1], len(names)) == ("column 0", 15)


def test_importance_of_nothing_is_refused(evaluation):
    with pytest.raises(ValueError, match="importance of at least one column"):
        plot_importance(replace(evaluation, importance=()))
