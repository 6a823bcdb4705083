"""The prediction log: predictions by version, shadow predictions, labels and inputs.

`append_predictions` logs each id once: an id that is there already is left as it is, so that a
batch or request can be repeated. Every append is one transaction. `read_log` returns one row
for each prediction with its effective label (the one with the newest moment), `read_shadow`
what another version predicted for the same ids. The id of a table's row is a hash of its cells
(`hash_row_ids`).

`apply_retention` removes predictions that are older than `scoring.retention_days`; rows that
were snapshot for training stay in their data versions. `export_prediction_log` writes a Parquet
file.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta
from hashlib import sha256
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import ColumnElement, Select, Table, and_, delete, exists, func, select

from evertune.config.loader import load_params
from evertune.data.labels import id_error
from evertune.data.parsing import as_text
from evertune.data.schema import TableSchema
from evertune.data.validation import truncate_cell
from evertune.database import (
    LABELS,
    PREDICTIONS,
    SHADOWS,
    ModelLog,
    closing_log,
    from_microseconds,
    insert_if_absent,
    read_transaction,
    select_in_batches,
    to_microseconds,
    write_transaction,
)
from evertune.errors import InputError
from evertune.files import atomic_write
from evertune.registry.mlflow_client import open_tracking_store
from evertune.registry.versions import load_champion_schema
from evertune.times import to_utc_datetime
from evertune.types import FloatArray, Predictions

MOMENT_DTYPE = "datetime64[us]"
DatabaseRows = Sequence[Sequence[object]]
ColumnConverter = Callable[[Sequence[object]], object]


@dataclass(frozen=True)
class LoggedPrediction:
    """A prediction as it goes to the log.

    Attributes
    ----------
    id : str
        Names the prediction for good; its label comes by it.
    request_id : str
    identifier : str, optional
        The row's value in the schema's identifier column.
    moment : datetime
        When what was predicted about was so: the schema's time column where it is a date.
    inputs : str
        The raw values as a JSON object.
    value : float
        Code of the predicted class, or the predicted value.
    probabilities : tuple of float, optional
        One for each class in the order of their codes; None in regression.
    """

    id: str
    request_id: str
    identifier: str | None
    moment: datetime
    inputs: str
    value: float
    probabilities: tuple[float, ...] | None


@dataclass(frozen=True)
class ShadowPrediction:
    """What a version that did not answer says about a prediction in the log."""

    id: str
    value: float
    probabilities: tuple[float, ...] | None


def make_log_frame(
    rows: DatabaseRows, names: Sequence[str], *, classes: Sequence[str]
) -> pd.DataFrame:
    """Return rows of the log's database as columns of a logged frame.

    Parameters
    ----------
    rows : sequence of n rows
    names : sequence of str
        What stands in a row: `moment`, `received` and `labelled` in microseconds since 1970,
        `probabilities` and `probabilities_c` as JSON, `label` as text.
    classes : sequence of str
        In the order of their codes; none in regression.

    Returns
    -------
    DataFrame of n rows
        `probabilities` as `p_0`, `p_1` and so on, and `label` as `truth`.

    Examples
    --------
    >>> make_log_frame(
    ...     [["a", 0, "[0.2,0.8]", "yes"]],
    ...     ["id", "moment", "probabilities", "label"],
    ...     classes=("no", "yes"),
    ... )
      id     moment  p_0  p_1  truth
    0  a 1970-01-01  0.2  0.8    1.0
    """
    columns: Iterable[Sequence[object]] = zip(*rows, strict=True) if rows else [()] * len(names)
    made: dict[str, object] = {}
    for name, values in zip(names, columns, strict=True):
        if name.startswith("probabilities"):
            made |= _probability_columns(
                values, f"p{name.removeprefix('probabilities')}", len(classes)
            )
        elif name == "label":
            made["truth"] = encode_labels(values, classes)
        else:
            made[name] = COLUMN_CONVERTERS.get(name, _to_texts)(values)
    return pd.DataFrame(made)


def keep_effective_labels(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row an id: the last of its labels, known since its value was first said.

    Parameters
    ----------
    frame : DataFrame
        With `id`, `truth` and `labelled`; the rows of an id stand together, and in the order in
        which its labels count.

    Examples
    --------
    >>> days = pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-03"])
    >>> said = pd.DataFrame({"id": ["a"] * 3, "truth": [0.0, 1.0, 1.0], "labelled": days})
    >>> keep_effective_labels(said)
      id  truth   labelled
    0  a    1.0 2024-01-02
    """
    ids = frame["id"]
    last = ids.ne(ids.shift(-1))
    if last.all():
        return frame
    first_said = frame.groupby(["id", "truth"], dropna=False, sort=False)["labelled"]
    known = frame.assign(labelled=first_said.transform("min"))
    return known[last].reset_index(drop=True)


def encode_labels(texts: Sequence[object], classes: Sequence[str]) -> FloatArray:
    """Return labels as class codes or values; NaN where there is none, or no such class.

    Examples
    --------
    >>> encode_labels(["yes", None, "perhaps"], ("no", "yes")), encode_labels(["1.5"], ())
    (array([ 1., nan, nan]), array([1.5]))
    """
    codes: dict[object, float] = {label: float(code) for code, label in enumerate(classes)}
    if classes:
        return np.array([codes.get(text, np.nan) for text in texts], dtype=np.float64)
    values = pd.to_numeric(pd.Series(list(texts), dtype="str"), errors="coerce")
    return values.to_numpy(np.float64)


def frame_predictions(frame: pd.DataFrame, ending: str = "") -> Predictions:
    """Return the predictions in a logged frame.

    Parameters
    ----------
    frame : DataFrame of n rows
    ending : str
        ``"_c"`` for those of the version that answered, in a frame of shadows.

    Examples
    --------
    >>> frame_predictions(pd.DataFrame({"value": [1.0], "p_0": [0.2], "p_1": [0.8]})).probabilities
    array([[0.2, 0.8]])
    """
    names = [name for name in frame.columns if _is_probability_column(name, f"p{ending}_")]
    values = frame[f"value{ending}"].to_numpy(np.float64)
    return Predictions(values, frame[names].to_numpy(np.float64) if names else None)


def read_inputs(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the raw rows of a logged frame that was read with its inputs.

    Parameters
    ----------
    frame : DataFrame of n rows
        With `inputs`.

    Returns
    -------
    DataFrame of n rows
        With the frame's index; columns in the order in which they were first seen, None where a
        row lacks one, and each of the type that its values have.

    Examples
    --------
    >>> read_inputs(pd.DataFrame({"inputs": ['{"age":31,"plan":"a"}', '{"plan":null}']}))
        age plan
    0  31.0    a
    1   NaN  NaN
    """
    rows = orjson.loads(f"[{','.join(frame['inputs'].tolist())}]")
    seen = dict.fromkeys(tuple(row) for row in rows)
    names = dict.fromkeys(name for keys in seen for name in keys)
    columns = {name: [row.get(name) for row in rows] for name in names}
    return pd.DataFrame(columns, index=frame.index)


def _is_probability_column(name: str, start: str) -> bool:
    return name.startswith(start) and name.removeprefix(start).isdigit()


def _probability_columns(
    texts: Sequence[object], start: str, n_classes: int
) -> dict[str, FloatArray]:
    none = [np.nan] * n_classes
    rows = orjson.loads(f"[{','.join('[]' if text is None else str(text) for text in texts)}]")
    # a version that knew other classes says nothing about these
    fitting = [row if len(row) == n_classes else none for row in rows]
    values = np.array(fitting, dtype=np.float64).reshape(len(texts), n_classes)
    return {f"{start}_{code}": values[:, code] for code in range(n_classes)}


def _to_moments(counts: Sequence[object]) -> pd.Series:
    none = np.iinfo(np.int64).min
    whole = np.array([none if count is None else count for count in counts], dtype=np.int64)
    return pd.Series(whole.view(MOMENT_DTYPE))


def _to_floats(values: Sequence[object]) -> FloatArray:
    return np.array(values, dtype=np.float64)


def _to_texts(values: Sequence[object]) -> pd.Series:
    return pd.Series(list(values), dtype="str")


COLUMN_CONVERTERS: dict[str, ColumnConverter] = {
    "moment": _to_moments,
    "received": _to_moments,
    "labelled": _to_moments,
    "value": _to_floats,
    "value_c": _to_floats,
}

CHUNK_ROWS = 10_000
LOGGED_FIELDS = tuple(field.name for field in fields(LoggedPrediction))
PREDICTION_COLUMNS = [
    PREDICTIONS.c[name]
    for name in ("id", "request_id", "identifier", "moment", "received", "version", "value")
] + [PREDICTIONS.c.probabilities]
SHADOW_COLUMNS = [
    PREDICTIONS.c.id,
    PREDICTIONS.c.moment,
    SHADOWS.c.value,
    SHADOWS.c.probabilities,
    PREDICTIONS.c.version,
    PREDICTIONS.c.value.label("value_c"),
    PREDICTIONS.c.probabilities.label("probabilities_c"),
]


def append_predictions(
    log: ModelLog, rows: Sequence[LoggedPrediction], *, version: str, received: datetime
) -> int:
    """Return how many predictions were logged that were not in the log before.

    Once it returns they are there for good, all of them; where it raises, none is.

    Parameters
    ----------
    log : ModelLog
    rows : sequence of LoggedPrediction
    version : str
        That made the predictions.
    received : datetime
        When they were asked for, by the clock.

    Raises
    ------
    InputError
        Where an id cannot be one.
    BusyError
        The database is locked or does not answer.
    """
    shared = {"model": log.model, "version": version, "received": to_microseconds(received)}
    added = [
        shared
        | vars(row)
        | {
            "moment": to_microseconds(row.moment),
            "probabilities": _probabilities_json(row.probabilities),
        }
        for row in rows
    ]
    return _insert_rows(log, PREDICTIONS, added)


def append_shadow(log: ModelLog, rows: Sequence[ShadowPrediction], *, version: str) -> int:
    """Return how many predictions of another version, about the same ids, are new in the log."""
    shared = {"model": log.model, "version": version}
    added = [
        shared | vars(row) | {"probabilities": _probabilities_json(row.probabilities)}
        for row in rows
    ]
    return _insert_rows(log, SHADOWS, added)


def read_log(
    log: ModelLog,
    start: datetime | None,
    end: datetime | None,
    *,
    classes: Sequence[str],
    version: str | None = None,
    with_inputs: bool = False,
    known_at: datetime | None = None,
) -> pd.DataFrame:
    """Return the logged frame: one row a prediction of the version that answered.

    Parameters
    ----------
    log : ModelLog
    start, end : datetime, optional
        Only predictions whose moment is at or after `start` and before `end`.
    classes : sequence of str
        The classes in the order of their codes; none in regression.
    version : str, optional
        Only of this version.
    with_inputs : bool
        Whether `inputs` is there, for `read_inputs`.
    known_at : datetime, optional
        Only labels whose moment is not later.

    Returns
    -------
    DataFrame, ordered by moment and id
        `id`, `request_id`, `identifier`, `moment`, `received`, `version`, `value`, a probability
        `p_0`, `p_1`, ... for each class, `truth` (NaN while there is no label), `labelled` (since
        when its value is known) and `inputs`.
    """
    more = [PREDICTIONS.c.inputs] if with_inputs else []
    query = labelled_query(PREDICTION_COLUMNS, more, known_at=known_at).where(
        *in_time_range(log, start, end)
    )
    if version is not None:
        query = query.where(PREDICTIONS.c.version == version)
    with read_transaction(log) as connection:
        result = connection.execute(query)
        return keep_effective_labels(
            make_log_frame(result.all(), list(result.keys()), classes=classes)
        )


def read_shadow(
    log: ModelLog,
    start: datetime | None,
    end: datetime | None,
    *,
    version: str,
    classes: Sequence[str],
    known_at: datetime | None = None,
) -> pd.DataFrame:
    """Return what a version said in shadow, beside what was answered about the same ids.

    Returns
    -------
    DataFrame, ordered by moment and id
        `id`, `moment`, `value` and `p_0`, ... of the shadow; `version`, `value_c` and `p_c_0`, ...
        of the one that answered; `truth` and `labelled`.
    """
    same = and_(SHADOWS.c.model == PREDICTIONS.c.model, SHADOWS.c.id == PREDICTIONS.c.id)
    query = labelled_query(SHADOW_COLUMNS, known_at=known_at).join(SHADOWS, same)
    query = query.where(SHADOWS.c.version == version, *in_time_range(log, start, end))
    with read_transaction(log) as connection:
        result = connection.execute(query)
        return keep_effective_labels(
            make_log_frame(result.all(), list(result.keys()), classes=classes)
        )


def find_logged(log: ModelLog, ids: Iterable[str]) -> dict[str, tuple[str, LoggedPrediction]]:
    """Return version and prediction of those ids that are in the log."""
    query = select(*(PREDICTIONS.c[name] for name in (*LOGGED_FIELDS, "version")))
    with read_transaction(log) as connection:
        found = [
            row
            for part in select_in_batches(log, query, PREDICTIONS.c.id, ids)
            for row in connection.execute(part)
        ]
    return {row.id: (row.version, _logged_from_row(row)) for row in found}


def known_ids(log: ModelLog, ids: Iterable[str]) -> set[str]:
    """Return those ids that have a prediction in the log."""
    query = select(PREDICTIONS.c.id)
    with read_transaction(log) as connection:
        return {
            row.id
            for part in select_in_batches(log, query, PREDICTIONS.c.id, ids)
            for row in connection.execute(part)
        }


def newest_event(log: ModelLog) -> datetime | None:
    """Return the moment of the newest prediction or label, None in an empty log."""
    newest = [
        _extreme_moment(log, func.max(table.c.moment), table) for table in (PREDICTIONS, LABELS)
    ]
    return max((moment for moment in newest if moment is not None), default=None)


def oldest_event(log: ModelLog) -> datetime | None:
    """Return the moment of the oldest prediction, None in an empty log."""
    return _extreme_moment(log, func.min(PREDICTIONS.c.moment), PREDICTIONS)


def remove_older(log: ModelLog, before: datetime) -> int:
    """Return how many predictions older than a moment were removed, with labels and shadows."""
    removed = last = _remove_oldest(log, before)
    while last == CHUNK_ROWS:
        last = _remove_oldest(log, before)
        removed += last
    unjoined = ~exists().where(
        PREDICTIONS.c.model == LABELS.c.model, PREDICTIONS.c.id == LABELS.c.id
    )
    with write_transaction(log) as connection:
        connection.execute(
            delete(LABELS).where(
                LABELS.c.model == log.model, LABELS.c.moment < to_microseconds(before), unjoined
            )
        )
    return removed


def _probabilities_json(probabilities: tuple[float, ...] | None) -> str | None:
    return None if probabilities is None else orjson.dumps(probabilities).decode()


def _insert_rows(log: ModelLog, table: Table, rows: list[dict[str, Any]]) -> int:
    faults = {row["id"]: id_error(row["id"]) for row in rows}
    for identity, fault in faults.items():
        if fault:
            raise InputError(f"The id {truncate_cell(ascii(identity))} {fault}; give another one.")
    if not rows:
        return 0
    # two writers that lock the same ids in different orders would wait for each other for ever
    rows = sorted(rows, key=itemgetter("id"))
    with write_transaction(log) as connection:
        return connection.execute(insert_if_absent(log, table), rows).rowcount


def labelled_query(
    columns: Sequence[ColumnElement[Any]],
    more: Sequence[ColumnElement[Any]] = (),
    *,
    known_at: datetime | None = None,
) -> Select[Any]:
    """Return the query for columns of predictions, each beside every label of it, if any."""
    joined = [LABELS.c.model == PREDICTIONS.c.model, LABELS.c.id == PREDICTIONS.c.id]
    if known_at is not None:
        joined.append(LABELS.c.moment <= to_microseconds(known_at))
    label = (LABELS.c.value.label("label"), LABELS.c.moment.label("labelled"))
    return (
        select(*columns, *label, *more)
        .select_from(PREDICTIONS)
        .outerjoin(LABELS, and_(*joined))
        .order_by(PREDICTIONS.c.moment, PREDICTIONS.c.id)
        .order_by(LABELS.c.moment, LABELS.c.received, LABELS.c.number)
    )


def in_time_range(
    log: ModelLog, start: datetime | None, end: datetime | None
) -> Iterator[ColumnElement[bool]]:
    """Yield what holds of the model's predictions from `start` to before `end`."""
    yield PREDICTIONS.c.model == log.model
    if start is not None:
        yield PREDICTIONS.c.moment >= to_microseconds(start)
    if end is not None:
        yield PREDICTIONS.c.moment < to_microseconds(end)


def _logged_from_row(row: Any) -> LoggedPrediction:
    values = {name: getattr(row, name) for name in LOGGED_FIELDS}
    probabilities = row.probabilities and tuple(orjson.loads(row.probabilities))
    return LoggedPrediction(
        **values | {"moment": from_microseconds(row.moment), "probabilities": probabilities}
    )


def _extreme_moment(log: ModelLog, extreme: ColumnElement[int], table: Table) -> datetime | None:
    with read_transaction(log) as connection:
        found = connection.scalar(select(extreme).where(table.c.model == log.model))
    return None if found is None else from_microseconds(found)


def _remove_oldest(log: ModelLog, before: datetime) -> int:
    old = select(PREDICTIONS.c.id).where(*in_time_range(log, None, before))
    old = old.order_by(PREDICTIONS.c.moment, PREDICTIONS.c.id).limit(CHUNK_ROWS)
    with write_transaction(log) as connection:
        for table in (LABELS, SHADOWS):
            connection.execute(delete(table).where(table.c.model == log.model, table.c.id.in_(old)))
        found = delete(PREDICTIONS).where(
            PREDICTIONS.c.model == log.model, PREDICTIONS.c.id.in_(old)
        )
        return connection.execute(found).rowcount


def write_log_parquet(
    log: ModelLog,
    path: Path,
    *,
    start: datetime | None,
    end: datetime | None,
    classes: Sequence[str],
) -> int:
    """Return how many predictions were written to a Parquet file, as `read_log` with inputs."""
    query = labelled_query(PREDICTION_COLUMNS, [PREDICTIONS.c.inputs]).where(
        *in_time_range(log, start, end)
    )
    n_rows = 0
    with read_transaction(log) as connection, atomic_write(path) as file:
        result = connection.execute(query, execution_options={"stream_results": True})
        names = list(result.keys())
        schema = pa.Schema.from_pandas(make_log_frame([], names, classes=classes))
        with pq.ParquetWriter(file, schema) as writer:
            for rows in _chunks_of_whole_ids(result):
                frame = keep_effective_labels(make_log_frame(rows, names, classes=classes))
                writer.write_table(pa.Table.from_pandas(frame, schema, preserve_index=False))
                n_rows += len(frame)
    return n_rows


def _chunks_of_whole_ids(result: Any) -> Iterator[list[Any]]:
    """Yield rows some at a time, never parting those of one id."""
    rest: list[Any] = []
    for some in result.partitions(CHUNK_ROWS):
        rows = [*rest, *some]
        cut = next((n for n in range(len(rows), 0, -1) if rows[n - 1].id != rows[-1].id), 0)
        rest = rows[cut:]
        yield rows[:cut]
    yield rest


JSON_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_SORT_KEYS
ROW_ID_LENGTH = 32


def inputs_as_json(raw: pd.DataFrame) -> list[str]:
    """Return the cells of each row as a JSON object, the same for the same cells.

    Parameters
    ----------
    raw : DataFrame of n rows
        Typed or text cells; a missing one is null, a date its ISO form.

    Examples
    --------
    >>> inputs_as_json(pd.DataFrame({"plan": ["a", None], "age": [1.5, float("nan")]}))
    ['{"age":1.5,"plan":"a"}', '{"age":null,"plan":null}']
    """
    rows = raw.astype(object).to_dict("records")
    return [orjson.dumps(row, default=_json_default, option=JSON_OPTIONS).decode() for row in rows]


def hash_row_ids(texts: Sequence[str]) -> list[str]:
    """Return the ids of rows: a hash of all cells, and of how many such rows stand before.

    Examples
    --------
    >>> hash_row_ids(['{"age":1.5}', '{"age":2.5}', '{"age":1.5}'])[0]
    '55f4795a5a590a880887be54f85658a4'
    """
    seen: Counter[str] = Counter()
    ids = []
    for text in texts:
        repeated = f" {seen[text]}" if seen[text] else ""
        ids.append(sha256(f"{text}{repeated}".encode()).hexdigest()[:ROW_ID_LENGTH])
        seen[text] += 1
    return ids


def identify_rows(raw: pd.DataFrame, schema: TableSchema) -> pd.DataFrame:
    """Return `id`, `inputs` and `identifier` of n raw rows; the target is no input.

    Examples
    --------
    >>> schema = TableSchema((), "left", "binary", ("no", "yes"))
    >>> identify_rows(pd.DataFrame({"age": [31], "left": ["no"]}), schema)["inputs"].tolist()
    ['{"age":31}']
    """
    texts = inputs_as_json(raw.drop(columns=schema.target, errors="ignore"))
    names = {"id": hash_row_ids(texts), "inputs": texts, "identifier": _identifiers(raw, schema)}
    return pd.DataFrame(names, dtype=object)


def make_logged_predictions(
    named: pd.DataFrame,
    clean: pd.DataFrame,
    said: Predictions,
    schema: TableSchema,
    *,
    now: datetime,
) -> list[LoggedPrediction]:
    """Return the predictions for n rows as they go to the log.

    Parameters
    ----------
    named : DataFrame of n rows
        From `identify_rows`.
    clean : DataFrame of n rows
    said : Predictions
    schema : TableSchema
    now : datetime
        The moment of rows whose time column says none.
    """
    moments = _row_moments(clean, schema, now)
    shares = said.probabilities
    rows = zip(named["id"], named["inputs"], named["identifier"], strict=True)
    return [
        LoggedPrediction(
            id=identity,
            request_id=f"score {now.isoformat()}",
            identifier=identifier,
            moment=moments[place],
            inputs=inputs,
            value=float(said.values[place]),
            probabilities=None if shares is None else tuple(shares[place].tolist()),
        )
        for place, (identity, inputs, identifier) in enumerate(rows)
    ]


def scored_table(said: Sequence[tuple[str, LoggedPrediction]], schema: TableSchema) -> pd.DataFrame:
    """Return predictions, each with the version that made it, as a table to be handed on.

    Returns
    -------
    DataFrame of n rows
        `prediction_id`, the identifier where there is one, `prediction`, `probability_<class>` for
        each class, and `version`.
    """
    table: dict[str, list[Any]] = {"prediction_id": [row.id for _, row in said]}
    if schema.identifier:
        table[schema.identifier] = [row.identifier for _, row in said]
    values = [row.value for _, row in said]
    table["prediction"] = [schema.classes[int(v)] for v in values] if schema.classes else values
    for code, name in enumerate(schema.classes):
        table[f"probability_{name}"] = [(row.probabilities or ())[code] for _, row in said]
    table["version"] = [version for version, _ in said]
    return pd.DataFrame(table)


def _row_moments(clean: pd.DataFrame, schema: TableSchema, now: datetime) -> list[datetime]:
    if schema.time is None or clean[schema.time].dtype.kind != "M":
        return [now] * len(clean)
    return [now if pd.isna(moment) else to_utc_datetime(moment) for moment in clean[schema.time]]


def _identifiers(raw: pd.DataFrame, schema: TableSchema) -> list[str | None]:
    if schema.identifier is None or schema.identifier not in raw:
        return [None] * len(raw)
    cells = as_text(raw[schema.identifier], missing=schema.missing_values)
    return [None if pd.isna(cell) else str(cell) for cell in cells]


def _json_default(cell: object) -> object:
    if cell is pd.NA or cell is pd.NaT:
        return None
    return cell.isoformat() if isinstance(cell, datetime | date) else str(cell)


def apply_retention(root: Path, *, now: datetime) -> int:
    """Return how many predictions were removed, with their labels.

    Parameters
    ----------
    root : Path
        The project's folder.
    now : datetime
        What is older than `scoring.retention_days` before it goes; nothing where that is null.

    Raises
    ------
    BusyError
        The log's database does not answer.
    """
    params = load_params(root)
    days, state = params.scoring.retention_days, params.paths.state
    if days is None:
        return 0
    with closing_log(
        state, model=params.registry.name, variable=params.scoring.log_variable
    ) as log:
        return remove_older(log, now - timedelta(days=days))


def export_prediction_log(
    root: Path, path: Path, *, start: datetime | None = None, end: datetime | None = None
) -> int:
    """Return how many predictions were written, with their inputs and labels.

    Parameters
    ----------
    root : Path
        The project's folder.
    path : Path
        A Parquet file.
    start, end : datetime, optional
        Only predictions whose moment is at or after `start` and before `end`.

    Raises
    ------
    StageError
        Where there is no champion yet, whose classes the columns are about.
    """
    params = load_params(root)
    state, name = params.paths.state, params.registry.name
    classes = load_champion_schema(open_tracking_store(state, name)).classes
    with closing_log(state, model=name, variable=params.scoring.log_variable) as log:
        return write_log_parquet(log, path, start=start, end=end, classes=classes)
