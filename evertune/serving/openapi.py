"""The OpenAPI document of the scoring service, for the models that it serves.

Written by hand, not generated from pydantic models: the row follows the champion's schema, and its
patterns name exactly what `requests` and the compiled model always read. Schemathesis holds the
service to it (tests/serving/test_openapi.py).
"""

from collections.abc import Collection, Mapping
from typing import Any

from evertune.data.inference import MAX_ABSOLUTE_VALUE
from evertune.data.labels import MAX_ID_LENGTH
from evertune.data.parsing import FALSE_WORDS, TRUE_WORDS
from evertune.data.schema import Column, TableSchema
from evertune.serving.service import LABEL_CASES, ModelService

JSONSchema = dict[str, Any]

# not all that is read, but what is always read
NUMBER_PATTERN = r"^([+-]?[0-9]{1,15}(\.[0-9]{1,15})?([eE][+-]?1?[0-9])?)?$"
DAY_PATTERN = "(19|20)[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])"
TIME_PATTERN = "T([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?(Z|[+-]0[0-9]:00)?"
OPTIONAL_DATE_PATTERN = f"^({DAY_PATTERN}({TIME_PATTERN})?)?$"
DATE_PATTERN = f"^{DAY_PATTERN}({TIME_PATTERN})?$"
TEXT: JSONSchema = {"type": "string"}
CELL: JSONSchema = {"type": ["string", "number", "boolean", "null"]}
ID: JSONSchema = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_ID_LENGTH,
    "pattern": r"^[ -~]+$",
}
TIMESTAMP: JSONSchema = {"type": ["string", "null"], "pattern": DATE_PATTERN}
ERRORS = {
    "400": "The body is not JSON, or holds no row.",
    "401": "The token is missing or wrong.",
    "403": "The host is not this machine.",
    "409": "An id was used before, for another row.",
    "413": "Too large.",
    "415": "The content type is not JSON.",
    "422": "Fields cannot be used; each is named.",
    "429": "Too many requests at once.",
    "503": "There is no champion, or the log does not answer.",
}


def openapi_document(services: Mapping[str, ModelService]) -> JSONSchema:
    """Return the OpenAPI document of services by the prefix of their paths."""
    paths: JSONSchema = {}
    for prefix, service in services.items():
        champion, params = service.models.champion, service.params
        schema = None if champion is None else champion.model.schema
        paths |= {
            f"{prefix}{path}": operations
            for path, operations in service_paths(
                schema,
                more_columns=params.data.ignore,
                max_rows=params.scoring.max_rows,
                with_token=service.token is not None,
            ).items()
        }
    detail = {"type": "array", "items": _object(field=TEXT, problem=TEXT)}
    components: JSONSchema = {
        "schemas": {
            "Error": {"type": "object", "required": ["detail"], "properties": {"detail": detail}}
        }
    }
    if any(service.token is not None for service in services.values()):
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    title = ", ".join(service.name for service in services.values())
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": "1"},
        "paths": paths,
        "components": components,
    }


def service_paths(
    schema: TableSchema | None,
    *,
    more_columns: Collection[str],
    max_rows: int,
    with_token: bool,
) -> JSONSchema:
    """Return the paths of one service."""
    security: JSONSchema = {"security": [{"token": []}]} if with_token else {}
    probe = {
        "security": [],
        "responses": {
            "200": _json(
                "It does.",
                {"type": "object", "required": ["status"], "properties": {"status": TEXT}},
            )
        }
        | _errors("503"),
    }
    metrics = {"description": "Metrics.", "content": {"text/plain": {"schema": TEXT}}}
    return {
        "/predict": {
            "post": security
            | _post(_predict_request(_row(schema, more_columns), max_rows), _predictions(schema))
        },
        "/label": {"post": security | _post(_label_request(schema, max_rows), _label_counts())},
        "/health": {"get": probe},
        "/ready": {"get": probe},
        "/metrics": {
            "get": security | {"responses": {"200": metrics} | _errors("401", "403", "503")}
        },
    }


def _post(request: JSONSchema, response: JSONSchema) -> JSONSchema:
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": request}}},
        "responses": {"200": _json("What was asked for.", response)} | _errors(*ERRORS),
    }


def _errors(*statuses: str) -> JSONSchema:
    error = {"$ref": "#/components/schemas/Error"}
    return {status: _json(ERRORS[status], error) for status in statuses}


def _json(description: str, schema: JSONSchema) -> JSONSchema:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _object(required: Collection[str] | None = None, /, **properties: JSONSchema) -> JSONSchema:
    """Return the schema of an object with these properties and no others, by default all."""
    return {
        "type": "object",
        "required": list(properties if required is None else required),
        "properties": properties,
        "additionalProperties": False,
    }


def _list(items: JSONSchema, max_items: int) -> JSONSchema:
    # a maximum in the schema would have Schemathesis send that many
    return {
        "type": "array",
        "minItems": 1,
        "items": items,
        "description": f"At most {max_items:,}.",
    }


def _predict_request(row: JSONSchema, max_rows: int) -> JSONSchema:
    shared = {"request_id": ID | {"type": ["string", "null"]}, "moment": TIMESTAMP}
    return {
        "oneOf": [
            _object(["rows"], rows=_list(row, max_rows), **shared),
            _object(["row"], row=row, **shared),
        ]
    }


def _row(schema: TableSchema | None, more_columns: Collection[str]) -> JSONSchema:
    if schema is None:
        return {"type": "object", "additionalProperties": CELL}
    features = {column.name: _cell(column) for column in schema.features}
    others = {name: CELL for name in (schema.group, schema.human, schema.existing) if name}
    others |= dict.fromkeys(more_columns, CELL)
    if schema.identifier:
        others[schema.identifier] = ID
    if schema.time:
        others[schema.time] = _cell(schema.time_column or Column(schema.time, "date"))
    counts = schema.time_column is not None and schema.time_column.kind == "number"
    required = [*features, *([str(schema.time)] if counts else [])]
    return _object(required, **(others | features))


def _cell(column: Column) -> JSONSchema:
    if column.kind == "number":
        number: JSONSchema = {
            "type": ["number", "boolean", "null"],  # tables may hold truth values as numbers, too
            "minimum": -MAX_ABSOLUTE_VALUE,
            "maximum": MAX_ABSOLUTE_VALUE,
        }
        return {"anyOf": [number, {"type": "string", "pattern": NUMBER_PATTERN}]}
    if column.kind == "boolean":
        words = sorted(TRUE_WORDS | FALSE_WORDS)
        return {"anyOf": [{"type": ["boolean", "null"]}, {"enum": [*words, 0, 1]}]}
    if column.kind == "date":
        return {"anyOf": [{"type": "null"}, {"type": "string", "pattern": OPTIONAL_DATE_PATTERN}]}
    return CELL


def _predictions(schema: TableSchema | None) -> JSONSchema:
    one: JSONSchema = {"prediction": {"type": ["string", "number"]}, "version": TEXT}
    if schema is not None and schema.classes:
        share: JSONSchema = {"type": "number", "minimum": 0, "maximum": 1}
        one["probabilities"] = _object(**dict.fromkeys(schema.classes, share))
    prediction = {"type": "object", "required": list(one), "properties": one}
    return _object(
        version=TEXT,
        request_id=TEXT,
        ids={"type": "array", "items": TEXT},
        predictions={"type": "array", "items": prediction},
    )


def _label_request(schema: TableSchema | None, max_rows: int) -> JSONSchema:
    label: JSONSchema = {"type": ["string", "number", "boolean"]}
    if schema is not None:
        label = {"enum": list(schema.classes)} if schema.classes else {"type": "number"}
    one = _object(["id", "label"], id=ID, label=label, moment=TIMESTAMP)
    return _object(labels=_list(one, max_rows))


def _label_counts() -> JSONSchema:
    return _object(**{case: {"type": "integer"} for case in LABEL_CASES})
