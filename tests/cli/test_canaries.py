"""Secrets are planted wherever a project has some, and must not turn up anywhere else."""

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

import httpx
import pandas as pd
import psutil
import psycopg
import pytest
from sqlalchemy import create_engine

from evertune.access import kept_secret
from evertune.config.yaml_file import edit_section
from evertune.orchestration.environment import DEFAULTS
from evertune.orchestration.server import server_responds
from evertune.registry.mlflow_connection import mlflow_login, mlflow_ui_command
from tests.support.projects import free_port, invoke, run, start
from tests.support.services import wait

pytestmark = pytest.mark.slow
PLANTED = ("warehouse", "log", "token", "dotenv", "git", "dvc", "cloud")
CANARIES = {place: f"canary-{place}-4f1c9a" for place in PLANTED}
STEP_SECONDS = 0.2


@pytest.fixture
def database(postgresql: str) -> str:
    """Return the address of an empty database."""
    with psycopg.connect(postgresql, autocommit=True) as connection:
        connection.execute("CREATE DATABASE canaries")
    return postgresql.replace("/postgres", "/canaries")


def with_password(address: str, password: str) -> str:
    """Return the address of a database that takes any password."""
    return address.replace("evertune@", f"evertune:{password}@")


@contextmanager
def mlflow_with_login(state: Path) -> Iterator[str]:
    """Serve the project's store, and yield the address with user and password."""
    port = free_port()
    command = mlflow_ui_command(state, port, "0.0.0.0")
    with (state / "ui.log").open("wb") as log:
        server = Popen(command, env=os.environ | DEFAULTS | mlflow_login(state), stderr=log)
    try:
        address = f"http://127.0.0.1:{port}"
        assert server_responds(address, seconds=120, alive=lambda: server.poll() is None)
        yield address.replace("//", f"//{kept_secret(state, 'mlflow')}@")
    finally:
        for each in psutil.Process(server.pid).children(recursive=True):
            each.kill()
        server.kill()
        server.wait()


@contextmanager
def seen_commands() -> Iterator[set[str]]:
    """Yield a set that has the command lines of all processes that run meanwhile, at the end."""
    seen: set[str] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.wait(STEP_SECONDS):
            for each in psutil.process_iter():
                try:
                    seen.add(" ".join(each.cmdline()))
                except psutil.Error:
                    continue

    watching = threading.Thread(target=watch)
    watching.start()
    yield seen
    over.set()
    watching.join()


def plant(root: Path, database: str) -> None:
    """Plant secrets in the project's files, and have it ask for others."""
    table = pd.read_csv(root / "table.csv")
    table["date"] = pd.to_datetime(table["date"])
    engine = create_engine(database.replace("postgresql:", "postgresql+psycopg:"))
    table.to_sql("customers", engine, index=False)
    engine.dispose()
    (root / "rows.sql").write_text("SELECT * FROM customers ORDER BY date")
    source = {"source": "rows.sql", "address_variable": "WAREHOUSE"}
    edit_section(root / "params.yaml", "data", source)
    scoring = {"token_variable": "CHURN_TOKEN", "log_variable": "LOG"}
    edit_section(root / "params.yaml", "scoring", scoring)
    (root / ".env").write_text(f"PASSWORD={CANARIES['dotenv']}\n")
    address = "https://me:{}@store.example/x"
    for command in (
        ["git", "init", "-q"],
        ["git", "remote", "add", "origin", address.format(CANARIES["git"])],
        ["dvc", "remote", "add", "-q", "--local", "r", address.format(CANARIES["dvc"])],
    ):
        subprocess.run(command, cwd=root, check=True, capture_output=True)


def asked(root: Path, **environment: str) -> list[str]:
    """Return what the scoring service prints and answers, rightly and wrongly asked."""
    port = free_port()
    with start(root, "serve", "--port", str(port), **environment) as process:
        try:
            right = {"Authorization": f"Bearer {CANARIES['token']}"}
            address = f"http://127.0.0.1:{port}"
            with httpx.Client(base_url=address, headers=right, timeout=60) as client:

                def ready() -> bool:
                    try:
                        return client.get("/ready").status_code == 200
                    except httpx.TransportError:
                        return False

                wait(ready)
                answers = [client.get(page) for page in ("/ready", "/metrics", "/openapi.json")]
                assert [one.status_code for one in answers] == [200] * 3
                answers += [client.post("/predict", json=body) for body in ({}, {"row": {"a": 1}})]
                answers += [client.get("/metrics", headers={"Authorization": "Bearer x"})]
                answers += [client.post("/label", content=b"{")]
        finally:
            process.terminate()
        output = process.communicate()
    return [*output, *(f"{one.headers}{one.text}" for one in answers)]


def test_planted_secrets_turn_up_nowhere_else(trained_root: Path, database: str) -> None:
    root, state = trained_root, trained_root / "state"
    plant(root, database)
    with mlflow_with_login(state) as tracking, seen_commands() as commands:
        known = {
            "WAREHOUSE": with_password(database, CANARIES["warehouse"]).replace(
                ":", "+psycopg:", 1
            ),
            "LOG": with_password(database, CANARIES["log"]),
            "CHURN_TOKEN": CANARIES["token"],
            "AWS_SECRET_ACCESS_KEY": CANARIES["cloud"],
            "MLFLOW_TRACKING_URI": tracking,
        }
        trained = run(root, "train", **known)
        assert trained.returncode == 3, trained.stderr  # no evidence in so few rows
        promoted = invoke(root, "promote", "1", "--reason", "to be served", **known)
        assert promoted.exit_code == 0, promoted.stderr
        done = [trained, promoted, run(root, "doctor", **known)]
        wrong = known | {"WAREHOUSE": known["WAREHOUSE"].replace("/canaries", "/none")}
        done.append(invoke(root, "snapshot", **wrong))
        texts = asked(root, **known)
    texts += [text for each in done for text in (each.stdout, each.stderr)]
    texts += commands
    password = str(kept_secret(state, "mlflow")).partition(":")[2]
    secrets = [*CANARIES.values(), password]
    assert not [text for text in texts if any(secret in text for secret in secrets)]
    own = {
        root / ".env",
        root / ".git/config",
        root / ".dvc/config.local",
        state / "secrets/mlflow",
    }
    held = {
        path
        for path in root.rglob("*")
        if path.is_file() and any(secret.encode() in path.read_bytes() for secret in secrets)
    }
    assert held == own
