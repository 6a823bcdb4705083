"""Measure serving beside `mlflow models serve`: the same model, 16 clients with one row each.

    python -m tests.benchmarks.serving [PROJECT] [--seconds 20]

PROJECT is a folder in which `evertune train` has run; without it a small one is made, which takes
two minutes. Both are measured one after the other; the load comes from a process of its own. Ours
logs every prediction before it answers; how many the log has in the end is counted.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from evertune.config.loader import load_params
from evertune.data.example import production_table
from evertune.monitoring.prediction_log import open_prediction_log
from tests.support.projects import copied_project, run

ROOT = Path(__file__).parents[2]
CLIENTS = 16
ROWS = 500
PORT = 8765
STARTING_SECONDS = 120
LEAST_TIMES, MOST_SHARE = 5, 0.5


def main() -> int:
    """Print both services' figures and their ratios; return 1 where a target is missed."""
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    seconds = float(words.pop()) if "--seconds" in sys.argv else 20.0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(words[0]).absolute() if words else small_project(Path(folder))
        theirs = measured(mlflow_command(root), root, Path(folder), seconds=seconds, kind="mlflow")
        before = logged(root)
        ours = measured(our_command(), root, Path(folder), seconds=seconds, kind="evertune")
        told = logged(root) - before
    times = ours["a_second"] / theirs["a_second"]
    share = ours["p99_milliseconds"] / theirs["p99_milliseconds"]
    sys.stdout.write(
        f"{line('mlflow models serve', theirs)}{line('evertune serve', ours)}"
        f"{times:.1f} times the requests a second (target {LEAST_TIMES}), p99 {share:.2f} of"
        f" theirs (target {MOST_SHARE}); {told} predictions in the log\n"
    )
    return int(times < LEAST_TIMES or share > MOST_SHARE)


def small_project(folder: Path) -> Path:
    """Return a project with a champion."""
    root = copied_project(folder / "project")
    done = run(root, "train")
    if done.returncode:
        raise SystemExit(f"the project cannot be trained: {done.stdout}{done.stderr}")
    return root


def our_command() -> list[str]:
    return [sys.executable, "-m", "evertune.cli.app", "serve", "--port", str(PORT)]


def mlflow_command(root: Path) -> list[str]:
    name = load_params(root).registry.name
    where = ["--model-uri", f"models:/{name}@champion", "--port", str(PORT)]
    program = [sys.executable, "-m", "mlflow", "models", "serve"]
    return [*program, *where, "--env-manager", "local", "--host", "127.0.0.1"]


def measured(
    command: list[str], root: Path, folder: Path, *, seconds: float, kind: str
) -> dict[str, float]:
    """Return the figures of the load against one service."""
    path, ready = ("predict", "ready") if kind == "evertune" else ("invocations", "ping")
    bodies = folder / f"{kind}.jsonl"
    bodies.write_text("\n".join(requests(kind)))
    address = f"http://127.0.0.1:{PORT}"
    log = folder / f"{kind}.log"
    with running(command, root, log=log) as process:
        wait_for(f"{address}/{ready}", process, log)
        load = [sys.executable, "-m", "tests.benchmarks.load", f"{address}/{path}", str(bodies)]
        done = subprocess.run(
            [*load, str(seconds), str(CLIENTS)], cwd=ROOT, check=True, capture_output=True
        )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def requests(kind: str) -> list[str]:
    """Return bodies with one row each, as each of the services takes them."""
    table = production_table().head(ROWS).drop(columns="churned")
    rows = json.loads(table.to_json(orient="records", date_format="iso", date_unit="s"))
    key = "rows" if kind == "evertune" else "dataframe_records"
    return [json.dumps({key: [row]}) for row in rows]


@contextmanager
def running(command: list[str], root: Path, *, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    state = load_params(root).paths.state
    own = {"MLFLOW_TRACKING_URI": f"sqlite:///{state / 'mlflow.db'}"} if "mlflow" in command else {}
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # MLflow's uvicorn
    environment = os.environ | own | {"PYTHONPATH": str(root), "PATH": programs}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=root, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 15)
        process.wait(30)


def wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return once a service answers; say why where it ended or takes too long."""
    end = time.monotonic() + STARTING_SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            if httpx.get(address, timeout=5, trust_env=False).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise SystemExit(f"{address} does not answer:\n{log.read_text()}")


def logged(root: Path) -> int:
    """Return how many predictions the project's log has."""
    params = load_params(root)
    with open_prediction_log(params) as log:
        return 0 if log.newest_event() is None else len(log.read(classes=()))


def line(name: str, found: dict[str, float]) -> str:
    return (
        f"{name}: {found['a_second']:.0f} requests/s, median {found['p50_milliseconds']:.1f} ms,"
        f" p99 {found['p99_milliseconds']:.1f} ms, {found['refused']:.0f} refused\n"
    )


if __name__ == "__main__":
    raise SystemExit(main())
