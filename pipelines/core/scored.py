"""Rows of a table as predictions that can be logged, and the table that is handed on."""

from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime
from hashlib import sha256
from typing import Any

import orjson
import pandas as pd

from pipelines.core.cells import as_text
from pipelines.core.findings import aware
from pipelines.core.log_frames import Logged
from pipelines.core.predictions import Predictions
from pipelines.core.schema import Schema

JSON = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_SORT_KEYS
ID_LENGTH = 32


def input_texts(raw: pd.DataFrame) -> list[str]:
    """Return the cells of each row as a JSON object, the same for the same cells.

    Parameters
    ----------
    raw : DataFrame of n rows
        Typed or text cells; a missing one is null, a date its ISO form.

    Examples
    --------
    >>> input_texts(pd.DataFrame({"plan": ["a", None], "age": [1.5, float("nan")]}))
    ['{"age":1.5,"plan":"a"}', '{"age":null,"plan":null}']
    """
    rows = raw.astype(object).to_dict("records")
    return [orjson.dumps(row, default=_plain, option=JSON).decode() for row in rows]


def row_ids(texts: Sequence[str]) -> list[str]:
    """Return the ids of rows: a hash of all cells, and of how many such rows stand before.

    Examples
    --------
    >>> row_ids(['{"age":1.5}', '{"age":2.5}', '{"age":1.5}'])[0]
    '55f4795a5a590a880887be54f85658a4'
    """
    seen: Counter[str] = Counter()
    ids = []
    for text in texts:
        repeated = f" {seen[text]}" if seen[text] else ""
        ids.append(sha256(f"{text}{repeated}".encode()).hexdigest()[:ID_LENGTH])
        seen[text] += 1
    return ids


def named_rows(raw: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return `id`, `inputs` and `identifier` of n raw rows; the target is no input.

    Examples
    --------
    >>> schema = Schema((), "left", "binary", ("no", "yes"))
    >>> named_rows(pd.DataFrame({"age": [31], "left": ["no"]}), schema)["inputs"].tolist()
    ['{"age":31}']
    """
    texts = input_texts(raw.drop(columns=schema.target, errors="ignore"))
    names = {"id": row_ids(texts), "inputs": texts, "identifier": _identifiers(raw, schema)}
    return pd.DataFrame(names, dtype=object)


def logged_rows(
    named: pd.DataFrame, clean: pd.DataFrame, said: Predictions, schema: Schema, *, now: datetime
) -> list[Logged]:
    """Return the predictions for n rows as they go to the log.

    Parameters
    ----------
    named : DataFrame of n rows
        From `named_rows`.
    clean : DataFrame of n rows
    said : Predictions
    schema : Schema
    now : datetime
        The moment of rows whose time column says none.
    """
    moments = _moments(clean, schema, now)
    shares = said.probabilities
    rows = zip(named["id"], named["inputs"], named["identifier"], strict=True)
    return [
        Logged(
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


def scored_table(said: Sequence[tuple[str, Logged]], schema: Schema) -> pd.DataFrame:
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


def _moments(clean: pd.DataFrame, schema: Schema, now: datetime) -> list[datetime]:
    if schema.time is None or clean[schema.time].dtype.kind != "M":
        return [now] * len(clean)
    return [now if pd.isna(moment) else aware(moment) for moment in clean[schema.time]]


def _identifiers(raw: pd.DataFrame, schema: Schema) -> list[str | None]:
    if schema.identifier is None or schema.identifier not in raw:
        return [None] * len(raw)
    cells = as_text(raw[schema.identifier], missing=schema.missing_values)
    return [None if pd.isna(cell) else str(cell) for cell in cells]


def _plain(cell: object) -> object:
    if cell is pd.NA or cell is pd.NaT:
        return None
    return cell.isoformat() if isinstance(cell, datetime | date) else str(cell)
