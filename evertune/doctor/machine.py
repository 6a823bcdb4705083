"""Checks of the machine: Python, libraries, git, space, memory, clock, ports, servers."""

import os
import platform
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path
from shlex import quote
from urllib.parse import urlsplit

import psutil
from joblib import cpu_count
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import evertune
from evertune.access import is_loopback, local_url
from evertune.doctor.finding import Finding, Place
from evertune.errors import BusyError, EvertuneError, ParamsError
from evertune.files import is_project_locked
from evertune.messages import strip_credentials
from evertune.orchestration.server import answers, server_responds
from evertune.plan import Plan
from evertune.registry.embedded_store import KNOWN_SCHEMAS, EmbeddedStore
from evertune.registry.mlflow_connection import check_reachable
from evertune.search.memory import free_bytes
from evertune.search.ray_address import check_ray_address
from evertune.versioning.health import has_git, has_git_identity, is_in_git

PACKAGE = "evertune"
MEGABYTE = 10**6
TABLE_COPIES = 10  # of the source on disk: stages, folds, plots, and DVC's copies of them
SPARE_MEGABYTES = 200
TABLE_MEMORY = 20  # of a Parquet file's bytes, decoded and cleaned
WORKER_MEGABYTES = 200
CLOCK_SECONDS = 120.0
PREFECT_SECONDS = 3.0
# A page of each server that holds data, by the variable with the server's address.
READ_BY_ANYBODY = {
    "MLFLOW_TRACKING_URI": ("MLflow", "/api/2.0/mlflow/experiments/search?max_results=1"),
    "PREFECT_API_URL": ("Prefect", "/admin/version"),
}
UP_PORTS = {"--prefect-port": 4200, "--mlflow-port": 5000}  # of `evertune up`


def check_python(_: Place) -> Iterator[Finding]:
    """Check that Python has the version that the package declares."""
    wanted = metadata(PACKAGE)["Requires-Python"]
    found = platform.python_version()
    if wanted and not SpecifierSet(wanted).contains(found, prereleases=True):
        yield Finding(
            "python",
            "error",
            f"Evertune needs Python {wanted}, but this is {found} ({sys.executable}).",
            by_hand="Make a virtual environment with a newer Python and install Evertune in it.",
        )


def check_libraries(_: Place) -> Iterator[Finding]:
    """Check that libraries have the versions that the package declares."""
    for text in requires(PACKAGE) or ():
        wanted = Requirement(text)
        is_needed = wanted.marker is None or wanted.marker.evaluate({"extra": ""})
        try:
            found: str | None = version(wanted.name)
        except PackageNotFoundError:
            found = None
        if wanted.specifier.contains(found, prereleases=True) if found else not is_needed:
            continue
        plain = f"{wanted.name}{wanted.specifier}"
        what = f"{found} is installed" if found else "it is not installed"
        yield Finding(
            "libraries",
            "error" if is_needed else "warning",
            f"Evertune needs {plain}, but {what}.",
            command=f"{quote(sys.executable)} -m pip install {quote(plain)}",
        )


def check_git(place: Place) -> Iterator[Finding]:
    """Check that git is there, knows the project, and knows whose commits it makes."""
    if not has_git():
        yield Finding(
            "git",
            "warning",
            "git is not installed: versions are registered without a commit, and `evertune up`"
            " cannot deploy.",
            by_hand="Install git, on Debian with `apt-get install git`.",
        )
    elif not is_in_git(place.root):
        yield Finding(
            "git",
            "warning",
            f"{place.root} lies in no git repository: versions are registered without a commit,"
            " and `evertune up` cannot deploy.",
            command="git init",
        )
    elif not has_git_identity(place.root):
        yield Finding(
            "git",
            "warning",
            "git does not know whose commits it makes, so `git commit` will fail.",
            command='git config user.name "$(id -un)" && git config user.email'
            ' "$(id -un)@$(hostname)"',
        )


def check_disk(place: Place) -> Iterator[Finding]:
    """Check that the disk has room for what a run writes."""
    table = _source_bytes(place)
    free = shutil.disk_usage(place.root).free
    needed = TABLE_COPIES * table + SPARE_MEGABYTES * MEGABYTE
    pool = 0 if place.params is None else round(place.params.search.pool_megabytes * MEGABYTE)
    text = f"{place.root} lies on a disk with {free // MEGABYTE:,} MB free; a run may need about"
    if free < needed:
        yield Finding(
            "disk",
            "error",
            f"{text} {needed // MEGABYTE:,} MB.",
            by_hand="`evertune gc` removes old versions of data; or free space in other folders.",
        )
    elif free < needed + pool:
        most = (free - needed) // MEGABYTE
        yield Finding(
            "disk",
            "warning",
            f"{text} {(needed + pool) // MEGABYTE:,} MB, most of it for the pool of fold models.",
            by_hand=f"In params.yaml set `search.pool_megabytes` to at most {most}, or free space.",
        )


def check_memory(place: Place) -> Iterator[Finding]:
    """Check that the memory holds the table and the workers of the search."""
    workers = 1 if place.params is None else place.params.search.workers
    n_workers = int(cpu_count()) if workers == "auto" else int(workers)
    needed = TABLE_MEMORY * _source_bytes(place) + n_workers * WORKER_MEGABYTES * MEGABYTE
    free = free_bytes()
    if free < needed:
        yield Finding(
            "memory",
            "warning",
            f"{free // MEGABYTE:,} MB of memory are free; a run with {n_workers} workers may need"
            f" about {needed // MEGABYTE:,} MB.",
            by_hand="Set `search.workers` in params.yaml to a smaller number, or end other"
            " programs.",
        )


def check_processors(place: Place) -> Iterator[Finding]:
    """Check that the search asks for no more workers than there are processors."""
    if place.params is None or place.params.search.workers == "auto":
        return
    from evertune.stages.search import apply_plan

    try:
        apply_plan(place.params.search, Plan())
    except ParamsError as error:
        yield Finding(
            "processors",
            "error",
            str(error),
            by_hand="In params.yaml set `search.workers` to auto.",
        )


def check_clock(place: Place) -> Iterator[Finding]:
    """Check that the clock is not behind what was stored last."""
    stored = {
        path: path.stat().st_mtime
        for path in (place.root / "dvc.lock", place.paths.plan, Path(str(evertune.__file__)))
        if path.is_file()
    }
    database = place.state / "mlflow.db"
    with suppress(EvertuneError):  # a damaged database is another finding
        store = EmbeddedStore(database)
        if database.is_file() and store.schema() in KNOWN_SCHEMAS:
            stored[database] = store.newest_milliseconds() / 1000
    now = time.time()
    for path, moment in stored.items():
        if moment > now + CLOCK_SECONDS:
            later, here = (f"{datetime.fromtimestamp(each, UTC):%F %T}" for each in (moment, now))
            inside = path.suffix == ".db"
            touch = "wait until then" if inside else f"type `touch {quote(str(path))}`"
            yield Finding(
                "clock",
                "warning",
                f"The clock says {here} UTC, but {path} was written at {later} UTC: decisions and"
                " windows go by the clock.",
                by_hand="If the clock is wrong, correct it (`timedatectl set-ntp true`). If it is"
                f" right, {touch}.",
            )


def check_ports(place: Place) -> Iterator[Finding]:
    """Check that the ports that `evertune up` would use are free, unless it runs already."""
    if (place.state / "up").is_dir() and is_project_locked(place.state / "up"):
        return
    ports = dict(UP_PORTS) | {"--port": 8000 if place.params is None else place.params.scoring.port}
    if os.environ.get("PREFECT_API_URL"):
        del ports["--prefect-port"]
    taken = set(ports.values())
    for option, port in ports.items():
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError as error:
            pid, who = _listener(port)
            other = next(p for p in range(port + 1, 65536) if p not in taken and _is_free(p))
            taken.add(other)
            ends = f"End it: `kill {pid}`. Or s" if pid else "S"
            yield Finding(
                "ports",
                "warning",
                f"`evertune up` would use port {port}, but it cannot be used:"
                f" {os.strerror(error.errno or 0)} ({who}).",
                by_hand=f"{ends}tart with `evertune up {option} {other}`.",
            )


def check_addresses(_: Place) -> Iterator[Finding]:
    """Check that the servers that the environment names answer."""
    mlflow = os.environ.get("MLFLOW_TRACKING_URI")
    prefect, ray = os.environ.get("PREFECT_API_URL"), os.environ.get("RAY_ADDRESS")
    silent: dict[str, str] = {}
    if mlflow:
        try:
            check_reachable(mlflow)
        except BusyError:
            silent["MLFLOW_TRACKING_URI"] = mlflow
    if prefect and not server_responds(prefect, seconds=PREFECT_SECONDS, alive=lambda: True):
        silent["PREFECT_API_URL"] = prefect
    if ray:
        try:
            check_ray_address(ray)
        except ConnectionError:
            silent["RAY_ADDRESS"] = ray
    for name, address in silent.items():
        yield Finding(
            "addresses",
            "error",
            f"{name} is {strip_credentials(address)}, but nothing answers there. Start that server,"
            " or work on this machine:",
            command=f"unset {name}",
        )


def check_open_servers(_: Place) -> Iterator[Finding]:
    """Check that no server that others can reach lets everybody in.

    Asked are the servers that the environment names, and what listens on the usual ports of
    `evertune up`.
    """
    named = {name: os.environ.get(name, "") for name in READ_BY_ANYBODY}
    asked = {address: name for name, address in named.items() if _is_elsewhere(address)}
    listening = {each.laddr for each in psutil.net_connections("tcp") if each.status == "LISTEN"}
    for host, port in sorted({(place.ip, place.port) for place in listening}):
        if port in UP_PORTS.values() and not is_loopback(host):
            asked |= {local_url(host, port): "MLFLOW_TRACKING_URI"}
            asked |= {f"{local_url(host, port)}/api": "PREFECT_API_URL"}
    for address, name in asked.items():
        server, path = READ_BY_ANYBODY[name]
        if answers(f"{address.rstrip('/')}{path}", seconds=PREFECT_SECONDS):
            yield Finding(
                "open servers",
                "warning",
                f"{server} at {strip_credentials(address)} can be reached from other machines and"
                " asks for no password: who reaches it can change models and runs.",
                by_hand="Have it listen on 127.0.0.1 only, or start it by `evertune up --host"
                " ADDRESS`, which makes passwords; see docs/security.md.",
            )
    ray = os.environ.get("RAY_ADDRESS", "")
    token = os.environ.get("RAY_AUTH_MODE") == "token"
    if ":" in ray and _is_elsewhere(f"//{ray.removeprefix('ray://')}") and not token:
        yield Finding(
            "open servers",
            "warning",
            f"The Ray cluster at {ray} is used without a token: who reaches it can run any program"
            " there.",
            by_hand="Start its nodes with `RAY_AUTH_MODE=token` and `RAY_AUTH_TOKEN_PATH=FILE`, and"
            " set both here.",
        )


def _is_elsewhere(address: str) -> bool:
    host = urlsplit(address).hostname
    return host is not None and not is_loopback(host)


def _source_bytes(place: Place) -> int:
    return place.paths.source.stat().st_size if place.paths.source.is_file() else 0


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def _listener(port: int) -> tuple[int | None, str]:
    """Return the process that listens on a port, and words for it."""
    for each in psutil.net_connections("tcp"):
        if each.status == psutil.CONN_LISTEN and each.laddr.port == port and each.pid:
            try:
                command = " ".join(psutil.Process(each.pid).cmdline())[:60]
            except psutil.Error:
                continue
            return each.pid, f"process {each.pid}: {command}"
    return None, "by a process that cannot be seen from here"
