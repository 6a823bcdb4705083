"""Load a table of late labels into the prediction log.

A label finds its prediction by `prediction_id` or by the identifier column. The rules for labels
that come early, twice or corrected are those of `PredictionLog.append_labels`. A table of which
no id is known is refused, because then its ids are written in another way or are of another table.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pandas as pd

from evertune.config.loader import load_params
from evertune.data.labels import (
    PREDICTION_ID_COLUMN,
    explain_unknown_id,
    missing_column_issues,
    parse_label_table,
)
from evertune.data.schema import TableSchema
from evertune.data.validation import format_issues
from evertune.errors import TableError
from evertune.monitoring.prediction_log import (
    Label,
    LabelCounts,
    PredictionLog,
    open_prediction_log,
    time_of_undated,
)
from evertune.registry.mlflow_registry import open_registry
from evertune.times import to_utc_datetime

MAX_COMPARED_IDS = 50_000


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
        Labels from after it are refused; by `monitoring.now`, the moment of those that say none.

    Raises
    ------
    TableError
        Columns are missing, no label of the table can be used, or none of its ids is known.
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
    table_labels = parsed.labels
    is_new_class = table_labels["value"].isin(parsed.unknown_classes)
    counts = LabelCounts(
        refused=parsed.n_refused,
        faults=tuple(faults.splitlines()),
        new_classes=Counter(table_labels.loc[is_new_class, "value"]),
    )
    with open_prediction_log(params) as log:
        keys = list(dict.fromkeys(table_labels["key"]))
        ids = dict(zip(keys, keys, strict=True))
        known = log.known_ids(keys) if parsed.by_id else log.find_ids_by_identifier(keys).keys()
        unknown = [key for key in keys if key not in known]
        if keys and len(unknown) == len(keys):
            raise TableError(_describe_unknown_ids(log, unknown, schema, by_id=parsed.by_id))
        if unknown:
            example = _example_of_unknown(log, unknown, by_id=parsed.by_id)
            counts += LabelCounts(unknown_example=example)
        undated = time_of_undated(log, params, now=now)
        for first in range(0, len(parsed.labels), params.scoring.batch_rows):
            batch = parsed.labels.iloc[first : first + params.scoring.batch_rows]
            if not parsed.by_id:
                ids = log.find_ids_by_identifier(batch["key"])
            labels = []
            for key, value, moment in zip(
                batch["key"], batch["value"], batch["moment"], strict=True
            ):
                if key in ids:
                    dated = not pd.isna(moment)
                    known_at = to_utc_datetime(moment) if dated else undated
                    labels.append(Label(ids[key], value, known_at, dated=dated))
            counts += LabelCounts(unknown=len(batch) - len(labels))
            counts += log.append_labels(labels, received=now)
    return counts


def _describe_unknown_ids(
    log: PredictionLog, unknown: Sequence[str], schema: TableSchema, *, by_id: bool
) -> str:
    """Return why a table cannot be used of which no id is known."""
    ids = (
        f"None of the {len(unknown)} ids is"
        if len(unknown) > 1
        else "The one id of the file is not"
    )
    problem = f"{ids} in the prediction log; nothing was stored."
    columns = [str(schema.identifier), PREDICTION_ID_COLUMN]
    if not by_id:
        columns.reverse()
    other, named = columns
    in_log = log.newest_ids(of_identifier=not by_id, most=MAX_COMPARED_IDS)
    of_other_kind = set() if by_id else log.known_ids(unknown)
    if by_id and schema.identifier:
        of_other_kind = set(log.find_ids_by_identifier(unknown))
    if of_other_kind:
        return (
            f"{problem} The column {named!r} holds values of {other!r}, such as"
            f" {next(iter(of_other_kind))!r}: rename it to {other!r}."
        )
    if not in_log:
        return (
            f"{problem} The log has no prediction with {named!r} yet; predict with `evertune score`"
            " or the scoring service first."
        )
    wrong, meant, cause = explain_unknown_id(unknown, in_log)
    if cause:
        return (
            f"{problem} The file has {wrong!r} where the log has {meant!r}: {cause}. Write the"
            f" column {named!r} as text, as it is in the table that was scored."
        )
    return (
        f"{problem} The file has, for example, {wrong!r} and the log {meant!r}: the column"
        f" {named!r} must have the values of the rows that were scored."
    )


def _example_of_unknown(log: PredictionLog, unknown: Sequence[str], *, by_id: bool) -> str:
    """Return an id without a prediction, and the one that it was probably meant to be."""
    in_log = log.newest_ids(of_identifier=not by_id, most=MAX_COMPARED_IDS)
    wrong, meant, cause = explain_unknown_id(unknown, in_log)
    return f"{wrong!r}, where the log has {meant!r}: {cause}" if cause else repr(wrong)
