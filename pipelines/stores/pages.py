"""The page of a run in the MLflow UI: figures, parameters, tables, files."""

from dataclasses import dataclass
from pathlib import Path

from pipelines.core.pages import Page, Point
from pipelines.stores.files import read_table
from pipelines.stores.tracking import (
    PROJECT_TAG,
    RESULT_TAG,
    SEARCH_TAG,
    Store,
    client,
    dataset_input,
    fetched,
    log_values,
    told,
)


@dataclass(frozen=True)
class LastRun:
    """The run of a search, in short: `status` in MLflow's words, the time since 1970."""

    run_id: str
    title: str
    status: str
    started_seconds: float


@told
def log_page(store: Store, run_id: str, *, page: Page) -> None:
    """Show everything that is known about a result in its run.

    Logging a page twice changes nothing but the times of its figures.
    """
    known = client(store.address)
    known.update_run(run_id, name=page.title)
    log_values(
        known,
        run_id,
        points=[Point(name, value) for name, value in page.metrics.items()],
        parameters=page.parameters,
        tags={**page.tags, "mlflow.note.content": page.note},
    )
    for path, folder in page.files:
        add = known.log_artifacts if path.is_dir() else known.log_artifact
        add(run_id, str(path), folder or None)
    if page.leaderboard is not None:
        text = page.leaderboard.to_json(orient="split", index=False)
        known.log_text(run_id, text, "leaderboard.json")
    inputs = [dataset_input(table, read_table(table.path)) for table in page.tables]
    known.log_inputs(run_id, datasets=inputs)


@told
def shows(store: Store, run_id: str, *, result: str) -> bool:
    """Whether the run shows this result in full."""
    run = client(store.address).get_run(run_id)
    return bool(run.info.status == "FINISHED" and run.data.tags.get(RESULT_TAG) == result)


@told
def finish_run(store: Store, run_id: str) -> None:
    """Mark the run as showing its result in full."""
    client(store.address).set_terminated(run_id, "FINISHED")


@told
def log_text(store: Store, run_id: str, *, name: str, text: str) -> None:
    """Keep a text among the artifacts of a run."""
    client(store.address).log_text(run_id, text, name)


@told
def kept_file(store: Store, run_id: str, *, name: str, folder: Path) -> Path | None:
    """Return a file among the artifacts of a run, copied to `folder`; None where it has none."""
    if name not in {kept.path for kept in client(store.address).list_artifacts(run_id)}:
        return None
    return fetched(store.address, f"runs:/{run_id}/{name}", folder=folder)


@told
def last_run(store: Store) -> LastRun | None:
    """Return the newest run of a search of this project, None if there is none."""
    mine = f"tags.`{PROJECT_TAG}` = '{store.project}' and tags.`{SEARCH_TAG}` LIKE '%'"
    found = client(store.address).search_runs(
        [store.experiment_id], mine, order_by=["attributes.start_time DESC"], max_results=1
    )
    if not found:
        return None
    info = found[0].info
    return LastRun(info.run_id, info.run_name, info.status, info.start_time / 1000)
