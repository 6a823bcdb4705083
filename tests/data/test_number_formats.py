"""Numbers as people write them: read to the last digit, or asked about; never off by a thousand."""

from decimal import Decimal

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from evertune.data.cleaning import conform_to_schema, infer_schema, prepare_table, with_formats_of
from evertune.data.column_kinds import detect_formats, infer_kind
from evertune.data.csv_dialects import read_csv
from evertune.data.labels import normalize_label_column
from evertune.data.number_formats import NumberFormat
from evertune.data.schema import TableSpec
from evertune.data.validation import format_issues
from evertune.files import read_record, write_record
from evertune.models.compiled_rows import make_row_reader, read_rows


def table_of(cells, **more):
    cells = [*cells] * (20 // len(cells) + 1)
    return pd.DataFrame(
        {
            "v": pd.Series(cells, dtype="str"),
            "plan": [f"p{n % 3}" for n in range(len(cells))],
            "y": ["yes", "no", "no"] * (len(cells) // 3) + ["no"] * (len(cells) % 3),
        }
        | {name: [*values] * (len(cells) // len(values)) for name, values in more.items()}
    )


def numbers_of(cells, **declared):
    prepared, issues = prepare_table(table_of(cells), TableSpec("y", **declared))
    assert prepared is not None, format_issues(issues)
    assert prepared.schema.features[0].kind == "number"
    return prepared.clean["v"].to_list()[: len(cells)]


def refusal(raw, **declared):
    prepared, issues = prepare_table(raw, TableSpec("y", **declared))
    assert prepared is None
    return format_issues(issues)


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (["1,234.50", "7.25", "989"], [1234.5, 7.25, 989]),
        (["1.234,50", "7,25", "989"], [1234.5, 7.25, 989]),
        (["1 234,50", "7,25"], [1234.5, 7.25]),
        (["1\u00a0234,50", "7,25"], [1234.5, 7.25]),
        (["1\u202f234,50", "12\u2009345"], [1234.5, 12345]),
        (["1'234.50", "12\u2019345"], [1234.5, 12345]),
        (["12,34,567.5", "999"], [1234567.5, 999]),
        (["60.39", "2,331.33", "1,438"], [60.39, 2331.33, 1438]),
        (["60,39", "1.438"], [60.39, 1438]),
        (["1.234.567", "1.438"], [1234567, 1438]),
        (["0.438", "1.438"], [0.438, 1.438]),
        (["\u221212.50", "3.1"], [-12.5, 3.1]),
        (["1.234,56-", "3,5"], [-1234.56, 3.5]),
        (["(1,234.50)", "3.25"], [-1234.5, 3.25]),
        (["$1,234.50", "-$3.25", "$0.5"], [1234.5, -3.25, 0.5]),
        (["R$ 1.234,50", "R$ 3,25"], [1234.5, 3.25]),
        (["CHF 1'234.50", "CHF -3.25"], [1234.5, -3.25]),
        (["1.234,50 €", "-3,25€", "0"], [1234.5, -3.25, 0]),
        (["1 234,50 kr", "3,25 kr"], [1234.5, 3.25]),
        (["1234.5 EUR", "3.25 EUR"], [1234.5, 3.25]),
        (["12.5 %", "3%"], [12.5, 3]),
        (["12 kg", "3.5 kg"], [12, 3.5]),
    ],
)
def test_a_column_is_read_as_all_its_cells_are_written(cells, numbers):
    assert numbers_of(cells) == numbers


@pytest.mark.parametrize(
    ("cells", "readings"),
    [
        (["1.438", "989"], "1.438 is 1438 if the point separates thousands, and 1.438"),
        (["1,438", "989"], "1,438 is 1438 if the comma separates thousands, and 1.438"),
        (["€ 1.438", "€ 989"], "two ways: € 1.438 is"),
        (["12.345", "10.500"], "12.345 is 12345 if the point separates thousands, and 12.345"),
    ],
)
def test_cells_that_can_be_read_in_two_ways_are_asked_about_and_the_answer_is_kept(cells, readings):
    message = refusal(table_of(cells))
    assert readings in message
    assert "Say which it is." in message
    as_point, as_comma = (numbers_of(cells, decimal=sign) for sign in ".,")
    assert sorted([as_point[0], as_comma[0]])[1] == 1000 * sorted([as_point[0], as_comma[0]])[0]


def test_the_other_columns_tell_which_sign_is_the_decimal_sign():
    spec = detect_formats(table_of(["1,438", "989"], other=["0.5"]), TableSpec("y"))
    assert spec.format_of("v") == NumberFormat(".", ",")
    spec = detect_formats(table_of(["12.345", "10.500"], other=["0.5"]), TableSpec("y"))
    assert (spec.format_of("v"), dict(spec.open_numbers)) == (NumberFormat("."), {})
    spec = detect_formats(table_of(["1.438", "989"], other=["0,5"]), TableSpec("y"))
    assert spec.format_of("v") == NumberFormat(",", ".")


def test_whole_numbers_beside_three_digits_behind_a_point_are_asked_about_in_any_table():
    assert "two ways" in refusal(table_of(["1.438", "989"], other=["0.5", "1.25"]))


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (["1,234.50"] * 19 + ["7,25"], r"1 of 20 cells are not numbers.*'7,25'.*as 1,234.5"),
        (["12 €"] * 19 + ["12 $"], r"'12 \$'.*as 1.?234.5 € is written"),
        (["12%"] * 19 + ["0.12"], "'0.12'"),
    ],
)
def test_a_cell_that_is_written_otherwise_is_refused_beside_the_others(cells, words):
    assert pd.Series([refusal(table_of(cells).head(20))]).str.contains(words, regex=True).all()


@pytest.mark.parametrize(
    "cells",
    [
        ["500 g", "1 kg", "250 g"],
        ["(1)", "(2)"],
        ["1)", "2)"],
        ["36 months", "60 months"],
        ["12A", "14B"],
        ["192.168.0.1", "10.0.0.12"],
        ["007", "012"],
        ["10-20", "20-30"],
    ],
)
def test_words_with_digits_stay_words(cells):
    assert infer_kind(pd.Series(cells * 10, dtype="str")) == "category"


@pytest.mark.parametrize("unit", ["", "€"])
def test_a_number_is_never_left_out_as_an_identifier_for_how_it_is_written(unit):
    cells = [
        write(Decimal(104350 + 3137 * n) / 100, ",", ".", "-{}", "{}" + unit) for n in range(200)
    ]
    prepared, _ = prepare_table(table_of(cells), TableSpec("y"))
    assert prepared.excluded == {}
    assert prepared.schema.features[0].number_format == NumberFormat(",", ".", unit)


def test_a_declared_number_is_read_in_its_format_though_few_cells_are_numbers():
    raw = table_of(["1.234,50", "7,25"] * 8 + ["?"] * 5)
    prepared, _ = prepare_table(raw, TableSpec("y", columns={"v": "number"}, missing_values=("?",)))
    assert prepared.clean["v"].max() == 1234.5


def test_tables_rows_labels_and_stored_schemas_keep_the_format(tmp_path):
    raw = table_of(["1.234,50 €", "7,25 €"])
    raw["y"] = ["1.500,5", "2,5"] * (len(raw) // 2)
    schema = infer_schema(raw, TableSpec("y", task="regression"))
    write_record(tmp_path / "schema.json", schema)
    schema = read_record(tmp_path / "schema.json", type(schema))
    row = {"v": "2.345,75 €", "plan": "p0"}
    clean, issues = conform_to_schema(pd.DataFrame([row]), schema)
    columns, faults = read_rows([row], make_row_reader(schema))
    assert (clean["v"].to_list(), issues) == ([2345.75], ())
    assert (columns["v"], faults) == ([2345.75], {})
    assert normalize_label_column(pd.Series(["1.234,5"]), schema)[0].to_list() == ["1234.5"]
    typed = pd.DataFrame({"v": [1.438, "1.438 €"], "plan": "p0"}, dtype=object)
    assert conform_to_schema(typed, schema)[0]["v"].to_list() == [1.438, 1438]
    assert read_rows([row | {"v": "2,345.75 €"}], make_row_reader(schema))[1].keys() == {0}


def test_a_table_of_another_source_is_read_as_it_is_written():
    schema = infer_schema(table_of(["1.234,50", "7,25"]), TableSpec("y"))
    other = table_of(["1,234.50", "7.25"])
    clean, issues = conform_to_schema(other, with_formats_of(other, schema))
    assert (clean["v"].to_list()[:2], issues) == ([1234.5, 7.25], ())


@st.composite
def locales(draw):
    decimal, group = draw(
        st.sampled_from([(".", ","), (",", "."), (",", "\u00a0"), (",", "\u202f"), (",", " ")])
        | st.sampled_from([(".", "'"), (".", "\u2019"), (".", ""), (",", ""), (".", " ")])
    )
    minus = draw(st.sampled_from(["-{}", "\u2212{}", "{}-", "({})", "- {}"]))
    unit = draw(st.sampled_from(["{}", "{} €", "€{}", "R$ {}", "CHF {}", "{} kr", "{}%", "{} kg"]))
    return decimal, group, minus, unit


def write(number, decimal, group, minus, unit):
    text = f"{abs(number):,f}".replace(",", "g").replace(".", "d")
    text = text.replace("d", decimal).replace("g", group)
    return (minus if number < 0 else "{}").format(unit.format(text))


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(
    locale=locales(),
    digits=st.integers(0, 4),
    numbers=st.lists(st.integers(-(10**9), 10**9), min_size=12, max_size=25, unique=True),
)
@example(locale=(".", ",", "({})", "{}"), digits=0, numbers=[*range(-11, 0), -1000])
def test_numbers_survive_a_file_in_any_locale_to_the_last_digit(
    tmp_path_factory, locale, digits, numbers
):
    numbers = [Decimal(number).scaleb(-digits) for number in numbers]
    cells = [write(number, *locale) for number in numbers]
    file = tmp_path_factory.getbasetemp() / "locale.csv"
    lines = [f"{cell};{'ab'[n % 2]};{'yes' if n % 3 else 'no'}" for n, cell in enumerate(cells)]
    file.write_text("v;plan;y\n" + "\n".join(lines), encoding="utf-8")
    raw = read_csv(file).table
    prepared, issues = prepare_table(raw, TableSpec("y", columns={"v": "number"}))
    if prepared is None:
        assert "two ways" in format_issues(issues)
        assert digits in {0, 3}
    else:
        assert prepared.clean["v"].to_list() == [float(number) for number in numbers]
