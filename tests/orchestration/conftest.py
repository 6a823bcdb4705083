import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from evertune.orchestration.server import prefect_api_url, server_on_socket, wait_for_server
from tests.support.projects import add_prefect_database

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator["SyncPrefectClient"]:
    """Return a client of a Prefect server with all its services."""
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    state = tmp_path_factory.mktemp("state")
    add_prefect_database(state)
    home = state / "prefect"
    listener = socket.create_server(("127.0.0.1", 0))
    address, log = prefect_api_url(listener.getsockname()[1]), home / "server.log"
    with (
        server_on_socket(listener, log=log, settings={"PREFECT_HOME": str(home)}) as process,
        temporary_settings({PREFECT_API_URL: address}),
    ):
        wait_for_server(address, process=process, log=log)
        with get_client(sync_client=True) as known:
            yield known
