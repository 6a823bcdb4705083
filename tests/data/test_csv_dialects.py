import csv
import gzip
import io
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evertune.data.csv_dialects import detect_delimiter, detect_encoding, read_csv
from evertune.errors import TableError

CSV = "age,city,left\n31,Köln,yes\n45,Bonn,no\n"


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    """Return a function that reads what it is given as a CSV file."""
    folder = tmp_path_factory.mktemp("csv")

    def read_content(content, name="table.csv", **how):
        content = content.encode() if isinstance(content, str) else content
        (folder / name).write_bytes(content)
        return read_csv(folder / name, **how)

    return read_content


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            gzip.compress(CSV.encode(), mtime=0),
            "found a gzip file; give it a name that ends with .gz",
        ),
        (b"PK\x03\x04...", "found a zip archive or an Excel workbook"),
        (b"PAR1...PAR1", "found a Parquet file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "found a Git LFS pointer"),
        (b"\n <!DOCTYPE html><html>404</html>", "found a web page"),
    ],
)
def test_a_file_that_is_no_csv_is_refused_by_what_it_is(read, content, words):
    with pytest.raises(TableError, match=words):
        read(content)


def test_a_gzipped_file_is_unpacked(read):
    assert list(read(gzip.compress(CSV.encode()), "t.csv.gz").table) == ["age", "city", "left"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a,b\n1,2\n", "cannot be unpacked"),
        (gzip.compress(CSV.encode(), mtime=0)[:-9], "cannot be unpacked"),
        (gzip.compress(bytes(80 * 2**20), 1, mtime=0), "unpacks to over 100 times its size"),
    ],
    ids=["not packed", "cut off", "bomb"],
)
def test_a_gz_file_that_cannot_be_unpacked_safely_is_refused(read, content, words):
    with pytest.raises(TableError, match=words):
        read(content, "table.csv.gz")


@pytest.mark.parametrize(
    ("content", "marked", "likely"),
    [
        (CSV.encode(), "utf-8", "utf-8"),
        (b"\xef\xbb\xbf" + CSV.encode(), "utf-8", "utf-8"),
        (CSV.encode("utf-16"), "utf-16", "utf-16"),
        (CSV.encode("cp1252"), "utf-8", "cp1252"),
        (CSV.encode() + b"50,\xe9,no\n", "utf-8", "utf-8"),
        (b"a,b\n1,\x81\xe9\n", "utf-8", "utf-8"),
        (b"a,b\n1,\x01\xe9\n", "utf-8", "utf-8"),
    ],
)
def test_the_encoding_is_guessed_only_where_every_byte_fits(content, marked, likely):
    assert (detect_encoding(content), detect_encoding(content, guess=True)) == (marked, likely)


@pytest.mark.parametrize(
    ("content", "encoding", "words"),
    [
        (CSV.encode("cp1252"), None, "byte 5 of line 2 is f6 in hex"),
        (CSV, "klingon", "no encoding is called 'klingon'"),
        ("a,b\n1,x\x00y\n", None, "line 2 has a NUL character"),
        ("\r\n\n  \n", None, "only blank lines"),
    ],
)
def test_bytes_that_are_no_text_are_refused_with_their_place(read, content, encoding, words):
    with pytest.raises(TableError, match=words):
        read(content, encoding=encoding)


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        *((CSV.replace(",", delimiter), delimiter) for delimiter in ",;\t|"),
        ("a;b\n1,5;2,5\n", ";"),
        ('a,b\n"x;y",1\n"z;w",2\n', ","),
        ("a\n1\n", ","),
        ("Distance, km;Price, EUR;churn\n1,50;2,75;yes\n3,10;4,20;no\n", ";"),
        ("a, b|c, d\n1,5|2,5\n", "|"),
        ('a,b\n"' + "x" * 200_000 + '",1\n', ","),
    ],
)
def test_decimal_commas_and_quotes_do_not_mislead_about_the_delimiter(text, delimiter):
    assert detect_delimiter(text) == delimiter


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (CSV.encode("cp1252"), "read as cp1252 .*'31,Köln,yes'"),
        (CSV.encode("utf-16"), "^written in UTF-16$"),
        (CSV.replace("\n", "\r"), "carriage return alone"),
        (CSV.replace("\n", "\r\n"), "^$"),
    ],
)
def test_an_unusual_encoding_or_line_end_is_noted(read, content, note):
    assert re.search(note, " ".join(read(content, guess_encoding=True).notes))


def test_every_cell_is_text_as_it_is_written(read):
    table = read('a,b\n 007 ,NA\n,"x, y"\n1e400,"say ""no"""\n').table
    assert table.to_dict("list") == {"a": [" 007 ", "", "1e400"], "b": ["NA", "x, y", 'say "no"']}
    assert set(table.dtypes.astype(str)) == {"str"}


def test_quoted_lines_blank_lines_and_any_line_end_are_read(read):
    table = read('a,b\r\n"x\ny",1\r\n\r\nz,2\r\n').table
    assert table["a"].to_list() == ["x\ny", "z"]
    assert read("a,b\r1,2\r3,4\r").table["b"].to_list() == ["2", "4"]


def test_a_mark_at_the_start_and_a_nameless_empty_last_column_are_left_out(read):
    assert list(read("\ufeffa,b,\n1,2,\n3,4,\n").table) == ["a", "b"]
    assert read('a,b,\n1,"x\ny",\n').table.to_dict("list") == {"a": ["1"], "b": ["x\ny"]}


def test_a_table_of_many_chunks_is_whole(read):
    table = read("a,b\n" + "".join(f"{n},x\n" for n in range(45_000))).table
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
        ("My title\na,b\n1,2\n3,4\n", "1 cell, but the second has 2. Is line 1 a title above"),
        (
            "My, title\na,b,c\n1,2,3\n",
            "first line has 2 cells, but the rows have 3. Is line 1 a tit",
        ),
        ("0.5,1.5,2.5\n1,2,0\n", "the file seems to lack a header"),
        ("a,b\n1,2,3\n1\na,b\n1,2\n", r"(?s)row 1 has more.*row 2 has fewer.*row 3 has the header"),
    ],
)
def test_a_faulty_layout_is_refused_with_every_fault_and_its_place(read, text, words):
    with pytest.raises(TableError, match=words):
        read(text, delimiter=",")


WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(st.tuples(WORDS, WORDS), min_size=1),
    delimiter=st.sampled_from(",;\t|"),
    ending=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_a_csv_file_reads_back_as_it_was_written(read, rows, delimiter, ending, encoding):
    rows = [row for row in rows if row != ("first", "second")]  # a repeated header is refused
    rows.append(("last", ""))
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator=ending, quoting=csv.QUOTE_ALL)
    writer.writerows([("first", "second"), *rows])
    table = read(buffer.getvalue().encode(encoding), encoding=encoding, delimiter=delimiter).table
    assert [*table] == ["first", "second"]
    assert [tuple(row) for row in table.to_numpy()] == rows


@pytest.mark.parametrize("names", [["2023", "2024"], ["2019", "2020", "2021"], ["0", "1", "2"]])
def test_names_that_count_up_evenly_are_a_header(read, names):
    table = read(",".join(["region", *names]) + "\n" + "x" + ",7" * len(names) + "\n").table
    assert list(table) == ["region", *names]


def test_a_cell_of_any_length_is_read_and_the_limit_of_the_process_stays(read):
    limit = csv.field_size_limit()
    assert read("a,b\n1," + "x" * 140_000 + "\n").table["b"].str.len().to_list() == [140_000]
    assert csv.field_size_limit() == limit


def test_names_that_look_equal_are_one_name(read):
    assert list(read("\u00a0ge\u200bku\u0308ndigt ,b\n1,2\n").table) == ["gek\u00fcndigt", "b"]
    with pytest.raises(TableError, match="equal or differ only in case"):
        read("K\u00f6ln,Ko\u0308ln\n1,2\n")
