"""The flow that scores the table of scoring.source, and loads the labels that came late."""

import socket
from datetime import UTC, datetime
from pathlib import Path

from prefect import flow, tags, task
from prefect.cache_policies import NO_CACHE
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker

from flows.lines import labels_line
from flows.progress import say, step_shown
from flows.train import RETRY_SECONDS, SEND_SECONDS, is_busy
from pipelines.label import label_table
from pipelines.params import load_params
from pipelines.score import Scored, source_of
from pipelines.score import score as score_table


def score_project(root: Path) -> Scored:
    """Run the flow for a project; a Prefect server answers.

    Raises
    ------
    EvertuneError
        Whatever a step raises.
    """
    name = load_params(root).registry.name
    project = f"project:{socket.gethostname()}:{root}"
    try:
        with tags(project, f"model:{name}"):
            return score.with_options(flow_run_name=f"score {name}")(str(root))
    finally:
        APILogWorker.drain_all(timeout=SEND_SECONDS)
        EventsWorker.drain_all(timeout=SEND_SECONDS)


@flow(name="score", persist_result=False)
def score(root: str) -> Scored:
    """Score the table, and load labels where scoring.labels names some."""
    scored = score_rows(root)
    if load_params(Path(root)).scoring.labels is not None:
        load_labels(root)
    return scored


@task(
    name="score rows",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=len(RETRY_SECONDS),
    retry_delay_seconds=RETRY_SECONDS,
    retry_condition_fn=is_busy,
)
def score_rows(root: str) -> Scored:
    """Predict every row, and log what is new."""
    with step_shown("score"):
        scored = score_table(Path(root), now=datetime.now(UTC))
    say("score", scored_line(scored))
    return scored


@task(
    name="load labels",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=len(RETRY_SECONDS),
    retry_delay_seconds=RETRY_SECONDS,
    retry_condition_fn=is_busy,
)
def load_labels(root: str) -> None:
    """Load the labels of the table that scoring.labels names."""
    params = load_params(Path(root))
    with step_shown("label"):
        table = source_of(params, str(params.scoring.labels), Path(root))
        counts = label_table(Path(root), table, now=datetime.now(UTC))
    say("label", labels_line(counts))


def scored_line(scored: Scored) -> str:
    """Return what scoring came to, in one line."""
    return (
        f"{scored.rows} rows by version {scored.version}, {scored.logged} new in the log, "
        f"{scored.output}"
    )
