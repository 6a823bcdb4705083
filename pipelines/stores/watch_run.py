"""The run in MLflow that shows how a model does in production."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.core.pages import Point
from pipelines.stores.tracking import PROJECT_TAG, Store, client, log_values, told

WATCH_TAG = "evertune.monitoring"
NOTE = "What production looks like: see the artifact monitoring.html, and figures by window."


@told
def log_watch(store: Store, *, page: Path, points: Sequence[Point]) -> str:
    """Show the monitoring page and its figures in the model's one run for that; return its id.

    Points that the run has are not sent again.

    Parameters
    ----------
    store : Store
    page : Path
        The page; it takes the place of the one that was shown before.
    points : sequence of Point
        Figures over time.
    """
    known = client(store.address)
    run_id = _run(known, store)
    log_values(known, run_id, points=new_points(known, run_id, points))
    known.log_artifact(run_id, str(page))
    known.set_terminated(run_id, "FINISHED")
    return run_id


def new_points(known: Any, run_id: str, points: Sequence[Point]) -> list[Point]:
    """Return the points, each with its time, that a run does not have yet.

    A figure that was worked out anew, since a label was corrected, is another point.
    """
    names = {point.name for point in points}
    shown = {
        (each.key, each.value, each.step, each.timestamp)
        for name in names
        for each in known.get_metric_history(run_id, name)
    }
    return [p for p in points if (p.name, p.value, p.step, p.milliseconds) not in shown]


def _run(known: Any, store: Store) -> str:
    wanted = f"tags.`{WATCH_TAG}` = '{store.name}'"
    found = known.search_runs([store.experiment_id], wanted, max_results=1)
    if found:
        return str(found[0].info.run_id)
    tags = {
        WATCH_TAG: store.name,
        PROJECT_TAG: store.project,
        "mlflow.source.name": "evertune monitor",
        "mlflow.source.type": "LOCAL",
        "mlflow.note.content": NOTE,
    }
    made = known.create_run(store.experiment_id, tags=tags, run_name=f"monitoring {store.name}")
    return str(made.info.run_id)
