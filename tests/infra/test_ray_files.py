"""How to start Ray on Slurm and Kubernetes: held to what this project and the tools expect."""

import re
import subprocess
from pathlib import Path

from ruamel.yaml import YAML

INFRA = Path(__file__).parents[2] / "infra"
SLURM = INFRA / "ray" / "slurm.sh"
CONSTRAINTS = (INFRA / "constraints.txt").read_text(encoding="utf-8")


def ray_job():
    return YAML(typ="safe").load((INFRA / "ray" / "kuberay.yaml").read_text(encoding="utf-8"))


def pods():
    """Return the template of each kind of pod."""
    cluster = ray_job()["spec"]["rayClusterSpec"]
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def test_the_manifest_is_a_ray_job_of_the_installed_ray_that_ends_with_its_cluster():
    job = ray_job()
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert f"ray=={job['spec']['rayClusterSpec']['rayVersion']}\n" in CONSTRAINTS
    assert job["spec"]["shutdownAfterJobFinishes"] is True
    assert job["spec"]["backoffLimit"] == 0
    assert "evertune train" in job["spec"]["entrypoint"]
    keys = {"entrypoint", "submissionMode", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished"}
    assert job["spec"].keys() == keys | {"backoffLimit", "submitterPodTemplate", "rayClusterSpec"}


def test_trials_run_on_workers_alone_and_their_number_is_fixed():
    head, *workers = pods()
    assert head["rayStartParams"]["num-cpus"] == "0"
    for group in workers:
        assert group["replicas"] == group["minReplicas"] == group["maxReplicas"] > 0
        assert re.fullmatch(r"[a-z][a-z0-9-]*", group["groupName"])
    assert all(isinstance(v, str) for group in pods() for v in group["rayStartParams"].values())


def test_the_pods_show_each_other_a_token():
    assert ray_job()["spec"]["rayClusterSpec"]["authOptions"] == {"mode": "token"}


def test_all_pods_have_the_same_image_and_shared_folder():
    containers = [group["template"]["spec"]["containers"][0] for group in pods()]
    submitter = ray_job()["spec"]["submitterPodTemplate"]["spec"]["containers"][0]
    assert len({each["image"] for each in [*containers, submitter]}) == 1
    for container in [*containers, submitter]:
        variables = {each["name"]: each["value"] for each in container["env"]}
        assert variables["OMP_NUM_THREADS"] == "1"
        assert all(isinstance(value, str) for value in variables.values())
    for group, container in zip(pods(), containers, strict=True):
        volumes = {each["name"] for each in group["template"]["spec"]["volumes"]}
        assert {each["name"] for each in container["volumeMounts"]} == volumes
        limits = container["resources"]
        assert limits["limits"] == limits["requests"]


def test_the_slurm_script_is_bash_and_uses_a_token():
    checked = subprocess.run(
        ["bash", "-n", str(SLURM)], capture_output=True, text=True, check=False
    )
    assert checked.stderr == ""
    text = SLURM.read_text(encoding="utf-8")
    assert text.startswith("#!/bin/bash\n")
    assert "set -euo pipefail" in text
    assert "RAY_AUTH_MODE=token" in text
    assert SLURM.stat().st_mode & 0o111
