"""Requests that come within moments of each other, answered together.

All runs in the event loop but `answered`, which runs in the service's one worker thread: what comes
while a batch is worked on makes the next batch.
"""

import asyncio
from collections.abc import Sequence

from pipelines.core.fast_rows import Row
from pipelines.core.requests import Asked
from pipelines.errors import EvertuneError
from pipelines.service.answers import Answered, answered, shadowed
from pipelines.service.standing import Reply, Service, Waiting

MOST_TOGETHER = 256
SHADOW_SECONDS = 0.2
SHADOW_TOGETHER = 1000
MOST_UNSHADOWED = 50_000


async def answer(service: Service, asked: Asked) -> Reply:
    """Return the reply to a request; when it comes, what it says is in the log."""
    loop = asyncio.get_running_loop()
    waiting = Waiting(asked, loop.create_future())
    service.waiting.append(waiting)
    if not service.busy:
        service.busy = True
        loop.call_later(service.params.scoring.gather_milliseconds / 1000, _start, service)
    return await waiting.reply


def _start(service: Service) -> None:
    """Hand what waits to the worker; go on until nothing waits."""
    batch, service.waiting[:] = _first(service.waiting)
    if not batch:
        service.busy = False
        return
    loop = asyncio.get_running_loop()
    work = loop.run_in_executor(
        service.worker, answered, service, [waiting.asked for waiting in batch]
    )
    work.add_done_callback(lambda done: _deliver(service, batch, done))


def _first(waiting: Sequence[Waiting]) -> tuple[list[Waiting], list[Waiting]]:
    """Return the requests of the next batch, at least one, and the others."""
    n_rows, n_taken = 0, 0
    for each in waiting:
        n_rows += len(each.asked.rows)
        if n_taken and n_rows > MOST_TOGETHER:
            break
        n_taken += 1
    return list(waiting[:n_taken]), list(waiting[n_taken:])


def _deliver(service: Service, batch: Sequence[Waiting], done: "asyncio.Future[Answered]") -> None:
    _start(service)
    error = done.exception()
    if error is not None:
        for waiting in batch:
            _fail(waiting, error)
        return
    result = done.result()
    for waiting, reply in zip(batch, result.replies, strict=True):
        if not waiting.reply.done():  # its caller may have gone
            waiting.reply.set_result(reply)
    service.figures.predictions.inc(len(result.rows))
    service.figures.batches.observe(sum(len(waiting.asked.rows) for waiting in batch))
    _leave_to_shadow(service, result.rows)


def _fail(waiting: Waiting, error: BaseException) -> None:
    if not waiting.reply.done():
        waiting.reply.set_exception(error)


def _leave_to_shadow(service: Service, rows: Sequence[tuple[str, Row]]) -> None:
    if service.models.shadow is None or not rows:
        return
    space = max(0, MOST_UNSHADOWED - len(service.unshadowed))
    service.unshadowed.extend(rows[:space])
    service.figures.unshadowed.inc(max(0, len(rows) - space))
    if not service.shadowing:
        service.shadowing = True
        asyncio.get_running_loop().call_later(SHADOW_SECONDS, _start_shadow, service)


def _start_shadow(service: Service) -> None:
    rows = service.unshadowed[:SHADOW_TOGETHER]
    del service.unshadowed[:SHADOW_TOGETHER]
    if not rows:
        service.shadowing = False
        return
    loop = asyncio.get_running_loop()
    work = loop.run_in_executor(service.shadower, _shadow, service, rows)
    work.add_done_callback(lambda _: loop.call_later(SHADOW_SECONDS, _start_shadow, service))


def _shadow(service: Service, rows: Sequence[tuple[str, Row]]) -> None:
    try:
        service.figures.shadow.inc(shadowed(service, service.models, rows))
    except EvertuneError as error:
        service.complain(error)
        service.figures.unshadowed.inc(len(rows))
