"""Time `evertune train` on the example: a first run, and runs in which nothing has changed.

Works in a copy of the project in a temporary folder, which is removed again.
"""

import argparse
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import urlopen

from evertune.config.loader import load_params
from evertune.config.yaml_file import edit_section

ROOT = Path(__file__).parents[2]
PROJECT = ["flows", "pipelines", "infra", "params.yaml", "dvc.yaml", "pyproject.toml", ".gitignore"]
SERVER_SECONDS = 120
CHAMPION_STAYS = 3
PERSON = ["-c", "user.name=Benchmark", "-c", "user.email=benchmark@localhost"]
OWN_ADDRESSES = {"PREFECT_API_URL", "MLFLOW_TRACKING_URI", "RAY_ADDRESS"}


@dataclass(frozen=True)
class Timing:
    """How long one run took; `budget` is what of it the search was given."""

    name: str
    seconds: float
    budget: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=float, help="seconds of the search (default: params.yaml)")
    budget = parser.parse_args().budget
    with TemporaryDirectory(prefix="chain-") as folder:
        root = copied_project(Path(folder) / "project", budget)
        timings = timed_runs(root, home=Path(folder) / "prefect")
    sys.stdout.write(table(timings))


def copied_project(root: Path, budget: float | None) -> Path:
    root.mkdir()
    for name in PROJECT:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, root / name)
    if budget:
        edit_section(root / "params.yaml", "search", {"budget_seconds": budget})
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "The project"]):
        subprocess.run(["git", *PERSON, *command], cwd=root, check=True)
    return root


def timed_runs(root: Path, *, home: Path) -> list[Timing]:
    own = {name: value for name, value in os.environ.items() if name not in OWN_ADDRESSES}
    budget = load_params(root).search.budget_seconds or 0.0
    first = timed_train("first", root, environment=own, budget=budget)
    again = timed_train("nothing changed", root, environment=own)
    with standing_server(home, own) as address:
        standing = own | {"PREFECT_API_URL": address}
        return [
            first,
            again,
            timed_train("nothing changed, standing server", root, environment=standing),
        ]


def timed_train(
    name: str, root: Path, *, environment: Mapping[str, str], budget: float = 0.0
) -> Timing:
    started = time.monotonic()
    command = [sys.executable, "-m", "evertune.cli.app", "train"]
    done = subprocess.run(command, cwd=root, env=environment, check=False)
    if done.returncode not in {0, CHAMPION_STAYS}:
        raise SystemExit(f"The run '{name}' ended with exit code {done.returncode}.")
    return Timing(name, time.monotonic() - started, budget)


@contextmanager
def standing_server(home: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """Run a Prefect server as a team would have it, and yield the address of its API."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"]
    own = {"PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    server = subprocess.Popen(
        [*command, "--port", str(port), "--log-level", "error"], env={**environment, **own}
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/api/health")
        yield f"http://127.0.0.1:{port}/api"
    finally:
        server.terminate()
        server.wait()


def wait_for(address: str) -> None:
    deadline = time.monotonic() + SERVER_SECONDS
    while time.monotonic() < deadline:
        try:
            urlopen(address, timeout=SERVER_SECONDS).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit(f"No Prefect server answers at {address} after {SERVER_SECONDS} s.")


def table(timings: list[Timing]) -> str:
    head = f"{'evertune train':34s}{'total s':>9s}{'search s':>10s}{'beyond s':>10s}\n"
    rows = [
        f"{t.name:34s}{t.seconds:9.1f}{t.budget:10.1f}{t.seconds - t.budget:10.1f}\n"
        for t in timings
    ]
    load = os.getloadavg()[0]
    return f"\n{head}{''.join(rows)}({os.cpu_count()} processors, load {load:.1f} at the end)\n"


if __name__ == "__main__":
    main()
