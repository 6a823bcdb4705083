from dataclasses import replace

import pandas as pd
import pytest

from evertune.data.schema import Column, TableSchema
from evertune.evaluation.data_card import build_data_card, describe_holdout
from evertune.evaluation.evaluation_record import BaselineRow, Guard
from evertune.evaluation.model_card import evaluation_notes, model_limitations, usage_cautions
from evertune.evaluation.slices import SliceRow
from evertune.search.summary import SearchSummary

SCHEMA = TableSchema((), "churned", "binary", ("no", "yes"))


def notes(evaluation, schema=SCHEMA, **changes):
    return " ".join(evaluation_notes(replace(evaluation, **changes), schema))


def test_the_folds_that_chose_are_told(evaluation):
    assert "among 12, so its scores on them flatter it" in notes(evaluation)


def test_a_search_that_finished_nothing_is_told(evaluation):
    text = notes(evaluation, search=SearchSummary(3, 0, 3, 0, 5.0))
    assert "No trial was finished on all folds" in text
    assert "flatter" not in text


def test_a_model_that_does_not_beat_a_guess_is_not_to_be_deployed(evaluation):
    row = BaselineRow("zero_rule", "none", "", {}, {}, lift=0.01, low=-0.01, high=0.03, n_rows=200)
    assert "not clearly better than zero rule" in notes(evaluation, baselines=(row,))


def test_a_broken_guard_is_told(evaluation):
    broken = Guard("log_loss", 0.3, 0.4, kept=False)
    assert "guard on log loss is broken" in notes(evaluation, guards=(broken,))


@pytest.mark.parametrize(("gap", "told"), [(0.06, False), (0.1, True)])
def test_a_gap_wider_than_the_interval_is_told(evaluation, gap, told):
    row = replace(evaluation.metrics[0], gap=gap)
    assert ("overfitted some" in notes(evaluation, metrics=(row,))) is told


def test_few_rows_are_told(evaluation):
    text = notes(evaluation, n_holdout=60, confusion=((40, 10), (5, 5)))
    assert "only 60 rows" in text
    assert "'yes' has only 10 rows" in text


def test_the_choice_of_the_simplest_model_is_told(evaluation):
    text = notes(evaluation, chosen="simplest:logistic_regression")
    assert "stand in the row 'logistic regression'" in text


def test_people_who_judged_some_rows_only_are_compared_on_those(evaluation):
    row = BaselineRow("human", "given", "", {}, {}, n_rows=150)
    assert "Human has no prediction for 50 rows" in notes(evaluation, baselines=(row,))


def test_random_baselines_are_told_to_be_expectations(evaluation):
    row = BaselineRow("uniform_random", "none", "", {}, {}, n_rows=200)
    assert "by their expectation" in notes(evaluation, baselines=(row,))


@pytest.mark.parametrize(
    ("role", "words"), [("time", "latest part by 'x'"), ("group", "Rows of one 'x' resemble")]
)
def test_rows_that_hang_together_are_told(evaluation, role, words):
    assert words in notes(evaluation, replace(SCHEMA, **{role: "x"}))


def cautions(evaluation, **changed):
    return " ".join(usage_cautions(replace(evaluation, **changed)))


def test_the_worst_slices_warn_who_decides_about_their_rows(evaluation):
    rows = (SliceRow("plan", "pro", 90, figure=0.6, found=True),)
    assert "(ROC AUC: plan pro: 0.600)" in cautions(evaluation, slices=rows)


def test_a_gap_between_values_of_a_sensitive_column_is_cautions(evaluation):
    rows = (SliceRow("sex", "f", 90, share=0.2, rate_gap=0.123, sensitive=True),)
    assert "values of 'sex' alike" in cautions(evaluation, slices=rows)
    assert "by up to 12.3 points" in cautions(evaluation, slices=rows)


def test_a_class_that_is_mostly_missed_is_cautions(evaluation):
    text = cautions(evaluation, confusion=((150, 10), (30, 10)))
    assert "Whoever needs every 'yes': 30 of 40 such rows" in text


def test_a_model_that_guessing_matches_warns_everybody(evaluation):
    weak = tuple(replace(row, low=-0.1) for row in evaluation.baselines)
    assert cautions(evaluation, baselines=weak).startswith("Anybody, on this evidence")


PLANS = TableSchema(
    (Column("plan", "category"), Column("age", "number")), "y", "binary", time="day"
)
OLD = pd.DataFrame(
    {"plan": ["a", "b"], "age": [1.0, 5.0], "day": pd.to_datetime(["2024-01-01", "2024-02-01"])}
)


def limitations(new, slices=()):
    return " ".join(model_limitations(OLD, new, PLANS, slices=slices))


def test_new_categories_and_ranges_are_counted():
    text = limitations(OLD.assign(plan=["a", "{c}"], age=[7.0, None]))
    assert "plan has values that it never met ('{c}') in 1 of 2 evaluated rows" in text
    assert "age goes beyond what was learned from (1 to 5) in 1 of 2 evaluated rows" in text


def test_rows_like_those_of_training_hold_nothing_new():
    assert "No evaluated row had a category" in limitations(OLD)


def test_small_slices_and_the_end_of_time_are_named():
    text = limitations(OLD, [SliceRow("plan", "b", 4, small=True)])
    assert "too few rows to be evaluated: plan b (4)." in text
    assert "Nothing later than 2024-02-01 was evaluated" in text


HOUSES = TableSchema((Column("age", "number"),), "y", "regression", time="day")
ROWS = pd.DataFrame(
    {"age": [1.0, None], "y": [3.0, 5.0], "day": pd.to_datetime(["2024-01-01", "2024-02-01"])}
)


def test_the_data_card_shows_period_target_missing_cells_and_what_was_left_out():
    card = build_data_card(ROWS, ROWS, HOUSES, holdout_kind="", excluded={"id": "it names rows"})
    assert (card.sides[0].start, card.sides[0].end) == ("2024-01-01 00:00", "2024-02-01 00:00")
    assert (card.sides[0].quantiles[3], card.missing[0].share) == (4.0, 0.5)
    assert card.excluded[0].reason == "it names rows"


def test_the_data_card_shows_where_training_ends():
    card = build_data_card(ROWS[:1], ROWS[1:], HOUSES, holdout_kind="")
    assert card.never_seen.startswith("Training ends at 2024-01-01 00:00")


@pytest.mark.parametrize(
    ("schema", "judge_from", "words"),
    [
        (HOUSES, None, "the latest 20 % of the rows by 'day'"),
        (HOUSES, "2024-05-01", "rows of production from 2024-05-01 on"),
        (TableSchema((), "y", "regression", group="house"), None, "of the groups of 'house'"),
        (TableSchema((), "y", "regression"), None, "by a hash of each row"),
    ],
)
def test_how_the_holdout_was_chosen_is_described(schema, judge_from, words):
    assert words in describe_holdout(schema, fraction=0.2, judge_from=judge_from)
