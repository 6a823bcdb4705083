"""The commands of the README, run as they stand there."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.conftest import CHECKOUT, copied_project, run

README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
TABLES = CHECKOUT.parent / "shared" / "data"
SERVERS = ("evertune ui",)
SET_UP = ("python3 -m venv", "bash infra/check.sh")


def shown() -> Iterator[tuple[str, list[str]]]:
    """Yield each command of the README with the lines of output below it."""
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *output = part.strip().splitlines()
            yield command, output


def words(line: str) -> list[str]:
    """Return the words of a line that no figure, time or hash stands in."""
    return [word for word in line.split() if not re.search(r"\d", word)]


def test_the_readme_has_at_most_150_lines():
    assert len(README.splitlines()) <= 150


def test_every_command_of_the_readme_exists():
    commands = {name for command, _ in shown() for name in re.findall(r"evertune (\w+)", command)}
    assert commands == {"train", "ui", "status", "use", "snapshot"}


@pytest.mark.slow
def test_the_commands_of_the_readme_do_what_it_shows(tmp_path):
    table = TABLES / "telco_churn.csv.gz"
    if not table.exists():
        pytest.skip(f"the table of the README is not here: {table.name}")
    root = copied_project(tmp_path / "project")
    shutil.copy(table, root)
    for command, output in shown():
        if command.startswith(SERVERS + SET_UP):
            continue
        for part in command.split(" && "):
            assert missing(root, part, output) == []


def missing(root: Path, command: str, output: list[str]) -> list[str]:
    """Run a command, and return the first words of shown lines that it does not say."""
    program, *arguments = command.split()
    if program == "evertune":
        done = run(root, *arguments)
    else:
        done = subprocess.run(command.split(), cwd=root, capture_output=True, text=True, check=True)
    assert done.returncode in (0, 3), done.stderr
    heads = [line.split()[0] for line in output if words(line)]
    return [head for head in heads if head not in done.stdout]
