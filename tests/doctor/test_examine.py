"""Each fault is found, and is gone once what its finding says was done; nothing else is found."""

import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psutil
import psycopg
import pytest

from evertune.access import PREFECT, make_secret, secret_path
from evertune.config.yaml_file import edit_section
from evertune.database import open_log
from evertune.decisions import DecisionOutcome
from evertune.doctor import Finding, examine
from evertune.files import project_lock
from evertune.registry.decision_log import DecisionLog
from evertune.registry.mlflow_connection import connect
from evertune.search.ray_guardian import ray_temp_folder
from tests.support.projects import ADDRESSES, CHECKOUT, free_port, invoke

pytestmark = pytest.mark.slow
UP_PORTS = ("port 4200", "port 5000")  # of the machine that runs the tests, whoever has them


@pytest.fixture
def project(trained_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a healthy project on a healthy machine."""
    for name in ADDRESSES:
        monkeypatch.delenv(name, raising=False)
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "EMAIL"):
        monkeypatch.delenv(name, raising=False)
    identity = trained_root.parent / "gitconfig"
    identity.write_text("[user]\n\tname = a\n\temail = a@b.c\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(identity))
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    subprocess.run(["git", "init", "-q"], cwd=trained_root, check=True)
    edit_section(trained_root / "params.yaml", "scoring", {"port": free_port()})
    (trained_root / "state" / "ray.token").touch(mode=0o600)
    connect(trained_root / "state")
    return trained_root


def findings(root: Path) -> list[Finding]:
    return [each for each in examine(root) if not any(port in each.text for port in UP_PORTS)]


def only_finding(root: Path) -> Finding:
    (found,) = findings(root)
    return found


def follow(root: Path, command: str) -> None:
    """Type a command in the project's folder."""
    done = subprocess.run(
        ["bash", "-c", command], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def quoted_command(found: Finding, begin: str) -> str:
    """Return the command in the advice that begins like that."""
    text = str(found.by_hand)
    return next(each for each in re.findall(r"`([^`]+)`", text) if each.startswith(begin))


def test_a_healthy_project_has_no_finding(project):
    assert findings(project) == []


def cached(root: Path, name: str) -> Path:
    text = (root / "dvc.lock").read_text()
    md5 = re.search(rf"path: {name}\n\s+hash: md5\n\s+md5: (\w+)", text)
    assert md5 is not None
    return root / ".dvc" / "cache" / "files" / "md5" / md5[1][:2] / md5[1][2:]


def flip_byte(path: Path) -> None:
    """Change a byte, as a disk does: mode and size stay."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(0o444)


def tear_dvc_lock(root: Path) -> None:
    (root / ".dvc" / "tmp" / "rwlock").write_text('{"write": {"/data/pool"')


def damage_cache(root: Path) -> None:
    flip_byte(cached(root, "data/training.parquet"))


def damage_cache_with_remote(root: Path) -> None:
    remote = root.parent / "remote"
    follow(root, f"dvc remote add --default r {remote} && dvc push -q")
    flip_byte(cached(root, "data/training.parquet"))
    (root / "data" / "training.parquet").unlink()


def open_token(root: Path) -> None:
    (root / "state" / "ray.token").chmod(0o644)


def open_secret(root: Path) -> None:
    make_secret(root / "state", PREFECT)
    secret_path(root / "state", PREFECT).chmod(0o640)


def open_folder_of_secrets(root: Path) -> None:
    make_secret(root / "state", PREFECT)
    secret_path(root / "state", PREFECT).parent.chmod(0o755)


def open_state_folder(root: Path) -> None:
    (root / "state").chmod(0o777)


def write_state_file(root: Path) -> None:
    shutil.rmtree(root / "state")
    (root / "state").write_text("")


def secret_in_local_settings(root: Path) -> None:
    with (root / ".dvc" / "config.local").open("a") as file:
        file.write('["remote \\"r\\""]\n'.replace("\\", "") + "    password = x\n")


def password_in_an_address(root: Path) -> None:
    with (root / ".dvc" / "config.local").open("a") as file:
        file.write("['remote \"r\"']\n    url = https://me:x@store.example/data\n")


def drop_revision(root: Path) -> None:
    with sqlite3.connect(root / "state" / "predictions.db") as connection:
        connection.execute("DROP TABLE evertune_schema")


def leave_run_running(root: Path) -> None:
    with sqlite3.connect(root / "state" / "mlflow.db") as connection:
        connection.execute(
            "UPDATE runs SET status = 'RUNNING' WHERE run_uuid IN"
            " (SELECT run_uuid FROM tags WHERE key = 'evertune.search')"
        )


def leave_owner(root: Path) -> None:
    (root / "state" / "run.json").write_text("{}")


def leave_half_file(root: Path) -> None:
    (root / "data" / ".figures.json.0f.part").write_text("{")


def leave_ray_folder(root: Path) -> None:
    (ray_temp_folder(root / "state") / "session").mkdir(parents=True)


def leave_git(root: Path) -> None:
    shutil.rmtree(root / ".git")


def forget_identity(root: Path) -> None:
    (root.parent / "gitconfig").write_text("")


def move_database(root: Path) -> None:
    old = (root.parent / "elsewhere" / "state" / "artifacts").as_uri()
    with sqlite3.connect(root / "state" / "mlflow.db") as connection:
        connection.execute("UPDATE experiments SET artifact_location = ?", [old])


def move_dvc(root: Path) -> None:
    settings = root / ".dvc" / "config.local"
    settings.write_text(settings.read_text().replace(str(root), "/elsewhere"))


COMMANDS: dict[Callable[[Path], None], tuple[str, str]] = {
    tear_dvc_lock: ("dvc lock", "warning"),
    damage_cache: ("dvc cache", "error"),
    damage_cache_with_remote: ("dvc cache", "error"),
    open_token: ("rights", "error"),
    open_secret: ("rights", "error"),
    open_folder_of_secrets: ("rights", "error"),
    open_state_folder: ("rights", "error"),
    write_state_file: ("writable", "error"),
    secret_in_local_settings: ("rights", "error"),
    password_in_an_address: ("rights", "error"),
    drop_revision: ("log", "warning"),
    leave_run_running: ("mlflow runs", "warning"),
    leave_owner: ("leftovers", "warning"),
    leave_half_file: ("leftovers", "warning"),
    leave_ray_folder: ("leftovers", "warning"),
    leave_git: ("git", "warning"),
    forget_identity: ("git", "warning"),
}


@pytest.mark.parametrize("spoil", COMMANDS, ids=lambda spoil: spoil.__name__)
def test_the_command_of_a_finding_mends_it(project, spoil):
    spoil(project)
    found = only_finding(project)
    assert (found.check, found.level) == COMMANDS[spoil]
    follow(project, str(found.command))
    assert findings(project) == []


def test_one_command_mends_all_that_names_the_folder_before_a_move(project):
    spoils = {move_dvc: "DVC's settings", move_database: "mlflow.db"}
    for spoil, words in spoils.items():
        spoil(project)
        found = findings(project)[-1]
        assert (found.check, found.level, found.command) == ("moved", "warning", "evertune status")
        assert words in found.text
    assert len(findings(project)) == len(spoils)
    follow(project, "evertune status")
    assert findings(project) == []


def test_a_damaged_copy_that_is_nowhere_else_is_removed_and_made_again(project):
    flip_byte(cached(project, "data/training.parquet"))
    (project / "data" / "training.parquet").unlink()
    found = only_finding(project)
    kept = cached(project, "data/training.parquet")
    assert found.command == f"rm -f {kept} && evertune train"


@contextmanager
def running(*command: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        process.wait()


def note_dvc_user(root: Path, pid: int) -> None:
    content = {"write": {"/data/pool": {"pid": pid, "cmd": "dvc repro"}}, "read": {}}
    (root / ".dvc" / "tmp" / "rwlock").write_text(json.dumps(content))


def test_a_lock_of_dvc_whose_process_id_was_given_to_another_is_found(project):
    with running("sleep", "60") as other:
        note_dvc_user(project, other.pid)
        found = only_finding(project)
        assert (found.check, found.level) == ("dvc lock", "error")
        assert f"process {other.pid}" in found.text
        follow(project, str(found.command))
        assert findings(project) == []


def test_a_lock_is_stale_if_its_process_began_after_it_was_written(project):
    note_dvc_user(project, os.getpid())
    assert findings(project) == []  # this is Python, as DVC is
    long_ago = psutil.Process().create_time() - 100
    os.utime(project / ".dvc" / "tmp" / "rwlock", (long_ago, long_ago))
    assert only_finding(project).check == "dvc lock"


def test_a_lock_of_a_process_that_has_ended_is_left_to_dvc(project):
    with running("sleep", "60") as other:
        pass
    note_dvc_user(project, other.pid)
    assert findings(project) == []


def test_who_has_a_port_is_named_and_can_be_ended(project):
    port = free_port()
    edit_section(project / "params.yaml", "scoring", {"port": port})
    server = ("-m", "http.server", "--bind", "127.0.0.1", str(port))
    with running(sys.executable, *server) as other:
        wait_for_port(port)
        found = only_finding(project)
        assert (found.check, found.level) == ("ports", "warning")
        assert f"process {other.pid}" in found.text
        follow(project, quoted_command(found, "kill"))
        other.wait(10)
        assert findings(project) == []


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        time.sleep(0.05)
    raise TimeoutError(port)


def test_processes_of_a_killed_search_are_found_but_not_while_a_run_holds_the_project(project):
    token = str(project / "state" / "ray.token")
    with running("sleep", "60", RAY_AUTH_TOKEN_PATH=token) as left:
        with project_lock(project / "state", "evertune train"):
            assert findings(project) == []
        found = only_finding(project)
        assert found.command == f"kill -9 {left.pid}"
        follow(project, found.command)
        left.wait(10)
        assert findings(project) == []


def ask_for_many_workers(root: Path) -> None:
    edit_section(root / "params.yaml", "search", {"workers": 100_000})


def ask_for_a_large_pool(root: Path) -> None:
    edit_section(root / "params.yaml", "search", {"pool_megabytes": 10**9})


def misspell_key(root: Path) -> None:
    text = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(text.replace("  n_folds:", "  n_flods:"))


def break_stages(root: Path) -> None:
    text = (root / "dvc.yaml").read_text()
    (root / "dvc.yaml").write_text(text.replace("    cmd: python -m pipelines.fit\n", ""))


def lose_log_address(root: Path) -> None:
    edit_section(root / "params.yaml", "scoring", {"log_variable": "NO_SUCH_VARIABLE"})


@pytest.mark.parametrize(
    ("spoil", "expected", "words"),
    [
        (
            ask_for_many_workers,
            {"processors": "error", "memory": "warning"},
            "set `search.workers`",
        ),
        (ask_for_a_large_pool, {"disk": "warning"}, "set `search.pool_megabytes`"),
        (misspell_key, {"params.yaml": "error"}, "Correct"),
        (break_stages, {"stages": "error"}, "restore it from git"),
        (lose_log_address, {"log": "error"}, "NO_SUCH_VARIABLE"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_faults_of_settings_are_found_until_they_are_corrected(project, spoil, expected, words):
    before = {name: (project / name).read_text() for name in ("params.yaml", "dvc.yaml")}
    spoil(project)
    found = findings(project)
    assert {each.check: each.level for each in found} == expected
    assert words in str(found[0].by_hand) + str(found[-1].by_hand)
    for name, text in before.items():
        (project / name).write_text(text)
    assert findings(project) == []


def test_the_advice_about_the_pool_is_enough(project):
    ask_for_a_large_pool(project)
    most = re.search(r"at most (\d+)", str(only_finding(project).by_hand))
    assert most is not None
    edit_section(project / "params.yaml", "search", {"pool_megabytes": int(most[1]) - 1000})
    assert findings(project) == []


def test_a_secret_in_the_committed_settings_is_moved_to_the_local_ones(project):
    section, line = "['remote \"r\"']\n    url = s3://b/c\n", "    secret_access_key = x\n"
    settings, local = project / ".dvc" / "config", project / ".dvc" / "config.local"
    settings.write_text(settings.read_text() + section + line)
    found = only_finding(project)
    assert "secret_access_key" in found.text
    settings.write_text(settings.read_text().replace(line, ""))
    local.write_text(local.read_text() + "['remote \"r\"']\n" + line)
    follow(project, quoted_command(found, "chmod"))
    assert findings(project) == []


def test_a_clock_that_is_behind_what_was_stored_is_found(project):
    later = time.time() + 86_400
    os.utime(project / "dvc.lock", (later, later))
    found = only_finding(project)
    assert (found.check, found.level) == ("clock", "warning")
    follow(project, quoted_command(found, "touch"))
    assert findings(project) == []


def test_a_remote_that_is_not_there_is_found(project):
    follow(project, f"dvc remote add --default r {project.parent}/gone/remote")
    found = only_finding(project)
    assert (found.check, found.level) == ("dvc remote", "error")
    follow(project, quoted_command(found, "dvc config"))
    assert findings(project) == []


@pytest.mark.parametrize("name", ["mlflow.db", "predictions.db"])
def test_a_damaged_database_is_found(project, name):
    (project / "state" / name).write_bytes(b"no database" * 500)
    found = only_finding(project)
    assert found.level == "error"
    assert "not a database" in found.text
    follow(project, quoted_command(found, "mv"))
    assert findings(project) == []


def set_value(database: Path, statement: str) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute(statement)


def test_a_database_of_a_newer_release_is_found(project):
    log, store = project / "state" / "predictions.db", project / "state" / "mlflow.db"
    copies = {path: path.read_bytes() for path in (log, store)}
    set_value(log, "UPDATE evertune_schema SET version_num = '9999'")
    set_value(store, "UPDATE alembic_version SET version_num = 'ffffffffffff'")
    found = {each.check: each for each in findings(project)}
    assert {name: each.level for name, each in found.items()} == {
        "log": "error",
        "mlflow store": "error",
    }
    assert found["log"].command == "pip install -U evertune"
    for path, content in copies.items():
        path.write_bytes(content)
    assert findings(project) == []


def test_the_tables_of_a_log_on_a_server_are_looked_at(project, postgresql, monkeypatch):
    with psycopg.connect(postgresql, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS examined")
        connection.execute("CREATE DATABASE examined")
    address = postgresql.rpartition("/")[0] + "/examined"
    monkeypatch.setenv("LOG_ADDRESS", address)
    edit_section(project / "params.yaml", "scoring", {"log_variable": "LOG_ADDRESS"})
    assert findings(project) == []  # it has no tables yet
    open_log(project / "state", model="churn", address=address).close()
    assert findings(project) == []
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("UPDATE evertune_schema SET version_num = '9999'")
        assert only_finding(project).command == "pip install -U evertune"
        connection.execute("DROP TABLE evertune_schema")
    found = only_finding(project)
    assert (found.check, found.level) == ("log", "warning")
    follow(project, str(found.command))
    assert findings(project) == []
    monkeypatch.setenv("LOG_ADDRESS", address.replace("examined", "gone"))
    found = only_finding(project)
    assert (found.check, found.level) == ("log", "error")
    assert "does not exist" in found.text


def test_a_decision_that_was_started_and_not_ended_is_found(project):
    now = datetime(2024, 5, 1, tzinfo=UTC)
    with open_log(project / "state", model="churn") as log:
        DecisionLog(log).record_outcome(DecisionOutcome("d1", now, "started", detail="run by a"))
    found = only_finding(project)
    assert (found.check, found.command) == ("decisions", "evertune retune d1 --again")
    with open_log(project / "state", model="churn") as log:
        DecisionLog(log).record_outcome(DecisionOutcome("d1", now, "refused"))
    assert findings(project) == []


def test_a_library_of_a_wrong_version_is_found_with_what_installs_it(
    project, tmp_path, monkeypatch
):
    other = tmp_path / "site" / "rich-1.0.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: rich\nVersion: 1.0\n")
    with monkeypatch.context() as patch:
        patch.syspath_prepend(other.parent)
        found = only_finding(project)
    assert (found.check, found.level) == ("libraries", "error")
    assert "1.0 is installed" in found.text
    assert found.command == f"{sys.executable} -m pip install 'rich>=13'"
    assert findings(project) == []


def test_servers_that_do_not_answer_are_found(project, monkeypatch):
    address = f"127.0.0.1:{free_port()}"
    named = dict.fromkeys(("MLFLOW_TRACKING_URI", "PREFECT_API_URL"), f"http://{address}/api")
    named["RAY_ADDRESS"] = address
    for name, place in named.items():
        monkeypatch.setenv(name, place)
    found = findings(project)
    assert [(each.check, each.level) for each in found] == [("addresses", "error")] * 3
    assert [each.command for each in found] == [f"unset {name}" for name in named]
    for each, name in zip(found, named, strict=True):
        assert each.text.startswith(f"{name} is {named[name]}, but nothing answers")
    unset = "; ".join(str(each.command) for each in found)
    ask = f"{unset}; {sys.executable} -m evertune.cli.app doctor --json"
    done = subprocess.run(
        ["bash", "-c", ask], cwd=project, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not [name for name in named if name in done.stdout]


@pytest.mark.parametrize(
    ("name", "page"), [("MLFLOW_TRACKING_URI", ""), ("PREFECT_API_URL", "/api")]
)
@pytest.mark.parametrize("code", [200, 401])
def test_a_server_that_lets_others_in_without_a_password_is_found(
    project, name, page, code, monkeypatch
):
    class Server(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(code)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("0.0.0.0", 0), Server) as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        monkeypatch.setenv(name, f"http://{socket.gethostname()}:{server.server_port}{page}")
        found = [each.check for each in findings(project)]
        server.shutdown()
    assert found == (["open servers"] if code == 200 else [])


def test_a_cluster_without_a_token_is_found(project, monkeypatch):
    with socket.create_server(("0.0.0.0", 0)) as cluster:
        monkeypatch.setenv("RAY_ADDRESS", f"{socket.gethostname()}:{cluster.getsockname()[1]}")
        assert "without a token" in only_finding(project).text
        monkeypatch.setenv("RAY_AUTH_MODE", "token")
        assert findings(project) == []


def test_a_project_that_never_ran_is_healthy_but_for_what_git_says(project, tmp_path):
    new = tmp_path / "new"
    new.mkdir()
    for name in ("params.yaml", "dvc.yaml", "table.csv"):
        shutil.copy2(project / name, new / name)
    assert {each.check for each in findings(new)} == {"git"}


@pytest.mark.usefixtures("project")
def test_the_machine_is_looked_at_where_there_is_no_project(tmp_path):
    (tmp_path / "none").mkdir()
    done = invoke(tmp_path / "none", "doctor", "--json")
    assert done.exit_code == 78
    found = json.loads(done.stdout)["findings"]
    assert {"git", "params.yaml"} == {each["check"] for each in found} - {"ports"}
    (advice,) = (each["by_hand"] for each in found if each["check"] == "params.yaml")
    assert "`evertune init DIR`" in advice
    assert list((tmp_path / "none").iterdir()) == []


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [(open_token, 78, "1 to mend before work"), (leave_owner, 0, "0 to mend before work")],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_command_ends_with_78_for_what_must_be_mended_and_with_0_for_warnings(
    project, spoil, code, words
):
    spoil(project)
    done = invoke(project, "doctor")
    assert (done.exit_code, words in done.output) == (code, True), done.output
    found = json.loads(invoke(project, "doctor", "--json").stdout)
    assert found["schema_version"] == 1
    assert {"check", "level", "text", "command", "by_hand"} == set(found["findings"][0])


def test_all_faults_are_found_at_once(project):
    kinds = [open_token, leave_owner, tear_dvc_lock, damage_cache, misspell_key, forget_identity]
    for spoil in kinds:
        spoil(project)
    checks = {each.check for each in findings(project)}
    assert checks == {"rights", "leftovers", "dvc lock", "dvc cache", "params.yaml", "git"}
