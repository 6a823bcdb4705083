"""Make a project of its own in which a table is played in the order of its time.

Reads the table. Writes a project beside the state: the code, params.yaml with a small search, and
the first part of the rows, which are learned from. The project that it is made from stays as it is.
"""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from pipelines.core.dates import as_date
from pipelines.core.findings import aware
from pipelines.core.rehearsals import NAME, Rehearsal, Roles
from pipelines.core.wording import did_you_mean
from pipelines.errors import TableError
from pipelines.example import customers
from pipelines.params import load_params
from pipelines.sections import Data, Dialect, Params
from pipelines.stores.documents import edit_section
from pipelines.stores.files import write_table
from pipelines.stores.sources import Looked, look_at_source

EXAMPLE = "example"
LEARNED = "learned.parquet"
CODE = ("pipelines", "infra", "params.yaml", "dvc.yaml", ".gitignore", ".dvcignore")
NOT_CODE = ("__pycache__", ".*_cache")
LEARNED_SHARE = 0.6
FEWEST_ROWS = 100
SMALL: dict[str, dict[str, object]] = {
    "search": {"budget_seconds": None, "budget_trials": 8},
    "evaluation": {"bootstrap_draws": 300, "importance_rows": 500, "importance_repeats": 1},
    "scoring": {"source": None, "labels": None, "cron": None, "log_variable": None},
    "monitoring": {"cron": None, "notify": []},
}
SMALL_RETUNE = {"budget_seconds": None, "budget_trials": 4}


def rehearse(root: Path, folder: Path, *, file: Path | None, roles: Roles) -> Rehearsal:
    """Return a new project in which a table can be played; an older one in its place is removed.

    Parameters
    ----------
    root : Path
        The project whose params.yaml says how to search, monitor and decide.
    folder : Path
        Where the new one is made.
    file : Path, optional
        A CSV or Parquet file; None: the project's own source.
    roles : Roles

    Raises
    ------
    TableError
        The table cannot be read, has no column of dates, or too few rows.
    """
    params = load_params(root)
    data = _data(params.data, file, roles)
    looked = _looked(data, root)
    table, moments = _in_order(looked.table, data)
    cut = moments.iloc[0] + LEARNED_SHARE * (moments.iloc[-1] - moments.iloc[0])
    before = np.asarray(moments < cut, dtype=bool)
    if before.sum() < FEWEST_ROWS or (~before).sum() < FEWEST_ROWS:
        raise TableError(
            f"{data.source}: expected at least {FEWEST_ROWS} rows to learn from and as many to"
            f" play, but before {cut:%Y-%m-%d} lie {before.sum()} and after it {(~before).sum()}."
        )
    _copy(root, folder)
    write_table(folder / LEARNED, table[before])
    _adapt(folder / "params.yaml", params, data=data, looked=looked)
    return Rehearsal(
        root=folder,
        played=table[~before].reset_index(drop=True),
        moments=moments[~before].reset_index(drop=True),
        learned=table[before].reset_index(drop=True),
        learned_moments=moments[before].reset_index(drop=True),
        start=aware(cut),
        end=aware(moments.iloc[-1]),
    )


def _data(data: Data, file: Path | None, roles: Roles) -> Data:
    if file is None:
        named = {"time": roles.time or data.time, "target": roles.target or data.target}
        return data.model_copy(update=named)
    return Data(source=str(file), target=roles.target or data.target, time=roles.time or data.time)


def _looked(data: Data, root: Path) -> Looked:
    return Looked(customers()) if data.source == EXAMPLE else look_at_source(data, root)


def _in_order(raw: pd.DataFrame, data: Data) -> tuple[pd.DataFrame, pd.Series]:
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
    return table.assign(**{NAME: names}), moments.loc[order].reset_index(drop=True)


def _copy(root: Path, folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    skipped = shutil.ignore_patterns(*NOT_CODE)
    for name in (*CODE, *(path.name for path in root.glob("*.py"))):
        source = root / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=skipped)
        elif source.is_file():
            shutil.copy2(source, folder / name)


def _adapt(path: Path, params: Params, *, data: Data, looked: Looked) -> None:
    ignored = dict.fromkeys([*data.ignore, *([data.identifier] if data.identifier else [])])
    update = {
        "source": LEARNED,
        "identifier": NAME,
        "ignore": tuple(ignored),
        "dialect": Dialect(decimal=looked.dialect.decimal),
        "existing_model": None,
        "address_variable": None,
    }
    section = data.model_copy(update=update).model_dump(mode="json")
    section["dialect"] = {name: sign for name, sign in section["dialect"].items() if sign}
    retune = params.monitoring.retune.model_dump(mode="json") | SMALL_RETUNE
    edit_section(path, "data", section)
    for name, values in SMALL.items():
        edit_section(path, name, values)
    edit_section(path, "monitoring", {"retune": retune})
