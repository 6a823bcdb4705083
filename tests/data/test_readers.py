import gzip
import os
import sqlite3
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evertune.config.schema import DataSection, DialectSection
from evertune.data.parsing import as_text
from evertune.data.readers import inspect_source, read_source, spec_from_params
from evertune.errors import TableError
from evertune.files import read_table, write_table

CSV = "age;left\n1,5;yes\n2,5;no\n"
TYPED = pd.DataFrame({"age": [31, 45], "left": ["yes", "no"], "day": pd.to_datetime(["2024"] * 2)})


def read(tmp_path, name, **more):
    return read_source(DataSection(source=name, target="left", **more), tmp_path)


def refused(root, words, name="t.csv"):
    with pytest.raises(TableError, match=words):
        read(root, name)


def test_a_file_that_is_missing_empty_or_no_file_is_refused(tmp_path):
    refused(tmp_path, r"^t\.csv: no such file \(looked in")
    (tmp_path / "t.csv").touch()
    refused(tmp_path, r"^t\.csv: the file is empty")
    refused(tmp_path, "cannot be reached: Not a directory", "t.csv/x")
    refused(tmp_path, "expected a file, found a folder", ".")
    os.mkfifo(tmp_path / "pipe.csv")  # nothing waits for it
    refused(tmp_path, "found a folder or a device", "pipe.csv")


def test_a_link_out_of_the_project_is_refused_and_the_path_it_points_to_is_not(tmp_path):
    root = tmp_path / "project"
    root.mkdir()
    (tmp_path / "t.csv").write_text(CSV)
    (root / "t.csv").symlink_to(tmp_path / "t.csv")
    refused(root, "a link that leaves the project")
    assert len(read(root, str(tmp_path / "t.csv"))) == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text(CSV)
    (tmp_path / "t.csv").chmod(0)
    refused(tmp_path, "may not be read")


def test_a_file_larger_than_memory_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text(CSV)
    os.truncate(tmp_path / "t.csv", 2**42)
    refused(tmp_path, "use Parquet or a sample")


def test_a_gzipped_csv_file_is_read_as_text(tmp_path):
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(CSV.encode()))
    assert read(tmp_path, "t.csv.gz").to_dict("list") == {
        "age": ["1,5", "2,5"],
        "left": ["yes", "no"],
    }


def test_a_parquet_file_keeps_its_types(tmp_path):
    TYPED.to_parquet(tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(read(tmp_path, "t.parquet"), TYPED)


def test_an_inspection_detects_the_dialect_and_notes_what_it_guessed(tmp_path):
    (tmp_path / "t.csv").write_bytes("age;left\n1,5;schön\n2,5;no\n".encode("cp1252"))
    source = inspect_source(DataSection(source="t.csv", target="left"), tmp_path)
    assert source.dialect == DialectSection(delimiter=";", encoding="cp1252", decimal=",")
    assert "read as cp1252" in source.notes[0]


def test_an_encoding_is_guessed_by_an_inspection_alone_and_used_where_it_is_declared(tmp_path):
    (tmp_path / "t.csv").write_bytes("age;left\n1,5;schön\n".encode("cp1252"))
    with pytest.raises(TableError, match="byte 8 of line 2 is f6 in hex"):
        read(tmp_path, "t.csv")
    assert read(tmp_path, "t.csv", dialect=DialectSection(encoding="cp1252"))["left"].to_list() == [
        "schön"
    ]


def test_a_typed_source_has_no_dialect(tmp_path):
    TYPED.to_parquet(tmp_path / "t.parquet")
    source = inspect_source(DataSection(source="t.parquet", target="left"), tmp_path)
    assert (source.dialect, source.notes, len(source.table)) == (DialectSection(), (), 2)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (TYPED.rename(columns={"day": "Age"}), "nearly equal: 'Age', 'age'"),
        (TYPED.rename(columns={"day": " "}), "a column has no name"),
        (TYPED.head(0), "0 rows; expected at least one"),
    ],
)
def test_a_typed_table_without_rows_or_with_doubtful_names_is_refused(tmp_path, table, words):
    table.to_parquet(tmp_path / "t.parquet")
    with pytest.raises(TableError, match=words):
        read(tmp_path, "t.parquet")


def test_a_file_that_is_parquet_only_by_name_is_refused(tmp_path):
    (tmp_path / "t.parquet").write_text(CSV)
    with pytest.raises(TableError, match="expected a Parquet file"):
        read(tmp_path, "t.parquet")


@pytest.fixture
def query(tmp_path, monkeypatch):
    """A query, and a database whose address is in the environment."""
    with sqlite3.connect(tmp_path / "shop.db") as database:
        TYPED.drop(columns="day").to_sql("people", database, index=False)
    database.close()
    (tmp_path / "t.sql").write_text("SELECT * FROM people ORDER BY age")
    monkeypatch.setenv("SHOP", f"sqlite:///{tmp_path}/shop.db")
    return tmp_path


def test_a_query_is_read_through_the_address_in_the_environment(query):
    assert read(query, "t.sql", address_variable="SHOP")["age"].to_list() == [31, 45]


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["postgresql", "postgres", "postgresql+psycopg"])
def test_an_address_of_postgresql_needs_no_driver_in_it(query, postgresql, monkeypatch, prefix):
    (query / "t.sql").write_text("SELECT 1 AS age, 'yes' AS left UNION SELECT 2, 'no' ORDER BY age")
    monkeypatch.setenv("SHOP", postgresql.replace("postgresql", prefix, 1))
    table = read(query, "t.sql", address_variable="SHOP")
    assert table.to_dict("list") == {"age": [1, 2], "left": ["yes", "no"]}


def test_a_driver_that_is_not_installed_is_named(query, monkeypatch):
    monkeypatch.setenv("SHOP", "oracle+oracledb://x:secret@host/y")
    with pytest.raises(TableError, match="the library oracledb is not installed") as caught:
        read(query, "t.sql", address_variable="SHOP")
    assert "secret" not in str(caught.value)


def test_a_query_may_hold_colons_and_percent_signs(query):
    text = """SELECT age, 'at :x, 10:30::z' AS "a :b", left FROM people WHERE left LIKE 'y%'"""
    (query / "t.sql").write_text(text)
    table = read(query, "t.sql", address_variable="SHOP")
    assert table.to_dict("list") == {"age": [31], "a :b": ["at :x, 10:30::z"], "left": ["yes"]}


def test_a_query_without_an_address_is_refused(query):
    with pytest.raises(TableError, match=r"`--address-variable DATABASE_URL`"):
        read(query, "t.sql")
    with pytest.raises(TableError, match="the environment variable OTHER is not set"):
        read(query, "t.sql", address_variable="OTHER")


@pytest.mark.parametrize("address", ["sqlite:////nowhere/secret.db", "secret", "secretdb://x"])
def test_a_failing_query_never_shows_the_address(query, monkeypatch, address):
    monkeypatch.setenv("SHOP", address)
    with pytest.raises(TableError, match="the query failed") as caught:
        read(query, "t.sql", address_variable="SHOP")
    assert "secret" not in str(caught.value)


def test_a_wrong_query_is_refused_in_the_words_of_the_database(query):
    (query / "t.sql").write_text("SELECT * FROM nobody")
    with pytest.raises(TableError, match="no such table: nobody"):
        read(query, "t.sql", address_variable="SHOP")


def test_the_spec_has_what_params_declare_and_the_decimal_sign_that_is_detected(tmp_path):
    (tmp_path / "t.csv").write_text(CSV)
    data = DataSection(
        source="t.csv", target="left", existing_model="models:/churn/1", ignore=("x",)
    )
    declared = spec_from_params(data, read_source(data, tmp_path))
    assert (declared.decimal, declared.existing, declared.ignore) == (
        ",",
        "existing_system",
        ("x",),
    )


LONG_IDS = [1577134800018226901, None, 1577134800018226902]


def test_long_integers_beside_missing_cells_keep_their_digits(tmp_path):
    ids = pa.array(LONG_IDS, pa.int64())
    pq.write_table(pa.table({"id": ids, "few": pa.array([1, None, 2])}), tmp_path / "t.parquet")
    table = read(tmp_path, "t.parquet")
    assert as_text(table["id"]).dropna().to_list() == [str(LONG_IDS[0]), str(LONG_IDS[2])]
    assert table["few"].dtype == "float64"
    write_table(tmp_path / "copy.parquet", table)
    assert as_text(read_table(tmp_path / "copy.parquet")["id"])[2] == str(LONG_IDS[2])


def test_long_decimals_of_a_query_keep_their_digits(tmp_path, monkeypatch):
    sqlite3.register_converter("EXACT_TEXT", lambda cell: Decimal(cell.decode()))
    with sqlite3.connect(tmp_path / "shop.db") as database:
        database.execute("CREATE TABLE t (id INTEGER, number EXACT_TEXT, name TEXT, price REAL)")
        rows = [(LONG_IDS[0], "15771348000182269010", "a", 1.5), (1, "1.50", "b", 2.5)]
        database.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", rows)
    database.close()
    (tmp_path / "t.sql").write_text("SELECT * FROM t")
    types = sqlite3.PARSE_DECLTYPES
    monkeypatch.setenv("SHOP", f"sqlite:///{tmp_path}/shop.db?detect_types={types}")
    table = read(tmp_path, "t.sql", address_variable="SHOP")
    assert as_text(table["number"]).to_list() == ["15771348000182269010", "1.5"]
    assert table["price"].to_list() == [1.5, 2.5]


def test_long_integers_beside_null_of_a_query_keep_their_digits(tmp_path, monkeypatch):
    with sqlite3.connect(tmp_path / "shop.db") as database:
        database.execute("CREATE TABLE t (id INTEGER, few INTEGER, price REAL, name TEXT)")
        rows = [(LONG_IDS[0], 1, 1.5, "a"), (None, None, None, None), (LONG_IDS[2], 2, 2.5, "b")]
        database.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", rows)
    database.close()
    (tmp_path / "t.sql").write_text("SELECT * FROM t")
    monkeypatch.setenv("SHOP", f"sqlite:///{tmp_path}/shop.db")
    table = read(tmp_path, "t.sql", address_variable="SHOP")
    assert as_text(table["id"]).dropna().to_list() == [str(LONG_IDS[0]), str(LONG_IDS[2])]
    assert (table["few"].dtype, table["price"].dtype) == ("float64", "float64")
    write_table(tmp_path / "copy.parquet", table)
    assert as_text(read_table(tmp_path / "copy.parquet")["id"])[2] == str(LONG_IDS[2])


def test_names_of_a_typed_table_have_one_form(tmp_path):
    TYPED.rename(columns={"left": "geku\u0308ndigt\u00a0"}).to_parquet(tmp_path / "t.parquet")
    assert list(read(tmp_path, "t.parquet")) == ["age", "gek\u00fcndigt", "day"]


def test_bytes_are_the_text_that_they_are_or_refused(tmp_path):
    cells = {"b": [b"red", None, "gr\u00fcn".encode()], "y": [1, 2, 3]}
    pq.write_table(pa.table(cells), tmp_path / "a.parquet")
    assert read(tmp_path, "a.parquet")["b"].fillna("").tolist() == ["red", "", "grün"]
    pq.write_table(pa.table(cells | {"b": [b"\xff\x00", b"a", None]}), tmp_path / "a.parquet")
    with pytest.raises(TableError, match=r"a\.parquet: column 'b' holds bytes that are no text"):
        read(tmp_path, "a.parquet")
