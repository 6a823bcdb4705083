"""Show what monitoring found: a page on disk and in MLflow, and figures over time in MLflow.

Reads what `monitor` found and what came of decisions. Writes state/monitoring/monitoring.html and
the model's monitoring run.
"""

from datetime import UTC, datetime
from pathlib import Path

from pipelines.core.findings import Finding
from pipelines.core.monitored import Monitored
from pipelines.core.pages import Point
from pipelines.core.watch_page import watch_html
from pipelines.params import load_params
from pipelines.stores.database import close_log, log_address, open_log
from pipelines.stores.decisions import outcomes
from pipelines.stores.files import write_text
from pipelines.stores.tracking import open_store
from pipelines.stores.watch_run import log_watch

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAYERS = ("performance", "estimate", "business")
DRIFTS = ("input_drift", "prediction_drift", "joint_drift")


def show(root: Path, found: Monitored) -> Path:
    """Write the page, bring the model's monitoring run up to date, and return where the page is.

    Raises
    ------
    BusyError
        MLflow or the log's database does not answer.
    """
    params = load_params(root)
    address = log_address(params.scoring.log_variable)
    log = open_log(params.paths.state, model=params.registry.name, address=address)
    try:
        came = outcomes(log)
    finally:
        close_log(log)
    page = params.paths.state / "monitoring" / "monitoring.html"
    write_text(page, watch_html(found, came))
    store = open_store(params.paths.state, params.registry.name)
    log_watch(store, page=page, points=points(found))
    return page


def points(found: Monitored) -> list[Point]:
    """Return the figures of the whole table, the step is the hour since 1970."""
    shown = [
        each
        for each in found.findings
        if each.part is None and (each.layer in LAYERS or each.signal in DRIFTS)
    ]
    return [point for each in shown for point in _point(each)]


def _point(finding: Finding) -> list[Point]:
    if finding.value is None or finding.state in ("immature", "no data"):
        return []
    end = finding.window.end
    milliseconds = int(end.timestamp() * 1000)
    hours = int((end - EPOCH).total_seconds() // 3600)
    return [Point(finding.signal, finding.value, hours, milliseconds)]
