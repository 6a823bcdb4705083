import gzip
import sqlite3

import pandas as pd
import pytest

from evertune.config.schema import DataSection, DialectSection
from evertune.data.readers import inspect_source, read_source, spec_from_params
from evertune.errors import TableError

CSV = "age;left\n1,5;yes\n2,5;no\n"
TYPED = pd.DataFrame({"age": [31, 45], "left": ["yes", "no"], "day": pd.to_datetime(["2024"] * 2)})


def read(tmp_path, name, **more):
    return read_source(DataSection(source=name, target="left", **more), tmp_path)


def test_a_gzipped_csv_file_is_read_as_text(tmp_path):
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(CSV.encode()))
    assert read(tmp_path, "t.csv.gz").to_dict("list") == {
        "age": ["1,5", "2,5"],
        "left": ["yes", "no"],
    }


def test_a_parquet_file_keeps_its_types(tmp_path):
    TYPED.to_parquet(tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(read(tmp_path, "t.parquet"), TYPED)


def test_a_look_finds_the_dialect_and_says_what_it_guessed(tmp_path):
    (tmp_path / "t.csv").write_bytes("age;left\n1,5;schön\n2,5;no\n".encode("cp1252"))
    looked = inspect_source(DataSection(source="t.csv", target="left"), tmp_path)
    assert looked.dialect == DialectSection(delimiter=";", encoding="cp1252", decimal=",")
    assert "read as cp1252" in looked.notes[0]


def test_an_encoding_is_guessed_by_a_look_alone_and_kept_where_it_is_declared(tmp_path):
    (tmp_path / "t.csv").write_bytes("age;left\n1,5;schön\n".encode("cp1252"))
    with pytest.raises(TableError, match="byte 8 of line 2 is f6 in hex"):
        read(tmp_path, "t.csv")
    assert read(tmp_path, "t.csv", dialect=DialectSection(encoding="cp1252"))["left"].to_list() == [
        "schön"
    ]


def test_a_typed_source_has_no_dialect(tmp_path):
    TYPED.to_parquet(tmp_path / "t.parquet")
    looked = inspect_source(DataSection(source="t.parquet", target="left"), tmp_path)
    assert (looked.dialect, looked.notes, len(looked.table)) == (DialectSection(), (), 2)


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


def test_a_query_without_an_address_is_refused(query):
    with pytest.raises(TableError, match=r"set data\.address_variable"):
        read(query, "t.sql")
    with pytest.raises(TableError, match="the environment variable OTHER is not set"):
        read(query, "t.sql", address_variable="OTHER")


@pytest.mark.parametrize("address", ["sqlite:////nowhere/secret.db", "secret", "secretdb://x"])
def test_a_failing_query_never_shows_the_address(query, monkeypatch, address):
    monkeypatch.setenv("SHOP", address)
    with pytest.raises(TableError, match="the query failed") as caught:
        read(query, "t.sql", address_variable="SHOP")
    assert "secret" not in str(caught.value)


def test_a_wrong_query_is_told_in_the_words_of_the_database(query):
    (query / "t.sql").write_text("SELECT * FROM nobody")
    with pytest.raises(TableError, match="no such table: nobody"):
        read(query, "t.sql", address_variable="SHOP")


def test_what_params_say_is_handed_on_and_the_decimal_sign_looked_for(tmp_path):
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
