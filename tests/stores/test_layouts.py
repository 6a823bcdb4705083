import pytest

from evertune.data.csv_dialects import CsvText, parse_csv
from evertune.errors import TableError


def read(text, delimiter=","):
    return parse_csv(CsvText(text, "utf-8", delimiter), "table.csv")


def test_every_cell_is_text_as_it_is_written():
    table = read('a,b\n 007 ,NA\n,"x, y"\n1e400,"say ""no"""\n')
    assert table.to_dict("list") == {"a": [" 007 ", "", "1e400"], "b": ["NA", "x, y", 'say "no"']}
    assert set(table.dtypes.astype(str)) == {"str"}


def test_quoted_lines_blank_lines_and_any_line_end_are_read():
    table = read('a,b\r\n"x\ny",1\r\n\r\nz,2\r\n')
    assert table["a"].to_list() == ["x\ny", "z"]
    assert read("a,b\r1,2\r3,4\r")["b"].to_list() == ["2", "4"]


def test_a_mark_at_the_start_and_a_nameless_empty_last_column_are_left_out():
    assert list(read("\ufeffa,b,\n1,2,\n3,4,\n")) == ["a", "b"]


def test_a_table_of_many_chunks_is_whole():
    table = read("a,b\n" + "".join(f"{n},x\n" for n in range(45_000)))
    assert table["a"].astype(int).to_list() == list(range(45_000))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n", "0 rows below the header"),
        ("a,a,A\n1,2,3\n", "equal or differ only in case: 'a', 'A'"),
        (",b\n1,2\n", "column 1 has no name"),
        ("a,b,\n1,2,\n1,2,3\n", "column 3 has no name"),
        ("5.1,3.5,0\n1,2,0\n", "names that are numbers: '5.1', '3.5', '0'"),
        ("# by me\na,b\n1,2\n", "the first line is a comment"),
        ("a\n1\n", "1 column; a table needs a target"),
        ("a;b\n1;2\n", "1 column; the delimiter looks like a semicolon"),
        (",".join(f"c{n}" for n in range(5001)) + "\n", "5001 columns; at most 5000"),
        ("a,b\n1,2\n1,2,3\n", "row 2 has more than 2 cells"),
        ("a,b\n1\n1,2\n1\n", "2 rows, the first is row 1, have fewer than 2 cells"),
        ("a,b\n1,2\na,b\n", "row 2 has the header once more"),
        ('a,b\n"x\ny",2\n"z,2\n', r"row 2 \(line 4\) cannot be read: unexpected end"),
        ('a,b\n1,"x"y\n', r"row 1 \(line 2\) cannot be read"),
        ("a,b\n1," + "x" * 140_000 + "\n", "field larger than field limit"),
    ],
)
def test_a_faulty_layout_is_refused_with_its_place(text, words):
    with pytest.raises(TableError, match=words):
        read(text)


def test_all_faults_of_the_rows_are_told_at_once():
    with pytest.raises(TableError, match=r"(?s)row 1 has more.*row 2 has fewer.*row 3 has the hea"):
        read("a,b\n1,2,3\n1\na,b\n1,2\n")
