"""The train flow: snapshot the data, run every stage that is out of date, register the model.

`train_project` runs it for a project whose lock the caller holds. `train_alone` is the flow as
it is deployed: it takes the lock itself.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

from prefect import flow, tags, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import State
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.runtime import flow_run
from prefect.states import Crashed

from evertune.config.loader import load_params
from evertune.config.schema import Params
from evertune.files import project_lock, read_lines, write_record
from evertune.orchestration.approve import ask_for_approval
from evertune.orchestration.listeners import mlflow_listener, prefect_listener, terminal_listener
from evertune.orchestration.progress import (
    ShowProgress,
    follow_search,
    parse_trial_lines,
    print_step,
    read_baselines,
    search_line,
    search_progress,
    step_progress,
)
from evertune.orchestration.tasks import network_task
from evertune.plan import Plan
from evertune.registry.gates import Verdict
from evertune.registry.mlflow_client import open_tracking_store
from evertune.registry.register import register
from evertune.stages.runner import run_and_record, stage_function
from evertune.stages.snapshot import take_snapshot
from evertune.terminal import snapshot_line, verdict_line, verdict_page
from evertune.versioning import dvc

DRAIN_TIMEOUT_SECONDS = 5.0
SEARCH_STAGE = "search"


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
    _mark_abandoned_runs_crashed(project)
    try:
        with tags(project, f"model:{name}"):
            return train.with_options(flow_run_name=f"train {name}")(str(root))
    finally:
        APILogWorker.drain_all(timeout=DRAIN_TIMEOUT_SECONDS)
        EventsWorker.drain_all(timeout=DRAIN_TIMEOUT_SECONDS)


@flow(name="train", persist_result=False)
def train(root: str) -> Verdict:
    """Bring everything up to date with the source table and params.yaml, and register the model."""
    snapshot(root)
    for name in dvc.list_stages(Path(root)):
        stage.with_options(name=name)(root, name)
    return registration(root)


@network_task("snapshot")
def snapshot(root: str) -> None:
    """Take a version of the source table; new rows are searched for anew."""
    with step_progress("snapshot"):
        taken = take_snapshot(Path(root))
    if taken.changed:
        write_record(load_params(Path(root)).paths.plan, Plan())
    print_step("snapshot", snapshot_line(taken))


@task(cache_policy=NO_CACHE, persist_result=False)
def stage(root: str, name: str) -> None:
    """Bring one stage of dvc.yaml up to date."""
    if dvc.is_stage_current(Path(root), name):
        print_step(name, "up to date")
        return
    started, params = monotonic(), load_params(Path(root))
    with step_progress(name) as show, _listening_to_search(name, params, show):
        run_and_record(Path(root), name, run=stage_function(Path(root), name))
    print_step(name, f"done in {monotonic() - started:.1f} s{_search_outcome(name, params)}")


@network_task("register")
def registration(root: str) -> Verdict:
    """Register the model, make it champion if it passes the gate, and show the verdict."""
    with step_progress("register"):
        verdict = register(Path(root), flow_run=flow_run.get_id())
    create_markdown_artifact(verdict_page(verdict), key="verdict")
    print_step("register", verdict_line(verdict))
    if ask_for_approval(Path(root), verdict):
        print_step(
            "approve", f"version {verdict.version} waits for a person, here or in Prefect's UI"
        )
    return verdict


@contextmanager
def _listening_to_search(name: str, params: Params, show: ShowProgress) -> Iterator[None]:
    if name != SEARCH_STAGE:
        yield
        return
    baselines = read_baselines(params.paths.baselines)
    store = open_tracking_store(params.paths.state, params.registry.name)
    tellers = (
        terminal_listener(show, baselines),
        prefect_listener(baselines),
        mlflow_listener(store, title=params.registry.name, most=params.registry.logged_trials),
    )
    with follow_search(params.paths.trials, tellers):
        yield


def _search_outcome(name: str, params: Params) -> str:
    now = parse_trial_lines(read_lines(params.paths.trials), []) if name == SEARCH_STAGE else None
    if now is None:
        return ""
    baselines = read_baselines(params.paths.baselines)
    return f": {search_line(search_progress(now, 0.0, baselines=baselines))}"


def _mark_abandoned_runs_crashed(project: str) -> None:
    # The caller holds the project's lock: a run of ours that reads RUNNING was killed.
    running = FlowRunFilter.model_validate(
        {"tags": {"all_": [project]}, "state": {"type": {"any_": ["RUNNING"]}}}
    )
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_run_filter=running):
            state: State = Crashed(message="The process that ran it was killed.")
            client.set_flow_run_state(run.id, state, force=True)


@flow(name="train", persist_result=False)
def train_alone(root: str) -> Verdict:
    """Bring everything up to date and register the model, unless another run holds the project."""
    with project_lock(load_params(Path(root)).paths.state, "the deployed train flow"):
        return train.fn(root)
