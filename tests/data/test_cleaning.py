import re

import numpy as np
import pandas as pd
import pytest

from evertune.data.cleaning import conform_to_schema, infer_schema, prepare_table
from evertune.data.schema import TableSpec
from evertune.data.validation import format_issues

RAW = pd.DataFrame(
    {
        "age": [str(20 + 3 * n) for n in range(20)],
        "plan": ["a", "b"] * 10,
        "left": ["yes", "no", "no", "no"] * 5,
    }
)


def refusal(raw, **declared):
    prepared, issues = prepare_table(raw, TableSpec(**{"target": "left", **declared}))
    assert prepared is None
    return format_issues(issues, with_options=True)


@pytest.mark.parametrize(
    ("raw", "declared", "words"),
    [
        (
            RAW,
            {"target": "Left"},
            r"no such column, named as target. Did you mean 'left'\? Columns are",
        ),
        (RAW, {"ignore": ("plam",)}, "no such column, named as ignore. Did you mean 'plan'"),
        (RAW, {"columns": {"Age": "number"}}, "no such column, named as columns"),
        (RAW, {"group": "plan", "time": "plan"}, "one column cannot be time and group"),
        (RAW.rename(columns={"age": "row_key"}), {}, "'row_key': the name is reserved"),
        (RAW.head(9), {}, "9 rows, need at least 10"),
        (RAW.assign(plan=""), {"group": "plan"}, "20 of 20 cells are missing"),
        (
            RAW.assign(age=["NA", *RAW["age"][1:]]),
            {"time": "age"},
            "1 of 20 cells are missing, but the time must be complete, the first in row 1: 'NA'",
        ),
        (RAW.assign(age="1", plan=""), {}, "no column is left .* plan, all cells are missing"),
        (
            RAW.assign(age=["x", *RAW["age"][1:]]),
            {},
            "not numbers, the first in row 1: 'x'",
        ),
        (RAW.assign(age="0x" + RAW["age"]), {}, "plain numbers such as 1234.5"),
        (RAW.assign(age="1," + RAW["age"]), {"decimal": "."}, "`--decimal ,`"),
        (RAW.assign(age=["1e400", *RAW["age"][1:]]), {}, "1 of 20 cells are infinite"),
        (RAW.assign(age="03/04/2024"), {"time": "age"}, "cannot be told apart"),
        (RAW.assign(plan=["[1]", "[2]"] * 10), {}, "20 of 20 cells hold lists or JSON"),
        (RAW.assign(plan=["x" * 200_000, "b"] * 10), {}, "more than 131072 characters"),
        (RAW, {"columns": {"plan": "boolean"}}, "20 of 20 cells are neither true nor false"),
        (RAW, {"columns": {"plan": "date"}}, "20 of 20 cells are not dates"),
        (RAW.assign(who="maybe"), {"human": "who"}, "20 of 20 cells are not classes of the target"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_with_the_reason(raw, declared, words):
    assert re.search(words, refusal(raw, **declared))


def test_all_faults_are_listed_at_once():
    lines = refusal(RAW.assign(age="$5", left="yes").assign(age=["$5", *RAW["age"][1:]]))
    assert "all rows have the value 'yes'" in lines
    assert "'$5'" in lines


def test_rows_without_a_target_are_dropped_and_counted():
    prepared, _ = prepare_table(RAW.assign(left=["", *RAW["left"][1:]]), TableSpec("left"))
    assert (len(prepared.clean), prepared.n_unlabelled) == (19, 1)
    assert prepared.clean["age"].iloc[0] == 23


def test_columns_that_cannot_be_features_are_left_out_with_the_reason():
    raw = RAW.assign(empty="", same="x", code=[f"c{n}" for n in range(20)])
    prepared, _ = prepare_table(raw, TableSpec("left"))
    assert list(prepared.excluded) == ["empty", "same", "code"]
    assert [column.name for column in prepared.schema.features] == ["age", "plan"]


def test_a_declared_kind_keeps_a_column_that_seems_to_name_rows():
    raw = RAW.assign(code=[f"c{n}" for n in range(20)])
    prepared, _ = prepare_table(raw, TableSpec("left", columns={"code": "text"}))
    assert "code" in {column.name for column in prepared.schema.features}


def test_columns_with_a_role_stay_in_the_table_but_are_no_features():
    raw = RAW.assign(who=[f"u{n}" for n in range(20)], said="no", score="0.25")
    declared = TableSpec("left", identifier="who", human="said", existing="score")
    prepared, _ = prepare_table(raw, declared)
    assert list(prepared.clean) == ["age", "plan", "who", "left", "said", "score"]
    assert (prepared.clean["said"].iloc[0], prepared.clean["score"].iloc[0]) == ("no", 0.25)


def test_a_column_of_the_system_in_use_may_have_the_reserved_name():
    raw = RAW.assign(existing_system="no")
    prepared, _ = prepare_table(raw, TableSpec("left", existing="existing_system"))
    assert prepared.schema.existing == "existing_system"


def test_at_most_twenty_faults_are_listed():
    wide = RAW.assign(**{f"c{n}": ["x", *["1"] * 19] for n in range(25)})
    assert refusal(wide).endswith("- and 5 more")


FOUR_ROWS = pd.DataFrame(
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
SCHEMA = infer_schema(FOUR_ROWS, TableSpec("left", identifier="who", time="day"))


def test_the_schema_describes_each_column():
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
    clean, issues = conform_to_schema(FOUR_ROWS, SCHEMA)
    assert issues == ()
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
            "who": FOUR_ROWS["who"],
            "day": pd.to_datetime(FOUR_ROWS["day"]),
            "age": [31, None, 45, None],
            "plan": pd.Categorical(["a", "b", "NA", None]),
            "paid": pd.array([True, False, None, True], dtype="boolean"),
        }
    )
    pd.testing.assert_frame_equal(
        conform_to_schema(typed, SCHEMA)[0], conform_to_schema(FOUR_ROWS, SCHEMA)[0]
    )


def test_order_and_extra_columns_do_not_count_and_rows_are_numbered_anew():
    other = FOUR_ROWS.iloc[::-1, ::-1].assign(extra="x")
    expected = conform_to_schema(FOUR_ROWS, SCHEMA)[0].iloc[::-1].reset_index(drop=True)
    pd.testing.assert_frame_equal(conform_to_schema(other, SCHEMA)[0], expected)


def test_every_missing_column_is_listed_with_the_nearest_name():
    _, issues = conform_to_schema(
        FOUR_ROWS.drop(columns=["plan"]).rename(columns={"age": "Age"}), SCHEMA
    )
    assert [(issue.column, issue.remedy) for issue in issues] == [
        ("age", "Did you mean 'Age'?"),
        ("plan", ""),
    ]


def test_unknown_categories_stay_and_unreadable_cells_are_issues():
    clean, issues = conform_to_schema(FOUR_ROWS.assign(plan="z", age=["1", "x", "y", "2"]), SCHEMA)
    assert set(clean["plan"]) == {"z"}
    assert [(b.column, b.count, b.first_row, b.example) for b in issues] == [("age", 2, 2, "x")]


def test_two_columns_of_one_name_are_an_issue():
    twice = pd.concat([FOUR_ROWS, FOUR_ROWS[["age"]]], axis="columns")
    assert "several columns" in conform_to_schema(twice, SCHEMA)[1][0].problem


def test_no_rows_are_no_fault():
    clean, issues = conform_to_schema(FOUR_ROWS.head(0), SCHEMA)
    assert (len(clean), issues) == (0, ())


def test_the_order_of_day_and_month_is_remembered():
    raw = pd.DataFrame({"day": ["03/04/2024", "13/04/2024"], "y": ["a", "b"]})
    schema = infer_schema(raw, TableSpec("y"))
    one, issues = conform_to_schema(raw.head(1), schema)
    assert (one["day"].iloc[0], issues) == (pd.Timestamp("2024-04-03"), ())


def test_a_decimal_comma_and_words_for_missing_are_remembered():
    raw = pd.DataFrame({"a": ["1,5", "2,5"], "y": ["a", "b"]})
    schema = infer_schema(raw, TableSpec("y", decimal=",", missing_values=("?",)))
    assert schema.features[0].maximum == 2.5
    clean, issues = conform_to_schema(pd.DataFrame({"a": ["?", "1,5"]}), schema)
    assert (clean["a"].iloc[1], clean["a"].isna().sum(), issues) == (1.5, 1, ())


def test_a_counter_orders_rows_as_numbers():
    raw = pd.DataFrame({"t": [3, 1], "a": ["1", "2"], "y": ["a", "b"]})
    schema = infer_schema(raw, TableSpec("y", time="t"))
    assert conform_to_schema(raw, schema)[0]["t"].dtype == np.float64


def test_a_role_without_a_column_and_a_table_without_features_are_refused():
    with pytest.raises(ValueError, match=r"Expected the columns \['nobody'\]"):
        infer_schema(FOUR_ROWS, TableSpec("left", group="nobody"))
    with pytest.raises(ValueError, match="at least one feature"):
        infer_schema(FOUR_ROWS[["left"]], TableSpec("left"))


def test_names_that_look_equal_name_the_same_column():
    schema = infer_schema(FOUR_ROWS.rename(columns={"age": "K\u00f6ln"}), TableSpec("left"))
    other = FOUR_ROWS.rename(columns={"age": "\u200bKo\u0308ln\u00a0"})
    clean, issues = conform_to_schema(other, schema)
    assert (clean["K\u00f6ln"].iloc[0], issues) == (31, ())
