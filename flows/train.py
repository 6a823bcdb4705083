"""Train: take a snapshot, bring each stage of dvc.yaml up to date, register the model.

`evertune train` runs this flow. `evertune up` and `evertune deploy` make a deployment of it.
Edit it as you like; what the steps do is in `evertune.orchestration.tasks`.
"""

from prefect import flow

from evertune.orchestration.tasks import hold_project, register, snapshot, stage, stages
from evertune.registry.promotion_records import Verdict


@flow(name="train", persist_result=False)
def train(root: str) -> Verdict:
    """Bring everything up to date with the source table and params.yaml; register the model."""
    with hold_project(root, "train"):
        snapshot(root)
        for name in stages(root):
            stage(root, name)
        return register(root)
