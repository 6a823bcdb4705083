import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import ray

from evertune.search.ray_guardian import marked_processes
from evertune.search.ray_tune import ray_session


def _listening():
    """Return the inodes of listening sockets and whether they can be reached from outside."""
    found = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                found[fields[9]] = not fields[1].startswith(
                    ("0100007F", "0" * 16 + "FFFF00000100007F")
                )
    return found


def _sockets_of(name):
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if name in (process / "environ").read_bytes():
                yield from (os.readlink(file) for file in (process / "fd").iterdir())
        except OSError:
            continue


def _agents():
    """Return the ids of Ray's two agents once they have given themselves titles."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        family = psutil.Process().children(recursive=True)
        found = {each.pid for each in family if each.name().endswith("Agent")}
        if len(found) == 2:
            return found
        time.sleep(0.1)
    return set()


@pytest.mark.slow
def test_ray_is_reached_from_this_machine_alone_and_leaves_the_environment_as_it_was(tmp_path):
    before = dict(os.environ)
    token = tmp_path / "state" / "ray.token"
    with ray_session(tmp_path, tmp_path / "state", workers=1) as workers:
        own = {f"socket:[{inode}]": open_ for inode, open_ in _listening().items()}
        reached = [own[file] for file in _sockets_of(str(token).encode()) if file in own]
        mode = stat.S_IMODE(token.stat().st_mode)
        agents = _agents()
        marked = set(marked_processes(str(token)))
        names = ("OMP_NUM_THREADS", "PYTHONPATH")
        seen = ray.get(ray.remote(lambda: [os.environ[name] for name in names]).remote())
    assert reached
    assert not any(reached)
    assert mode == 0o600
    assert workers == 1
    assert len(agents) == 2
    assert agents <= marked
    assert seen[0] == "1"
    assert seen[1].startswith(str(tmp_path))
    assert {name: os.environ.get(name) for name in before} == before
    assert "RAY_AUTH_TOKEN_PATH" not in os.environ


@pytest.mark.slow
def test_a_search_joins_a_cluster_uses_all_its_nodes_and_survives_the_loss_of_one(tmp_path):
    # In a process of its own: the sessions above have turned tokens on in this one.
    done = subprocess.run(
        [sys.executable, "-m", "tests.search.cluster_search", str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["nodes_used"] == 2
    assert found["statuses"].count("complete") >= 3
    assert "failed" not in found["statuses"]
    assert found["workers"] == 2
    assert found["fold_seconds"] == pytest.approx(0.2 * 2 * 120 / 3)
    assert "not be more than the 2 processors of the cluster" in found["error"]
    assert not (tmp_path / "state" / "ray.token").exists()
    assert "hyperband moves trials between the 2 nodes" in found["without_storage"]
    assert "needs 1 times as many GPUs" in found["without_gpus"]
    after = found["with_a_lost_node"]
    assert after["lost_after"]
    assert sorted(number for number, _ in after["trials"]) == list(range(8))
    # what the lost node was about to start may fail, and says so
    assert after["reasons"] in ([], ["the worker process ended"])
    assert all(len(sizes) == 3 and min(sizes) > 0 for sizes in after["models"])
    assert after["left_in_storage"] == 0
