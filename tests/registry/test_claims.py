"""One decision is delivered a hundred times at once, to several processes."""

import subprocess
import sys

import pytest

from tests.projects import CHECKOUT as ROOT

pytestmark = pytest.mark.slow
PROCESSES, DELIVERIES = 4, 25

CLAIMER = """
import pathlib, sys
from concurrent.futures import ThreadPoolExecutor
from evertune.database import close_log, open_log
from evertune.registry.decision_log import DecisionLog
from tests.logs import day
folder, address, name, deliveries = sys.argv[1:]
log = open_log(pathlib.Path(folder), model="delivered", address=address)
print("ready", flush=True)
sys.stdin.readline()
with ThreadPoolExecutor(int(deliveries)) as runs:
    mine = lambda number: DecisionLog(log).claim("d1", by=f"{name}-{number}", moment=day(0))
    print(*runs.map(mine, range(int(deliveries))))
close_log(log)
"""


def claimer(tmp_path, address, number):
    arguments = [str(tmp_path), address, str(number), str(DELIVERIES)]
    command = [sys.executable, "-c", CLAIMER, *arguments]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen(command, **pipes, text=True, cwd=ROOT)


def test_a_decision_that_is_delivered_a_hundred_times_is_one_runs_to_follow(address, tmp_path):
    processes = [claimer(tmp_path, address, number) for number in range(PROCESSES)]
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    claims = [word for process in processes for word in process.communicate()[0].split()]
    assert (claims.count("True"), claims.count("False")) == (1, 99)
