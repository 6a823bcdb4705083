import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager

import httpx
import pytest

from tests.support.production import log_of
from tests.support.services import wait

ROW = {"age": 31, "plan": "a", "day": "2024-01-02"}
CLIENTS, LEAST_ANSWERS = 4, 200


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@contextmanager
def started(root, port):
    """Serve a project by the command, and end it however the block ends."""
    command = [sys.executable, "-m", "evertune.cli.app", "serve", "--port", str(port)]
    with subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def answers(address):
    try:
        return httpx.get(f"{address}/ready").status_code == 200
    except httpx.TransportError:
        return False


def call(address, name, acknowledged):
    """Ask until the service is gone; note the id of every answer."""
    with httpx.Client(base_url=address) as client:
        for number in range(100_000):
            try:
                body = {"row": ROW | {"age": number % 90}, "request_id": f"{name}-{number}"}
                acknowledged += client.post("/predict", json=body).json()["ids"]
            except (httpx.TransportError, json.JSONDecodeError):
                return


@pytest.mark.slow
def test_a_killed_service_has_every_answer_in_the_log(root):
    port, acknowledged = free_port(), []
    address = f"http://127.0.0.1:{port}"
    with started(root, port) as process:
        wait(lambda: answers(address))
        callers = [
            threading.Thread(target=call, args=(address, name, acknowledged))
            for name in range(CLIENTS)
        ]
        for caller in callers:
            caller.start()
        wait(lambda: len(acknowledged) > LEAST_ANSWERS)
        os.kill(process.pid, signal.SIGKILL)
        for caller in callers:
            caller.join()
    assert set(log_of(root).find(acknowledged)) == set(acknowledged)
    assert len(set(acknowledged)) == len(acknowledged) > LEAST_ANSWERS


@pytest.mark.slow
def test_a_stopped_service_answers_what_it_took_and_ends(root):
    port = free_port()
    with started(root, port) as process:
        wait(lambda: answers(f"http://127.0.0.1:{port}"))
        process.terminate()
        assert process.wait(120) in (0, 143)


@pytest.mark.slow
def test_a_taken_port_is_told_in_one_sentence(root):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with started(root, port) as process:
            _, told = process.communicate(timeout=120)
    assert process.returncode == 75
    assert f"Port {port} of 127.0.0.1 cannot be used: Address already in use" in told
