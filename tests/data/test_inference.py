import pandas as pd
import pytest

from evertune.data.inference import detect_decimal_sign, infer_kind

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
