"""The score flow: score the table of scoring.source, and load labels that arrived late."""

import socket
from datetime import UTC, datetime
from pathlib import Path

from prefect import flow, tags, task
from prefect.cache_policies import NO_CACHE
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker

from evertune.config.loader import load_params
from evertune.monitoring.labels import load_label_table
from evertune.orchestration.progress import print_step, step_progress
from evertune.orchestration.tasks import RETRY_SECONDS, is_busy
from evertune.orchestration.train import DRAIN_TIMEOUT_SECONDS
from evertune.serving.batch import ScoringResult, read_scoring_source
from evertune.serving.batch import score as batch_score
from evertune.terminal import labels_line


def score_project(root: Path) -> ScoringResult:
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
        APILogWorker.drain_all(timeout=DRAIN_TIMEOUT_SECONDS)
        EventsWorker.drain_all(timeout=DRAIN_TIMEOUT_SECONDS)


@flow(name="score", persist_result=False)
def score(root: str) -> ScoringResult:
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
def score_rows(root: str) -> ScoringResult:
    """Predict every row, and log what is new."""
    with step_progress("score"):
        scored = batch_score(Path(root), now=datetime.now(UTC))
    print_step("score", scoring_line(scored))
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
    with step_progress("label"):
        table = read_scoring_source(params, str(params.scoring.labels), Path(root))
        counts = load_label_table(Path(root), table, now=datetime.now(UTC))
    print_step("label", labels_line(counts))


def scoring_line(scored: ScoringResult) -> str:
    """Return what scoring came to, in one line."""
    return (
        f"{scored.rows} rows by version {scored.version}, {scored.logged} new in the log, "
        f"{scored.output}"
    )
