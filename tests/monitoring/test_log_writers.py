"""Several processes write to one log, and some of them are killed."""

import signal
import subprocess
import sys
import time

import pytest

from evertune.database import open_log
from tests.logs import CLASSES, known_ids, prediction_log
from tests.projects import CHECKOUT as ROOT

pytestmark = pytest.mark.slow

# each row is printed only once it is in the log, as a service acknowledges it
WRITER = """
import sys, pathlib
from tests.logs import append, label, logged
from evertune.database import open_log
log = open_log(pathlib.Path(sys.argv[1]), model=sys.argv[3], address=sys.argv[2])
for number in range(int(sys.argv[5])):
    rows = [logged(f"{sys.argv[4]}-{number}-{place}") for place in range(3)]
    append(log, *rows)
    label(log, *((row.id, "yes", 1) for row in reversed(rows)))
    print(number, flush=True)
"""


def writer(tmp_path, address, model, start, *, times):
    arguments = [str(tmp_path), address, model, start, str(times)]
    command = [sys.executable, "-c", WRITER, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def test_writers_at_once_lose_nothing_and_double_nothing(address, tmp_path):
    names = ["a", "b", "same", "same"]
    processes = [writer(tmp_path, address, "many", name, times=50) for name in names]
    printed = [process.communicate(timeout=120)[0].split() for process in processes]
    with open_log(tmp_path, model="many", address=address) as log:
        frame = prediction_log(log).read(classes=CLASSES)
    assert [len(numbers) for numbers in printed] == [50] * 4
    assert (len(frame), frame["id"].nunique(), frame["truth"].sum()) == (450, 450, 450)


def test_a_killed_writer_loses_nothing_that_it_acknowledged(address, tmp_path):
    process = writer(tmp_path, address, "killed", "k", times=1_000_000)
    process.stdout.readline()
    time.sleep(0.5)
    process.send_signal(signal.SIGKILL)
    printed = process.communicate()[0].split()
    with open_log(tmp_path, model="killed", address=address) as log:
        known = known_ids(log, (f"k-{number}-2" for number in printed))
    assert len(known) == len(printed) > 10
