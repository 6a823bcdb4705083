"""Projects of a test's own, and the command started in them as a shell would."""

import os
import shutil
import socket
import subprocess
import sys
from contextlib import chdir
from pathlib import Path
from subprocess import PIPE, CompletedProcess, Popen
from unittest.mock import patch

from filelock import FileLock
from typer.testing import CliRunner, Result

from evertune.config.yaml_file import edit_section
from evertune.orchestration.environment import DEFAULTS

CHECKOUT = Path(__file__).parents[2]
PROJECT = ("flows", "pipelines", "params.yaml", "dvc.yaml", ".gitignore", ".dvcignore")
SHARED_FILES = "EVERTUNE_TEST_FILES"  # the folder of what all processes of a test run share
RUNS_FLOWS = {"train", "score", "monitor", "retune", "up"}
ADDRESSES = {"PREFECT_API_URL", "PREFECT_HOME", "MLFLOW_TRACKING_URI", "RAY_ADDRESS"}
SMALL = {
    "search": {
        "budget_seconds": None,
        "budget_trials": 3,
        "families": ["linear"],
        "workers": 1,
    },
    "evaluation": {"bootstrap_draws": 100, "importance_rows": 100, "importance_repeats": 1},
}


def copied_project(root: Path) -> Path:
    """Return a project of its own with a search that ends soon."""
    root.mkdir()
    for name in PROJECT:
        copy = shutil.copytree if (CHECKOUT / name).is_dir() else shutil.copy2
        copy(CHECKOUT / name, root / name)
    return made_small(root)


def made_small(root: Path) -> Path:
    """Return the project with a search that ends soon."""
    for section, values in SMALL.items():
        edit_section(root / "params.yaml", section, values)
    return root


def copied_with_dvc(made: Path, root: Path) -> Path:
    """Return a copy of a project that DVC knows; making one anew takes seconds."""
    shutil.copytree(made, root, symlinks=True, dirs_exist_ok=True)
    settings = root / ".dvc" / "config.local"
    settings.write_text(settings.read_text().replace(str(made), str(root)))
    return root


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def commit(root: Path, *, without: tuple[str, ...] = ()) -> None:
    """Commit a project, but for some of its folders, in a repository of its own."""
    author = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    add = ["add", ".", *(f":!{folder}" for folder in without)]
    for arguments in (["init", "-q"], add, [*author, "commit", "-qm", "change"]):
        subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True)


def add_prefect_database(state: Path) -> None:
    """Give a project's state an empty Prefect database: a server needs seconds to make one."""
    database = state / "prefect" / "prefect.db"
    if database.parent.exists() or SHARED_FILES not in os.environ:
        return
    home = Path(os.environ[SHARED_FILES]) / "prefect"
    with FileLock(f"{home}.lock"):
        if not home.exists():
            command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"]
            own = {name: value for name, value in os.environ.items() if name not in ADDRESSES}
            own |= DEFAULTS | {"PREFECT_HOME": f"{home}.new"}
            subprocess.run(command, env=own, check=True, capture_output=True)
            Path(f"{home}.new").rename(home)
    database.parent.mkdir(parents=True)
    shutil.copy2(home / "prefect.db", database)


def start(root: Path, *arguments: str, **environment: str) -> Popen[str]:
    if arguments[0] in RUNS_FLOWS and "PREFECT_API_URL" not in environment:
        add_prefect_database(root / "state")
    own = {name: value for name, value in os.environ.items() if name not in ADDRESSES}
    command = [sys.executable, "-m", "evertune.cli.app", *arguments]
    paths = os.pathsep.join(filter(None, [str(root), own.get("PYTHONPATH")]))
    settings = own | {"PYTHONPATH": paths} | environment
    return Popen(command, cwd=root, env=settings, stdout=PIPE, stderr=PIPE, text=True)


def run(root: Path, *arguments: str, **environment: str) -> CompletedProcess[str]:
    with start(root, *arguments, **environment) as process:
        output, errors = process.communicate(timeout=600)
    return CompletedProcess(arguments, process.returncode, output, errors)


def invoke(root: Path, *arguments: str, **environment: str) -> Result:
    """Run the command in a project, in this process: another one would import for seconds."""
    from evertune.cli.app import app

    if arguments[0] in RUNS_FLOWS and "PREFECT_API_URL" not in environment:
        add_prefect_database(root / "state")
    with patch.dict(os.environ), chdir(root):
        for name in ADDRESSES:
            os.environ.pop(name, None)
        os.environ.update(environment)
        return CliRunner().invoke(app, arguments)
