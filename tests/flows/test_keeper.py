import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from evertune.orchestration.child_process import GRACE_SECONDS, child_process

STARTER = """
import os, sys, time
from pathlib import Path
from evertune.orchestration.child_process import child_process
with child_process(["sleep", "1000"], environment=os.environ, log=Path(sys.argv[1])) as keeper:
    print(keeper.pid, flush=True)
    time.sleep(1000)
"""


def family_of(keeper: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    """Return the keeper and all below it, once its command runs."""
    process = psutil.Process(keeper.pid)
    while not process.children():
        psutil.wait_procs([process], timeout=0.05)
    return [process, *process.children(recursive=True)]


@pytest.mark.parametrize(
    "command", ["exec sleep 1000", "sleep 1000 & sleep 1000", "trap '' TERM; sleep 1000"]
)
def test_a_command_and_its_children_end_with_the_block(command: str, tmp_path: Path) -> None:
    with child_process(
        ["sh", "-c", command], environment=os.environ, log=tmp_path / "log"
    ) as keeper:
        family = family_of(keeper)
    assert psutil.wait_procs(family, timeout=GRACE_SECONDS)[1] == []


def test_a_command_ends_when_its_starter_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STARTER, str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout
        keeper = psutil.Process(int(starter.stdout.readline()))
        starter.kill()
    assert psutil.wait_procs([keeper, *keeper.children()], timeout=10)[1] == []


def test_the_keeper_ends_with_the_exit_code_of_its_command(tmp_path: Path) -> None:
    with child_process(
        ["sh", "-c", "exit 7"], environment=os.environ, log=tmp_path / "log"
    ) as keeper:
        assert keeper.wait(timeout=10) == 7


def test_what_a_command_says_goes_to_its_log(tmp_path: Path) -> None:
    log = tmp_path / "new" / "log"
    with child_process(
        ["sh", "-c", "echo out; echo err >&2"], environment=os.environ, log=log
    ) as keeper:
        keeper.wait(timeout=10)
    assert log.read_text().split() == ["out", "err"]
