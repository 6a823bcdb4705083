"""The SQL database of predictions, labels, windows and decisions: SQLite or PostgreSQL.

Several models and several processes may share one database; a `ModelLog` is the part of one model:

    with open_log(state, model="churn", address=database_url(variable)) as log:
        with log.read_transaction() as connection: ...

`PredictionLog` (monitoring) and `DecisionLog` (registry) hold all queries; nobody else writes SQL.
Without an address the database is a SQLite file in `state`; `scoring.log_variable` names the
environment variable with another one.

`tables` has the tables: moments are aware datetimes (`Moment`), records are dataclasses
(`JSONRecord`, read back with `read_record`). `open_log` brings an older database to this release's
tables (`migrations`) and refuses a newer one.
"""

from evertune.database.engine import DATABASE_FILE, ModelLog, database_url, open_log
from evertune.database.tables import (
    CHAMPIONS,
    CLAIMS,
    DECISION_RECORDS,
    DECISIONS,
    HOLDOUT_USES,
    LABELS,
    OUTCOMES,
    PREDICTIONS,
    SHADOWS,
    WINDOWS,
    in_microseconds,
    read_record,
    record_to_json,
)

__all__ = [
    "CHAMPIONS",
    "CLAIMS",
    "DATABASE_FILE",
    "DECISIONS",
    "DECISION_RECORDS",
    "HOLDOUT_USES",
    "LABELS",
    "OUTCOMES",
    "PREDICTIONS",
    "SHADOWS",
    "WINDOWS",
    "ModelLog",
    "database_url",
    "in_microseconds",
    "open_log",
    "read_record",
    "record_to_json",
]
