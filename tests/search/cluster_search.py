"""Start a Ray cluster of two nodes with one processor each, and search on it; see test_ray_tune."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

from ray.cluster_utils import Cluster

from evertune.files import load_function
from evertune.metrics.metrics import custom_metric
from evertune.search.objective import Job
from evertune.search.ray_tune import RAY_ENVIRONMENT, ray_session
from evertune.search.run import run_search
from evertune.trials import Configuration
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
    time.sleep(0.2)
    return float(abs(y - values).mean())
"""


def main(folder: Path) -> None:
    """Write what was found to found.json."""
    project, seen = folder / "project", folder / "seen"
    project.mkdir()
    seen.mkdir()
    (project / "node_metric.py").write_text(METRIC.format(driver=os.getpid(), folder=str(seen)))
    loss = load_function("node_metric:loss", project)
    metric = custom_metric("m", loss, greater_is_better=False, task="regression")
    objective = replace(OBJECTIVE, metrics=(metric,))
    study = make_study(
        ("linear", "tree"), searcher="random", seconds=120.0, trials=12, objective=objective
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
    }
    (folder / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    os.environ.update(RAY_ENVIRONMENT)
    cluster = Cluster(initialize_head=True, head_node_args=NODE)
    try:
        cluster.add_node(**NODE)
        os.environ["RAY_ADDRESS"] = cluster.address
        main(Path(sys.argv[1]))
    finally:
        cluster.shutdown()
