import sqlite3
import subprocess
import sys

import psycopg
import pytest

from evertune.database import CLAIMS, database_url, open_log
from evertune.database import engine as database_engine
from evertune.errors import BusyError, ParamsError, StageError, UnsafeError
from evertune.registry.decision_log import DecisionLog
from tests.support.logs import NEW_YEAR, append, known_ids, logged

ROW = {"model": "churn", "id": "d1", "claimed_by": "a", "moment": NEW_YEAR}
NOBODY = "postgresql://someone:open-sesame@127.0.0.1:1/log"


def test_a_log_without_an_address_is_a_file_in_the_state_folder(tmp_path):
    with open_log(tmp_path / "state", model="churn") as log:
        append(log, logged("a"))
    assert (tmp_path / "state" / "predictions.db").stat().st_size


def test_a_log_that_is_opened_again_has_its_rows(log, address, tmp_path):
    append(log, logged("a"))
    with open_log(tmp_path, model=log.model, address=address) as again:
        assert known_ids(again, ["a"]) == {"a"}


def test_sqlite_writes_ahead_so_that_readers_never_wait(tmp_path):
    names = ("journal_mode", "synchronous")
    with open_log(tmp_path, model="churn") as log, log.read_transaction() as connection:
        modes = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]
    assert modes == ["wal", 1]


def test_the_address_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("LOG_ADDRESS", "sqlite:///log.db")
    assert (database_url("LOG_ADDRESS"), database_url(None)) == ("sqlite:///log.db", None)
    monkeypatch.delenv("LOG_ADDRESS")
    with pytest.raises(ParamsError, match="the environment variable LOG_ADDRESS is not set"):
        database_url("LOG_ADDRESS")


@pytest.mark.parametrize("address", ["mysql://u:open-sesame@h/log", "open-sesame", "sqlite://"])
def test_an_address_of_another_kind_is_refused_without_being_shown(address, tmp_path):
    with pytest.raises(ParamsError, match=r"must start with postgresql://") as caught:
        open_log(tmp_path, model="churn", address=address)
    assert "open-sesame" not in str(caught.value)


@pytest.mark.slow
def test_a_server_that_does_not_answer_is_named_without_its_password(tmp_path):
    with pytest.raises(BusyError, match=r"127\.0\.0\.1:1/log does not answer") as caught:
        open_log(tmp_path, model="churn", address=NOBODY)
    assert "open-sesame" not in str(caught.value)


def test_a_file_that_is_no_database_stays_as_it_is(tmp_path):
    (tmp_path / "predictions.db").write_text("a letter to a friend" * 100)
    with pytest.raises(UnsafeError, match=r"predictions\.db cannot be used: file is not a data"):
        open_log(tmp_path, model="churn")
    assert (tmp_path / "predictions.db").read_text().startswith("a letter")


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "state").write_text("")
    with pytest.raises(UnsafeError, match=r"state/predictions\.db cannot be written"):
        open_log(tmp_path / "state", model="churn")


def test_a_database_that_another_process_locked_is_read_and_refuses_writers(tmp_path, monkeypatch):
    monkeypatch.setattr(database_engine, "TIMEOUT_SECONDS", 0.1)
    open_log(tmp_path, model="churn").close()
    other = sqlite3.connect(tmp_path / "predictions.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with open_log(tmp_path, model="churn") as log:
        assert known_ids(log, ["a"]) == set()
        with pytest.raises(BusyError, match=r"does not answer: database is locked\. Try again"):
            append(log, logged("a"))
        other.close()


def test_a_log_is_read_while_another_connection_writes(log, address, tmp_path):
    append(log, logged("a"))
    with (
        open_log(tmp_path, model=log.model, address=address) as other,
        other.write_transaction() as connection,
    ):
        connection.execute(CLAIMS.insert(), ROW | {"model": log.model})
        assert known_ids(log, ["a"]) == {"a"}


def test_a_transaction_that_fails_changes_nothing(log):
    row = ROW | {"model": log.model}
    with pytest.raises(StageError, match="refused: "), log.write_transaction() as connection:
        connection.execute(CLAIMS.insert(), [row | {"id": "d2"}, row, row])
    with log.read_transaction() as connection:
        claims = connection.execute(CLAIMS.select().where(CLAIMS.c.model == log.model))
        assert claims.all() == []


def test_a_full_disk_is_named_and_changes_nothing(tmp_path):
    rows = [ROW | {"id": str(number)} for number in range(5000)]

    def fill(connection):
        connection.exec_driver_sql("PRAGMA max_page_count = 1")
        connection.execute(CLAIMS.insert(), rows)

    with open_log(tmp_path, model="churn") as log:
        with (
            pytest.raises(UnsafeError, match=r"disk is full\. Free some space"),
            log.write_transaction() as connection,
        ):
            fill(connection)
        assert DecisionLog(log).claim("0", by="a", moment=NEW_YEAR)


@pytest.mark.slow
def test_a_database_that_does_not_exist_is_named(postgresql, tmp_path):
    with pytest.raises(ParamsError, match=r'does not let us in: .*"nothing" does not exist'):
        open_log(tmp_path, model="churn", address=postgresql.replace("/postgres", "/nothing"))


@pytest.mark.slow
def test_a_server_that_was_started_again_is_no_failure(postgresql, tmp_path):
    with open_log(tmp_path, model="churn", address=postgresql) as log:
        with psycopg.connect(postgresql) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid != pg_backend_pid()"
            )
        assert known_ids(log, ["a"]) == set()


def test_opening_a_log_once_more_keeps_it_open_for_others(tmp_path):
    code = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('SELECT * FROM labels')"
    with open_log(tmp_path, model="churn") as log, log.read_transaction() as connection:
        connection.exec_driver_sql("SELECT * FROM labels")
        open_log(tmp_path, model="churn").close()
        subprocess.run([sys.executable, "-c", code, tmp_path / "predictions.db"], check=True)
        # the last one to leave would remove it: the process was not the last
        assert (tmp_path / "predictions.db-wal").exists()
