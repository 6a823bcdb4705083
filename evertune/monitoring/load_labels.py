"""Load a table of late labels into the prediction log.

A label finds its prediction by `prediction_id` or by the identifier column. The rules for labels
that come early, twice or corrected are those of `PredictionLog.append_labels`.
"""

from datetime import datetime
from pathlib import Path

import pandas as pd

from evertune.config.loader import load_params
from evertune.data.labels import missing_column_issues, parse_label_table
from evertune.data.validation import format_issues
from evertune.errors import TableError
from evertune.monitoring.prediction_log import Label, LabelCounts, open_prediction_log
from evertune.registry.mlflow_registry import open_registry
from evertune.times import to_utc_datetime


def load_label_table(root: Path, table: pd.DataFrame, *, now: datetime) -> LabelCounts:
    """Write the labels of a table to the log and return how many there were of each kind.

    Parameters
    ----------
    root : Path
        The project's folder.
    table : DataFrame
        One row for each label: `prediction_id` or the identifier column, the target column, and
        optionally `labelled_at`, when the label became known. Rows without a label are skipped.
    now : datetime
        Labels from after it are refused.

    Raises
    ------
    TableError
        Columns are missing, or no label of the table can be used.
    """
    params = load_params(root)
    schema = open_registry(params).champion_schema()
    missing = missing_column_issues(table, schema)
    if missing:
        raise TableError(f"The table of labels cannot be used.\n{format_issues(missing)}")
    parsed = parse_label_table(table, schema, now=now)
    faults = format_issues(parsed.issues)
    if parsed.labels.empty and parsed.n_refused:
        raise TableError(f"No label of the table can be used.\n{faults}")
    counts = LabelCounts(refused=parsed.n_refused, faults=tuple(faults.splitlines()))
    with open_prediction_log(params) as log:
        for first in range(0, len(parsed.labels), params.scoring.batch_rows):
            batch = parsed.labels.iloc[first : first + params.scoring.batch_rows]
            ids = dict(zip(batch["key"], batch["key"], strict=True))
            if not parsed.by_id:
                ids = log.find_ids_by_identifier(batch["key"])
            labels = []
            for key, value, moment in zip(
                batch["key"], batch["value"], batch["moment"], strict=True
            ):
                if key in ids:
                    dated = not pd.isna(moment)
                    known_at = to_utc_datetime(moment) if dated else now
                    labels.append(Label(ids[key], value, known_at, dated=dated))
            counts += LabelCounts(unknown=len(batch) - len(labels))
            counts += log.append_labels(labels, received=now)
    return counts
