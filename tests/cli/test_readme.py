"""The commands of the README, run as they stand there."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.projects import CHECKOUT, copied_project, run

README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
TABLES = CHECKOUT.parent / "shared" / "data"
NOT_RUN = (
    *("python3 -m venv", ". .venv", "pip install", "bash infra/check.sh"),
    *("evertune ui", "evertune up"),  # these go on until Ctrl-C
)


def shown() -> Iterator[tuple[str, list[str]]]:
    """Yield each command of the README with the lines of output below it."""
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *output = part.strip().splitlines()
            yield command, output


def test_the_readme_has_at_most_150_lines():
    assert len(README.splitlines()) <= 150


def test_every_command_of_the_readme_exists():
    commands = {name for command, _ in shown() for name in re.findall(r"evertune (\w+)", command)}
    assert commands == {"train", "up", "use", "snapshot"}


@pytest.mark.slow
def test_the_commands_of_the_readme_do_what_it_shows(tmp_path):
    table = TABLES / "telco_churn.csv.gz"
    if not table.exists():
        pytest.skip(f"the table of the README is not here: {table.name}")
    root = copied_project(tmp_path / "project")
    shutil.copy(table, root)
    for command, output in shown():
        parts = [part for part in command.split(" && ") if not part.startswith(NOT_RUN)]
        said = "".join(answer(root, part.split()) for part in parts)
        assert [head for head in heads(output) if parts and head not in said] == []


def heads(output: list[str]) -> list[str]:
    """Return the first word of each line in which no figure, time or hash stands."""
    plain = [[w for w in line.split() if w.isalpha()] for line in output]
    return [words[0] for words in plain if words]


def answer(root: Path, command: list[str]) -> str:
    """Run a command of the README in a project and return what it says."""
    if command[0] == "evertune":
        done = run(root, *command[1:])
    else:
        program = [sys.executable, "-m", *command]
        done = subprocess.run(program, cwd=root, capture_output=True, text=True, check=True)
    assert done.returncode in (0, 3), done.stderr
    return done.stdout
