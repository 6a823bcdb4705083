"""Lay a project out in a folder.

`init_project` writes what a project consists of (`evertune init`): the very flows, pipelines and
dvc.yaml of the reference project, a short params.yaml, git and DVC. `evertune.configure` looks at
the table, if one is given; a table that cannot be used leaves nothing behind.
"""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from evertune.configure import configure_project, show_nothing
from evertune.data.profiling import TableProfile
from evertune.errors import EvertuneError, InputError, UnsafeError
from evertune.files import template_folder
from evertune.identity import project_id
from evertune.versioning import dvc

COPIED = ("flows", "pipelines", "dvc.yaml", ".gitignore", ".dvcignore")
EXAMPLE_PARAMS = """\
# What a person edits. Every other key has a default; an error about a key lists the known ones.
data:
  source: example          # a CSV, Parquet or .sql file; `evertune use` fills this section in
  target: churned
  time: date               # the column that orders the rows; null: rows have no order
  positive: "yes"          # binary: the class of interest; auto takes the rarer

metric: {primary: auto}    # roc_auc (binary), log_loss (multiclass), rmse (regression)
split: {holdout_fraction: 0.2}
baseline: {heuristic: auto}   # the best rule on one column, or an expression such as: tenure < 3
search: {budget_seconds: 60}
fit: {budget_seconds: 60}
evaluation: {slices: []}   # columns by whose values scores are shown, and guarded at the gate
registry: {name: churn}
scoring: {source: null, labels: null, cron: null}   # tables to score by schedule
monitoring: {cron: "0 6 * * *"}

# Where files go; dvc.yaml uses these names.
paths:
"""


def init_project(
    folder: Path,
    *,
    data: str | None = None,
    target: str | None = None,
    show: Callable[[str, float | None], None] = show_nothing,
    **options: Any,
) -> TableProfile | None:
    """Lay a project out in a folder, which is made where there is none.

    Parameters
    ----------
    data : str, optional
        A CSV, Parquet or .sql file, from the working directory or absolute; None: the embedded
        example.
    target : str, optional
        The column to predict; needed with `data`.
    show : function
        As for `configure_project`.
    **options
        The other arguments of `configure_project`.

    Returns
    -------
    TableProfile, optional
        What was found in the table; None without one.

    Raises
    ------
    InputError
        The folder has a params.yaml, or `data` has no `target`.
    TableError
        The table cannot be used; nothing is written.
    UnsafeError
        The folder cannot be written, or DVC cannot work in one with that path.
    """
    folder = folder.absolute()
    dvc.check_folder_path(folder)
    params = folder / "params.yaml"
    if params.exists():
        raise InputError(f"{folder} is a project already: it has a params.yaml.")
    if (data is None) != (target is None):
        raise InputError("--data and --target must be given together: the table and its target.")
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        params.write_text(EXAMPLE_PARAMS + _paths_block(), encoding="utf-8")
        try:
            profile = None
            if data is not None:
                profile = configure_project(folder, data, target=str(target), show=show, **options)
        except EvertuneError:
            shutil.rmtree(folder) if is_new else params.unlink()
            raise
        for name in COPIED:
            _copy_into(folder, template_folder() / name)
    except OSError as error:
        raise UnsafeError(f"{folder} cannot be written: {error.strerror}.") from error
    _ensure_git(folder)
    dvc.ensure_project(folder)
    project_id(folder)
    return profile


def _paths_block() -> str:
    text = (template_folder() / "params.yaml").read_text(encoding="utf-8")
    return text.partition("\npaths:\n")[2]


def _copy_into(folder: Path, source: Path) -> None:
    """Copy a file or folder; files that are there stay, ignore files get the lines they lack."""
    if source.is_dir():
        for file in sorted(source.glob("*.py")):
            (folder / source.name).mkdir(exist_ok=True)
            if not (folder / source.name / file.name).exists():
                shutil.copyfile(file, folder / source.name / file.name)
        return
    copy, text = folder / source.name, source.read_text(encoding="utf-8")
    if not copy.exists():
        copy.write_text(text, encoding="utf-8")
    elif source.name.endswith("ignore"):
        known = copy.read_text(encoding="utf-8")
        lacking = [line for line in text.splitlines() if line not in known.splitlines()]
        copy.write_text("\n".join([known.rstrip("\n"), *lacking]) + "\n", encoding="utf-8")


def _ensure_git(folder: Path) -> None:
    """Make a git repository unless the folder lies in one that tracks it, or git is missing."""
    git = shutil.which("git")
    if git is None:
        return

    def holds(*arguments: str) -> bool:
        done = subprocess.run([git, *arguments], cwd=folder, capture_output=True, check=False)
        return done.returncode == 0

    if not holds("rev-parse", "--is-inside-work-tree") or holds("check-ignore", "--quiet", "."):
        holds("init", "--quiet")
