import os
import subprocess
import sys
import time
from pathlib import Path

from evertune.search.ray_guardian import (
    MAX_FOLDER_LENGTH,
    marked_processes,
    orphan_reaper,
    ray_temp_folder,
    reap_orphans,
)

STATE = Path("/home/someone/projects/churn/state")
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


def test_a_project_has_one_folder_and_another_project_another():
    assert ray_temp_folder(STATE) == ray_temp_folder(STATE)
    assert ray_temp_folder(STATE) != ray_temp_folder(STATE.parent / "other")


def test_the_folder_is_short_even_if_temporary_files_lie_deep(monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", f"/tmp/{'deep' * 20}")
    assert len(str(ray_temp_folder(STATE))) < MAX_FOLDER_LENGTH
