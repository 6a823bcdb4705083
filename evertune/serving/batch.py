"""Score a table with the champion and, beside it, with the shadow version.

`score` logs every prediction and writes them all as Parquet to the folder `scoring.output`. A
row that was scored before is not logged again and keeps its first prediction.
`score_with_shadow` logs what another version (the previous champion or a challenger) predicts
for the same table; monitoring compares the two.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pandas as pd

from evertune.config.loader import load_params
from evertune.config.schema import Params
from evertune.data.cleaning import conform_to_schema
from evertune.data.example import production_table
from evertune.data.readers import read_source
from evertune.data.validation import format_issues
from evertune.errors import ParamsError, StageError, TableError
from evertune.files import write_table
from evertune.models.fitted_model import Model, predict
from evertune.monitoring.log_frames import (
    LoggedPrediction,
    identify_rows,
    make_logged_predictions,
    scored_table,
)
from evertune.monitoring.prediction_log import (
    PredictionLog,
    ShadowPrediction,
    open_prediction_log,
)
from evertune.registry.model_registry import ModelRegistry, ModelVersion, open_registry
from evertune.serving.model_holder import LoadedModel, load_shadow

EXAMPLE_SOURCE = "example"
VersionedPredictions = list[tuple[str, LoggedPrediction]]


@dataclass(frozen=True)
class ScoringResult:
    """What scoring a table came to.

    Attributes
    ----------
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


def score(root: Path, *, now: datetime, table: pd.DataFrame | None = None) -> ScoringResult:
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
    raw = _configured_table(params, root) if table is None else table
    store = open_registry(params)
    standing = store.champion()
    if standing is None:
        raise StageError(
            f"{store.name} has no champion to score with; run `evertune train`, which makes one."
        )
    model = store.load_model(standing)
    clean = _parse_table(raw, model, _output_name(params, table))
    named = identify_rows(raw, model.schema)
    with open_prediction_log(params) as log:
        parts = _predict_and_log_batches(
            log, named, clean, model, version=standing, now=now, params=params
        )
        counts, said = zip(*parts, strict=True)
    output = root / params.scoring.output / f"{_output_name(params, table)}-{now:%Y-%m-%d}.parquet"
    output.parent.mkdir(parents=True, exist_ok=True)
    write_table(output, scored_table([each for part in said for each in part], model.schema))
    return ScoringResult(len(raw), sum(counts), standing.number, output)


def read_scoring_source(params: Params, source: str, root: Path) -> pd.DataFrame:
    """Return a table that section `scoring` names.

    Raises
    ------
    TableError
        It cannot be read.
    """
    variable = params.scoring.address_variable
    where = {"source": source, "address_variable": variable}
    return read_source(params.data.model_copy(update=where), root)


def _configured_table(params: Params, root: Path) -> pd.DataFrame:
    source = params.scoring.source
    if source is None:
        raise ParamsError(
            "scoring.source is null; expected a table, or a .sql file with a query. Name it in"
            " params.yaml to have it scored."
        )
    return (
        production_table()
        if source == EXAMPLE_SOURCE
        else read_scoring_source(params, source, root)
    )


def _output_name(params: Params, table: pd.DataFrame | None) -> str:
    return "table" if table is not None else Path(str(params.scoring.source)).name.split(".")[0]


def _parse_table(raw: pd.DataFrame, model: Model, name: str) -> pd.DataFrame:
    clean, breaches = conform_to_schema(raw, model.schema)
    if breaches:
        raise TableError(f"{name}: the table cannot be scored.\n{format_issues(breaches)}")
    if raw.empty:
        raise TableError(f"{name}: 0 rows; expected at least one to score.")
    return clean


def _predict_and_log_batches(
    log: PredictionLog,
    named: pd.DataFrame,
    clean: pd.DataFrame,
    model: Model,
    *,
    version: ModelVersion,
    now: datetime,
    params: Params,
) -> Iterator[tuple[int, VersionedPredictions]]:
    """Yield, batch by batch, how many predictions are new in the log, and what the log says."""
    for first in range(0, len(named), params.scoring.batch_rows):
        part = slice(first, first + params.scoring.batch_rows)
        said = predict(model.fitted, clean.iloc[part], model.schema)
        rows = make_logged_predictions(
            named.iloc[part], clean.iloc[part], said, model.schema, now=now
        )
        added = log.append_predictions(rows, version=version.number, received=now)
        known = {} if added == len(rows) else log.find([row.id for row in rows])
        yield added, [known.get(row.id, (version.number, row)) for row in rows]


def score_with_shadow(root: Path, table: pd.DataFrame, *, now: datetime) -> int:
    """Return for how many rows another version's prediction is new in the log.

    Parameters
    ----------
    root : Path
        The project's folder.
    table : DataFrame of n rows
        As it was scored.

    Raises
    ------
    StageError
        The other version's files are gone, or it does not predict its own example.
    """
    params = load_params(root)
    store = open_registry(params)
    days = params.monitoring.policy.shadow_days
    other = _load_shadow_model(store, now, days=days) if params.scoring.shadow else None
    if other is None:
        return 0
    rows = [_to_shadow_row(row) for row in _predictions_to_log(table, other, now)]
    with open_prediction_log(params) as log:
        return log.append_shadow(rows, version=other.version.number)


def _load_shadow_model(store: ModelRegistry, now: datetime, *, days: float) -> LoadedModel | None:
    standing = store.champion()
    if standing is None:
        return None
    return load_shadow(store, None, beside=standing, now=now, days=days)


def _predictions_to_log(
    table: pd.DataFrame, other: LoadedModel, now: datetime
) -> list[LoggedPrediction]:
    clean, _ = conform_to_schema(table, other.model.schema)
    said = predict(other.model.fitted, clean, other.model.schema)
    named = identify_rows(table, other.model.schema)
    return make_logged_predictions(named, clean, said, other.model.schema, now=now)


def _to_shadow_row(row: LoggedPrediction) -> ShadowPrediction:
    return ShadowPrediction(row.id, row.value, row.probabilities)
