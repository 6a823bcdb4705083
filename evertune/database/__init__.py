"""The SQL database of predictions, labels, windows and decisions: SQLite or PostgreSQL.

Several models and several processes may share one database; a `ModelLog` is the part of one model.
Open it with `closing_log`, then use `read_transaction` (one state of the database, whoever writes
meanwhile) or `write_transaction` (all changes take effect together or none does). Without an
address the database is a SQLite file in `state`; `scoring.log_variable` names the environment
variable with another one.

`tables` has the tables: moments are aware datetimes (`Moment`), records are dataclasses
(`JSONRecord`, read back with `read_record`). `open_log` brings an older database to this release's
tables (`migrations`) and refuses a newer one.
"""

from evertune.database.engine import (
    ModelLog,
    close_log,
    closing_log,
    database_url,
    insert_if_absent,
    insert_or_replace,
    is_postgresql,
    open_log,
    read_transaction,
    select_in_batches,
    write_transaction,
)
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
    "DECISIONS",
    "DECISION_RECORDS",
    "HOLDOUT_USES",
    "LABELS",
    "OUTCOMES",
    "PREDICTIONS",
    "SHADOWS",
    "WINDOWS",
    "ModelLog",
    "close_log",
    "closing_log",
    "database_url",
    "in_microseconds",
    "insert_if_absent",
    "insert_or_replace",
    "is_postgresql",
    "open_log",
    "read_record",
    "read_transaction",
    "record_to_json",
    "select_in_batches",
    "write_transaction",
]
