import pandas as pd

from evertune.data.schema import Column, TableSchema
from evertune.evaluation.model_card import model_limitations
from evertune.evaluation.slices import SliceRow

SCHEMA = TableSchema(
    (Column("plan", "category"), Column("age", "number")), "y", "binary", time="day"
)
OLD = pd.DataFrame(
    {"plan": ["a", "b"], "age": [1.0, 5.0], "day": pd.to_datetime(["2024-01-01", "2024-02-01"])}
)


def told(new, slices=()):
    return " ".join(model_limitations(OLD, new, SCHEMA, slices=slices))


def test_new_categories_and_ranges_are_counted():
    text = told(OLD.assign(plan=["a", "{c}"], age=[7.0, None]))
    assert "plan has values that it never met ('{c}') in 1 of 2 rows" in text
    assert "age goes beyond what was learned from (1 to 5) in 1 of 2 rows" in text


def test_rows_like_those_of_training_hold_nothing_new():
    assert "No row that judged it had a category" in told(OLD)


def test_small_slices_and_the_end_of_time_are_named():
    text = told(OLD, [SliceRow("plan", "b", 4, small=True)])
    assert "too few rows to be judged: plan b (4)." in text
    assert "Nothing later than 2024-02-01 was looked at" in text
