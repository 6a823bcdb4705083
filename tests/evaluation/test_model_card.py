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
GUESS = BaselineRow(
    "uniform_random", "none", "", {"roc_auc": 0.83}, {}, 0.01, -0.01, 0.03, n_rows=200
)
HUMAN = BaselineRow("human", "given", "", {}, {}, n_rows=150)
BROKEN = Guard("log_loss", 0.3, 0.4, kept=False)


@pytest.mark.parametrize(
    ("changed", "note"),
    [
        ({}, "among 12, so its scores on them are optimistic"),
        ({"search": SearchSummary(3, 0, 3, 0, 5.0)}, "No trial of the search finished all folds"),
        ({"baselines": (GUESS,)}, "not clearly better than that of uniform random guessing"),
        ({"baselines": (GUESS,)}, "by their expected score"),
        ({"baselines": (HUMAN,)}, "Human has no prediction for 50 rows"),
        ({"guards": (BROKEN,)}, "guard on log loss is broken"),
        ({"n_holdout": 60}, "only 60 rows"),
        ({"confusion": ((40, 10), (5, 5))}, "'yes' has only 10 rows"),
        ({"chosen": "simplest:logistic_regression"}, "All scores are those of logistic regression"),
    ],
)
def test_what_a_reader_must_know_about_the_scores_is_noted(evaluation, changed, note):
    assert note in " ".join(evaluation_notes(replace(evaluation, **changed), SCHEMA))


def test_columns_whose_importance_was_not_measured_are_noted(evaluation):
    features = tuple(Column(f"x{n}", "number") for n in range(300))
    notes = evaluation_notes(evaluation, TableSchema(features, "churned", "binary", ("no", "yes")))
    assert "The importance of 2 columns was measured" in notes[-1]
    assert "The other 298 were left out" in notes[-1]
    assert "importance" not in " ".join(evaluation_notes(evaluation, SCHEMA))


def test_a_search_that_finished_nothing_has_no_optimistic_scores(evaluation):
    found = replace(evaluation, search=SearchSummary(3, 0, 3, 0, 5.0))
    assert "optimistic" not in " ".join(evaluation_notes(found, SCHEMA))


@pytest.mark.parametrize(("gap", "noted"), [(0.06, False), (0.1, True), (None, False)])
def test_a_gap_wider_than_the_interval_is_called_overfitting(evaluation, gap, noted):
    row = replace(evaluation.metrics[0], gap=gap)
    found = evaluation_notes(replace(evaluation, metrics=(row,)), SCHEMA)
    assert ("overfits" in " ".join(found)) is noted


@pytest.mark.parametrize(
    ("role", "note"), [("time", "latest part by 'x'"), ("group", "Rows of the same 'x' resemble")]
)
def test_rows_that_are_not_independent_are_noted(evaluation, role, note):
    assert note in evaluation_notes(evaluation, replace(SCHEMA, **{role: "x"}))[-1]


@pytest.mark.parametrize(
    ("changed", "caution"),
    [
        ({"baselines": (GUESS,)}, "There is not enough evidence that it beats every rule"),
        (
            {"slices": (SliceRow("plan", "pro", 90, 0.6, found=True),)},
            "Rows with plan 'pro': ROC AUC is only 0.600.",
        ),
        (
            {"slices": (SliceRow("x", "-0.354 to 0.203", 90, 0.426, found=True),)},
            "Rows with x between -0.354 and 0.203: ROC AUC is only 0.426. Check such rows by hand.",
        ),
        (
            {"slices": (SliceRow("sex", "f", 90, share=0.2, rate_gap=0.123, sensitive=True),)},
            "of 'sex' alike: the share predicted 'yes' differs by up to 12.3 percentage points",
        ),
        ({"confusion": ((150, 10), (30, 10))}, "misses most rows of class 'yes': 30 of 40"),
        ({"confusion": ((150, 10), (5, 5))}, "'yes' was evaluated on only 10 rows"),
    ],
)
def test_scores_that_call_for_caution_are_named(evaluation, changed, caution):
    assert caution in " ".join(usage_cautions(replace(evaluation, **changed)))


PLANS = TableSchema(
    (Column("plan", "category"), Column("age", "number")), "y", "binary", time="day"
)
OLD = pd.DataFrame(
    {"plan": ["a", "b"], "age": [1.0, 5.0], "day": pd.to_datetime(["2024-01-01", "2024-02-01"])}
)


@pytest.mark.parametrize(
    ("training", "holdout", "slices", "limitation"),
    [
        (OLD, OLD, (), "Training contained the categories and ranges of all evaluated rows"),
        (OLD, OLD.assign(plan=["a", "{c}"]), (), "plan: 1 of 2 evaluated rows have categories"),
        (OLD, OLD.assign(plan=["a", "{c}"]), (), "training did not contain ('{c}')"),
        (OLD, OLD.assign(age=[7.0, None]), (), "1 of 2 evaluated rows lie outside the range of"),
        (OLD.assign(age=None), OLD, (), "in training the column was always missing"),
        (OLD, OLD, [SliceRow("plan", "b", 4, small=True)], "too few rows to be evaluated: plan b"),
        (OLD, OLD, (), "Nothing later than 2024-02-01 was evaluated"),
        (OLD.drop(columns="day"), OLD, (), "No time column orders the rows"),
    ],
)
def test_what_the_evaluation_cannot_know_is_named(training, holdout, slices, limitation):
    assert limitation in " ".join(model_limitations(training, holdout, PLANS, slices=slices))


HOUSES = TableSchema((Column("age", "number"),), "y", "regression", time="day")
ROWS = pd.DataFrame(
    {"age": [1.0, None], "y": [3.0, 5.0], "day": pd.to_datetime(["2024-01-01", "2024-02-01"])}
)


def test_the_data_card_shows_period_target_missing_cells_and_excluded_columns():
    card = build_data_card(ROWS, ROWS, HOUSES, holdout_kind="", excluded={"id": "it names rows"})
    assert (card.sides[0].start, card.sides[0].end) == ("2024-01-01 00:00", "2024-02-01 00:00")
    assert (card.sides[0].quantiles[3], card.missing[0].share) == (4.0, 0.5)
    assert card.excluded[0].reason == "it names rows"
    assert card.never_seen.startswith("Training ends at 2024-02-01 00:00")


@pytest.mark.parametrize(
    ("schema", "judge_from", "words"),
    [
        (HOUSES, None, "the latest 20 % of the rows by 'day'"),
        (HOUSES, "2024-05-01", "production rows from 2024-05-01 on"),
        (TableSchema((), "y", "regression", group="house"), None, "of the groups by 'house'"),
        (TableSchema((), "y", "regression"), None, "chosen by a hash"),
    ],
)
def test_how_the_holdout_was_chosen_is_described(schema, judge_from, words):
    assert words in describe_holdout(schema, fraction=0.2, judge_from=judge_from)
