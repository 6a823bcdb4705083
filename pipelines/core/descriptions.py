"""What the scoring service takes and gives, as an OpenAPI document for the model in use."""

from collections.abc import Collection
from typing import Any

from pipelines.core.cells import FALSE_WORDS, TRUE_WORDS
from pipelines.core.readings import LARGEST
from pipelines.core.row_ids import LONGEST_ID
from pipelines.core.schema import Column, Schema

Shape = dict[str, Any]

# not all that is read, but what is always read
NUMBER = r"^([+-]?[0-9]{1,15}(\.[0-9]{1,15})?([eE][+-]?1?[0-9])?)?$"
DAY = "(19|20)[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])"
CLOCK = "T([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?(Z|[+-]0[0-9]:00)?"
DATE = f"^({DAY}({CLOCK})?)?$"
GIVEN_DATE = f"^{DAY}({CLOCK})?$"
PRINTABLE = r"^[ -~]+$"
SCALAR: Shape = {"type": ["string", "number", "boolean", "null"]}
ID: Shape = {"type": "string", "minLength": 1, "maxLength": LONGEST_ID, "pattern": PRINTABLE}
MOMENT: Shape = {"type": ["string", "null"], "pattern": GIVEN_DATE}
REFUSED = {
    "400": "No JSON, or nothing in it.",
    "401": "The token is missing or wrong.",
    "403": "The host is not this machine.",
    "409": "An id was given before, for another row.",
    "413": "Too large.",
    "415": "No JSON by its type.",
    "422": "Fields cannot be used; each is named.",
    "429": "Too many requests at once.",
    "503": "No champion yet.",
}


def description(
    schema: Schema | None,
    *,
    title: str,
    more_columns: Collection[str],
    most_rows: int,
    with_token: bool,
) -> Shape:
    """Return the OpenAPI document of the service.

    Parameters
    ----------
    schema : Schema, optional
        Of the champion; None while there is none.
    title : str
    more_columns : collection of str
        What a row may hold beside what the schema names.
    most_rows : int
    with_token : bool
        Whether callers show a token.

    Examples
    --------
    >>> schema = Schema((Column("age", "number"),), "left", "binary", ("no", "yes"))
    >>> sorted(description(schema, title="churn", more_columns=(), most_rows=9, with_token=False))
    ['components', 'info', 'openapi', 'paths']
    """
    row = _row(schema, more_columns)
    document: Shape = {
        "openapi": "3.1.0",
        "info": {"title": title, "version": "1"},
        "paths": {
            "/predict": {"post": _operation(_question(row, most_rows), _predictions(schema))},
            "/label": {"post": _operation(_labels(schema, most_rows), _counts())},
            "/health": {"get": _look("200", "503")},
            "/ready": {"get": _look("200", "503")},
            "/metrics": {"get": _figures()},
        },
        "components": _components(with_token),
    }
    return document | ({"security": [{"token": []}]} if with_token else {})


def _components(with_token: bool) -> Shape:
    refused: Shape = {
        "type": "object",
        "required": ["detail"],
        "properties": {
            "detail": {"type": "array", "items": _object(field=_text(), problem=_text())}
        },
    }
    schemes = {"token": {"type": "http", "scheme": "bearer"}}
    components: Shape = {"schemas": {"Refused": refused}}
    return components | ({"securitySchemes": schemes} if with_token else {})


def _operation(question: Shape, answer: Shape) -> Shape:
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": question}}},
        "responses": {"200": _json("What was asked for.", answer)} | _refusals(*REFUSED),
    }


def _look(*statuses: str) -> Shape:
    said = {"type": "object", "required": ["status"], "properties": {"status": _text()}}
    others = [status for status in statuses if status != "200"]
    return {"security": [], "responses": {"200": _json("It does.", said)} | _refusals(*others)}


def _figures() -> Shape:
    text = {"description": "Figures.", "content": {"text/plain": {"schema": _text()}}}
    return {"responses": {"200": text} | _refusals("401", "403", "503")}


def _refusals(*statuses: str) -> Shape:
    refused = {"$ref": "#/components/schemas/Refused"}
    return {status: _json(REFUSED[status], refused) for status in statuses}


def _json(words: str, schema: Shape) -> Shape:
    return {"description": words, "content": {"application/json": {"schema": schema}}}


def _question(row: Shape, most_rows: int) -> Shape:
    shared: Shape = {"request_id": ID | {"type": ["string", "null"]}, "moment": MOMENT}
    rows: Shape = {"type": "array", "minItems": 1, "items": row, **_most(most_rows)}
    return {
        "oneOf": [
            _closed({"rows": rows, **shared}, required=["rows"]),
            _closed({"row": row, **shared}, required=["row"]),
        ]
    }


def _row(schema: Schema | None, more_columns: Collection[str]) -> Shape:
    if schema is None:
        return {"type": "object", "additionalProperties": SCALAR}
    features = {column.name: _cell(column) for column in schema.features}
    others = {name: SCALAR for name in (schema.group, schema.human, schema.existing) if name}
    others |= dict.fromkeys(more_columns, SCALAR)
    if schema.identifier:
        others[schema.identifier] = ID
    if schema.time:
        others[schema.time] = _cell(schema.time_column or Column(schema.time, "date"))
    counts = schema.time_column is not None and schema.time_column.kind == "number"
    required = [*features, *([str(schema.time)] if counts else [])]
    return _closed(others | features, required=required)


def _cell(column: Column) -> Shape:
    if column.kind == "number":
        kinds = ["number", "boolean", "null"]  # tables may hold truth values as numbers, too
        bounds: Shape = {"type": kinds, "minimum": -LARGEST, "maximum": LARGEST}
        return {"anyOf": [bounds, {"type": "string", "pattern": NUMBER}]}
    if column.kind == "boolean":
        words = sorted(TRUE_WORDS | FALSE_WORDS)
        return {"anyOf": [{"type": ["boolean", "null"]}, {"enum": [*words, 0, 1]}]}
    if column.kind == "date":
        return {"anyOf": [{"type": "null"}, {"type": "string", "pattern": DATE}]}
    return SCALAR


def _predictions(schema: Schema | None) -> Shape:
    classes = () if schema is None else schema.classes
    said: Shape = {"prediction": {"type": ["string", "number"]}, "version": _text()}
    shares: Shape = {name: {"type": "number", "minimum": 0, "maximum": 1} for name in classes}
    required = ["prediction", "version"]
    if classes:
        said["probabilities"] = _closed(shares, required=list(classes))
        required.append("probabilities")
    one: Shape = {"type": "object", "required": required, "properties": said}
    return _closed(
        {
            "version": _text(),
            "request_id": _text(),
            "ids": {"type": "array", "items": _text()},
            "predictions": {"type": "array", "items": one},
        },
        required=["version", "request_id", "ids", "predictions"],
    )


def _labels(schema: Schema | None, most: int) -> Shape:
    label: Shape = {"type": ["string", "number", "boolean"]}
    if schema is not None:
        label = {"enum": list(schema.classes)} if schema.classes else {"type": "number"}
    one = _closed({"id": ID, "label": label, "moment": MOMENT}, required=["id", "label"])
    labels: Shape = {"type": "array", "minItems": 1, "items": one, **_most(most)}
    return _closed({"labels": labels}, required=["labels"])


def _most(number: int) -> Shape:
    return {"description": f"At most {number:,}."}


def _counts() -> Shape:
    cases = ("new", "repeated", "corrected", "early")
    return _closed({case: {"type": "integer"} for case in cases}, required=list(cases))


def _closed(properties: Shape, *, required: list[str]) -> Shape:
    return {
        "type": "object",
        "required": required,
        "properties": properties,
        "additionalProperties": False,
    }


def _object(**properties: Shape) -> Shape:
    return _closed(dict(properties), required=list(properties))


def _text() -> Shape:
    return {"type": "string"}
