"""Let the chain and the loop fail at named points and at random moments, and run them again.

Each attempt copies a small project, starts the drill's commands, lets one of them fail, runs all
of them again without a fault, and compares what is stored then with what an undisturbed run
stores: trials, stages, versions, aliases, runs, decisions, outcomes, predictions and labels. A
traceback, a process that lives on, a run that reads RUNNING and a half-written file are faults
too. An attempt takes about half a minute on an idle machine.
"""

import argparse
import random
import shutil
import signal
import sqlite3
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen, TimeoutExpired
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import psutil

from evertune.config.yaml_file import edit_section
from evertune.failpoints import FAILPOINTS, VARIABLE
from evertune.search.trial_log import read_trials
from evertune.versioning import dvc
from tests.support.projects import copied_with_dvc, made_small, run, start
from tests.support.registries import client_of, open_state

MODEL = "project"
COMMANDS = {
    "train": (("train",),),
    "loop": (
        ("score",),
        ("label", "labels.csv"),
        ("monitor", "--act"),
    ),
}
ONLY_IN_LOOP = ("log.", "monitor.", "decision.")
MOMENT = "moment"  # instead of a point: a signal after some seconds
MAX_VISIT = {"stage.ran": 5, "stage.recorded": 5, "search.trial_recorded": 3}
SECONDS_TO_DIE = 60.0
DONE = (0, 3)  # exit codes of a command that did its work


@dataclass(frozen=True)
class Fault:
    """What goes wrong: an action at a point, or a signal `seconds` after the start."""

    drill: str
    point: str
    action: str
    visit: int = 1
    seconds: float = 0.0

    def __str__(self) -> str:
        when = f"after {self.seconds:.1f} s" if self.point == MOMENT else f"visit {self.visit}"
        return f"{self.drill}, {self.action} at {self.point}, {when}"

    @property
    def environment(self) -> dict[str, str]:
        named = f"{self.point}:{self.action}:{self.visit}"
        return {} if self.point == MOMENT else {VARIABLE: named}


@dataclass(frozen=True)
class Drill:
    """The project that commands start in, and what an undisturbed run stores and takes."""

    base: Path
    commands: tuple[tuple[str, ...], ...]
    final: dict[str, object]
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--attempts", type=int, default=40)
    parser.add_argument("--kills", type=int, help="only so many kills, at random moments")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fault", action="append", help="DRILL:POINT:ACTION:VISIT, only these")
    chosen = parser.parse_args()
    with TemporaryDirectory(prefix="faults-") as folder:
        drills = make_drills(Path(folder))
        if chosen.fault:
            parts = [each.split(":") for each in chosen.fault]
            faults = [Fault(*names, int(visit)) for *names, visit in parts]
        elif chosen.kills:
            faults = draw_kills(drills, chosen.kills, seed=chosen.seed)
        else:
            faults = draw_faults(drills, chosen.attempts, seed=chosen.seed)
        results: Counter[str] = Counter()
        for number, fault in enumerate(faults, 1):
            result, wrong = attempt(drills[fault.drill], fault, Path(folder) / f"a{number}")
            results[result] += 1
            sys.stdout.write("\n  ".join([f"{number:4d} {result}: {fault}", *wrong]) + "\n")
            sys.stdout.flush()
    sys.stdout.write(", ".join(f"{count} {each}" for each, count in results.items()) + "\n")
    sys.exit(1 if results["wrong"] else 0)


def make_drills(folder: Path) -> dict[str, Drill]:
    """Make the small project, and run the commands of each drill undisturbed."""
    train = undisturbed("train", make_project(folder / "new"), folder / "train")
    return {"train": train, "loop": undisturbed("loop", folder / "train", folder / "loop")}


def undisturbed(name: str, base: Path, root: Path) -> Drill:
    copied_with_dvc(base, root)
    started = time.monotonic()
    for command in COMMANDS[name]:
        done = run(root, *command)
        if done.returncode not in DONE:
            raise SystemExit(f"{command} failed undisturbed:\n{done.stdout}{done.stderr}")
    return Drill(base, COMMANDS[name], stored(root), time.monotonic() - started)


def make_project(root: Path) -> Path:
    """Return an untrained project with rows to learn from, and rows and labels of production."""
    folder, table = root.parent, sample(420)
    learned, production = table.head(300), table.tail(120)
    learned.to_csv(folder / "t.csv", index=False)
    options = ("--data", "t.csv", "--target", "left", "--time", "day", "--identifier", "key")
    made = run(folder, "init", root.name, *options)
    if made.returncode:
        raise SystemExit(made.stderr)
    made_small(root)
    production.drop(columns="left").to_csv(root / "production.csv", index=False)
    reversed_ = production["left"].map({"yes": "no", "no": "yes"})
    labels = production[["key"]].assign(left=reversed_, labelled_at=production["day"])
    labels.to_csv(root / "labels.csv", index=False)
    values = {
        "registry": {"name": MODEL},
        "scoring": {"source": "production.csv"},
        "monitoring": {
            "now": "latest_event",
            "window_days": 7,
            "triggers": [
                {"name": "floor", "signal": "main_metric", "action": "retune"}
                | {"rule": {"kind": "threshold", "below": 0.6}}
            ],
            "policy": {"least_rows": 50},
            "retune": {"budget_seconds": None, "budget_trials": 3},
        },
    }
    for section, settings in values.items():
        edit_section(root / "params.yaml", section, settings)
    return root


def sample(n_rows: int) -> pd.DataFrame:
    """Return five rows a day whose label follows two columns."""
    rng = np.random.default_rng(0)
    a, b, noise = rng.normal(size=(3, n_rows))
    days = pd.Timestamp("2023-12-03") + pd.to_timedelta(np.arange(n_rows) // 5, unit="D")
    return pd.DataFrame(
        {
            "key": [f"k{number:04d}" for number in range(n_rows)],
            "day": days.strftime("%Y-%m-%d"),
            "a": a.round(3),
            "b": b.round(3),
            "left": np.where(a + 0.5 * b + 0.5 * noise > 0, "yes", "no"),
        }
    )


def draw_faults(drills: dict[str, Drill], number: int, *, seed: int) -> list[Fault]:
    """Return faults: the points of both drills in turn, and every third at a drawn moment."""
    drawn = random.Random(seed)
    named = [("loop", point) for point in FAILPOINTS]
    named += [("train", point) for point in FAILPOINTS if not point.startswith(ONLY_IN_LOOP)]
    drawn.shuffle(named)
    faults = []
    for index in range(number):
        if index % 3 == 2:
            name, action = drawn.choice(list(drills)), drawn.choice(["kill", "term"])
            seconds = drawn.uniform(0.5, drills[name].seconds)
            faults.append(Fault(name, MOMENT, action, seconds=seconds))
            continue
        name, point = named[(index - index // 3) % len(named)]
        actions = ["kill", "kill", "term", "raise", "full", "delay"]
        actions += ["truncate"] if point == "search.trial_recorded" else []
        visit = drawn.randint(1, MAX_VISIT.get(point, 1))
        faults.append(Fault(name, point, drawn.choice(actions), visit))
    return faults


def draw_kills(drills: dict[str, Drill], number: int, *, seed: int) -> list[Fault]:
    """Return kills at moments drawn evenly over both drills, as long as each takes."""
    drawn = random.Random(seed)
    names = drawn.choices(list(drills), [each.seconds for each in drills.values()], k=number)
    return [
        Fault(name, MOMENT, "kill", seconds=drawn.uniform(0.0, drills[name].seconds))
        for name in names
    ]


def attempt(drill: Drill, fault: Fault, root: Path) -> tuple[str, list[str]]:
    """Return how an attempt ended, and what went wrong in it."""
    copied_with_dvc(drill.base, root)
    was_hit, wrong = disturb(drill, fault, root)
    for command in drill.commands:
        again = run(root, *command)
        if again.returncode not in DONE:
            said = (again.stdout + again.stderr)[-500:]
            wrong.append(f"{command[0]}, run again, ended with {again.returncode}: {said}")
    found = stored(root)
    wrong += [
        f"{key}: {found[key]} instead of {drill.final[key]}"
        for key in drill.final
        if found[key] != drill.final[key]
    ]
    shutil.rmtree(root)
    return ("wrong" if wrong else "as undisturbed" if was_hit else "not reached"), wrong


def disturb(drill: Drill, fault: Fault, root: Path) -> tuple[bool, list[str]]:
    """Run the commands until one fails; return whether one did, and what was wrong then."""
    wrong, hit, seconds = [], fault.action == "delay", fault.seconds
    for command in drill.commands:
        started = time.monotonic()
        with start(root, *command, **fault.environment) as process:
            if fault.point == MOMENT:
                send_after(process, seconds, fault.action)
            output, errors = process.communicate(timeout=600)
        seconds -= time.monotonic() - started
        if "Traceback" in output + errors and fault.action != "raise":
            wrong.append(f"traceback: {errors[-500:]}")
        if process.returncode not in DONE:
            hit = True
            break
    deadline = time.monotonic() + SECONDS_TO_DIE
    while (left := processes_of(root)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return hit, [*wrong, *(f"still running: {each}" for each in left)]


def send_after(process: Popen[str], seconds: float, action: str) -> None:
    """Send a signal after some seconds, if the process runs that long."""
    try:
        process.wait(timeout=max(seconds, 0.0))
    except TimeoutExpired:
        process.send_signal(signal.SIGKILL if action == "kill" else signal.SIGTERM)


def processes_of(root: Path) -> list[str]:
    """Return the commands of the processes that work for a project."""
    found = []
    for process in psutil.process_iter():
        try:
            command, folder = " ".join(process.cmdline()), process.cwd()
        except psutil.Error:
            continue
        if process.status() != psutil.STATUS_ZOMBIE and str(root) in f"{command} {folder}":
            found.append(command)
    return found


def stored(root: Path) -> dict[str, object]:
    """Return all that two runs with one end have in common."""
    registry = open_state(root / "state", MODEL)
    client = client_of(registry)
    experiments = [each.experiment_id for each in client.search_experiments()]
    runs = client.search_runs(experiments, max_results=1000)
    trials = read_trials(root / "data" / "trials.jsonl")
    return {
        "trials": sorted(
            (trial.number, trial.configuration.family, trial.status, len(trial.folds))
            for trial in trials
        ),
        "stages": [(name, dvc.is_stage_current(root, name)) for name in dvc.list_stages(root)],
        "versions": sorted(each.version for each in client.search_model_versions()),
        "aliases": registry.aliases(),
        # a search that goes on draws other configurations than it would have
        "runs": sorted((run.info.status, run.info.run_name.split(":")[0]) for run in runs),
        "half-written files": [str(path) for path in root.rglob("*.part")],
        "running flows": running_flows(root),
        **{table: rows_of(root, table, key) for table, key in TABLES.items()},
        "decisions": rows_of(root, "decisions WHERE action NOT IN ('wait', 'nothing')", "action"),
    }


TABLES = {
    "predictions": "id",
    "labels": "id || value",
    "outcomes": "kind",
    "records": "act",
    "champions": "version",
}


def rows_of(root: Path, table: str, key: str) -> list[tuple[str, int]]:
    """Return how often each key stands in a table of the log."""
    file = root / "state" / "predictions.db"
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as database:
        query = f"SELECT {key}, count(*) FROM {table} GROUP BY 1 ORDER BY 1"
        return [(str(value), count) for value, count in database.execute(query)]


def running_flows(root: Path) -> int:
    """Return how many flow runs Prefect calls running."""
    with sqlite3.connect(root / "state" / "prefect" / "prefect.db") as database:
        query = "SELECT count(*) FROM flow_run WHERE state_type = 'RUNNING'"
        (number,) = database.execute(query).fetchone()
    return int(number)


if __name__ == "__main__":
    main()
