"""Play the planted cases through the real steps, and say which events each of them showed.

A case is a table in which something is known to happen (tests/support/planted.py). Every one is
played by `evertune replay` in a copy of the project, in a temporary folder unless one is named,
where the pages can be looked at then; a case takes some minutes.
"""

import argparse
import shutil
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from evertune.orchestration.environment import set_defaults
from evertune.simulation.replay import replay
from evertune.simulation.results import count_events
from tests.support.planted import CASES, TARGET, TIME, planted

ROOT = Path(__file__).parents[2]
PROJECT = ["flows", "pipelines", "infra", "params.yaml", "dvc.yaml", ".gitignore"]
# what each case has to show, and what it must not
SHOWS = {
    "quiet": set(),
    "seasonal": set(),
    "covariate": {"alarmed", "refitted"},
    "label": {"alarmed", "promoted"},
    "concept": {"alarmed", "retuned", "promoted"},
    "broken": {"alarmed", "blocked"},
    "unlearnable": {"alarmed", "refitted", "refused"},
    "passing": {"alarmed", "retuned", "promoted", "rolled back"},
}
HIDES = {
    "quiet": {"alarmed", "refitted", "retuned", "promoted", "blocked"},
    "seasonal": {"refitted", "retuned", "promoted", "blocked"},
    "broken": {"refitted", "retuned", "promoted"},
    "unlearnable": {"promoted"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--windows", type=int, default=20)
    parser.add_argument("--label-delay", type=float, default=1.0)
    parser.add_argument("--folder", type=Path)
    chosen = parser.parse_args()
    with TemporaryDirectory(prefix="replays-") as folder:
        root = copied_project(chosen.folder or Path(folder) / "project")
        set_defaults(root / "state")
        lines = [_played(root, name, chosen) for name in chosen.cases]
    sys.stdout.write("\n".join(["", *lines, ""]))


def copied_project(root: Path) -> Path:
    root.mkdir(parents=True)
    for name in PROJECT:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, root / name)
    return root


def _played(root: Path, name: str, chosen: argparse.Namespace) -> str:
    """Return a line: what the case showed, and whether that is what it has to show."""
    file, started = root / f"{name}.parquet", time.monotonic()
    planted(name, seed=chosen.seed).table.to_parquet(file, index=False)
    (played,) = replay(
        root,
        file=file,
        time=TIME,
        target=TARGET,
        n_windows=chosen.windows,
        label_delay_days=chosen.label_delay,
        policy="loop",
        say=_say,
    ).results
    times = count_events(played.events)
    wrong = (SHOWS[name] - set(times)) | (HIDES.get(name, set()) & set(times))
    shown = ", ".join(f"{kind} {n}" for kind, n in times.items()) or "nothing"
    verdict = f"not as planted: {', '.join(sorted(wrong))}" if wrong else "as planted"
    return f"{name:<12} {time.monotonic() - started:5.0f} s  {verdict:<32} {shown}"


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
