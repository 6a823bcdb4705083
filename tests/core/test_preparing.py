import re

import pandas as pd
import pytest

from evertune.data.cleaning import prepare_table
from evertune.data.schema import TableSpec
from evertune.data.validation import format_issues

RAW = pd.DataFrame(
    {
        "age": [str(20 + 3 * n) for n in range(20)],
        "plan": ["a", "b"] * 10,
        "left": ["yes", "no", "no", "no"] * 5,
    }
)


def told(raw, **declared):
    prepared, breaches = prepare_table(raw, TableSpec(**{"target": "left", **declared}))
    assert prepared is None
    return format_issues(breaches)


@pytest.mark.parametrize(
    ("raw", "declared", "words"),
    [
        (RAW, {"target": "Left"}, r"no such column, named as target. .* Did you mean 'left'\?"),
        (RAW, {"ignore": ("plam",)}, "no such column, named as ignore. .* Did you mean 'plan'"),
        (RAW, {"columns": {"Age": "number"}}, "no such column, named as columns"),
        (RAW, {"group": "plan", "time": "plan"}, "one column cannot be time and group"),
        (RAW.rename(columns={"age": "row_key"}), {}, "'row_key': the name is reserved"),
        (RAW.head(9), {}, "9 rows, need at least 10"),
        (RAW.assign(plan=""), {"group": "plan"}, "20 of 20 cells are missing"),
        (RAW.assign(age="1", plan=""), {}, "no column is left .* plan: all cells are missing"),
        (
            RAW.assign(age=["x", *RAW["age"][1:]]),
            {},
            "not numbers, the first in row 1: 'x'",
        ),
        (RAW.assign(age="$" + RAW["age"]), {}, "Write plain numbers such as 1234.5"),
        (RAW.assign(age="1," + RAW["age"]), {"decimal": "."}, "data.dialect.decimal"),
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
    assert re.search(words, told(raw, **declared))


def test_all_faults_are_told_at_once():
    lines = told(RAW.assign(age="$5", left="yes").assign(age=["$5", *RAW["age"][1:]]))
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


def test_columns_with_a_role_are_kept_but_are_no_features():
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
    assert told(wide).endswith("- and 5 more")
