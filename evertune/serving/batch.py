"""Score a table with the champion and, beside it, with the shadow version.

`score` logs every prediction and writes them all as Parquet to the folder `scoring.output`. A
row that was scored before is not logged again and keeps its first prediction.
`score_with_shadow` logs what another version (the previous champion or a challenger) predicts
for the same table; monitoring compares the two.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pandas as pd

from evertune.config.loader import load_params
from evertune.config.schema import Params
from evertune.data.cleaning import conform_to_schema, with_schema_names
from evertune.data.example import production_table
from evertune.data.readers import read_source
from evertune.data.validation import format_issues
from evertune.errors import ParamsError, StageError, TableError
from evertune.files import write_table
from evertune.messages import ways_to_a_champion
from evertune.models.fitted_model import predict
from evertune.monitoring.log_frames import (
    LoggedPrediction,
    identify_rows,
    make_logged_predictions,
    scored_table,
)
from evertune.monitoring.prediction_log import (
    ShadowPrediction,
    open_prediction_log,
    time_of_undated,
)
from evertune.registry.mlflow_registry import open_registry
from evertune.serving.model_holder import load_shadow
from evertune.times import in_zone

EXAMPLE_SOURCE = "example"


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
        The time of day; by `monitoring.now`, the moment of predictions whose rows say none.
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
    name = "table"
    if table is None:
        name = Path(str(params.scoring.source)).name.split(".")[0]
        table = _configured_table(params, root)
    registry = open_registry(params)
    champion = registry.champion()
    if champion is None:
        raise StageError(
            f"{registry.name} has no champion to score with:"
            f" {ways_to_a_champion(registry.aliases().get('challenger'))}."
        )
    model = registry.load_model(champion)
    table = with_schema_names(table, model.schema)
    clean, issues = conform_to_schema(table, model.schema)
    if issues:
        raise TableError(f"{name}: the table cannot be scored.\n{format_issues(issues)}")
    if table.empty:
        raise TableError(f"{name}: 0 rows; expected at least one to score.")
    identified = identify_rows(table, model.schema)
    n_logged, scored = 0, list[tuple[str, LoggedPrediction]]()
    with open_prediction_log(params) as log:
        undated = time_of_undated(log, params, now=now)
        for first in range(0, len(table), params.scoring.batch_rows):
            part = slice(first, first + params.scoring.batch_rows)
            predictions = predict(model.fitted, clean.iloc[part], model.schema)
            rows = make_logged_predictions(
                identified.iloc[part], clean.iloc[part], predictions, model.schema, now=undated
            )
            added = log.append_predictions(rows, version=champion.number, received=now)
            n_logged += added
            known = {} if added == len(rows) else log.find([row.id for row in rows])
            scored += [known.get(row.id, (champion.number, row)) for row in rows]
    day = in_zone(now, params.monitoring.timezone)
    output = root / params.scoring.output / f"{name}-{day:%Y-%m-%d}.parquet"
    output.parent.mkdir(parents=True, exist_ok=True)
    write_table(output, scored_table(scored, model.schema))
    return ScoringResult(len(table), n_logged, champion.number, output)


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
    registry = open_registry(params)
    champion = registry.champion()
    if champion is None or not params.scoring.shadow:
        return 0
    days = params.monitoring.policy.shadow_days
    other = load_shadow(registry, None, beside=champion, now=now, days=days)
    if other is None:
        return 0
    schema = other.model.schema
    table = with_schema_names(table, schema)
    clean, _ = conform_to_schema(table, schema)
    predictions = predict(other.model.fitted, clean, schema)
    identified = identify_rows(table, schema)
    rows = make_logged_predictions(identified, clean, predictions, schema, now=now)
    shadows = [ShadowPrediction(row.id, row.value, row.probabilities) for row in rows]
    with open_prediction_log(params) as log:
        return log.append_shadow(shadows, version=other.version.number)
