import pytest

from evertune.evaluation.plots import plot_ensemble_weights, search_plots
from evertune.models.origin import TrialWeight
from evertune.search.summary import SearchReport, TimeSpent

STORY = SearchReport(
    weights=(TrialWeight(3, "lightgbm", 0.6), TrialWeight(0, "extra_trees", 0.4)),
    spent=(TimeSpent("portfolio", 9.0, 3), TimeSpent("outside fits", 1.0, 0)),
    families=(TimeSpent("lightgbm", 9.0, 1),),
    curve=((1.0, 0.7), (3.0, 0.7), (6.0, 0.8)),
    seconds=10.0,
)


def test_a_search_is_drawn_with_named_axes():
    found = search_plots(STORY, metric="roc_auc")
    axes = {name: figure.axes[0] for name, figure in found.items()}
    assert {name: each.get_xlabel() for name, each in axes.items()} == {
        "search_best": "Seconds since the search began",
        "search_weights": "Weight in percent",
        "search_budget": "Seconds of all workers together",
    }
    assert axes["search_best"].get_ylabel() == "ROC AUC, mean over folds"


def test_the_best_score_stays_until_the_end_of_the_search():
    line = search_plots(STORY, metric="roc_auc")["search_best"].axes[0].lines[0]
    assert line.get_xdata().tolist() == [1.0, 3.0, 6.0, 10.0]
    assert line.get_ydata().tolist() == [0.7, 0.7, 0.8, 0.8]


def test_bars_are_named_in_words():
    axes = plot_ensemble_weights(STORY.weights).axes[0]
    assert [each.get_text() for each in axes.get_yticklabels()] == [
        "lightgbm, trial 3",
        "extra trees, trial 0",
    ]
    assert [each.get_text() for each in axes.texts] == ["60 %", "40 %"]


def test_only_what_there_is_is_drawn():
    assert search_plots(SearchReport(), metric="rmse") == {}


def test_weights_are_needed_to_draw_them():
    with pytest.raises(ValueError, match="at least one trial"):
        plot_ensemble_weights(())
