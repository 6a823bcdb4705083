"""Start a Ray cluster of two nodes with one processor each, and search on it; see test_ray_tune.

The first search uses both nodes. The second loses one of them when two of its trials have ended.
"""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

from ray.cluster_utils import Cluster

from evertune.ensemble.oof import TrialArtifacts
from evertune.files import load_function
from evertune.metrics.metrics import custom_metric
from evertune.search.objective import Job
from evertune.search.ray_tune import RAY_ENVIRONMENT, ray_session
from evertune.search.run import run_search
from evertune.trials import Configuration, Trial
from tests.search.studies import OBJECTIVE, make_study

NODE = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 80_000_000}
METRIC = """
import os
import time
from pathlib import Path
import ray
def loss(y, values, probabilities):
    if os.getpid() == {driver}:  # leave the trials to the cluster, however long it takes to start
        time.sleep(3600)
    seen = Path({folder!r})
    (seen / ray.get_runtime_context().get_node_id()).touch()
    stop_at = time.monotonic() + 60
    while len(list(seen.iterdir())) < 2 and time.monotonic() < stop_at:
        time.sleep(0.1)  # the other node's worker may need longer to start than all trials here
    return float(abs(y - values).mean())
"""


SLOW_METRIC = """
import time
def slow_loss(y, values, probabilities):
    time.sleep(0.3)
    return float(abs(y - values).mean())
"""
MODELS = ("linear", "tree")


def search_while_a_node_is_lost(cluster: Cluster, node: object, folder: Path) -> dict:
    """Search with shared storage, end a node after two trials, and return what was found."""
    storage, project = folder / "storage", folder / "project"
    storage.mkdir()
    (project / "slow_metric.py").write_text(SLOW_METRIC)
    loss = load_function("slow_metric:slow_loss", project)
    metric = custom_metric("m", loss, greater_is_better=False, task="regression")
    models: dict[int, list[int]] = {}
    lost = []

    def on_finished(trial: Trial, artifacts: TrialArtifacts | None) -> None:
        if artifacts is not None:
            models[trial.number] = [len(model.data) for model in artifacts.folds]
        if len(models) == 2 and not lost:
            lost.append(trial.number)
            cluster.remove_node(node, allow_graceful=False)

    study = make_study(
        MODELS,
        searcher="random",
        scheduler="asha",
        trials=8,
        objective=replace(OBJECTIVE, metrics=(metric,)),
        storage=str(storage),
        on_finished=on_finished,
    )
    run_search(study, root=project, state=folder / "state")
    return {
        "lost_after": lost,
        "trials": [[trial.number, trial.status] for trial in study.trials],
        "reasons": [trial.reason for trial in study.trials if trial.status == "failed"],
        "models": [models[trial.number] for trial in study.trials if trial.status == "complete"],
        "left_in_storage": len(list(storage.iterdir())),
    }


def refusal_of(**settings: object) -> str:
    """Return why a search with these settings is refused."""
    study = make_study(("xgboost",), searcher="random", trials=2, **settings)
    try:
        run_search(study, root=None, state=Path("state"))
    except ValueError as refused:
        return str(refused)
    return ""


def main(cluster: Cluster, node: object, folder: Path) -> None:
    """Write what was found to found.json."""
    project, seen = folder / "project", folder / "seen"
    project.mkdir()
    seen.mkdir()
    (project / "node_metric.py").write_text(METRIC.format(driver=os.getpid(), folder=str(seen)))
    loss = load_function("node_metric:loss", project)
    metric = custom_metric("m", loss, greater_is_better=False, task="regression")
    objective = replace(OBJECTIVE, metrics=(metric,))
    study = make_study(
        ("linear", "tree"), searcher="random", seconds=120.0, trials=6, objective=objective
    )
    run_search(study, root=project, state=folder / "state")
    error = ""
    try:
        with ray_session(None, folder / "state", workers=3):
            pass
    except ValueError as refused:
        error = str(refused)
    found = {
        "nodes_used": len(list(seen.iterdir())),
        "statuses": [trial.status for trial in study.trials],
        "workers": study.workers,
        "fold_seconds": study.limit(Job(0, Configuration("tree"), (0,))).fold_seconds,
        "error": error,
        "without_storage": refusal_of(scheduler="hyperband"),
        "without_gpus": refusal_of(scheduler="asha", gpus_per_trial=1.0),
        "with_a_lost_node": search_while_a_node_is_lost(cluster, node, folder),
    }
    (folder / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    os.environ.update(RAY_ENVIRONMENT)
    cluster = Cluster(initialize_head=True, head_node_args=NODE)
    try:
        second = cluster.add_node(**NODE)
        os.environ["RAY_ADDRESS"] = cluster.address
        main(cluster, second, Path(sys.argv[1]))
    finally:
        cluster.shutdown()
