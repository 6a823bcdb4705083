import numpy as np
import pandas as pd
import pytest

from evertune.data.cleaning import conform_to_schema, infer_schema
from evertune.data.schema import TableSpec

RAW = pd.DataFrame(
    {
        "who": ["u1", "u2", "u3", "u4"],
        "day": ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"],
        "age": ["31", "", "45", "NA"],
        "plan": ["a", "b", "NA", ""],
        "paid": ["true", "false", "", "true"],
        "left": ["yes", "no", "no", "no"],
    },
    dtype="str",
)
SCHEMA = infer_schema(RAW, TableSpec("left", identifier="who", time="day"))


def test_the_schema_says_what_each_column_is():
    assert [(c.name, c.kind) for c in SCHEMA.features] == [
        ("age", "number"),
        ("plan", "category"),
        ("paid", "boolean"),
    ]
    assert (SCHEMA.task, SCHEMA.classes, SCHEMA.features[1].categories) == (
        "binary",
        ("no", "yes"),
        ("NA", "a", "b"),
    )


def test_a_clean_table_has_the_types_of_its_kinds():
    clean, breaches = conform_to_schema(RAW, SCHEMA)
    assert breaches == ()
    assert clean.dtypes.astype(str).to_dict() == {
        "age": "float64",
        "plan": "str",
        "paid": "float64",
        "day": "datetime64[us]",
        "who": "str",
    }


def test_typed_cells_give_the_same_clean_table_as_text():
    typed = pd.DataFrame(
        {
            "who": RAW["who"],
            "day": pd.to_datetime(RAW["day"]),
            "age": [31, None, 45, None],
            "plan": pd.Categorical(["a", "b", "NA", None]),
            "paid": pd.array([True, False, None, True], dtype="boolean"),
        }
    )
    pd.testing.assert_frame_equal(
        conform_to_schema(typed, SCHEMA)[0], conform_to_schema(RAW, SCHEMA)[0]
    )


def test_order_and_extra_columns_do_not_count_and_rows_are_numbered_anew():
    other = RAW.iloc[::-1, ::-1].assign(extra="x")
    expected = conform_to_schema(RAW, SCHEMA)[0].iloc[::-1].reset_index(drop=True)
    pd.testing.assert_frame_equal(conform_to_schema(other, SCHEMA)[0], expected)


def test_every_missing_column_is_told_with_the_nearest_name():
    _, breaches = conform_to_schema(
        RAW.drop(columns=["plan"]).rename(columns={"age": "Age"}), SCHEMA
    )
    assert [(breach.column, breach.remedy) for breach in breaches] == [
        ("age", "Did you mean 'Age'?"),
        ("plan", ""),
    ]


def test_unknown_categories_are_kept_and_unreadable_cells_are_told():
    clean, breaches = conform_to_schema(RAW.assign(plan="z", age=["1", "x", "y", "2"]), SCHEMA)
    assert set(clean["plan"]) == {"z"}
    assert [(b.column, b.count, b.first_row, b.example) for b in breaches] == [("age", 2, 2, "x")]


def test_a_column_that_stands_twice_is_told():
    twice = pd.concat([RAW, RAW[["age"]]], axis="columns")
    assert "several columns" in conform_to_schema(twice, SCHEMA)[1][0].problem


def test_no_rows_are_no_fault():
    clean, breaches = conform_to_schema(RAW.head(0), SCHEMA)
    assert (len(clean), breaches) == (0, ())


def test_the_order_of_day_and_month_is_remembered():
    raw = pd.DataFrame({"day": ["03/04/2024", "13/04/2024"], "y": ["a", "b"]})
    schema = infer_schema(raw, TableSpec("y"))
    one, breaches = conform_to_schema(raw.head(1), schema)
    assert (one["day"].iloc[0], breaches) == (pd.Timestamp("2024-04-03"), ())


def test_a_decimal_comma_and_words_for_missing_are_remembered():
    raw = pd.DataFrame({"a": ["1,5", "2,5"], "y": ["a", "b"]})
    schema = infer_schema(raw, TableSpec("y", decimal=",", missing_values=("?",)))
    assert schema.features[0].maximum == 2.5
    clean, breaches = conform_to_schema(pd.DataFrame({"a": ["?", "1,5"]}), schema)
    assert (clean["a"].iloc[1], clean["a"].isna().sum(), breaches) == (1.5, 1, ())


def test_a_counter_orders_rows_as_numbers():
    raw = pd.DataFrame({"t": [3, 1], "a": ["1", "2"], "y": ["a", "b"]})
    schema = infer_schema(raw, TableSpec("y", time="t"))
    assert conform_to_schema(raw, schema)[0]["t"].dtype == np.float64


def test_a_role_without_a_column_and_a_table_without_features_are_refused():
    with pytest.raises(ValueError, match=r"Expected the columns \['nobody'\]"):
        infer_schema(RAW, TableSpec("left", group="nobody"))
    with pytest.raises(ValueError, match="at least one feature"):
        infer_schema(RAW[["left"]], TableSpec("left"))
