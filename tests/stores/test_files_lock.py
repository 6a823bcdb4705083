import json
import os
import signal
import subprocess
import sys

import pytest

from evertune.errors import BusyError, UnsafeError
from evertune.files import is_project_locked, project_lock


def test_a_second_run_is_told_who_holds_the_project(tmp_path):
    with project_lock(tmp_path, "train"):
        words = rf"'snapshot' cannot start: 'train' \(process {os.getpid()}\) runs since 20"
        with pytest.raises(BusyError, match=words):
            project_lock(tmp_path, "snapshot").__enter__()


def test_the_owner_of_the_project_can_be_read(tmp_path):
    with project_lock(tmp_path / "state", "train"):
        owner = json.loads((tmp_path / "state" / "run.lock").read_text())
    assert (owner["purpose"], owner["pid"]) == ("train", os.getpid())


def test_whether_a_run_holds_the_project_can_be_asked(tmp_path):
    before = is_project_locked(tmp_path)
    with project_lock(tmp_path, "train"):
        during = is_project_locked(tmp_path)
    assert (before, during, is_project_locked(tmp_path)) == (False, True, False)


def test_a_failed_run_frees_the_project(tmp_path):
    with pytest.raises(ZeroDivisionError), project_lock(tmp_path, "train"):
        _ = 1 // 0
    with project_lock(tmp_path, "snapshot"):
        assert "snapshot" in (tmp_path / "run.lock").read_text()


def test_a_killed_run_frees_the_project(tmp_path):
    code = "import sys, time, pathlib; from evertune.files import project_lock\n"
    code += "with project_lock(pathlib.Path(sys.argv[1]), 'train'): print(1, flush=True); input()"
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as process:
        process.stdout.readline()
        with pytest.raises(BusyError, match=rf"process {process.pid}\)"):
            project_lock(tmp_path, "train").__enter__()
        process.send_signal(signal.SIGKILL)
    assert not is_project_locked(tmp_path)
    with project_lock(tmp_path, "train"):
        assert str(os.getpid()) in (tmp_path / "run.lock").read_text()


def test_a_lock_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "state").write_text("")
    with pytest.raises(UnsafeError, match=r"state/run\.lock cannot be written"):
        project_lock(tmp_path / "state", "train").__enter__()
