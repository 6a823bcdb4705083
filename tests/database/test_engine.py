import sqlite3
import subprocess
import sys

import psycopg
import pytest

from evertune.database import (
    CLAIMS,
    close_log,
    closing_log,
    database_url,
    open_log,
    read_transaction,
    write_transaction,
)
from evertune.database import engine as database_engine
from evertune.errors import BusyError, ParamsError, StageError, UnsafeError
from evertune.registry.decision_log import DecisionLog
from tests.logs import NEW_YEAR, append, known_ids, logged

ROW = {"model": "churn", "id": "d1", "claimed_by": "a", "moment": NEW_YEAR}
NOBODY = "postgresql://someone:open-sesame@127.0.0.1:1/log"


def test_without_an_address_the_log_lies_in_the_state_folder(tmp_path):
    with closing_log(tmp_path / "state", model="churn", variable=None) as log:
        append(log, logged("a"))
    assert (tmp_path / "state" / "predictions.db").stat().st_size


def test_what_was_logged_is_there_when_the_log_is_opened_again(log, address, tmp_path):
    append(log, logged("a"))
    again = open_log(tmp_path, model=log.model, address=address)
    assert known_ids(again, ["a"]) == {"a"}
    close_log(again)


def test_sqlite_writes_ahead_so_that_readers_never_wait(tmp_path):
    names = ("journal_mode", "synchronous")
    with (
        closing_log(tmp_path, model="churn", variable=None) as log,
        read_transaction(log) as connection,
    ):
        modes = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]
    assert modes == ["wal", 1]


def test_the_address_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("LOG_ADDRESS", "sqlite:///log.db")
    assert (database_url("LOG_ADDRESS"), database_url(None)) == ("sqlite:///log.db", None)


def test_a_variable_that_is_named_and_not_set_is_told(monkeypatch):
    monkeypatch.delenv("LOG_ADDRESS", raising=False)
    with pytest.raises(ParamsError, match="the environment variable LOG_ADDRESS is not set"):
        database_url("LOG_ADDRESS")


@pytest.mark.parametrize("address", ["mysql://u:open-sesame@h/log", "open-sesame", "sqlite://"])
def test_an_address_of_something_else_is_refused_without_being_shown(address, tmp_path):
    with pytest.raises(ParamsError, match=r"must start with postgresql://") as caught:
        open_log(tmp_path, model="churn", address=address)
    assert "open-sesame" not in str(caught.value)


@pytest.mark.slow
def test_a_server_that_does_not_answer_is_told_without_its_password(tmp_path):
    with pytest.raises(BusyError, match=r"127\.0\.0\.1:1/log does not answer") as caught:
        open_log(tmp_path, model="churn", address=NOBODY)
    assert "open-sesame" not in str(caught.value)


def test_a_file_that_is_no_database_stays_as_it_is(tmp_path):
    (tmp_path / "predictions.db").write_text("a letter to a friend" * 100)
    with pytest.raises(
        UnsafeError, match=r"predictions\.db cannot be used: file is not a database"
    ):
        open_log(tmp_path, model="churn")
    assert (tmp_path / "predictions.db").read_text().startswith("a letter")


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "state").write_text("")
    with pytest.raises(UnsafeError, match=r"state/predictions\.db cannot be written"):
        open_log(tmp_path / "state", model="churn")


def test_a_database_that_someone_else_locked_is_read_and_refuses_writers(tmp_path, monkeypatch):
    monkeypatch.setattr(database_engine, "TIMEOUT_SECONDS", 0.1)
    close_log(open_log(tmp_path, model="churn"))
    other = sqlite3.connect(tmp_path / "predictions.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    log = open_log(tmp_path, model="churn")
    assert known_ids(log, ["a"]) == set()
    with pytest.raises(BusyError, match=r"does not answer: database is locked\. Try again"):
        append(log, logged("a"))
    other.close()
    close_log(log)


def test_a_log_is_read_while_someone_else_writes(log, address, tmp_path):
    append(log, logged("a"))
    other = open_log(tmp_path, model=log.model, address=address)
    with write_transaction(other) as connection:
        connection.execute(CLAIMS.insert(), ROW | {"model": log.model})
        assert known_ids(log, ["a"]) == {"a"}
    close_log(other)


def test_a_block_that_fails_changes_nothing(log):
    row = ROW | {"model": log.model}
    with pytest.raises(StageError), write_transaction(log) as connection:
        connection.execute(CLAIMS.insert(), [row | {"id": "d2"}, row, row])
    with read_transaction(log) as connection:
        found = connection.execute(CLAIMS.select().where(CLAIMS.c.model == log.model))
        assert found.all() == []


def test_what_the_database_refuses_is_told(log):
    twice = [ROW | {"model": log.model}] * 2
    with pytest.raises(StageError, match="refused: "), write_transaction(log) as connection:
        connection.execute(CLAIMS.insert(), twice)


def test_a_full_disk_changes_nothing_and_is_told(tmp_path):
    with closing_log(tmp_path, model="churn", variable=None) as log:
        rows = [ROW | {"id": str(number)} for number in range(5000)]
        with (
            pytest.raises(UnsafeError, match=r"disk is full\. Free some space"),
            write_transaction(log) as connection,
        ):
            fill(connection, rows)
        assert DecisionLog(log).claim("0", by="a", moment=NEW_YEAR)


def fill(connection, rows):
    connection.exec_driver_sql("PRAGMA max_page_count = 1")
    connection.execute(CLAIMS.insert(), rows)


@pytest.mark.slow
def test_a_database_that_is_not_there_is_told(postgresql, tmp_path):
    with pytest.raises(ParamsError, match=r'does not let us in: .*"nothing" does not exist'):
        open_log(tmp_path, model="churn", address=postgresql.replace("/postgres", "/nothing"))


@pytest.mark.slow
def test_a_server_that_was_started_again_is_no_failure(postgresql, tmp_path):
    log = open_log(tmp_path, model="churn", address=postgresql)
    with psycopg.connect(postgresql) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid != pg_backend_pid()"
        )
    assert known_ids(log, ["a"]) == set()
    close_log(log)


def test_a_log_that_is_opened_once_more_stays_open_for_others(tmp_path):
    log = open_log(tmp_path, model="churn")
    code = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('SELECT * FROM labels')"
    with read_transaction(log) as connection:
        connection.exec_driver_sql("SELECT * FROM labels")
        close_log(open_log(tmp_path, model="churn"))
        subprocess.run([sys.executable, "-c", code, tmp_path / "predictions.db"], check=True)
        # the last one to leave would remove it: the process was not the last
        assert (tmp_path / "predictions.db-wal").exists()
