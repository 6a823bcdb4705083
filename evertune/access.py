"""Who may call the servers of a project: hosts beyond this machine, and the secrets they ask for.

A server that listens on this machine alone asks for no secret. One that listens elsewhere does:
`make_secret` makes it at first use, in a file that only its owner can read. Programs of the
project read it there by themselves (`kept_secret`); a person is told where the file lies.
"""

import errno
import os
import secrets
import socket
import stat
from base64 import b64encode
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from evertune.errors import BusyError, UnsafeError

USER = "evertune"
# `user:password` for Prefect and MLflow; a bearer token for the scoring service
PREFECT, MLFLOW, SCORING = "prefect", "mlflow", "scoring"
LISTEN_BACKLOG = 512
REACHED_AT = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


def is_loopback(host: str) -> bool:
    """Return whether what listens on a host can be reached from this machine alone.

    A name other than localhost counts as reachable from elsewhere, whatever it stands for.
    """
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def local_url(host: str, port: int) -> str:
    """Return the address at which programs of this machine reach what listens on a host."""
    reached = REACHED_AT.get(host, host)
    return f"http://{f'[{reached}]' if ':' in reached else reached}:{port}"


def listen(host: str, port: int, *, advice: str) -> socket.socket:
    """Return a socket that listens.

    Raises
    ------
    BusyError
        It cannot, with the advice.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=LISTEN_BACKLOG)
    except OSError as error:
        unknown = isinstance(error, socket.gaierror)
        reason = "no such host" if unknown else os.strerror(error.errno or errno.EINVAL)
        raise BusyError(f"Port {port} of {host} cannot be used: {reason}. {advice}") from error


def names_of_host(host: str) -> list[str]:
    """Return the names by which callers may mean what listens on a host, as in their addresses."""
    names = ["127.0.0.1", "localhost"]
    if host in REACHED_AT:
        import psutil

        families = (socket.AF_INET, socket.AF_INET6)
        every = [each for known in psutil.net_if_addrs().values() for each in known]
        own = [each.address.partition("%")[0] for each in every if each.family in families]
        names += [socket.gethostname(), *own]
    elif not is_loopback(host) or ":" in host:
        names.append(host)
    return list(dict.fromkeys(f"[{name}]" if ":" in name else name for name in names))


def is_this_machine(address: str) -> bool:
    """Return whether a web address names this machine."""
    host = urlsplit(address).hostname or ""
    names = {name.lower().strip("[]") for name in names_of_host("")}
    return is_loopback(host) or host in names


def who_may_call(server: str, host: str, state: Path) -> str:
    """Return where a person finds what a server beyond this machine asks for, a sentence."""
    name, shown = {
        PREFECT: ("Prefect", "user and password"),
        MLFLOW: ("MLflow", "user and password"),
        SCORING: ("The scoring service", "token"),
    }[server]
    place = secret_path(state, server)
    return f"{name} listens on {host} and asks for the {shown} in {place}."


def secret_path(state: Path, server: str) -> Path:
    """Return where the secret of a server lies."""
    return state / "secrets" / server


def make_secret(state: Path, server: str) -> str:
    """Return the secret that callers of a server must show; it is made at first use.

    Raises
    ------
    UnsafeError
        Others may read it, or it cannot be written.
    """
    path = secret_path(state, server)
    known = kept_secret(state, server)
    if known is not None:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise UnsafeError(
                f"Other users of this machine may read {path}, which is a secret. Type"
                f" `rm {path}`, and start again: another one is made."
            )
        return known
    token = secrets.token_urlsafe(32)
    made = token if server == SCORING else f"{USER}:{token}"
    write_private(path, made)
    return made


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, in a folder that only its owner can enter."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.parent.chmod(stat.S_IRWXU)
    except OSError as error:
        raise UnsafeError(f"{path.parent} cannot be written: {error.strerror}.") from error
    from evertune.files import atomic_write  # which imports numpy, as `evertune --help` must not

    with atomic_write(path) as file:
        os.fchmod(file.fileno(), stat.S_IRUSR | stat.S_IWUSR)
        file.write(text.encode())


def kept_secret(state: Path, server: str) -> str | None:
    """Return the secret of a server, None if none was made."""
    path = secret_path(state, server)
    return path.read_text() if path.is_file() else None


def basic_authorization(user_and_password: str) -> str:
    """Return the header `Authorization` for a user and a password (RFC 7617)."""
    return f"Basic {b64encode(user_and_password.encode()).decode()}"
