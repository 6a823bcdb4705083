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

from typer.testing import CliRunner, Result

from evertune.config.yaml_file import edit_section

CHECKOUT = Path(__file__).parents[2]
PROJECT = ("flows", "pipelines", "params.yaml", "dvc.yaml", ".gitignore", ".dvcignore")
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


def start(root: Path, *arguments: str, **environment: str) -> Popen[str]:
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

    with patch.dict(os.environ), chdir(root):
        for name in ADDRESSES:
            os.environ.pop(name, None)
        os.environ.update(environment)
        return CliRunner().invoke(app, arguments)
