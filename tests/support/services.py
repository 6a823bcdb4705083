"""A champion that is made in no time, and its service on a port of its own, for tests."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import uvicorn
from starlette.applications import Starlette
from threadpoolctl import threadpool_limits

from evertune.data.schema import TableSchema, encode_target
from evertune.models.families import fit_configuration
from evertune.models.fitted_model import Model
from evertune.models.persistence import save_model
from evertune.serving.server import HeaderTimeoutProtocol
from tests.support.production import LINEAR, SCHEMA, rows

PATIENCE_SECONDS = 60


def quickly_learned(folder: Path, schema: TableSchema = SCHEMA) -> Path:
    """Write a model, without a reference, and return the folder, as `champion` takes it."""
    known = rows(-20, 20)
    y_true = encode_target(known, schema)
    with threadpool_limits(1):
        fitted = fit_configuration(LINEAR, known, y_true, schema=schema, seed=0, n_jobs=1)
    save_model(folder / "model", Model(schema, LINEAR, fitted, ()))
    return folder


@contextmanager
def served(
    app: Starlette, http: type[asyncio.Protocol] = HeaderTimeoutProtocol
) -> Iterator[httpx.Client]:
    """Serve an app while the block runs, and give a client of it."""
    config = uvicorn.Config(app, http=http, port=0, log_level="error", lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    wait(lambda: server.started or not thread.is_alive())
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


def wait(ready: Callable[[], bool]) -> None:
    """Return once something is so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.05)
