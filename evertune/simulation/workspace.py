"""Create a separate project in which a table can be replayed in time order.

`create_replay_project` reads the table and writes a project beside the state: the code,
params.yaml with a small search, and the first part of the rows to train on. The rest is
replayed. The original project stays as it is.
"""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from evertune.config.loader import load_params
from evertune.config.schema import DataSection, DialectSection, Params
from evertune.config.yaml_file import edit_section
from evertune.data.example import simulate_customers
from evertune.data.parsing import as_date
from evertune.data.readers import SourceTable, inspect_source
from evertune.errors import TableError
from evertune.files import write_table
from evertune.messages import did_you_mean
from evertune.simulation.results import ROW_NAME, ColumnRoles, ReplayProject
from evertune.times import to_utc_datetime

EXAMPLE = "example"
TRAINING_FILE = "learned.parquet"
COPIED_PATHS = ("flows", "pipelines", "params.yaml", "dvc.yaml", ".gitignore", ".dvcignore")
IGNORED_PATTERNS = ("__pycache__", ".*_cache")
TRAINING_SHARE = 0.6
MIN_ROWS = 100
SMALL_SETTINGS: dict[str, dict[str, object]] = {
    "search": {"budget_seconds": None, "budget_trials": 8},
    "evaluation": {"bootstrap_draws": 300, "importance_rows": 500, "importance_repeats": 1},
    "scoring": {"source": None, "labels": None, "cron": None, "log_variable": None},
    "monitoring": {"cron": None, "notify": []},
}
SMALL_RETUNE_SETTINGS = {"budget_seconds": None, "budget_trials": 4}


def create_replay_project(
    root: Path, folder: Path, *, file: Path | None, roles: ColumnRoles
) -> ReplayProject:
    """Return a new project in which a table can be played; an older one in its place is removed.

    Parameters
    ----------
    root : Path
        The project whose params.yaml says how to search, monitor and decide.
    folder : Path
        Where the new one is made.
    file : Path, optional
        A CSV or Parquet file; None: the project's own source.

    Raises
    ------
    TableError
        The table cannot be read, has no column of dates, or too few rows.
    """
    params = load_params(root)
    data = _data_section(params.data, file, roles)
    looked = _read_source_table(data, root)
    table, moments = _sort_by_time(looked.table, data)
    cut = moments.iloc[0] + TRAINING_SHARE * (moments.iloc[-1] - moments.iloc[0])
    before = np.asarray(moments < cut, dtype=bool)
    if before.sum() < MIN_ROWS or (~before).sum() < MIN_ROWS:
        raise TableError(
            f"{data.source}: expected at least {MIN_ROWS} rows to learn from and as many to"
            f" play, but before {cut:%Y-%m-%d} lie {before.sum()} and after it {(~before).sum()}."
        )
    _copy_project(root, folder)
    write_table(folder / TRAINING_FILE, table[before])
    _write_params(folder / "params.yaml", params, data=data, looked=looked)
    return ReplayProject(
        root=folder,
        played=table[~before].reset_index(drop=True),
        moments=moments[~before].reset_index(drop=True),
        learned=table[before].reset_index(drop=True),
        learned_moments=moments[before].reset_index(drop=True),
        start=to_utc_datetime(cut),
        end=to_utc_datetime(moments.iloc[-1]),
    )


def _data_section(data: DataSection, file: Path | None, roles: ColumnRoles) -> DataSection:
    if file is None:
        named = {"time": roles.time or data.time, "target": roles.target or data.target}
        return data.model_copy(update=named)
    return DataSection(
        source=str(file), target=roles.target or data.target, time=roles.time or data.time
    )


def _read_source_table(data: DataSection, root: Path) -> SourceTable:
    return (
        SourceTable(simulate_customers()) if data.source == EXAMPLE else inspect_source(data, root)
    )


def _sort_by_time(raw: pd.DataFrame, data: DataSection) -> tuple[pd.DataFrame, pd.Series]:
    """Return the rows in the order of time, each with a name, and when each was."""
    for role, name in (("time", data.time), ("target", data.target)):
        if name is None or name not in raw.columns:
            raise TableError(
                f"{data.source}: expected a column for --{role}, but got {name!r}."
                f"{did_you_mean(name or '', map(str, raw.columns))}"
            )
    moments, bad = as_date(raw[data.time], missing=data.missing_values)
    if bad.any() or moments.isna().any():
        raise TableError(
            f"{data.source}: expected a date in every row of {data.time!r}, but"
            f" {int((bad | moments.isna()).sum())} of {len(raw)} are none; a table is played by its"
            " dates, so name a column that has them with --time."
        )
    order = moments.sort_values(kind="stable").index
    table = raw.loc[order].reset_index(drop=True)
    names = [f"row {number}" for number in range(len(table))]
    return table.assign(**{ROW_NAME: names}), moments.loc[order].reset_index(drop=True)


def _copy_project(root: Path, folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    skipped = shutil.ignore_patterns(*IGNORED_PATTERNS)
    for name in (*COPIED_PATHS, *(path.name for path in root.glob("*.py"))):
        source = root / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=skipped)
        elif source.is_file():
            shutil.copy2(source, folder / name)


def _write_params(path: Path, params: Params, *, data: DataSection, looked: SourceTable) -> None:
    ignored = dict.fromkeys([*data.ignore, *([data.identifier] if data.identifier else [])])
    update = {
        "source": TRAINING_FILE,
        "identifier": ROW_NAME,
        "ignore": tuple(ignored),
        "dialect": DialectSection(decimal=looked.dialect.decimal),
        "existing_model": None,
        "address_variable": None,
    }
    section = data.model_copy(update=update).model_dump(mode="json")
    section["dialect"] = {name: sign for name, sign in section["dialect"].items() if sign}
    retune = params.monitoring.retune.model_dump(mode="json") | SMALL_RETUNE_SETTINGS
    edit_section(path, "data", section)
    for name, values in SMALL_SETTINGS.items():
        edit_section(path, name, values)
    edit_section(path, "monitoring", {"retune": retune})
