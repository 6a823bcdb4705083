"""The flow that makes a model: a snapshot, every stage that is not up to date, registration."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any, ParamSpec, TypeVar

from prefect import Task, flow, tags, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import State
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.runtime import flow_run
from prefect.states import Crashed

from flows.asking import ask_for_approval
from flows.follow import following, found, read_baselines, search_view
from flows.lines import snapshot_line, verdict_line, verdict_page
from flows.progress import Show, say, search_line, step_shown
from flows.stages import make, stage_function
from flows.watch import to_mlflow, to_prefect, to_terminal
from pipelines.core.judging.verdicts import Verdict
from pipelines.core.plans import Plan
from pipelines.errors import BusyError
from pipelines.params import load_params
from pipelines.register import register
from pipelines.sections import Params
from pipelines.snapshot import take_snapshot
from pipelines.stores import versions
from pipelines.stores.files import read_lines, write_record
from pipelines.stores.tracking import open_store

SEND_SECONDS = 5.0
RETRY_SECONDS = [2.0, 10.0]
SEARCH = "search"
P = ParamSpec("P")
R = TypeVar("R")


def train_project(root: Path) -> Verdict:
    """Run the flow for a project; its lock is held by the caller, and a Prefect server answers.

    Returns
    -------
    Verdict
        Whether the new model became the champion.

    Raises
    ------
    EvertuneError
        Whatever a step raises; what was finished before it is kept.
    """
    name = load_params(root).registry.name
    project = f"project:{socket.gethostname()}:{root}"
    _close_abandoned(project)
    try:
        with tags(project, f"model:{name}"):
            return train.with_options(flow_run_name=f"train {name}")(str(root))
    finally:
        APILogWorker.drain_all(timeout=SEND_SECONDS)
        EventsWorker.drain_all(timeout=SEND_SECONDS)


@flow(name="train", persist_result=False)
def train(root: str) -> Verdict:
    """Bring everything up to date with the source table and params.yaml, and register the model."""
    snapshot(root)
    for name in versions.stages(Path(root)):
        stage.with_options(name=name)(root, name)
    return registration(root)


def is_busy(_: object, __: object, state: State[Any]) -> bool:
    """Return whether a task failed for what may pass: a remote or a server that does not answer."""
    return isinstance(state.result(raise_on_failure=False), BusyError)


def networked(name: str) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Return what makes a task of a function that reaches out: it is tried again while busy."""
    return task(
        name=name,
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=len(RETRY_SECONDS),
        retry_delay_seconds=RETRY_SECONDS,
        retry_condition_fn=is_busy,
    )


@networked("snapshot")
def snapshot(root: str) -> None:
    """Take a version of the source table; new rows are searched for anew."""
    with step_shown("snapshot"):
        taken = take_snapshot(Path(root))
    if taken.changed:
        write_record(load_params(Path(root)).paths.plan, Plan())
    say("snapshot", snapshot_line(taken))


@task(cache_policy=NO_CACHE, persist_result=False)
def stage(root: str, name: str) -> None:
    """Bring one stage of dvc.yaml up to date."""
    if versions.is_current(Path(root), name):
        say(name, "up to date")
        return
    started, params = monotonic(), load_params(Path(root))
    with step_shown(name) as show, _watched(name, params, show):
        make(Path(root), name, run=stage_function(name))
    say(name, f"done in {monotonic() - started:.1f} s{_outcome(name, params)}")


@networked("register")
def registration(root: str) -> Verdict:
    """Register the model, make it champion if it passes the gate, and show the verdict."""
    with step_shown("register"):
        verdict = register(Path(root), flow_run=flow_run.get_id())
    create_markdown_artifact(verdict_page(verdict), key="verdict")
    say("register", verdict_line(verdict))
    if ask_for_approval(Path(root), verdict):
        say("approve", f"version {verdict.version} waits for a person, here or in Prefect's UI")
    return verdict


@contextmanager
def _watched(name: str, params: Params, show: Show) -> Iterator[None]:
    if name != SEARCH:
        yield
        return
    baselines = read_baselines(params.paths.baselines)
    store = open_store(params.paths.state, params.registry.name)
    tellers = (
        to_terminal(show, baselines),
        to_prefect(baselines),
        to_mlflow(store, title=params.registry.name, most=params.registry.nested_trials),
    )
    with following(params.paths.trials, tellers):
        yield


def _outcome(name: str, params: Params) -> str:
    now = found(read_lines(params.paths.trials), []) if name == SEARCH else None
    if now is None:
        return ""
    baselines = read_baselines(params.paths.baselines)
    return f": {search_line(search_view(now, 0.0, baselines=baselines))}"


def _close_abandoned(project: str) -> None:
    # The caller holds the project's lock: a run of ours that reads RUNNING was killed.
    running = FlowRunFilter.model_validate(
        {"tags": {"all_": [project]}, "state": {"type": {"any_": ["RUNNING"]}}}
    )
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_run_filter=running):
            state: State = Crashed(message="The process that ran it was killed.")
            client.set_flow_run_state(run.id, state, force=True)
