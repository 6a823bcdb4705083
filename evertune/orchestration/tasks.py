"""Prefect tasks for the flows of a project, and what runs a flow.

The files in a project's `flows` folder call the functions of this module: `snapshot`, `stages`,
`stage` and `register`; `follow_decision`; `check_production` and `emit_decision`; `score_table` and
`load_labels`; `ask_person` and `apply_answer`. A step that reaches a server is tried again while
that does not answer. `run_flow` runs such a flow in this process.
"""

import os
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import httpx
from prefect import Flow, tags, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun, State
from prefect.deployments import run_deployment
from prefect.events import emit_event
from prefect.events.worker import EventsWorker
from prefect.exceptions import ObjectNotFound
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from prefect.logging.handlers import APILogWorker
from prefect.runtime import flow_run
from prefect.states import Crashed
from pydantic import Field, StringConstraints

from evertune.config.loader import load_params
from evertune.decisions import DecisionOutcome
from evertune.errors import BusyError, InputError, ProjectBusyError, StageError
from evertune.files import load_project_file, project_lock
from evertune.messages import strip_credentials
from evertune.orchestration.progress import (
    ShowProgress,
    follow_search,
    mlflow_listener,
    prefect_listener,
    print_step,
    read_baselines,
    step_progress,
    terminal_listener,
)
from evertune.orchestration.server_names import (
    DECISION_EVENT,
    PROCESS_TAG,
    ProjectIdentity,
    flow_file,
    process_tag,
)
from evertune.orchestration.steps import (
    SEARCH,
    Step,
    register_step,
    run_steps,
    snapshot_step,
    stage_step,
)
from evertune.orchestration.transfer import transfer_step
from evertune.registry.mlflow_registry import open_registry
from evertune.registry.promotion_records import Verdict
from evertune.stages.snapshot import Snapshot
from evertune.terminal import (
    decision_page,
    decision_result_line,
    labels_line,
    scoring_line,
    verdict_page,
)
from evertune.versioning import dvc

if TYPE_CHECKING:
    from evertune.monitoring.results import MonitoringResult
    from evertune.serving.batch import ScoringResult

RETRY_SECONDS = [2.0, 10.0, 60.0]  # a server that is started again, is back by then
# Another run may hold the project for as long as a search takes.
ANSWER_RETRIES, ANSWER_RETRY_SECONDS = 60, 30.0
DRAIN_TIMEOUT_SECONDS = 5.0
UNFINISHED = ("PENDING", "RUNNING", "CANCELLING")
RESUME_ADVICE = "Finished work is kept: the same command goes on from there."
T = TypeVar("T")


def run_flow(root: Path, name: str, *, about: str = "", **parameters: Any) -> Any:
    """Run a flow of a project in this process, once a Prefect server answers.

    Parameters
    ----------
    root : Path
        The project's folder.
    name : str
        Of the flow, such as `train`.
    about : str
        What the run's name ends with.
    **parameters
        Of the flow, beside `root`.

    Returns
    -------
    object
        What the flow returns.

    Raises
    ------
    EvertuneError
        Whatever a step raises; what was finished before it is kept.
    InputError
        The project's file has no such flow.
    """
    identity = ProjectIdentity.of(root)
    flow = load_flow(root, name)
    with get_client(sync_client=True) as client:
        close_abandoned_runs(client, identity.tags[:1], is_dead=_process_has_ended)
    try:
        with tags(*identity.tags, process_tag()):
            title = " ".join(filter(None, (name, identity.model, about)))
            return flow.with_options(flow_run_name=title)(str(root), **parameters)
    except httpx.TransportError as error:
        server = strip_credentials(os.environ.get("PREFECT_API_URL", ""))
        raise StageError(
            f"The Prefect server at {server} does not answer any more:"
            f" {error or type(error).__name__}. {RESUME_ADVICE}"
        ) from error
    finally:
        APILogWorker.drain_all(timeout=DRAIN_TIMEOUT_SECONDS)
        EventsWorker.drain_all(timeout=DRAIN_TIMEOUT_SECONDS)


def load_flow(root: Path, name: str) -> Flow[..., Any]:
    """Return a flow of a project: of its own `flows` folder, else the packaged one."""
    path = flow_file(root, name)
    flow = getattr(load_project_file(path), name, None)
    if not isinstance(flow, Flow):
        raise InputError(f"{path}: expected a Prefect flow named `{name}`, but there is none.")
    return flow


def close_abandoned_runs(
    client: SyncPrefectClient,
    run_tags: Iterable[str],
    *,
    is_dead: Callable[[FlowRun], bool] = lambda _: True,
) -> None:
    """Mark unfinished runs that have all of these tags as crashed, as far as they are dead."""
    unfinished = {"tags": {"all_": list(run_tags)}, "state": {"type": {"any_": UNFINISHED}}}
    for run in client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate(unfinished)):
        if is_dead(run):
            state: State[Any] = Crashed(message="The process that ran it was killed.")
            client.set_flow_run_state(run.id, state, force=True)


# The steps of flows/train.py.


@contextmanager
def hold_project(root: str, purpose: str) -> Iterator[None]:
    """Hold the project's lock, unless the command that runs the flow in this process holds it.

    Raises
    ------
    BusyError
        Another run holds the project.
    """
    state = load_params(Path(root)).paths.state
    with ExitStack() as held:
        try:
            held.enter_context(project_lock(state, f"the flow {purpose}"))
        except ProjectBusyError as error:
            if error.pid != os.getpid():
                raise
        yield


def snapshot(root: str) -> None:
    """Take a version of the source table; new rows begin a new search.

    With search.transfer that search begins with what was best on similar tables before.
    """
    place = Path(root)
    taken: Snapshot = _run_as_task(snapshot_step(place), place)
    if taken.changed and load_params(place).search.transfer:
        _run_as_task(transfer_step(place), place)


def stages(root: str) -> tuple[str, ...]:
    """Return the stages of dvc.yaml, each after those that it depends on."""
    return dvc.list_stages(Path(root))


def stage(root: str, name: str) -> None:
    """Bring one stage of dvc.yaml up to date."""
    _run_as_task(stage_step(Path(root), name), Path(root))


def register(root: str) -> Verdict:
    """Register the model, make it champion if it passes the gates, and return the verdict."""
    step = register_step(Path(root), flow_run=flow_run.get_id())
    verdict: Verdict = _run_as_task(step, Path(root))
    return verdict


# The steps of flows/retune.py, monitor.py and score.py.


def follow_decision(root: str, decision_id: str, *, resume: bool) -> DecisionOutcome:
    """Carry out a decision, a task for each of its steps, unless it was already taken up."""
    from evertune.monitoring.monitor import current_time
    from evertune.orchestration.carry_out_decision import decision_steps

    place = Path(root)
    now = current_time(place, real=datetime.now(UTC))
    steps = decision_steps(place, decision_id, now=now, resume=resume, flow_run=flow_run.get_id())
    return run_steps(steps, partial(_run_as_task, root=place))


def check_production(root: str, now: str | None) -> "MonitoringResult":
    """Measure production and decide; the decision is recorded and shown on the page."""
    from evertune.orchestration.carry_out_decision import resolve_now, run_monitoring

    place = Path(root)

    def run() -> "MonitoringResult":
        found = run_monitoring(place, now=resolve_now(place, now), say=print_step)
        create_markdown_artifact(decision_page(found), key="decision")
        return found

    found: MonitoringResult = _run_as_task(Step("monitor", run, lambda _: ""), place)
    return found


def emit_decision(root: str, found: "MonitoringResult") -> None:
    """Emit the event that starts the retune and the notifications; nothing where none is due."""
    if found.announced is None:
        return
    emit_event(
        event=DECISION_EVENT,
        resource={
            "prefect.resource.id": ProjectIdentity.of(Path(root)).resource,
            "prefect.resource.name": found.model,
            "evertune.action": found.announced,
        },
        payload={
            "decision": found.decision.id,
            "action": found.announced,
            "model": found.model,
            "champion": found.champion,
            "reasons": list(found.decision.reasons),
        },
    )


def score_table(root: str) -> "ScoringResult":
    """Predict every row of the table of scoring.source, and log what is new."""
    from evertune.serving.batch import score

    run = partial(score, Path(root), now=datetime.now(UTC))
    scored: ScoringResult = _run_as_task(Step("score", run, scoring_line), Path(root))
    return scored


def load_labels(root: str) -> None:
    """Load the labels of the table that scoring.labels names, where it names one."""
    place, params = Path(root), load_params(Path(root))
    if params.scoring.labels is None:
        return
    from evertune.monitoring.load_labels import load_label_table
    from evertune.serving.batch import read_scoring_source

    source = params.scoring.labels

    def run() -> str:
        table = read_scoring_source(params, source, place)
        return labels_line(load_label_table(place, table, now=datetime.now(UTC)))

    _run_as_task(Step("label", run, str), place)


# The steps of flows/approve.py.

NonBlankText = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Answer(RunInput):
    """What a person decides about a version that waits for approval."""

    approve: bool = Field(False, description="Make it the champion.")
    reason: NonBlankText = Field(description="The reason, for the record.")
    by: NonBlankText = Field(description="Who decides.")


def ask_person(version: str) -> Answer:
    """Suspend this flow run until a person has answered in Prefect's UI; no lock is held."""
    question = (
        f"Version {version} has passed every gate. Its report and the record of the decision are"
        " among the artifacts of its run in MLflow. Should it become the champion?"
    )
    return suspend_flow_run(wait_for_input=Answer.with_initial_data(description=question))


def apply_answer(root: str, version: str, answer: Answer) -> str:
    """Make the version champion or leave it challenger, and return what came of it."""
    from evertune.registry.promotion import approve, reject

    place, decide = Path(root), approve if answer.approve else reject

    def run() -> str:
        params = load_params(place)
        with project_lock(params.paths.state, f"evertune approve {version}"):
            now = datetime.now(UTC)
            record = decide(place, version, reason=answer.reason, by=answer.by, now=now)
        return decision_result_line(record, params.registry.name)

    retries = {"retries": ANSWER_RETRIES, "retry_delay_seconds": ANSWER_RETRY_SECONDS}
    line: str = _run_as_task(Step("answer", run, str), place, **retries)
    return line


def ask_for_approval(root: Path, verdict: Verdict) -> bool:
    """Start the approve flow for a version that waits, where that flow is deployed."""
    if not verdict.waits_for_approval:
        return False
    identity = ProjectIdentity.of(root)
    deployment = f"approve/{identity.deployment}"
    with get_client(sync_client=True) as client:
        try:
            client.read_deployment_by_name(deployment)
        except ObjectNotFound:
            return False
    run_deployment(
        deployment,
        parameters={"version": verdict.version},
        flow_run_name=f"approve {identity.model} {verdict.version}",
        idempotency_key=f"{deployment} {verdict.version} {verdict.basis}",
        timeout=0,
        as_subflow=False,
    )
    return True


def is_busy(_: object, __: object, state: State[Any]) -> bool:
    """Return whether a task failed because a server, a remote or the project's lock is busy."""
    return isinstance(state.result(raise_on_failure=False), BusyError)


def _run_as_task(step: Step[T], root: Path, **options: Any) -> T:
    """Perform a step as a Prefect task, show it while it runs, and print its line."""

    def perform() -> T:
        with step_progress(step.name) as show, _showing_search(step, root, show):
            result = step.perform()
        line = step.line(result)
        if line:
            print_step(step.name, line)
        if isinstance(result, Verdict):
            _show_verdict(root, result)
        return result

    retries = {"retries": len(RETRY_SECONDS), "retry_delay_seconds": RETRY_SECONDS} | options
    if step.retried:
        options = {**retries, "retry_condition_fn": is_busy}
    as_task = task(name=step.name, cache_policy=NO_CACHE, persist_result=False, **options)
    try:
        result: T = as_task(perform)()
    except ProjectBusyError:
        raise
    except BusyError as error:
        if not step.retried:
            raise
        n_attempts = options["retries"] + 1
        raise StageError(
            f"'{step.name}' failed in {n_attempts} attempts: {error}. {RESUME_ADVICE}"
        ) from error
    return result


@contextmanager
def _showing_search(step: Step[Any], root: Path, show: ShowProgress) -> Iterator[None]:
    if step.name != SEARCH or dvc.is_stage_current(root, SEARCH):
        yield
        return
    params = load_params(root)
    baselines = read_baselines(params.paths.baselines)
    listeners = [terminal_listener(show, baselines), prefect_listener(baselines)]
    name, most = params.registry.name, params.registry.logged_trials
    try:
        listeners.append(mlflow_listener(open_registry(params), title=name, most=most))
    except BusyError as error:
        print_step(SEARCH, f"begins without MLflow; registering will add the trials: {error}")
    with follow_search(params.paths.trials, listeners):
        yield


def _show_verdict(root: Path, verdict: Verdict) -> None:
    create_markdown_artifact(verdict_page(verdict), key="verdict")
    if ask_for_approval(root, verdict):
        print_step(
            "approve",
            f"version {verdict.version} waits for approval: `evertune approve` or Prefect's UI",
        )


def _process_has_ended(run: FlowRun) -> bool:
    """Return whether the process that a run names is one of this machine that has ended."""
    here = f"{PROCESS_TAG}{socket.gethostname()}:"
    for tag in run.tags:
        if tag.startswith(here):
            return not Path(f"/proc/{tag.removeprefix(here)}").exists()
    return False
