import unicodedata
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evertune.data.column_kinds import detect_decimal_sign, infer_kind
from evertune.data.number_formats import NumberFormat
from evertune.data.parsing import (
    as_boolean,
    as_date,
    as_number,
    as_text,
    detect_day_first,
    normalize_dtype,
)
from evertune.data.schema import Column, TableSchema
from evertune.models.compiled_rows import make_row_reader, read_rows


def read(cells, **how):
    values, bad = as_number(pd.Series(cells), **how)
    return values.to_list(), bad.to_list()


@pytest.mark.parametrize(
    "cell", ["$12", "12%", "1,234", "1_000", "0x1F", "١٢", "1\u00a0000", "--1", "x", "1.2.3"]
)
def test_a_cell_that_is_no_plain_number_is_bad_and_never_guessed(cell):
    values, bad = read([cell])
    assert bad == [True]
    assert np.isnan(values[0])


@pytest.mark.parametrize("cell", ["", "  ", "NA", "n/a", "NaN", "None", "null"])
def test_blanks_and_words_for_missing_are_missing_among_numbers(cell):
    values, bad = read(["1", cell])
    assert bad == [False, False]
    assert np.isnan(values[1])


def test_numbers_are_read_as_python_reads_them():
    assert read(["0.1", " -3e-5 ", ".5", "1e400"])[0] == [0.1, -3e-5, 0.5, float("inf")]


def test_with_a_decimal_comma_points_are_bad():
    assert read(["1,5", "1.500,5", "2"], number_format=NumberFormat(","))[1] == [False, True, False]


def test_a_declared_word_is_missing_in_typed_columns_too():
    assert np.isnan(read([-999, 1], missing=["-999"])[0][0])


def test_dates_are_no_numbers():
    assert read(pd.to_datetime(["2024-01-01"]))[1] == [True]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [(["True", "false", ""], [1, 0, None]), ([1, 0, None], [1, 0, None]), (["yes", "0"], [1, 0])],
)
def test_truth_values_are_read_in_every_form(cells, expected):
    values, bad = as_boolean(pd.Series(cells))
    assert values.replace(np.nan, None).to_list() == expected
    assert not bad.any()


def test_another_number_is_no_truth_value():
    assert as_boolean(pd.Series([0, 1, 2]))[1].to_list() == [False, False, True]


def test_a_value_is_the_same_text_whether_typed_or_written():
    assert as_text(pd.Series([1.0, 2.0])).to_list() == as_text(pd.Series(["1.0", "2"])).to_list()


@pytest.mark.parametrize(
    ("column", "dtype"),
    [
        (pd.Series([Decimal("1.5"), None], dtype=object), "float64"),
        (pd.Series([1, 2], dtype="Int64"), "int64"),
        (pd.Series([True, False], dtype="boolean"), "bool"),
        (pd.Series([True, None], dtype="boolean"), "str"),
        (pd.Series([True, None], dtype=object), "str"),
        (pd.Series(["a", "b"], dtype="category"), "str"),
        (pd.Series([1, "a", [2]], dtype=object), "str"),
    ],
)
def test_every_type_is_brought_to_one_of_a_few(column, dtype):
    assert normalize_dtype(column).dtype == dtype


def test_a_duration_is_its_seconds():
    spans = pd.Series(pd.to_timedelta(["1 min", None, "90 min"]))
    for column in (spans, spans.astype(object)):
        values, bad = as_number(column)
        assert values.fillna(-1).tolist() == [60.0, -1.0, 5400.0]
        assert not bad.any()


def read_dates(cells, **how):
    values, bad = as_date(pd.Series(cells, dtype="str"), **how)
    return [None if pd.isna(v) else v.isoformat() for v in values], bad.to_list()


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("2024-12-31", "2024-12-31T00:00:00"),
        ("2024/12/31 10:30", "2024-12-31T10:30:00"),
        ("2024-12-31T10:30:15.5Z", "2024-12-31T10:30:15.500000"),
        ("2024-12-31T10:30:00+02:00", "2024-12-31T08:30:00"),
        ("31.12.2024", "2024-12-31T00:00:00"),
        ("31/12/2024", "2024-12-31T00:00:00"),
        ("12/31/2024", "2024-12-31T00:00:00"),
        ("Dec 31, 2024", "2024-12-31T00:00:00"),
        ("31 December 2024", "2024-12-31T00:00:00"),
        ("0001-01-01", "0001-01-01T00:00:00"),
        ("9999-12-31", "9999-12-31T00:00:00"),
    ],
)
def test_the_usual_forms_of_a_date_are_read(cell, expected):
    assert read_dates([cell]) == ([expected], [False])


@pytest.mark.parametrize("cell", ["2024-02-30", "yesterday", "03/04/2024", "31/12/24"])
def test_a_cell_that_is_no_date_or_could_be_two_is_bad(cell):
    assert read_dates([cell]) == ([None], [True])


@pytest.mark.parametrize("cell", ["0000-01-01", "9999-12-31T23:30-05:00", "0001-01-01T00:00+05:00"])
def test_a_year_that_no_calendar_counts_is_bad(cell):
    typed = pd.Series(["-0001-01-01", "2024-01-01", None], dtype="datetime64[s]")
    assert read_dates([cell])[1] == [True]
    assert as_date(typed)[1].tolist() == [True, False, False]


def test_one_number_above_twelve_decides_the_order_of_day_and_month():
    assert read_dates(["03/04/2024", "13/04/2024"])[0][0] == "2024-04-03T00:00:00"
    assert read_dates(["03/04/2024", "04/13/2024"])[0][0] == "2024-03-04T00:00:00"


def test_the_order_that_was_learned_is_used_for_a_single_row():
    assert read_dates(["03/04/2024"], days_first=True)[0] == ["2024-04-03T00:00:00"]


def test_typed_dates_lose_their_zone():
    column = pd.Series(pd.to_datetime(["2024-07-01"]).tz_localize("Europe/Berlin"))
    assert as_date(column)[0].iloc[0] == pd.Timestamp("2024-06-30 22:00")


def test_numbers_are_no_dates_and_have_no_order():
    assert as_date(pd.Series([20240131]))[1].to_list() == [True]
    assert detect_day_first(pd.Series([20240131])) is None


KINDS = [
    (["1", "2.5", "-3e4", ""], "number"),
    (["1", "NA", "None", " "], "number"),
    (["00123", "04567"], "category"),
    (["$12", "15 $"], "number"),
    (["1,234", "22,000"], "number"),
    (["١٢", "٣٤"], "number"),
    (["true", "FALSE", "NA"], "boolean"),
    (["yes", "no"], "category"),
    (["2024-01-31", "2024-02-01 10:00"], "date"),
    (["31.12.2024", "1.1.2025"], "date"),
    (["Jan 5, 2024", "6 February 2024"], "date"),
    (["NA", "US", "DE"], "category"),
    (["", " "], "category"),
    (["word " * 30], "text"),
    ([f"code{n}" for n in range(101)], "text"),
    ([*(["7"] * 9), "x"], "number"),
    ([*(["7"] * 8), "x", "y"], "category"),
]


@pytest.mark.parametrize(("cells", "kind"), KINDS)
def test_the_kind_of_text_cells_is_what_nearly_all_of_them_are(cells, kind):
    assert infer_kind(pd.Series(cells, dtype="str")) == kind


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (pd.Series([1, 2]), "number"),
        (pd.Series([1, None], dtype="Int64"), "number"),
        (pd.Series([True, None], dtype="boolean"), "boolean"),
        (pd.Series([None, None], dtype="float64"), "category"),
        (pd.Series(["a"], dtype="category"), "category"),
        (pd.to_datetime(pd.Series(["2024-01-01"])), "date"),
        (pd.Series([pd.Timestamp("2024-01-01").date()], dtype=object), "date"),
    ],
)
def test_typed_cells_keep_the_kind_of_their_type(cells, kind):
    assert infer_kind(cells) == kind


def test_a_declared_word_is_missing_in_every_kind():
    assert infer_kind(pd.Series(["1", "unknown"]), ["unknown"]) == "number"


@pytest.mark.parametrize(
    ("columns", "decimal"),
    [
        ({"a": ["1,5", "2"]}, ","),
        ({"a": ["0,500", "2"]}, ","),
        ({"a": ["1,234", "22,000"]}, "."),
        ({"a": ["1,5", "2"], "b": ["1.5", "2"]}, "."),
        ({"a": ["x", "y"]}, "."),
    ],
)
def test_the_comma_is_the_decimal_sign_only_where_nothing_else_fits(columns, decimal):
    assert detect_decimal_sign(pd.DataFrame(columns)) == decimal


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-(10**40), 10**40), min_size=2, max_size=5, unique=True))
def test_whole_numbers_of_any_length_keep_every_digit_as_text(numbers):
    texts = [str(number) for number in numbers]
    columns = [
        pd.Series([*numbers, None], dtype=object),
        pd.Series([*numbers, pd.NA], dtype=object),
        pd.Series([*map(Decimal, numbers), None], dtype=object),
        pd.Series([*texts, None], dtype="str"),
    ]
    if all(abs(number) < 2**63 for number in numbers):
        columns += [pd.Series([*numbers, None], dtype=name) for name in ("Int64", "int64[pyarrow]")]
    for column in columns:
        assert as_text(column).to_list()[:-1] == texts
        assert as_text(column).isna().to_list() == [False] * len(texts) + [True]


WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)


@settings(max_examples=100, deadline=None)
@given(word=WORDS, blank=st.sampled_from(["\u00a0", "\u200b", "\ufeff", "\u2009", " "]))
def test_what_looks_equal_is_equal_in_tables_and_in_rows(word, blank):
    forms = [unicodedata.normalize(form, word) for form in ("NFC", "NFD")]
    forms.append(f"{blank}{word}{blank}")
    cells = as_text(pd.Series(forms, index=[0, 0, 1], dtype="str"))
    assert cells.nunique(dropna=False) == 1
    schema = TableSchema((Column("c", "category"),), "y", "binary")
    columns, _ = read_rows([{"c": form} for form in forms], make_row_reader(schema))
    assert columns["c"] == cells.fillna("").to_list()


def test_missing_cells_of_pandas_are_missing_numbers():
    for dtype in ("Int64", "Float64", "int64[pyarrow]", object):
        values, bad = as_number(pd.Series([1, pd.NA, 3], dtype=dtype))
        assert (values.isna().to_list(), bad.any()) == ([False, True, False], False)
