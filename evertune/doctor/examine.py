"""Every check, in the order in which findings are shown."""

from collections.abc import Callable, Iterator
from pathlib import Path

from evertune.config.loader import find_root
from evertune.doctor.finding import Finding, Place
from evertune.doctor.machine import (
    check_addresses,
    check_clock,
    check_disk,
    check_git,
    check_libraries,
    check_memory,
    check_open_servers,
    check_ports,
    check_processors,
    check_python,
)
from evertune.doctor.project import (
    check_cache,
    check_dvc_lock,
    check_leftovers,
    check_moved,
    check_params,
    check_remote,
    check_rights,
    check_stages,
    check_writable,
)
from evertune.doctor.stores import check_log, check_mlflow_store
from evertune.errors import ParamsError

CHECKS: tuple[Callable[[Place], Iterator[Finding]], ...] = (
    check_python,
    check_libraries,
    check_git,
    check_disk,
    check_memory,
    check_processors,
    check_clock,
    check_ports,
    check_addresses,
    check_open_servers,
    check_params,
    check_stages,
    check_writable,
    check_rights,
    check_dvc_lock,
    check_cache,
    check_remote,
    check_moved,
    check_leftovers,
    check_mlflow_store,
    check_log,
)


def nearest_project(folder: Path) -> Path:
    """Return the folder of the project that a folder lies in; the folder itself if in none."""
    try:
        return find_root(folder)
    except ParamsError:
        return folder


def examine(root: Path) -> tuple[Finding, ...]:
    """Return everything that is wrong with this machine and the project in a folder.

    Parameters
    ----------
    root : Path
        The project's folder.
    """
    place = Place(root.absolute())
    return tuple(finding for check in CHECKS for finding in check(place))
