"""Score a table with the champion.

Reads the table of scoring.source and the champion. Writes every prediction to the log, and all of
them as a Parquet file to scoring.output. A row that was scored before is not logged again, and its
prediction stays what it was.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pandas as pd

from pipelines.core.breaches import breach_text
from pipelines.core.conforming import conform
from pipelines.core.log_frames import Logged
from pipelines.core.model import Model, predict
from pipelines.core.scored import logged_rows, named_rows, scored_table
from pipelines.errors import ParamsError, StageError, TableError
from pipelines.example import production_table
from pipelines.params import load_params
from pipelines.sections import Params
from pipelines.stores.database import Log, opened_log
from pipelines.stores.files import write_table
from pipelines.stores.predictions import append_predictions, logged_before
from pipelines.stores.registry import Version, champion, model_of
from pipelines.stores.sources import read_source
from pipelines.stores.tracking import open_store

EXAMPLE = "example"
Said = list[tuple[str, Logged]]


@dataclass(frozen=True)
class Scored:
    """What scoring a table came to.

    Attributes
    ----------
    rows : int
    logged : int
        Predictions that were not in the log before.
    version : str
        Of the champion.
    output : Path
        The file with the predictions.
    """

    rows: int
    logged: int
    version: str
    output: Path


def score(root: Path, *, now: datetime, table: pd.DataFrame | None = None) -> Scored:
    """Score a table with the champion and log every prediction.

    Parameters
    ----------
    root : Path
        The project's folder.
    now : datetime
        The moment of predictions whose rows say none.
    table : DataFrame, optional
        Instead of the table that scoring.source names.

    Raises
    ------
    TableError
        The table cannot be read, or rows of it cannot be predicted; nothing is logged.
    ParamsError
        scoring.source names no table.
    StageError
        There is no champion.
    """
    params = load_params(root)
    raw = _source(params, root) if table is None else table
    store = open_store(params.paths.state, params.registry.name)
    standing = champion(store)
    if standing is None:
        raise StageError(
            f"{store.name} has no champion to score with; run `evertune train`, which makes one."
        )
    model = model_of(store, standing)
    clean = _clean(raw, model, _name(params, table))
    named = named_rows(raw, model.schema)
    variable = params.scoring.log_variable
    with opened_log(params.paths.state, model=store.name, variable=variable) as log:
        parts = _logged_parts(log, named, clean, model, version=standing, now=now, params=params)
        counts, said = zip(*parts, strict=True)
    output = root / params.scoring.output / f"{_name(params, table)}-{now:%Y-%m-%d}.parquet"
    output.parent.mkdir(parents=True, exist_ok=True)
    write_table(output, scored_table([each for part in said for each in part], model.schema))
    return Scored(len(raw), sum(counts), standing.number, output)


def source_of(params: Params, source: str, root: Path) -> pd.DataFrame:
    """Return a table that section `scoring` names.

    Raises
    ------
    TableError
        It cannot be read.
    """
    variable = params.scoring.address_variable
    where = {"source": source, "address_variable": variable}
    return read_source(params.data.model_copy(update=where), root)


def _source(params: Params, root: Path) -> pd.DataFrame:
    source = params.scoring.source
    if source is None:
        raise ParamsError(
            "scoring.source is null; expected a table, or a .sql file with a query. Name it in"
            " params.yaml to have it scored."
        )
    return production_table() if source == EXAMPLE else source_of(params, source, root)


def _name(params: Params, table: pd.DataFrame | None) -> str:
    return "table" if table is not None else Path(str(params.scoring.source)).name.split(".")[0]


def _clean(raw: pd.DataFrame, model: Model, name: str) -> pd.DataFrame:
    clean, breaches = conform(raw, model.schema)
    if breaches:
        raise TableError(f"{name}: the table cannot be scored.\n{breach_text(breaches)}")
    if raw.empty:
        raise TableError(f"{name}: 0 rows; expected at least one to score.")
    return clean


def _logged_parts(  # noqa: PLR0913
    log: Log,
    named: pd.DataFrame,
    clean: pd.DataFrame,
    model: Model,
    *,
    version: Version,
    now: datetime,
    params: Params,
) -> Iterator[tuple[int, Said]]:
    """Yield, batch by batch, how many predictions are new in the log, and what the log says."""
    for first in range(0, len(named), params.scoring.batch_rows):
        part = slice(first, first + params.scoring.batch_rows)
        said = predict(model.fitted, clean.iloc[part], model.schema)
        rows = logged_rows(named.iloc[part], clean.iloc[part], said, model.schema, now=now)
        added = append_predictions(log, rows, version=version.number, received=now)
        known = {} if added == len(rows) else logged_before(log, [row.id for row in rows])
        yield added, [known.get(row.id, (version.number, row)) for row in rows]
