"""The train flow as it is deployed: it takes the project's lock itself."""

from pathlib import Path

from prefect import flow

from flows.train import train
from pipelines.core.judging.verdicts import Verdict
from pipelines.params import load_params
from pipelines.stores.files import project_lock


@flow(name="train", persist_result=False)
def train_alone(root: str) -> Verdict:
    """Bring everything up to date and register the model, unless another run holds the project."""
    with project_lock(load_params(Path(root)).paths.state, "the deployed train flow"):
        return train.fn(root)
