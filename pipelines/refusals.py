"""What pydantic refuses, in words for the person who writes params.yaml."""

import re
from typing import get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pipelines.core.wording import did_you_mean, looks_secret, shown
from pipelines.stores.documents import Document, Fault, Value, line_of

KIND = "kind"  # the key that tells which of several sections stands at a place
WORDS = {
    "Input should be ": "",
    "String should match pattern ": "text of the form ",
    "String should have ": "text with ",
    "Tuple should have ": "a list with ",
    "a valid array": "a list",
    "an object": "a section with keys",
    "a valid dictionary": "a section with keys",
    "a valid string": "text",
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "a valid boolean": "true or false",
}


def refusals(error: ValidationError, document: Document, model: type[BaseModel]) -> list[Fault]:
    """Return one fault for each place of params.yaml that pydantic refused.

    Parameters
    ----------
    error : ValidationError
    document : Document
        What was validated.
    model : type
        What it was validated against; its keys are what an unknown key may have meant.
    """
    by_place: dict[str, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        by_place.setdefault(_place(detail, document), []).append(detail)
    return [
        Fault(line_of(document, place), _sentence(place, details, _keys(model, place, document)))
        for place, details in by_place.items()
    ]


def secrets(document: Document) -> list[Fault]:
    """Return a fault for each value that looks like a password, a key or a token."""
    found = [place for place, text in _texts("", document.values) if looks_secret(text)]
    remedy = "looks like a secret; keep it in an environment variable."
    return [Fault(line_of(document, place), f"{place} {remedy}") for place in found]


def _place(detail: ErrorDetails, document: Document) -> str:
    steps = _steps(detail["loc"], document.values)
    if detail["type"].startswith("union_tag"):
        return ".".join([*steps, KIND])
    while detail["type"] != "missing" and steps and ".".join(steps) not in document.lines:
        steps.pop()
    return ".".join(steps)


def _steps(loc: tuple[int | str, ...], values: Value) -> list[str]:
    """Return the steps to a value; pydantic names the kind of a rule as if it were a key."""
    steps, here = [], values
    for step in loc:
        if isinstance(here, dict) and step not in here and here.get(KIND) == step:
            continue
        steps.append(str(step))
        here = _inside(here, step)
    return steps


def _inside(value: Value, step: int | str) -> Value:
    if isinstance(value, dict):
        return value.get(str(step))
    if isinstance(value, list) and str(step).isdigit() and int(step) < len(value):
        return value[int(step)]
    return None


def _sentence(place: str, details: list[ErrorDetails], known: list[str]) -> str:
    first = details[0]
    if first["type"] in {"missing", "union_tag_not_found"}:
        return f"{place} is missing."
    if first["type"] == "union_tag_invalid":
        tag, tags = first["ctx"]["tag"], first["ctx"]["expected_tags"]
        hint = did_you_mean(tag, re.findall(r"'([^']*)'", tags))
        return f"{place} must be one of {tags}, but got {shown(tag)}.{hint}"
    if first["type"] == "extra_forbidden":
        hint = did_you_mean(place.rpartition(".")[2], known) or f" Known: {', '.join(known)}."
        return f"{place} is not known.{hint}"
    expected = " or ".join(_expected(detail["msg"]) for detail in details)
    return f"{place} must be {expected}, but got {shown(first['input'])}.{_hint(first)}"


def _expected(message: str) -> str:
    for theirs, ours in WORDS.items():
        message = message.replace(theirs, ours)
    return message


def _hint(detail: ErrorDetails) -> str:
    value = detail["input"]
    if not isinstance(value, str):
        return ""
    if detail["type"] == "literal_error":
        return did_you_mean(value, re.findall(r"'([^']*)'", detail["ctx"]["expected"]))
    is_number = re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", value, re.IGNORECASE)
    return " Write it without quotes." if is_number else ""


def _keys(model: type[BaseModel], place: str, document: Document) -> list[str]:
    """Return the keys that may stand beside the last one of a place."""
    here: Value = document.values
    for step in place.split(".")[:-1]:
        here = _inside(here, step)
        inner = model.model_fields[step].annotation if step in model.model_fields else None
        kinds = [kind for kind in (inner, *get_args(inner)) if _is_section(kind)]
        model = next((kind for kind in kinds if _is_of_kind(kind, here)), model)
    return [field.alias or name for name, field in model.model_fields.items()]


def _is_of_kind(section: type[BaseModel], value: Value) -> bool:
    if KIND not in section.model_fields or not isinstance(value, dict):
        return True
    return value.get(KIND) in get_args(section.model_fields[KIND].annotation)


def _is_section(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _texts(place: str, value: Value) -> list[tuple[str, str]]:
    if isinstance(value, str):
        return [(place, value)]
    if isinstance(value, dict):
        inner = [_texts(f"{place}.{name}".strip("."), each) for name, each in value.items()]
    elif isinstance(value, list):
        inner = [_texts(f"{place}.{n}", each) for n, each in enumerate(value)]
    else:
        inner = []
    return [text for texts in inner for text in texts]
