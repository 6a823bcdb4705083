"""Lay a project out in a folder, and configure it for a table.

`init_project` writes what a project consists of (`evertune init`): the very flows, pipelines and
dvc.yaml of the reference project, a short params.yaml, git and DVC. `configure_project` looks at
a table and writes what it found to params.yaml (`evertune use`). A table that cannot be used
changes nothing.
"""

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from evertune.config.loader import load_params
from evertune.config.schema import DataSection
from evertune.config.yaml_file import edit_section
from evertune.data.example import training_table
from evertune.data.profiling import TableProfile, find_identifier, profile_table
from evertune.data.readers import SourceTable, clean_or_raise, inspect_source, spec_from_params
from evertune.errors import EvertuneError, InputError, TableError, UnsafeError
from evertune.files import template_folder
from evertune.identity import project_id
from evertune.project import registry_name
from evertune.versioning import dvc

EXAMPLE_SOURCE = "example"
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


def show_nothing(_text: str, _done: float | None) -> None:
    """Show no progress."""


def init_project(
    folder: Path,
    *,
    data: str | None = None,
    target: str | None = None,
    show: Callable[[str, float | None], None] = show_nothing,
    **columns: str | None,
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
    **columns
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
                profile = configure_project(folder, data, target=str(target), show=show, **columns)
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


def configure_project(
    root: Path,
    file: str,
    *,
    target: str,
    positive: str | None = None,
    identifier: str | None = None,
    time: str | None = None,
    group: str | None = None,
    address_variable: str | None = None,
    show: Callable[[str, float | None], None] = show_nothing,
) -> TableProfile:
    """Look at a table, write what was found to params.yaml, and return it.

    What params.yaml says about the same source beyond the arguments (kinds of columns, columns to
    ignore, words that mean missing, the dialect) stays as it is.

    Parameters
    ----------
    root : Path
        The project's folder.
    file : str
        A CSV, Parquet or .sql file, from the working directory or absolute; or `example`.
    target, identifier, time, group : str
        Names of columns.
    positive : str, optional
        The class of interest; the rarer one where it is None.
    address_variable : str, optional
        Of a .sql file: the environment variable that holds the database's address.
    show : function
        Called with what is done now, and None: what part of the work is done is not known.

    Raises
    ------
    TableError
        Where the table cannot be used; params.yaml stays as it was.
    UnsafeError
        DVC cannot work in a folder with that path.
    """
    dvc.check_folder_path(root.absolute())
    is_example, path = file == EXAMPLE_SOURCE, Path(file).absolute()
    if not is_example:  # a file in the project is named from its folder
        inside = path.is_relative_to(root.absolute())
        file = str(path.relative_to(root.absolute()) if inside else path)
    data = load_params(root).data
    if data.source != file:
        data = DataSection(source=file, target=target)
    elif data.target != target:
        data = data.model_copy(update={"task": "auto"})
    roles = {"target": target, "identifier": identifier, "time": time, "group": group}
    given = {"positive": positive or "auto", "address_variable": address_variable}
    data = data.model_copy(update=roles | given)
    show(f"reading {file}", None)
    source = SourceTable(training_table()) if is_example else inspect_source(data, root)
    show(f"reading the cells of {source.table.shape[1]} columns", None)
    spec = spec_from_params(data.model_copy(update={"dialect": source.dialect}), source.table)
    if target in source.table.columns and identifier is None:
        spec = replace(spec, identifier=find_identifier(source.table, spec))
    prepared = clean_or_raise(source.table, spec, source=data.source)
    schema = prepared.schema
    if data.positive != "auto" and schema.task != "binary":
        raise TableError(
            f"{data.source}: expected a target with two classes, one of them {positive!r}, but"
            f" {schema.target!r} makes a {schema.task} task. Leave --positive out, or choose a"
            " target with two values."
        )
    values = data.model_dump(mode="json") | {
        "identifier": schema.identifier,
        "task": schema.task,
        "positive": schema.classes[1] if schema.task == "binary" else "auto",
        "columns": {column.name: column.kind for column in schema.features},
        "dialect": source.dialect.model_dump(exclude_none=True),
    }
    edit_section(root / "params.yaml", "data", values)
    edit_section(root / "params.yaml", "registry", {"name": registry_name(file)})
    show(f"looking for what is suspicious in {source.table.shape[1]} columns", None)
    today = datetime.now(UTC).replace(tzinfo=None)
    profile = profile_table(source.table, prepared, spec, today=today)
    return replace(profile, notes=(*source.notes, *profile.notes))
