"""Turn rows of the prediction log into tables, and tables into rows of the log.

A *logged frame* has one row for each prediction: `id`, `moment`, `value`, the probabilities
`p_0`, `p_1`, ... in the order of the class codes, `truth` (NaN while there is no label, or where
its class is not known) and `labelled` (when that label became known). `logged_predictions` and
`read_inputs` return its predictions and its raw input rows.

`identify_rows` gives each row of a table an id, which is a hash of its cells, so that the same
table can be scored again without logging anything twice.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from hashlib import sha256
from typing import Any

import numpy as np
import orjson
import pandas as pd

from evertune.data.parsing import as_text
from evertune.data.schema import TableSchema
from evertune.times import TimeWindow, to_naive_timestamp, to_utc_datetime
from evertune.types import FloatArray, Predictions

JSON_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_SORT_KEYS
ROW_ID_LENGTH = 32
MOMENT_DTYPE = "datetime64[us]"


@dataclass(frozen=True)
class LoggedPrediction:
    """A prediction as it is written to the log.

    Attributes
    ----------
    id : str
        Unique for good; the label refers to it.
    identifier : str, optional
        The row's value in the schema's identifier column.
    moment : datetime
        The time that the row is about: the schema's time column if it is a date.
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


def make_log_frame(
    rows: Sequence[Sequence[object]], names: Sequence[str], *, classes: Sequence[str]
) -> pd.DataFrame:
    """Return rows of the log's database as columns of a logged frame.

    Parameters
    ----------
    names : sequence of str
        The columns of a row: `moment`, `received` and `labelled` in microseconds since 1970,
        `probabilities` and `probabilities_c` as JSON, `label` as text.
    classes : sequence of str
        In the order of their codes; empty in regression.

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
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    frame: dict[str, object] = {}
    for name, values in zip(names, columns, strict=True):
        if name.startswith("probabilities"):
            proba = _read_probabilities(values, n_classes=len(classes))
            prefix = f"p{name.removeprefix('probabilities')}"
            frame |= {f"{prefix}_{code}": proba[:, code] for code in range(len(classes))}
        elif name == "label":
            frame["truth"] = _read_labels(values, classes)
        elif name in ("moment", "received", "labelled"):
            missing = np.iinfo(np.int64).min
            counts = np.array([missing if each is None else each for each in values], np.int64)
            frame[name] = pd.Series(counts.view(MOMENT_DTYPE))
        elif name in ("value", "value_c"):
            frame[name] = np.array(values, dtype=np.float64)
        else:
            frame[name] = pd.Series(list(values), dtype="str")
    return pd.DataFrame(frame)


def _read_probabilities(texts: Sequence[object], *, n_classes: int) -> FloatArray:
    """Return probabilities of shape (n, n_classes); NaN for a version that knew other classes."""
    rows = orjson.loads(f"[{','.join('[]' if text is None else str(text) for text in texts)}]")
    missing = [np.nan] * n_classes
    fitting = [row if len(row) == n_classes else missing for row in rows]
    return np.array(fitting, dtype=np.float64).reshape(len(texts), n_classes)


def _read_labels(texts: Sequence[object], classes: Sequence[str]) -> FloatArray:
    """Return labels as class codes or values; NaN if there is none, or no such class."""
    if classes:
        codes: dict[object, float] = {label: float(code) for code, label in enumerate(classes)}
        return np.array([codes.get(text, np.nan) for text in texts], dtype=np.float64)
    values = pd.to_numeric(pd.Series(list(texts), dtype="str"), errors="coerce")
    return values.to_numpy(np.float64)


def keep_effective_labels(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each id: its last label, known since its value was first reported.

    Parameters
    ----------
    frame : DataFrame
        With `id`, `truth` and `labelled`; the rows of an id are neighbours, in the order in which
        its labels count.

    Examples
    --------
    >>> days = pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-03"])
    >>> labels = pd.DataFrame({"id": ["a"] * 3, "truth": [0.0, 1.0, 1.0], "labelled": days})
    >>> keep_effective_labels(labels)
      id  truth   labelled
    0  a    1.0 2024-01-02
    """
    ids = frame["id"]
    last = ids.ne(ids.shift(-1))
    if last.all():
        return frame
    same_value = frame.groupby(["id", "truth"], dropna=False, sort=False)["labelled"]
    return frame.assign(labelled=same_value.transform("min"))[last].reset_index(drop=True)


def has_new_class(frame: pd.DataFrame) -> pd.Series:
    """Return a mask of the rows whose label is of a class that the version does not know."""
    if "labelled" not in frame:
        return pd.Series(False, index=frame.index)
    return frame["labelled"].notna() & frame["truth"].isna()


def logged_predictions(frame: pd.DataFrame, suffix: str = "") -> Predictions:
    """Return the predictions of a logged frame.

    A row without probabilities has NaN in all of them; if no row has any, `probabilities` is None.

    Parameters
    ----------
    suffix : str
        ``"_c"`` for the predictions of the version that answered, in a frame of shadows.

    Examples
    --------
    >>> frame = pd.DataFrame({"value": [1.0, 0.0], "p_0": [0.2, np.nan], "p_1": [0.8, np.nan]})
    >>> logged_predictions(frame).probabilities
    array([[0.2, 0.8],
           [nan, nan]])
    """
    prefix = f"p{suffix}_"
    names = [
        name
        for name in frame.columns
        if name.startswith(prefix) and name.removeprefix(prefix).isdigit()
    ]
    values = frame[f"value{suffix}"].to_numpy(np.float64)
    proba = frame[names].to_numpy(np.float64)
    known = proba.size > 0 and not np.isnan(proba).all()
    return Predictions(values, proba if known or (names and frame.empty) else None)


def read_inputs(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the raw input rows of a logged frame that was read with its inputs.

    Returns
    -------
    DataFrame of n rows
        With the frame's index; columns in the order in which they first occur, None if a row
        lacks one, and each of the type that its values have.

    Examples
    --------
    >>> read_inputs(pd.DataFrame({"inputs": ['{"age":31,"plan":"a"}', '{"plan":null}']}))
        age plan
    0  31.0    a
    1   NaN  NaN
    """
    rows = orjson.loads(f"[{','.join(frame['inputs'].tolist())}]")
    layouts = dict.fromkeys(tuple(row) for row in rows)
    names = dict.fromkeys(name for layout in layouts for name in layout)
    columns = {name: [row.get(name) for row in rows] for name in names}
    return pd.DataFrame(columns, index=frame.index)


def rows_in_window(frame: pd.DataFrame, window: TimeWindow) -> slice:
    """Return the positions of a window's rows in a logged frame, which is ordered by moment.

    Examples
    --------
    >>> from datetime import UTC
    >>> day = TimeWindow(datetime(2024, 5, 1, tzinfo=UTC), datetime(2024, 5, 2, tzinfo=UTC))
    >>> rows_in_window(pd.DataFrame({"moment": pd.to_datetime(["2024-05-01", "2024-05-02"])}), day)
    slice(0, 1, None)
    """
    edges = [to_naive_timestamp(each).to_datetime64() for each in (window.start, window.end)]
    first, last = np.searchsorted(frame["moment"].to_numpy(), edges)
    return slice(int(first), int(last))


def single_version(frame: pd.DataFrame) -> str | None:
    """Return the version that made all predictions of a frame, None if there are several."""
    versions = list(frame["version"].dropna().unique()) if "version" in frame else []
    return str(versions[0]) if len(versions) == 1 else None


def identify_rows(raw: pd.DataFrame, schema: TableSchema) -> pd.DataFrame:
    """Return `id`, `inputs` and `identifier` of n raw rows; the target is no input.

    The id is a hash of all cells and of how many equal rows come before; `inputs` are the cells as
    a JSON object, the same for the same cells.

    Examples
    --------
    >>> schema = TableSchema((), "left", "binary", ("no", "yes"))
    >>> identify_rows(pd.DataFrame({"age": [31], "left": ["no"]}), schema)["inputs"].tolist()
    ['{"age":31}']
    """
    rows = raw.drop(columns=schema.target, errors="ignore").astype(object).to_dict("records")
    texts = [orjson.dumps(row, default=_as_json, option=JSON_OPTIONS).decode() for row in rows]
    seen: Counter[str] = Counter()
    ids = []
    for text in texts:
        repeated = f" {seen[text]}" if seen[text] else ""
        ids.append(sha256(f"{text}{repeated}".encode()).hexdigest()[:ROW_ID_LENGTH])
        seen[text] += 1
    identifiers: list[str | None] = [None] * len(raw)
    if schema.identifier is not None and schema.identifier in raw:
        cells = as_text(raw[schema.identifier], missing=schema.missing_values)
        identifiers = [None if pd.isna(cell) else str(cell) for cell in cells]
    return pd.DataFrame({"id": ids, "inputs": texts, "identifier": identifiers}, dtype=object)


def _as_json(cell: object) -> object:
    if cell is pd.NA or cell is pd.NaT:
        return None
    return cell.isoformat() if isinstance(cell, datetime | date) else str(cell)


def make_logged_predictions(
    named: pd.DataFrame,
    clean: pd.DataFrame,
    predictions: Predictions,
    schema: TableSchema,
    *,
    now: datetime,
) -> list[LoggedPrediction]:
    """Return the predictions for n rows as they are written to the log.

    Parameters
    ----------
    named : DataFrame of n rows
        From `identify_rows`.
    now : datetime
        The moment of rows without a date in the time column.
    """
    moments = [now] * len(clean)
    if schema.time is not None and clean[schema.time].dtype.kind == "M":
        moments = [now if pd.isna(time) else to_utc_datetime(time) for time in clean[schema.time]]
    proba = predictions.probabilities
    rows = zip(named["id"], named["inputs"], named["identifier"], strict=True)
    return [
        LoggedPrediction(
            id=row_id,
            request_id=f"score {now.isoformat()}",
            identifier=identifier,
            moment=moments[i],
            inputs=inputs,
            value=float(predictions.values[i]),
            probabilities=None if proba is None else tuple(proba[i].tolist()),
        )
        for i, (row_id, inputs, identifier) in enumerate(rows)
    ]


def scored_table(
    predictions: Sequence[tuple[str, LoggedPrediction]], schema: TableSchema
) -> pd.DataFrame:
    """Return predictions, each with the version that made it, as the table that scoring writes.

    Returns
    -------
    DataFrame of n rows
        `prediction_id`, the identifier column if there is one, `prediction`,
        `probability_<class>` for each class, and `version`.
    """
    rows = [row for _, row in predictions]
    table: dict[str, list[Any]] = {"prediction_id": [row.id for row in rows]}
    if schema.identifier:
        table[schema.identifier] = [row.identifier for row in rows]
    values = [row.value for row in rows]
    table["prediction"] = [schema.classes[int(v)] for v in values] if schema.classes else values
    for code, name in enumerate(schema.classes):
        table[f"probability_{name}"] = [(row.probabilities or ())[code] for row in rows]
    table["version"] = [version for version, _ in predictions]
    return pd.DataFrame(table)
