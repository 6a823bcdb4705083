from dataclasses import replace

import numpy as np
import pytest

from evertune.evaluation.plots import plot_costs, plot_slices, plot_thresholds
from evertune.evaluation.slices import SliceRow

TRUTH, CHANCES = np.array([0.0, 1.0, 1.0]), np.array([0.2, 0.4, 0.9])


def test_small_slices_are_not_drawn(evaluation):
    rows = (SliceRow("plan", "pro", 90, 0.7), SliceRow("plan", "x", 2, 0.1, small=True))
    axes = plot_slices(replace(evaluation, slices=rows)).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["plan: pro"]
    assert axes.get_xlabel() == "ROC AUC (greater is better)"


def test_slices_without_a_figure_are_refused(evaluation):
    with pytest.raises(ValueError, match="Expected at least one slice with a figure"):
        plot_slices(evaluation)


def test_the_threshold_in_use_and_the_cheapest_are_marked():
    matrix = np.array([[0.0, 1.0], [4.0, 0.0]])
    axes = plot_costs(TRUTH, CHANCES, matrix, in_use=0.5, chosen=0.3).axes[0]
    assert [line.get_label() for line in axes.lines] == [
        "hold-out",
        "in use",
        "cheapest out of fold",
    ]


def test_recall_falls_with_the_threshold():
    recall = plot_thresholds(TRUTH, CHANCES, in_use=0.5).axes[0].lines[1].get_ydata()
    assert (np.diff(recall) <= 0).all()
