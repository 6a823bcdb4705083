"""Ray for one search: on this machine, or the cluster that RAY_ADDRESS names."""

import gc
import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray
from ray._private import ray_constants
from ray._raylet import AuthenticationTokenLoader  # type: ignore[attr-defined]

from pipelines.tuning.guardian import guarded
from pipelines.tuning.ray_places import ray_folder

KNOCK_SECONDS = 5
Settings = dict[str, str | None]
LOCAL_SETTINGS: Settings = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "RAY_AUTH_MODE": None,  # where it is not set, ray.init turns tokens on
    "RAY_AUTH_TOKEN": None,
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}
SETTINGS: Settings = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}
NOT_SENT = ["data", "state", ".git", ".dvc", ".venv", "tests"]


@contextmanager
def ray_running(root: Path, state: Path, *, workers: int | None) -> Iterator[int]:
    """Have Ray until the block ends, and give the number of workers.

    Parameters
    ----------
    root : Path
        The project folder; workers import from it.
    state : Path
        Holds the token that local workers show, readable by its owner alone.
    workers : int, optional
        One for each processor where it is not given.

    Raises
    ------
    ConnectionError
        If no cluster answers at RAY_ADDRESS.
    ValueError
        If more workers are asked for than the cluster has processors.
    """
    remote = bool(os.environ.get("RAY_ADDRESS"))
    start = _joined(root) if remote else _started_here(root, state, workers or os.cpu_count() or 1)
    with _environment(SETTINGS), start:
        processors = max(1, int(ray.cluster_resources().get("CPU", 1)))
        check_workers(workers, processors)
        yield workers or processors


def check_workers(workers: int | None, processors: int) -> None:
    """Check that no more workers are asked for than a cluster has processors.

    Raises
    ------
    ValueError
        If there are.

    Examples
    --------
    >>> check_workers(None, 2)
    """
    if workers is not None and workers > processors:
        raise ValueError(
            f"search.workers must not be more than the {processors} processors of the cluster at "
            f"RAY_ADDRESS, but got {workers}; lower it, or write auto."
        )


@contextmanager
def _joined(root: Path) -> Iterator[None]:
    _knock(os.environ["RAY_ADDRESS"])
    ray_constants.ENABLE_RAY_CLUSTER = True
    with _shut_down():
        ray.init(
            log_to_driver=False,
            logging_level="ERROR",
            runtime_env={
                "working_dir": str(root),
                "excludes": NOT_SENT,
                "env_vars": {"OMP_NUM_THREADS": "1"},
            },
        )
        yield


def _knock(address: str) -> None:
    """Ask for a connection first: Ray itself tries for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=KNOCK_SECONDS).close()
    except OSError as error:
        raise ConnectionError(
            f"No Ray cluster answers at RAY_ADDRESS {address!r}: {error}. Start it, or unset the "
            "variable to search on this machine."
        ) from error


@contextmanager
def _started_here(root: Path, state: Path, workers: int) -> Iterator[None]:
    folder, token = ray_folder(state), _token(state / "ray.token")
    shutil.rmtree(folder, ignore_errors=True)
    AuthenticationTokenLoader.instance().reset_cache()  # of another project in this process
    ray_constants.ENABLE_RAY_CLUSTER = False  # where it is True, Ray listens to the network
    with _environment(_local_settings(root, token)), guarded(str(token), folder), _shut_down():
        ray.init(
            address="local",
            num_cpus=workers,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            _temp_dir=str(folder),
            _node_ip_address="127.0.0.1",
        )
        yield
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _shut_down() -> Iterator[None]:
    try:
        yield
    finally:
        with _no_collection():
            ray.shutdown()


@contextmanager
def _no_collection() -> Iterator[None]:
    """Have no garbage collected: another thread that frees Ray's objects now ends the process."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _local_settings(root: Path, token: Path) -> Settings:
    places = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    return LOCAL_SETTINGS | {
        "RAY_AUTH_TOKEN_PATH": str(token),
        "PYTHONPATH": os.pathsep.join(places),
    }


def _token(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
    return path


@contextmanager
def _environment(settings: Settings) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in settings}
    _set(settings)
    try:
        yield
    finally:
        _set(before)


def _set(settings: Settings) -> None:
    for name, value in settings.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
