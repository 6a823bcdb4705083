"""Send requests of one row from several clients at once, and say how they were answered.

    python -m tests.benchmarks.load ADDRESS BODIES SECONDS CLIENTS

BODIES is a file with one JSON body a line. A client sends its next request once the last one is
answered. Prints a JSON object: answers, refused, seconds, and milliseconds by quantile.
"""

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

WARM_SECONDS = 2.0
OK = b" 200 "


def main() -> None:
    """Run the load and print what was measured."""
    address, bodies, seconds, clients = sys.argv[1:]
    lines = itertools.cycle(Path(bodies).read_bytes().splitlines())
    found = asyncio.run(loaded(address, lines, seconds=float(seconds), clients=int(clients)))
    sys.stdout.write(json.dumps(found) + "\n")


async def loaded(
    address: str, bodies: Iterator[bytes], *, seconds: float, clients: int
) -> dict[str, float]:
    """Return the figures of a load; its first seconds do not count."""
    latencies: list[float] = []
    statuses: list[bytes] = []
    start = time.perf_counter() + WARM_SECONDS
    await asyncio.gather(
        *(
            client(address, bodies, latencies, statuses, start=start, end=start + seconds)
            for _ in range(clients)
        )
    )
    return figures(latencies, statuses, seconds)


async def client(
    address: str,
    bodies: Iterator[bytes],
    latencies: list[float],
    statuses: list[bytes],
    *,
    start: float,
    end: float,
) -> None:
    """Send requests over one connection until the end."""
    place = urlsplit(address)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    sent = time.perf_counter()
    while sent < end:
        body = next(bodies)
        writer.write(head(place.path, f"{place.hostname}:{place.port}", len(body)) + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(length(answer))
        done = time.perf_counter()
        if sent >= start:
            latencies.append(done - sent)
            statuses.append(answer[:16])
        sent = done
    writer.close()


def head(path: str, host: str, size: int) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {size}\r\n\r\n"
    ).encode()


def length(answer: bytes) -> int:
    lines = answer.lower().split(b"\r\n")
    return next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))


def figures(latencies: list[float], statuses: list[bytes], seconds: float) -> dict[str, float]:
    ordered = sorted(latencies)
    quantiles = {
        f"p{share}_milliseconds": 1000 * ordered[min(len(ordered) - 1, len(ordered) * share // 100)]
        for share in (50, 99)
    }
    return {
        "answers": len(latencies),
        "refused": sum(OK not in status for status in statuses),
        "a_second": len(latencies) / seconds,
    } | quantiles


if __name__ == "__main__":
    main()
