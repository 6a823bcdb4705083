"""A model in the form that MLflow registers, serves and shows."""

import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.core.pages import ServedPage


def write_served(folder: Path, *, model: Path, page: ServedPage) -> None:
    """Write a model's folder in the form that MLflow registers and serves, read by our loader."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own type hints, and its use of pandas
        _write_served(folder, model, page)


def _write_served(folder: Path, model: Path, page: ServedPage) -> None:
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
        loader_module="pipelines.stores.models",
        data_path=str(model),
        mlflow_model=Model(),
        signature=ModelSignature(*sides),
        input_example=page.example,
        pip_requirements=list(page.requirements),
    )


def link_model(known: Any, run_id: str, *, model_id: str, metrics: Mapping[str, float]) -> None:
    """Show a model, with its figures, as what came out of a run."""
    from mlflow.entities import LoggedModelOutput, Metric

    now = int(time.time() * 1000)
    known.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])
    points = [Metric(name, value, now, 0, model_id=model_id) for name, value in metrics.items()]
    known.log_batch(run_id, metrics=points)
