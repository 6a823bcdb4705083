import numpy as np
import pandas as pd
import pytest

from evertune.data.column_kinds import LOOKS_LIKE_IDENTIFIER
from evertune.data.dataframes import parse_features, parse_table

ROWS = 40


def understood(table, kinds=None, missing_values=()):
    return parse_table(
        table, task="regression", classes=(), kinds=kinds or {}, missing_values=missing_values
    )


def kinds_of(result):
    return {column.name: column.kind for column in result.schema.features}


def test_a_kind_that_is_given_goes_before_a_guess():
    result = understood(pd.DataFrame({"code": [1, 2] * 20}), {"code": "category"})
    assert kinds_of(result) == {"code": "category"}
    assert result.table["code"].tolist()[:2] == ["1", "2"]


def test_words_that_mean_missing_are_missing():
    result = understood(pd.DataFrame({"age": ["1", "?", "3", "4"] * 10}), missing_values=["?"])
    assert result.table["age"].isna().sum() == 10
    assert result.unread == ()


def test_dates_that_could_be_two_dates_are_words():
    days = ["01/02/2024", "03/04/2024"] * 20
    assert kinds_of(understood(pd.DataFrame({"day": days}))) == {"day": "category"}


def test_dates_that_were_declared_are_not_turned_into_words():
    days = ["01/02/2024", "03/04/2024"] * 20
    with pytest.raises(ValueError, match="day and month cannot be told apart"):
        understood(pd.DataFrame({"day": days}), {"day": "date"})


IDENTIFIERS = {
    "counted": range(ROWS),
    "customer_id": [7 * n for n in range(ROWS)],
    "name": [f"c{n}" for n in range(ROWS)],
}
MEASURES = {
    "area": [7 * n for n in range(ROWS)],
    "weight": [n / 3 for n in range(ROWS)],
    "count": [n // 2 for n in range(ROWS)],
}


@pytest.mark.parametrize("name", IDENTIFIERS)
def test_a_column_that_names_rows_is_left_out(name):
    table = pd.DataFrame({name: IDENTIFIERS[name], "weight": MEASURES["weight"]})
    assert understood(table).excluded == {name: LOOKS_LIKE_IDENTIFIER}


@pytest.mark.parametrize("name", MEASURES)
def test_a_column_that_measures_is_learned_from(name):
    assert understood(pd.DataFrame({name: MEASURES[name]})).excluded == {}


def test_the_only_column_is_learned_from_whatever_it_is():
    result = understood(pd.DataFrame({"counted": range(ROWS), "empty": None}))
    assert kinds_of(result) == {"counted": "number"}
    assert result.excluded == {"empty": "all cells are missing"}


def test_columns_of_one_name_are_refused():
    with pytest.raises(ValueError, match=r"got several named \['a'\]"):
        understood(pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_a_kind_of_no_column_is_refused():
    with pytest.raises(ValueError, match=r"it has no \['b'\]"):
        understood(pd.DataFrame({"a": [1, 2]}), {"b": "number"})


def test_a_table_of_gaps_is_refused():
    with pytest.raises(ValueError, match="all cells of the table are missing"):
        understood(pd.DataFrame({"a": [np.nan, np.nan]}))


def test_a_table_to_predict_must_have_every_feature():
    schema = understood(pd.DataFrame({"age": [1, 2], "size": [3, 5]})).schema
    with pytest.raises(ValueError, match="column 'size': expected, but the table has no such"):
        parse_features(pd.DataFrame({"age": [1]}), schema)


def test_an_infinite_cell_is_refused_at_prediction():
    schema = understood(pd.DataFrame({"age": [1, 2]})).schema
    with pytest.raises(ValueError, match="1 of 2 cells are infinite"):
        parse_features(pd.DataFrame({"age": [1, np.inf]}), schema)
