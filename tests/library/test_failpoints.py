import errno
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from evertune.failpoints import FAILPOINTS, VARIABLE, failpoint, parse_fault

SOURCE = Path(__file__).parents[2] / "evertune"


def test_every_failpoint_stands_in_the_code_and_is_described():
    used = re.findall(
        r'failpoint\("([^"]+)"', "".join(path.read_text() for path in SOURCE.rglob("*.py"))
    )
    assert set(used) == set(FAILPOINTS)


def test_nothing_happens_at_a_failpoint_unless_it_is_named(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    failpoint("stage.ran")
    monkeypatch.setenv(VARIABLE, "stage.recorded:raise")
    failpoint("stage.ran")


def test_the_fault_comes_at_the_visit_that_is_named(monkeypatch):
    monkeypatch.setenv(VARIABLE, "snapshot.written:full:2")
    failpoint("snapshot.written")
    with pytest.raises(OSError, match="space") as full:
        failpoint("snapshot.written")
    assert full.value.errno == errno.ENOSPC


@pytest.mark.parametrize("action", ["kill", "truncate"])
def test_a_killed_process_tears_the_file_only_if_that_is_asked(tmp_path, action):
    file = tmp_path / "trials.jsonl"
    file.write_text("a whole line\n")
    code = (
        "import sys; from pathlib import Path; from evertune.failpoints import failpoint; "
        "failpoint('search.trial_recorded', Path(sys.argv[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(file)],
        env={VARIABLE: f"search.trial_recorded:{action}", "PYTHONPATH": str(SOURCE.parent)},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert file.read_text() == ("a whole line\n" if action == "kill" else "a whol")


@pytest.mark.parametrize(
    "fault", ["stage.ran", "stage.rn:kill", "stage.ran:die", "stage.ran:kill:x"]
)
def test_a_fault_that_cannot_be_done_is_refused(fault):
    with pytest.raises(ValueError, match=r"must be NAME:ACTION or NAME:ACTION:N"):
        parse_fault(fault)


def test_only_a_file_that_can_be_torn_is():
    with pytest.raises(ValueError, match=r"truncate must be at search.trial_recorded"):
        parse_fault("stage.ran:truncate")
