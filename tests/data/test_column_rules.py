"""What a column is, on random tables, by a plain definition that looks at one cell at a time."""

import re

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from evertune.data.cell_patterns import match_cells
from evertune.data.column_kinds import (
    LOOKS_LIKE_IDENTIFIER,
    find_unusable_columns,
    infer_kind,
)
from evertune.data.parsing import NUMBER_PATTERN, as_number, as_text, strip_cells
from evertune.data.schema import TableSpec

MISSING = ["", " ", "NA", "null", "None"]
NUMBERS = ["1", "-2.5", "3.0", "+4", ".5", "6.", "1e3", "12345", "0", "0.25", " 7 "]
OTHERS = ["007", "00.5", "true", "False", "red", "a b", "2024-01-31", "31.12.2023", "x" * 101, "é "]
CELLS = st.lists(st.sampled_from(MISSING + NUMBERS + OTHERS), min_size=1, max_size=40)
MANY = st.one_of(
    CELLS,
    st.lists(st.sampled_from(MISSING + NUMBERS), min_size=1, max_size=40),
    st.lists(st.sampled_from(["2024-01-31", "2024-2-1 10:00", "", "x"]), min_size=1, max_size=40),
    st.lists(st.sampled_from(["true", "TRUE", "false", "NA"]), min_size=1, max_size=40),
)
IDENTIFIERS = st.sampled_from(
    ["n", "1.5", "1.0", "n + 1", "id n", "00n", "1.n", "-n", "n.5", "n.0"]
)


def words_of(cells):
    """Return the stripped cells that are not missing, also not by a word such as NA."""
    words = [cell.strip() for cell in cells]
    return [word for word in words if word and word.lower() not in {"na", "null", "none"}]


def plain_kind(cells):
    words = words_of(cells)
    if words and all(word.lower() in {"true", "false"} for word in words):
        return "boolean"
    n_numbers = sum(re.fullmatch(NUMBER_PATTERN, word) is not None for word in words)
    coded = any(re.fullmatch("[+-]?0[0-9].*", word) for word in words)
    if words and n_numbers >= 0.9 * len(words) and not coded:
        return "number"
    n_dates = sum(re.match(r"\d{4}-\d+-\d|\d+\.\d+\.\d{4}", word) is not None for word in words)
    if words and n_dates >= 0.9 * len(words):
        return "date"
    return "text" if any(len(word) > 100 for word in words) else "category"


@settings(max_examples=200, deadline=None)
@given(cells=MANY)
def test_the_kind_is_that_of_nine_in_ten_cells(cells):
    assert infer_kind(pd.Series(cells, dtype="str")) == plain_kind(cells)


@settings(max_examples=200, deadline=None)
@given(cells=MANY)
def test_cells_are_read_one_by_one(cells):
    column = pd.Series(cells, dtype="str", index=range(5, 5 + len(cells)), name="x")
    texts, (values, bad) = as_text(column), as_number(column)
    assert all(each.index.equals(column.index) for each in (texts, values, bad))
    assert texts.name == "x"
    for cell, text, value, is_bad in zip(cells, texts, values, bad, strict=True):
        stripped = cell.strip()
        assert (stripped == "") == pd.isna(text)
        if stripped:
            whole = re.fullmatch(r"(-?(?:0|[1-9][0-9]*))\.0+", stripped)
            assert text == (whole[1] if whole else stripped)
        number = re.fullmatch(NUMBER_PATTERN, stripped)
        assert np.isnan(value) == (number is None)
        assert number is None or value == float(stripped)
        assert is_bad == (number is None and words_of([cell]) != [])
    assert strip_cells(column, ["red"]).isna().tolist() == [
        cell.strip() in {"", "red"} for cell in cells
    ]


@settings(max_examples=100, deadline=None)
@given(pattern=IDENTIFIERS, n_rows=st.integers(18, 60), name=st.sampled_from(["x", "user_id"]))
def test_columns_that_only_name_rows_are_left_out(pattern, n_rows, name):
    cells = [
        str(n + 1) if pattern == "n + 1" else pattern.replace("n", str(n)) for n in range(n_rows)
    ]
    raw = pd.DataFrame({name: cells, "y": ["a", "b"] * (n_rows // 2) + ["a"] * (n_rows % 2)})
    reasons = {"1.5": "all cells are alike", "1.0": "all cells are alike"}
    counts = pattern in {"n", "n + 1", "n.0"} or (pattern == "-n" and name == "user_id")
    codes = pattern == "00n"
    if n_rows >= 20 and (counts or codes):
        reasons[pattern] = LOOKS_LIKE_IDENTIFIER
    wanted = {name: reasons[pattern]} if pattern in reasons else {}
    assert find_unusable_columns(raw, TableSpec("y")) == wanted


@settings(max_examples=100, deadline=None)
@given(cells=MANY)
def test_a_pattern_matches_as_it_does_cell_by_cell(cells):
    column = pd.Series([*cells, None], dtype="str")
    found = match_cells(column, NUMBER_PATTERN).tolist()
    assert found == [re.fullmatch(NUMBER_PATTERN, cell) is not None for cell in cells] + [False]
