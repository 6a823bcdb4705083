"""Evaluations on demand in MLflow: a run for each, linked to the version that it judges."""

from pathlib import Path

import pandas as pd

from pipelines.core.assessments import Assessment, assessment_line, left_out_lines
from pipelines.core.pages import Point, Table
from pipelines.stores.tracking import (
    PROJECT_TAG,
    Store,
    client,
    dataset_input,
    log_values,
    told,
)

ASSESSMENT_TAG = "evertune.assessment"
VERSION_TAG = "evertune.version"


@told
def log_assessment(
    store: Store, found: Assessment, *, folder: Path, source: Path, rows: pd.DataFrame
) -> str:
    """Show an evaluation on demand in a run of its own and return the run's id.

    The same version judged by the same table again is shown in the same run.

    Parameters
    ----------
    store : Store
    found : Assessment
    folder : Path
        With the pages, logged as they are.
    source : Path
        The table's file.
    rows : DataFrame
        The table, whose columns and size the run shows.
    """
    known, key = client(store.address), f"{found.version}-{found.digest}"
    shown = known.search_runs([store.experiment_id], f"tags.`{ASSESSMENT_TAG}` = '{key}'")
    run_id = shown[0].info.run_id if shown else _made(store, found, key=key)
    own = {f"own_holdout/{row.metric}": row.own for row in found.figures}
    points = own | {f"assessed/{row.metric}": row.figure for row in found.figures}
    values = [Point(name, value) for name, value in points.items() if value is not None]
    log_values(known, run_id, points=values)
    known.log_artifacts(run_id, str(folder))
    table = Table(found.table, source, found.digest, "evaluation")
    known.log_inputs(run_id, datasets=[dataset_input(table, rows)])
    known.set_terminated(run_id, "FINISHED")
    return str(run_id)


def _made(store: Store, found: Assessment, *, key: str) -> str:
    lines = [assessment_line(found), *left_out_lines(found)]
    tags = {
        ASSESSMENT_TAG: key,
        VERSION_TAG: found.version,
        PROJECT_TAG: store.project,
        "mlflow.source.name": "evertune evaluate",
        "mlflow.source.type": "LOCAL",
        "mlflow.note.content": "\n\n".join(
            [*lines, f"Judges `models:/{found.model}/{found.version}`."]
        ),
    }
    name = f"version {found.version} on {found.table}"
    made = client(store.address).create_run(store.experiment_id, tags=tags, run_name=name)
    return str(made.info.run_id)
