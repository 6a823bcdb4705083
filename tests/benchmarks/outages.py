"""Take a server away while `evertune train` runs, and compare what is logged at the end.

Each attempt copies a small project, starts a real server (MLflow's or Prefect's), and runs the
command. When a step's line appears, the server is stopped or killed, and goes on or is started
again after some seconds, or only once the command has ended. If that did not do its work, the
command runs again. At the end there must be one run of the search and one version, and no
traceback on the way.
"""

import argparse
import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow import MlflowClient

from tests.benchmarks.faults import DONE, MODEL, make_project
from tests.support.projects import copied_with_dvc, run, start
from tests.support.servers import Server, mlflow_server

STEPS = ("baseline", "evaluate")  # then `search` and `register` begin
RESUMABLE = (4, 75)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", default="mlflow,prefect")
    parser.add_argument("--after", default=",".join(STEPS), help="the steps behind which it goes")
    parser.add_argument("--seconds", default="1,60,0", help="0: until the command has ended")
    parser.add_argument("--how", default="stop,kill")
    chosen = parser.parse_args()
    named = (chosen.servers, chosen.after, chosen.seconds, chosen.how)
    with TemporaryDirectory(prefix="outages-") as folder:
        base = make_project(Path(folder) / "new")
        cases = itertools.product(*(each.split(",") for each in named))
        for number, (name, step, seconds, how) in enumerate(cases, 1):
            root = copied_with_dvc(base, Path(folder) / f"a{number}")
            told = attempt(root, name, step, float(seconds), how)
            sys.stdout.write(f"{number:3d} {name}, {how} after {step}, {seconds} s: {told}\n")
            sys.stdout.flush()


def attempt(root: Path, name: str, step: str, seconds: float, how: str) -> str:
    """Return how the command ended, how long it took, and what was wrong."""
    place = root.parent / f"{root.name}-server"
    place.mkdir()
    with (mlflow_server if name == "mlflow" else prefect_server)(place) as server:
        variable = "MLFLOW_TRACKING_URI" if name == "mlflow" else "PREFECT_API_URL"
        address = server.address + ("" if name == "mlflow" else "/api")
        began, said = time.monotonic(), list[str]()
        with start(root, "train", **{variable: address}) as process:
            outage = None
            assert process.stdout is not None
            for line in process.stdout:
                said.append(line)
                if outage is None and line.startswith(step):
                    outage = threading.Thread(target=take_away, args=(server, seconds, how))
                    outage.start()
            errors = process.stderr.read() if process.stderr else ""
        taken = time.monotonic() - began
        if outage is not None:
            outage.join()
        if not seconds:
            bring_back(server, how)
        wrong = ["traceback: " + errors[-600:]] if "Traceback" in errors else []
        if process.returncode not in (*DONE, *RESUMABLE):
            wrong.append(f"ended with {process.returncode}: {errors[-300:]}")
        ended = f"exit {process.returncode} in {taken:.0f} s"
        if process.returncode not in DONE:
            ended += f" ({errors.strip()[-160:]})"
            again = run(root, "train", **{variable: address})
            if again.returncode not in DONE:
                wrong.append(f"run again: {again.returncode} {again.stderr[-300:]}")
        uri = server.address if name == "mlflow" else f"sqlite:///{root}/state/mlflow.db"
        wrong += logged_wrongly(uri)
    return "; ".join([ended, *(wrong or ["one run, one version"])])


def take_away(server: Server, seconds: float, how: str) -> None:
    server.send(signal.SIGSTOP if how == "stop" else signal.SIGKILL)
    if seconds:
        time.sleep(seconds)
        bring_back(server, how)


def bring_back(server: Server, how: str) -> None:
    if how == "stop":
        server.send(signal.SIGCONT)
    else:
        server.start()


def logged_wrongly(uri: str) -> list[str]:
    """Return what is there more or less than once, or is not ended."""
    client = MlflowClient(tracking_uri=uri)
    experiments = [each.experiment_id for each in client.search_experiments()]
    runs = client.search_runs(experiments, max_results=1000)
    searches = [each for each in runs if "evertune.search" in each.data.tags]
    versions = client.search_model_versions(f"name = '{MODEL}'")
    running = [each.info.run_name for each in runs if each.info.status == "RUNNING"]
    counted = {"runs of the search": len(searches), "versions": len(versions)}
    wrong = [f"{n} {what}" for what, n in counted.items() if n != 1]
    return [*wrong, *(f"still running: {name}" for name in running)]


@contextmanager
def prefect_server(folder: Path) -> Iterator[Server]:
    """Give a running `prefect server` with a store in a folder."""
    command = [sys.executable, "-m", "prefect", "server", "start", "--port", "{port}"]
    os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
    server = Server(folder, ["env", f"PREFECT_HOME={folder}", *command], health="/api/health")
    server.start()
    try:
        yield server
    finally:
        server.send(signal.SIGKILL)


if __name__ == "__main__":
    main()
