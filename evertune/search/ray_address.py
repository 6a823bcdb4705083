"""Whether a Ray cluster answers at an address, without importing Ray, which takes seconds."""

import socket

CONNECT_TIMEOUT_SECONDS = 5


def check_ray_address(address: str) -> None:
    """Try a connection first: Ray itself would try for minutes.

    An address without a port, such as `auto`, is left to Ray.

    Raises
    ------
    ConnectionError
        Nothing answers.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_TIMEOUT_SECONDS).close()
    except OSError as error:
        raise ConnectionError(
            f"No Ray cluster answers at RAY_ADDRESS {address!r}: {error}. Start it, or unset the "
            "variable to search on this machine."
        ) from error
