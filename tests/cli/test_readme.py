"""The commands of the README, run as they stand there, one after the other."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.projects import CHECKOUT, made_small, run

README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
TABLES = CHECKOUT.parent / "shared" / "data"
NOT_RUN = (
    *("python3 -m venv", ". .venv", "pip install", "bash infra/check.sh"),
    "evertune up",  # it goes on until Ctrl-C
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
    from typer.main import get_command

    from evertune.cli.app import app

    named = set(
        re.findall(r"`evertune ([\w-]+)|^\$ .*?evertune ([\w-]+)", README, flags=re.MULTILINE)
    )
    names = {name for pair in named for name in pair if name}
    assert len(names) > 15
    assert names <= set(get_command(app).commands)


def test_every_file_that_the_readme_links_exists():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (CHECKOUT / link).exists()] == []


@pytest.mark.slow
def test_the_commands_of_the_readme_do_what_it_shows(tmp_path):
    table = TABLES / "telco_churn.csv.gz"
    if not table.exists():
        pytest.skip(f"the table of the README is not here: {table.name}")
    shutil.copy(table, tmp_path)
    folder = tmp_path
    for command, output in shown():
        parts = [part for part in command.split(" && ") if not part.startswith(NOT_RUN)]
        printed, after = "", folder
        for part in parts:
            place, program = after, part.strip("()").split()
            if program[0] == "cd":
                after = place / program[1]
                continue
            printed += answer(place, program)
            if program[:2] == ["evertune", "init"]:
                made_small(place / program[2])
        folder = folder if "(cd" in command else after
        assert [head for head in heads(output) if parts and head not in printed] == []


def heads(output: list[str]) -> list[str]:
    """Return the first word of each line in which no figure, time or hash stands."""
    plain = [[w for w in line.split() if w.isalpha()] for line in output]
    return [words[0] for words in plain if words]


def answer(folder: Path, command: list[str]) -> str:
    """Run a command of the README in a folder and return what it prints."""
    if command[0] == "evertune":
        done = run(folder, *command[1:])
    else:
        program = [sys.executable, "-m", *command]
        # dvc.yaml starts `python`, which has to be this one, as in an activated environment
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        done = subprocess.run(
            program,
            cwd=folder,
            env=os.environ | {"PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode in (0, 3), done.stderr
    return done.stdout
