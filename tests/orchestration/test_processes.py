import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from evertune.errors import InputError, StageError
from evertune.orchestration.child_process import GRACE_SECONDS, child_process
from evertune.orchestration.processes import (
    MAX_STARTS,
    Program,
    RunningProgram,
    program_group,
    restart_if_ended,
    wait_until_ready,
)

pytestmark = pytest.mark.slow  # seconds each, or processes of its own

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


def program(tmp_path: Path, script: str) -> Program:
    log = tmp_path / "log"
    return Program(
        "sleeper", lambda: child_process(["sh", "-c", script], environment=os.environ, log=log), log
    )


def ended(running: RunningProgram) -> RunningProgram:
    running.process.wait(timeout=60)
    return running


def test_a_program_that_runs_is_left_alone(tmp_path: Path) -> None:
    with program_group(print) as start:
        running = start(program(tmp_path, "sleep 100"))
        assert restart_if_ended(running, start, say=print) is running


def test_a_program_that_ends_is_started_again(tmp_path: Path, capsys) -> None:
    with program_group(print) as start:
        first = ended(start(program(tmp_path, "echo why; exit 3")))
        again = restart_if_ended(first, start, say=print)
    assert len(again.starts) == 2
    assert "The sleeper ended with code 3 (why); restarting it." in capsys.readouterr().out


def test_a_program_that_ends_again_and_again_is_given_up(tmp_path: Path) -> None:
    with program_group(print) as start:
        running = start(program(tmp_path, "echo why; exit 3"))
        for _ in range(MAX_STARTS - 1):
            running = restart_if_ended(ended(running), start, say=print)
        with pytest.raises(StageError, match=rf"sleeper ended {MAX_STARTS} times.*code 3: why"):
            restart_if_ended(ended(running), start, say=print)


def test_a_fault_of_the_input_is_not_tried_again(tmp_path: Path) -> None:
    with program_group(print) as start:
        running = ended(start(program(tmp_path, "echo a typo >&2; exit 2")))
        with pytest.raises(InputError, match="a typo"):
            restart_if_ended(running, start, say=print)


def test_all_programs_end_with_the_block(tmp_path: Path) -> None:
    with program_group(print) as start:
        stubborn = "trap '' TERM; sleep 100"
        running = [start(program(tmp_path / name, stubborn)) for name in "abc"]
        time.sleep(0.5)
    assert all(each.process.poll() is not None for each in running)


def test_waiting_ends_when_the_program_does(tmp_path: Path) -> None:
    with program_group(print) as start:
        running = start(program(tmp_path, "echo why; exit 4"))
        with pytest.raises(StageError, match="The sleeper ended: why"):
            wait_until_ready(lambda: False, [running], what="It", seconds=10)


def test_waiting_has_an_end(tmp_path: Path) -> None:
    with program_group(print) as start:
        running = start(program(tmp_path, "sleep 100"))
        with pytest.raises(StageError, match="It took longer than 0 s; see"):
            wait_until_ready(lambda: False, [running], what="It", seconds=0.2)
