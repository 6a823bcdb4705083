from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from evertune.evaluation.explanation_plots import plot_importances
from evertune.evaluation.explanation_report import explanation_lines, explanation_report
from evertune.metrics.metrics import METRICS
from evertune.search.explanation import (
    explain_search,
    family_study,
    search_study,
    widen_space,
)
from evertune.search.summary import can_explain
from evertune.trials import Configuration, Trial
from tests.search.explained import SPACE, known_trials

AUC, RMSE = METRICS["roc_auc"], METRICS["rmse"]
TRIALS = known_trials()


@pytest.fixture(scope="module")
def found():
    return explain_search(TRIALS, SPACE, AUC)


def test_what_matters_is_found_and_all_else_is_left_to_chance(found):
    tree = found.families[0]
    assert (tree.family, tree.parameters[0].name) == ("tree", "max_depth")
    assert tree.parameters[0].is_above_chance
    assert tree.parameters[0].share > 0.5
    assert sum(each.share for each in tree.parameters) == pytest.approx(1)


def test_the_choice_of_the_family_is_one_of_the_parameters(found):
    names = [each.name for each in found.overall.parameters]
    assert "family" in names
    assert names[0] == "tree.max_depth"
    assert found.overall.trials == sum(each.status == "complete" for each in TRIALS)


def test_a_smaller_score_can_be_the_better_one():
    negated = [each if each.score is None else replace(each, score=-each.score) for each in TRIALS]
    other = explain_search(negated, SPACE, RMSE, max_families=1)
    assert other.families[0].parameters[0].name == "max_depth"
    assert len(other.families) == 1


def test_families_with_too_few_trials_are_counted():
    few = explain_search(known_trials(30), SPACE, AUC)
    assert [each.family for each in few.families] == ["tree"]
    assert few.too_few == {"knn": 9}
    assert any("knn 9" in line for line in explanation_lines(few))
    assert not can_explain(known_trials(9))
    assert can_explain(known_trials(30))


def test_a_study_has_every_trial_in_the_metrics_own_unit():
    started = datetime(2026, 1, 1)
    study = search_study(TRIALS, SPACE, AUC, started=started)
    best = max(each.score for each in TRIALS if each.status == "complete")
    assert (study.direction.name, study.best_value) == ("MAXIMIZE", best)
    assert study.metric_names == ["roc_auc"]
    states = [trial.state.name for trial in study.trials]
    assert (states[0], states[9], states[19]) == ("COMPLETE", "PRUNED", "FAIL")
    first = study.trials[0]
    assert first.datetime_complete == started + timedelta(seconds=1)
    assert first.user_attrs["trial"] == 0
    assert {name.partition(".")[0] for name in first.params} == {"family", "knn"}


def test_the_study_of_a_family_has_its_parameters_by_their_own_names():
    study = family_study(search_study(TRIALS, SPACE, AUC), "tree")
    assert len(study.trials) == sum(each.configuration.family == "tree" for each in TRIALS)
    assert "max_depth" in study.trials[0].params
    assert study.trials[0].params.keys() == study.trials[0].distributions.keys()


def test_values_outside_of_the_space_are_kept():
    odd = Configuration("tree", {"max_depth": 99, "min_samples_leaf": 1})
    trial = Trial(0, odd, "complete", (), 0.5, None, 1.0)
    wide = widen_space(SPACE, [trial])["tree"]
    assert (wide["max_depth"].high, wide["min_samples_leaf"].low) == (99, 1)
    assert search_study([trial], SPACE, AUC).trials[0].params["tree.max_depth"] == 99


def test_trials_of_families_that_are_not_in_the_space_are_left_out():
    trial = Trial(0, Configuration("zero_rule"), "complete", (), 0.5, None, 1.0)
    assert search_study([trial, *TRIALS], SPACE, AUC).trials[0].params["family"] == "knn"


def test_the_report_names_what_is_above_chance(found):
    text = explanation_report(found, {"importance": b"", "slices_tree": b""})
    assert "| max_depth | " in text
    assert "![Score by each parameter](slices_tree.png)" in text
    assert "fewer than 50 trials are explained roughly" in text
    lines = explanation_lines(found)
    assert any("max_depth" in line and line.endswith("*") for line in lines)


def test_bars_are_named_and_chance_is_a_line(found):
    axes = plot_importances([found.overall, *found.families]).axes
    assert [each.get_title(loc="left") for each in axes] == [
        "all families: 54 trials", "a decision tree: 36 trials", "nearest neighbours: 18 trials",
    ]  # fmt: skip
    names = [label.get_text() for label in axes[0].get_yticklabels()]
    assert names[0] == "tree.max_depth"
    assert len(axes[1].lines) == len(found.families[0].parameters)
