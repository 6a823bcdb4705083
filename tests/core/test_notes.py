from dataclasses import replace

import pytest

from evertune.data.schema import TableSchema
from evertune.evaluation.model_card import evaluation_notes
from evertune.evaluation.records import BaselineRow, Guard
from evertune.search.summary import SearchSummary

SCHEMA = TableSchema((), "churned", "binary", ("no", "yes"))


def said(evaluation, schema=SCHEMA, **changes):
    return " ".join(evaluation_notes(replace(evaluation, **changes), schema))


def test_the_folds_that_chose_are_told(evaluation):
    assert "among 12, so its figures on them flatter it" in said(evaluation)


def test_a_search_that_finished_nothing_is_told(evaluation):
    text = said(evaluation, search=SearchSummary(3, 0, 3, 0, 5.0))
    assert "No trial was finished on all folds" in text
    assert "flatter" not in text


def test_a_model_that_does_not_beat_a_guess_is_not_to_be_deployed(evaluation):
    row = BaselineRow("zero_rule", "none", "", {}, {}, lift=0.01, low=-0.01, high=0.03, n_rows=200)
    assert "not clearly better than zero rule" in said(evaluation, baselines=(row,))


def test_a_broken_guard_is_told(evaluation):
    broken = Guard("log_loss", 0.3, 0.4, kept=False)
    assert "guard on log loss is broken" in said(evaluation, guards=(broken,))


@pytest.mark.parametrize(("gap", "told"), [(0.06, False), (0.1, True)])
def test_a_gap_wider_than_the_interval_is_told(evaluation, gap, told):
    row = replace(evaluation.metrics[0], gap=gap)
    assert ("by heart" in said(evaluation, metrics=(row,))) is told


def test_few_rows_are_told(evaluation):
    text = said(evaluation, n_holdout=60, confusion=((40, 10), (5, 5)))
    assert "only 60 rows" in text
    assert "'yes' has only 10 rows" in text


def test_the_choice_of_the_simplest_model_is_told(evaluation):
    text = said(evaluation, chosen="simplest:logistic_regression")
    assert "stand in the row 'logistic regression'" in text


def test_people_who_judged_some_rows_only_are_compared_on_those(evaluation):
    row = BaselineRow("human", "given", "", {}, {}, n_rows=150)
    assert "Human says nothing about 50 rows" in said(evaluation, baselines=(row,))


def test_random_baselines_are_told_to_be_expectations(evaluation):
    row = BaselineRow("uniform_random", "none", "", {}, {}, n_rows=200)
    assert "by their expectation" in said(evaluation, baselines=(row,))


@pytest.mark.parametrize(
    ("role", "words"), [("time", "latest part by 'x'"), ("group", "Rows of one 'x' resemble")]
)
def test_rows_that_hang_together_are_told(evaluation, role, words):
    assert words in said(evaluation, replace(SCHEMA, **{role: "x"}))
