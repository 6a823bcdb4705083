import pandas as pd
import pytest

from evertune.data.schema import Column, TableSchema
from evertune.evaluation.data_card import build_data_card, describe_holdout

SCHEMA = TableSchema((Column("age", "number"),), "y", "regression", time="day")
ROWS = pd.DataFrame(
    {"age": [1.0, None], "y": [3.0, 5.0], "day": pd.to_datetime(["2024-01-01", "2024-02-01"])}
)


def test_the_card_tells_period_target_missing_cells_and_what_was_left_out():
    card = build_data_card(ROWS, ROWS, SCHEMA, holdout_kind="", excluded={"id": "it names rows"})
    assert (card.sides[0].start, card.sides[0].end) == ("2024-01-01 00:00", "2024-02-01 00:00")
    assert (card.sides[0].quantiles[3], card.missing[0].share) == (4.0, 0.5)
    assert card.excluded[0].reason == "it names rows"


def test_the_card_tells_where_training_ends():
    card = build_data_card(ROWS[:1], ROWS[1:], SCHEMA, holdout_kind="")
    assert card.never_seen.startswith("Training ends at 2024-01-01 00:00")


@pytest.mark.parametrize(
    ("schema", "judge_from", "words"),
    [
        (SCHEMA, None, "the latest 20 % of the rows by 'day'"),
        (SCHEMA, "2024-05-01", "rows of production from 2024-05-01 on"),
        (TableSchema((), "y", "regression", group="house"), None, "of the groups of 'house'"),
        (TableSchema((), "y", "regression"), None, "by a hash of each row"),
    ],
)
def test_how_the_holdout_was_chosen_is_said(schema, judge_from, words):
    assert words in describe_holdout(schema, fraction=0.2, judge_from=judge_from)
