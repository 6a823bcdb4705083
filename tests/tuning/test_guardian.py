import os
import subprocess
import sys
import time

from pipelines.tuning.guardian import guarded, main, marked

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def test_a_search_that_ended_by_itself_leaves_other_processes_alone(tmp_path):
    with subprocess.Popen(SLEEP, env=os.environ | {"MARK": str(tmp_path)}) as other:
        with guarded(str(tmp_path), tmp_path):
            pass
        alive = other.poll() is None
        other.kill()
    assert alive
    assert tmp_path.exists()


def test_marked_processes_end_with_the_one_that_they_belong_to(tmp_path, monkeypatch):
    folder = tmp_path / "ray"
    folder.mkdir()
    with subprocess.Popen(SLEEP, env=os.environ | {"MARK": str(tmp_path)}) as other:
        while not list(marked(str(tmp_path))):
            time.sleep(0.01)
        with open(os.devnull) as nothing:
            monkeypatch.setattr(sys, "stdin", nothing)
            main(str(tmp_path), str(folder))
        assert other.wait(timeout=10) != 0
    assert not folder.exists()
