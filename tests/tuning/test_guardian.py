import os
import subprocess
import sys
import time

from evertune.search.ray_guardian import marked_processes, orphan_reaper, reap_orphans

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def test_what_a_search_leaves_ends_with_it_and_other_processes_go_on(tmp_path):
    folder, marker = tmp_path / "ray", str(tmp_path)
    folder.mkdir()
    with subprocess.Popen(SLEEP) as other, subprocess.Popen(SLEEP, env={"MARK": marker}) as left:
        with orphan_reaper(marker, folder):
            while not list(marked_processes(marker)):
                time.sleep(0.01)
        codes = left.wait(timeout=10), other.poll()
        other.kill()
    assert codes == (-9, None)
    assert not folder.exists()


def test_marked_processes_end_with_the_one_that_they_belong_to(tmp_path, monkeypatch):
    folder = tmp_path / "ray"
    folder.mkdir()
    with subprocess.Popen(SLEEP, env=os.environ | {"MARK": str(tmp_path)}) as other:
        while not list(marked_processes(str(tmp_path))):
            time.sleep(0.01)
        with open(os.devnull) as nothing:
            monkeypatch.setattr(sys, "stdin", nothing)
            reap_orphans(str(tmp_path), str(folder))
        assert other.wait(timeout=10) != 0
    assert not folder.exists()
