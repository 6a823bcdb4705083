"""Write a model in MLflow's pyfunc format, and log it with its example rows.

`write_pyfunc` saves a model's folder so that MLflow can register and serve it through our
loader. `get_or_log_model` finds a model by the hash of its files (`IDENTITY_TAG`) or logs it,
and completes what a killed run left behind. `read_example_rows` returns the raw rows of the
example.
"""

import json
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from evertune.registry.mlflow_client import ModelDescription, TrackingStore

LOADER_MODULE = "evertune.models.persistence"


def write_pyfunc(folder: Path, *, model: Path, page: ModelDescription) -> None:
    """Write a model's folder in the form that MLflow registers and serves, read by our loader."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own type hints, and its use of pandas
        _write_pyfunc(folder, model, page)


def _write_pyfunc(folder: Path, model: Path, page: ModelDescription) -> None:
    from mlflow.models import Model, ModelSignature
    from mlflow.pyfunc import save_model
    from mlflow.types import ColSpec, Schema
    from mlflow.types.schema import AnyType

    sides = [
        Schema([ColSpec(AnyType() if kind == "any" else kind, name) for name, kind in side.items()])
        for side in (page.inputs, page.outputs)
    ]
    save_model(
        str(folder),
        loader_module=LOADER_MODULE,
        data_path=str(model),
        mlflow_model=Model(),
        signature=ModelSignature(*sides),
        input_example=page.example,
        pip_requirements=list(page.requirements),
    )


def link_model_to_run(
    known: Any, run_id: str, *, model_id: str, metrics: Mapping[str, float]
) -> None:
    """Show a model, with its figures, as what came out of a run."""
    from mlflow.entities import LoggedModelOutput, Metric

    now = int(time.time() * 1000)
    known.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])
    points = [Metric(name, value, now, 0, model_id=model_id) for name, value in metrics.items()]
    known.log_batch(run_id, metrics=points)


IDENTITY_TAG = "evertune.model"
MODEL_FOLDER = "model"
EXAMPLE_FILE = "input_example.json"


def model_tags(page: ModelDescription) -> dict[str, str]:
    """Return the tags by which a model is found again, with those of its page."""
    return {IDENTITY_TAG: page.identity, **page.tags}


def get_or_log_model(
    known: Any, store: TrackingStore, run_id: str, *, model: Path, page: ModelDescription
) -> Any:
    """Return the logged model with the page's identity, whole; to be called where it is `told`.

    What a killed run left of it is taken up.
    """
    wanted = f"tags.`{IDENTITY_TAG}` = '{page.identity}'"
    left = known.search_logged_models([store.experiment_id], wanted)
    if left and str(left[0].status) == "READY":
        return left[0]
    logged = (
        left[0]
        if left
        else known.create_logged_model(
            store.experiment_id, name=MODEL_FOLDER, source_run_id=run_id, tags=model_tags(page)
        )
    )
    with TemporaryDirectory() as beside:
        served = Path(beside) / "served"
        write_pyfunc(served, model=_link_model_folder(model, Path(beside)), page=page)
        known.log_model_artifacts(logged.model_id, str(served))
    link_model_to_run(known, run_id, model_id=logged.model_id, metrics=page.metrics)
    return known.finalize_logged_model(logged.model_id, "READY")


def _link_model_folder(model: Path, beside: Path) -> Path:
    # MLflow keeps the last part of the path; download_model looks for one name.
    link = beside / MODEL_FOLDER
    link.symlink_to(model, target_is_directory=True)
    return link


def read_example_rows(files: Path) -> pd.DataFrame:
    """Return the raw rows of the example among a version's files."""
    example = json.loads((files / EXAMPLE_FILE).read_text(encoding="utf-8"))
    return pd.DataFrame(example["data"], columns=example["columns"])
