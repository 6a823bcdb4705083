import gzip
import os
import re

import pytest

from evertune.data.csv_dialects import (
    CsvText,
    bom_encoding,
    check_file,
    check_memory,
    csv_notes,
    decode_csv,
    detect_delimiter,
    detect_encoding,
    parse_csv,
    read_csv_bytes,
)
from evertune.errors import TableError

CSV = "age,city,left\n31,Köln,yes\n45,Bonn,no\n"


def file_with(tmp_path, content, name="table.csv"):
    (tmp_path / name).write_bytes(content)
    return tmp_path / name


def test_a_file_that_is_missing_empty_or_a_folder_is_refused(tmp_path):
    with pytest.raises(TableError, match=r"table.csv: no such file \(looked in"):
        check_file(tmp_path / "table.csv", tmp_path)
    with pytest.raises(TableError, match=r"table\.csv: the file is empty"):
        check_file(file_with(tmp_path, b""), tmp_path)
    with pytest.raises(TableError, match="expected a file, found a folder"):
        check_file(tmp_path, tmp_path)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(TableError, match="found a folder or a device"):
        check_file(tmp_path / "pipe.csv", tmp_path)


def test_a_link_out_of_the_project_is_refused(tmp_path):
    root = tmp_path / "project"
    root.mkdir()
    (root / "table.csv").symlink_to(file_with(tmp_path, b"a,b\n"))
    with pytest.raises(TableError, match="a link that leaves the project"):
        check_file(root / "table.csv", root)
    assert check_file(tmp_path / "table.csv", root) == tmp_path / "table.csv"


def test_a_path_through_a_file_cannot_be_reached(tmp_path):
    file_with(tmp_path, b"a,b\n")
    with pytest.raises(TableError, match="cannot be reached: Not a directory"):
        check_file(tmp_path / "table.csv" / "x", tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(tmp_path):
    path = file_with(tmp_path, b"a,b\n")
    path.chmod(0)
    with pytest.raises(TableError, match="may not be read"):
        check_file(path, tmp_path)


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
def test_a_file_that_is_no_csv_is_refused_by_what_it_is(tmp_path, content, words):
    with pytest.raises(TableError, match=words):
        read_csv_bytes(file_with(tmp_path, content))


def test_a_gzipped_file_is_unpacked(tmp_path):
    packed = file_with(tmp_path, gzip.compress(CSV.encode(), mtime=0), "table.csv.gz")
    assert read_csv_bytes(packed) == CSV.encode()


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", gzip.compress(CSV.encode(), mtime=0)[:-9]])
def test_a_gz_file_that_is_none_or_is_cut_off_is_refused(tmp_path, content):
    with pytest.raises(TableError, match="cannot be unpacked"):
        read_csv_bytes(file_with(tmp_path, content, "table.csv.gz"))


def test_a_zip_bomb_is_not_unpacked(tmp_path):
    bomb = file_with(tmp_path, gzip.compress(bytes(80 * 2**20), 1, mtime=0), "table.csv.gz")
    with pytest.raises(TableError, match="unpacks to over 100 times its size"):
        read_csv_bytes(bomb)


def test_a_file_larger_than_memory_is_refused(tmp_path):
    path = file_with(tmp_path, b"a,b\n")
    os.truncate(path, 2**42)
    with pytest.raises(TableError, match="use Parquet or a sample"):
        check_memory(path)


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
    assert (bom_encoding(content), detect_encoding(content)) == (marked, likely)


@pytest.mark.parametrize(
    ("content", "encoding", "words"),
    [
        (CSV.encode("cp1252"), "utf-8", "byte 5 of line 2 is f6 in hex"),
        (CSV.encode(), "klingon", "no encoding is called 'klingon'"),
        (b"a,b\n1,x\x00y\n", "utf-8", "line 2 has a NUL character"),
        (b"\r\n\n  \n", "utf-8", "only blank lines"),
    ],
)
def test_bytes_that_are_no_text_are_refused_with_their_place(content, encoding, words):
    with pytest.raises(TableError, match=words):
        decode_csv(content, "table.csv", encoding=encoding)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_by_a_look(delimiter):
    assert detect_delimiter(CSV.replace(",", delimiter)) == delimiter


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("a;b\n1,5;2,5\n", ";"),
        ('a,b\n"x;y",1\n"z;w",2\n', ","),
        ("a\n1\n", ","),
        ('a,b\n"' + "x" * 200_000 + '",1\n', ","),
    ],
)
def test_decimal_commas_and_quotes_do_not_mislead(text, delimiter):
    assert detect_delimiter(text) == delimiter


@pytest.mark.parametrize(
    ("text", "encoding", "note"),
    [
        (CSV, "cp1252", "read as cp1252 .* 'age|'31,Köln,yes'"),
        (CSV, "utf-16", "written in UTF-16"),
        (CSV.replace("\n", "\r"), "utf-8", "carriage return alone"),
    ],
)
def test_an_unusual_way_of_writing_is_noted(text, encoding, note):
    assert re.search(note, " ".join(csv_notes(CsvText(text, encoding, ","))))


def test_a_usual_file_has_no_notes():
    assert csv_notes(CsvText(CSV.replace("\n", "\r\n"), "utf-8", ",")) == ()


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
