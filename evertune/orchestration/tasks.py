"""Prefect tasks that are retried while a server or a remote does not answer.

`network_task` makes such a task of a function; `is_busy` is the retry condition (`BusyError`).
"""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State

from evertune.errors import BusyError

RETRY_SECONDS = [2.0, 10.0]
P = ParamSpec("P")
R = TypeVar("R")


def is_busy(_: object, __: object, state: State[Any]) -> bool:
    """Return whether a task failed for what may pass: a remote or a server that does not answer."""
    return isinstance(state.result(raise_on_failure=False), BusyError)


def network_task(name: str) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Return what makes a task of a function that reaches out: it is tried again while busy."""
    return task(
        name=name,
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=len(RETRY_SECONDS),
        retry_delay_seconds=RETRY_SECONDS,
        retry_condition_fn=is_busy,
    )
