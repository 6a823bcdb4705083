import asyncio
import socket
from contextlib import closing

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from evertune.serving.server import HeaderTimeoutProtocol
from tests.support.services import served

pytestmark = pytest.mark.slow
PATIENCE_SECONDS = 60
WHOLE = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"


class Hasty(HeaderTimeoutProtocol):
    header_seconds = 0.2


async def slowly(_):
    await asyncio.sleep(3 * Hasty.header_seconds)
    return PlainTextResponse("done")


@pytest.fixture(scope="module")
def connect():
    """Return what connects to a service that waits shortly for headers and answers late."""
    with served(Starlette(routes=[Route("/", slowly)]), http=Hasty) as client:
        place = (client.base_url.host, client.base_url.port)
        yield lambda: closing(socket.create_connection(place, timeout=PATIENCE_SECONDS))


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: here\r\n"])
def test_a_connection_whose_request_does_not_begin_is_closed(connect, sent):
    with connect() as connection:
        connection.sendall(sent)
        assert connection.recv(1000) == b""


def test_a_request_that_began_may_take_longer(connect):
    with connect() as connection:
        connection.sendall(WHOLE)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 OK")


def test_half_of_a_second_request_is_not_waited_for(connect):
    with connect() as connection:
        connection.sendall(WHOLE)
        while not connection.recv(1000).endswith(b"done"):
            pass
        connection.sendall(b"GET / HTTP/1.1\r\n")
        assert connection.recv(1000) == b""
