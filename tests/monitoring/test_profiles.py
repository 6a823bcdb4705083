from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from evertune.data.schema import Column
from evertune.monitoring.window_profiles import build_window_profile, merge_profiles
from evertune.times import TimeWindow
from tests.monitoring.drifting import ROWS, SCHEMA, day, profile, reference, rows_of

BAD_CELLS = [
    {"a": 1}, [1, 2], 10**400, -(10**400), float("inf"), "1e999", "\ud800", "x" * 10_000, True,
    "9999999-01-01", "  ", None, float("nan"), 1.5, "0x1F", b"\xff", pd.Timestamp("1700-01-01"),
]  # fmt: skip


def counts(found, name):
    (column,) = (each for each in found.columns if each.name == name)
    return column


def test_every_cell_is_counted_once():
    found = profile(rows_of())
    assert {sum(each.counts) + each.missing for each in found.columns} == {ROWS}
    assert found.n_rows == found.window.n_rows == ROWS


def test_text_cells_count_as_the_typed_ones_that_they_spell():
    rows = rows_of()
    text = rows.assign(member=rows["member"].map({0.0: "false", 1.0: "true"})).astype("str")
    assert profile(text.where(rows.notna(), "")).columns == profile(rows).columns


@pytest.mark.parametrize("name", [column.name for column in SCHEMA.features])
@pytest.mark.parametrize("cell", BAD_CELLS, ids=lambda cell: repr(cell)[:20])
def test_a_cell_of_any_kind_is_counted(name, cell):
    rows = rows_of()
    cells = [cell, *rows[name].astype(object).tolist()[1:]]
    found = counts(profile(rows.assign(**{name: pd.Series(cells, dtype=object)})), name)
    assert sum(found.counts) + found.missing == ROWS


def test_faulty_cells_are_counted_with_an_example():
    rows = rows_of()
    ages, plans = ["old", *rows["age"].astype(str)[1:]], ["z", *rows["plan"][1:]]
    found = profile(rows.assign(age=ages, income=1e6, plan=plans))
    assert (counts(found, "age").unreadable, counts(found, "age").example) == (1, "old")
    assert counts(found, "income").outside == ROWS
    assert (counts(found, "plan").unseen, counts(found, "plan").example) == (1, "z")


def test_columns_that_are_not_there_or_not_known_are_named():
    found = profile(rows_of().drop(columns="age").assign(left="no", id="7", colour="red"))
    assert (found.absent, found.extra) == (("age",), ("colour",))


def test_several_columns_of_one_name_count_as_the_first():
    rows = rows_of()
    twice = pd.concat([rows, rows[["age"]] + 100], axis="columns")
    assert profile(twice).columns == profile(rows).columns


@pytest.mark.parametrize("rows", [pd.DataFrame(), rows_of().head(0), rows_of().head(0)[["age"]]])
def test_a_window_without_rows_has_a_profile(rows):
    found = profile(rows)
    assert (found.n_rows, found.duplicates) == (0, 0)


def test_repeated_rows_are_counted():
    rows = rows_of()
    assert profile(pd.concat([rows, rows.head(7)])).duplicates == 7


def test_a_reference_of_another_schema_is_refused():
    other = replace(SCHEMA, features=(Column("height", "number"), *SCHEMA.features[1:]))
    with pytest.raises(ValueError, match=r"of another schema: expected the 6 features.*age"):
        build_window_profile(rows_of(), reference(), other, window=day(), predictions=None)


def test_merged_windows_count_as_their_rows_together():
    one, other = (rows_of(number).drop(columns="joined") for number in (0, 1))
    merged = merge_profiles([profile(one), profile(other, 1)])
    together = profile(pd.concat([one, other]))
    assert [each.counts for each in merged.columns] == [each.counts for each in together.columns]
    assert np.isclose(counts(merged, "age").mean, counts(together, "age").mean)
    assert (merged.window, merged.n_windows) == (TimeWindow(day(0).start, day(1).end, 2 * ROWS), 2)


def test_nothing_and_profiles_of_other_bins_cannot_be_merged():
    with pytest.raises(ValueError, match="at least one profile"):
        merge_profiles([])
    other = profile(rows_of())
    short = replace(other.columns[0], counts=other.columns[0].counts[1:])
    with pytest.raises(ValueError, match="'age' were counted in different bins"):
        merge_profiles([other, replace(other, columns=(short, *other.columns[1:]))])
