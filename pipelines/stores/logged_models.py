"""The files of a version as MLflow keeps them: its model, and the rows of its example."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from pipelines.core.pages import ServedPage
from pipelines.stores.served import link_model, write_served
from pipelines.stores.tracking import Store

IDENTITY_TAG = "evertune.model"
FOLDER = "model"
EXAMPLE = "input_example.json"


def model_tags(page: ServedPage) -> dict[str, str]:
    """Return the tags by which a model is found again, with those of its page."""
    return {IDENTITY_TAG: page.identity, **page.tags}


def logged_model(known: Any, store: Store, run_id: str, *, model: Path, page: ServedPage) -> Any:
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
            store.experiment_id, name=FOLDER, source_run_id=run_id, tags=model_tags(page)
        )
    )
    with TemporaryDirectory() as beside:
        served = Path(beside) / "served"
        write_served(served, model=_named(model, Path(beside)), page=page)
        known.log_model_artifacts(logged.model_id, str(served))
    link_model(known, run_id, model_id=logged.model_id, metrics=page.metrics)
    return known.finalize_logged_model(logged.model_id, "READY")


def _named(model: Path, beside: Path) -> Path:
    # MLflow keeps the last part of the path; download_model looks for one name.
    link = beside / FOLDER
    link.symlink_to(model, target_is_directory=True)
    return link


def example_in(files: Path) -> pd.DataFrame:
    """Return the raw rows of the example among a version's files."""
    example = json.loads((files / EXAMPLE).read_text(encoding="utf-8"))
    return pd.DataFrame(example["data"], columns=example["columns"])
