"""Load and check params.yaml, and pass its sections to the stages.

`load_params` reports every fault of the file in one error, each with its line: what pydantic
refuses (`validation_issues`), values that look like secrets (`secret_issues`) and conflicts
between values. `call_with_sections` calls a function with the sections that its signature
names.
"""

import inspect
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from evertune.config.checks import find_conflicts
from evertune.config.schema import Params, Section
from evertune.config.yaml_file import (
    ParamsIssue,
    YamlDocument,
    YamlValue,
    find_line,
    params_error,
    read_yaml,
)
from evertune.errors import EvertuneError, ParamsError
from evertune.messages import did_you_mean, looks_like_secret, to_safe_json

DISCRIMINATOR_KEY = "kind"  # the key that tells which of several sections stands at a place
PLAIN_WORDS = {
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


def validation_issues(
    error: ValidationError, document: YamlDocument, model: type[BaseModel]
) -> list[ParamsIssue]:
    """Return one fault for each place of params.yaml that pydantic refused.

    Parameters
    ----------
    error : ValidationError
    document : YamlDocument
        What was validated.
    model : type
        What it was validated against; its keys are what an unknown key may have meant.
    """
    by_place: dict[str, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        by_place.setdefault(_dotted_key(detail, document), []).append(detail)
    return [
        ParamsIssue(
            find_line(document, place),
            _describe_issue(place, details, _sibling_keys(model, place, document)),
        )
        for place, details in by_place.items()
    ]


def secret_issues(document: YamlDocument) -> list[ParamsIssue]:
    """Return a fault for each value that looks like a password, a key or a token."""
    found = [place for place, text in _text_values("", document.values) if looks_like_secret(text)]
    remedy = "looks like a secret; keep it in an environment variable."
    return [ParamsIssue(find_line(document, place), f"{place} {remedy}") for place in found]


def _dotted_key(detail: ErrorDetails, document: YamlDocument) -> str:
    steps = _key_steps(detail["loc"], document.values)
    if detail["type"].startswith("union_tag"):
        return ".".join([*steps, DISCRIMINATOR_KEY])
    while detail["type"] != "missing" and steps and ".".join(steps) not in document.lines:
        steps.pop()
    return ".".join(steps)


def _key_steps(loc: tuple[int | str, ...], values: YamlValue) -> list[str]:
    """Return the steps to a value; pydantic names the kind of a rule as if it were a key."""
    steps, here = [], values
    for step in loc:
        if isinstance(here, dict) and step not in here and here.get(DISCRIMINATOR_KEY) == step:
            continue
        steps.append(str(step))
        here = _child_value(here, step)
    return steps


def _child_value(value: YamlValue, step: int | str) -> YamlValue:
    if isinstance(value, dict):
        return value.get(str(step))
    if isinstance(value, list) and str(step).isdigit() and int(step) < len(value):
        return value[int(step)]
    return None


def _describe_issue(place: str, details: list[ErrorDetails], known: list[str]) -> str:
    first = details[0]
    if first["type"] in {"missing", "union_tag_not_found"}:
        return f"{place} is missing."
    if first["type"] == "union_tag_invalid":
        tag, tags = first["ctx"]["tag"], first["ctx"]["expected_tags"]
        hint = did_you_mean(tag, re.findall(r"'([^']*)'", tags))
        return f"{place} must be one of {tags}, but got {to_safe_json(tag)}.{hint}"
    if first["type"] == "extra_forbidden":
        hint = did_you_mean(place.rpartition(".")[2], known) or f" Known: {', '.join(known)}."
        return f"{place} is not known.{hint}"
    expected = " or ".join(_describe_expected(detail["msg"]) for detail in details)
    return f"{place} must be {expected}, but got {to_safe_json(first['input'])}.{_correction_hint(first)}"


def _describe_expected(message: str) -> str:
    for theirs, ours in PLAIN_WORDS.items():
        message = message.replace(theirs, ours)
    return message


def _correction_hint(detail: ErrorDetails) -> str:
    value = detail["input"]
    if not isinstance(value, str):
        return ""
    if detail["type"] == "literal_error":
        return did_you_mean(value, re.findall(r"'([^']*)'", detail["ctx"]["expected"]))
    is_number = re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", value, re.IGNORECASE)
    return " Write it without quotes." if is_number else ""


def _sibling_keys(model: type[BaseModel], place: str, document: YamlDocument) -> list[str]:
    """Return the keys that may stand beside the last one of a place."""
    here: YamlValue = document.values
    for step in place.split(".")[:-1]:
        here = _child_value(here, step)
        inner = model.model_fields[step].annotation if step in model.model_fields else None
        kinds = [kind for kind in (inner, *get_args(inner)) if _is_model_class(kind)]
        model = next((kind for kind in kinds if _matches_discriminator(kind, here)), model)
    return [field.alias or name for name, field in model.model_fields.items()]


def _matches_discriminator(section: type[BaseModel], value: YamlValue) -> bool:
    if DISCRIMINATOR_KEY not in section.model_fields or not isinstance(value, dict):
        return True
    return value.get(DISCRIMINATOR_KEY) in get_args(
        section.model_fields[DISCRIMINATOR_KEY].annotation
    )


def _is_model_class(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _text_values(place: str, value: YamlValue) -> list[tuple[str, str]]:
    if isinstance(value, str):
        return [(place, value)]
    if isinstance(value, dict):
        inner = [_text_values(f"{place}.{name}".strip("."), each) for name, each in value.items()]
    elif isinstance(value, list):
        inner = [_text_values(f"{place}.{n}", each) for n, each in enumerate(value)]
    else:
        inner = []
    return [text for texts in inner for text in texts]


def load_params(root: Path) -> Params:
    """Return the values of `root`/params.yaml, checked, with absolute paths.

    Raises
    ------
    ParamsError
        With every fault and its line.
    """
    path = root / "params.yaml"
    document = read_yaml(path)
    faults = secret_issues(document)
    sections: dict[str, Any] = {}
    try:
        sections = dict(Params.model_validate_json(json.dumps(document.values)))
    except ValidationError as error:
        faults += validation_issues(error, document, Params)
        sections = _valid_sections(document, error)
    complaints = find_conflicts({**sections, "root": root})
    faults += [ParamsIssue(find_line(document, place), text) for place, text in complaints]
    if faults:
        raise params_error(path, faults)
    return _with_absolute_paths(Params.model_validate(sections), root)


def find_root(start: Path) -> Path:
    """Return the nearest folder at or above `start` that has a params.yaml.

    Raises
    ------
    ParamsError
        Where there is none.
    """
    for folder in (start.absolute(), *start.absolute().parents):
        if (folder / "params.yaml").is_file():
            return folder
    raise ParamsError(f"No params.yaml in {start} or above; start in the folder of a project.")


def call_with_sections(run: Callable[..., Any], root: Path) -> Any:
    """Call `run` with the sections of params.yaml that its signature names."""
    params = load_params(root)
    return run(**{name: getattr(params, name) for name in inspect.signature(run).parameters})


def run_stage(run: Callable[..., Any]) -> int:
    """Call `run` for the project that the working directory lies in; return the exit code."""
    try:
        call_with_sections(run, find_root(Path.cwd()))
    except EvertuneError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def _valid_sections(document: YamlDocument, error: ValidationError) -> dict[str, Any]:
    broken = {detail["loc"][0] for detail in error.errors()}
    sound: dict[str, Any] = {}
    for name, field in Params.model_fields.items():
        kind = field.annotation
        if name not in broken and isinstance(kind, type) and issubclass(kind, Section):
            sound[name] = kind.model_validate_json(json.dumps(document.values.get(name, {})))
    return sound


def _with_absolute_paths(params: Params, root: Path) -> Params:
    absolute = {name: root.absolute() / path for name, path in params.paths}
    if absolute["state"].is_symlink():  # a checkout beside the project shares the project's state
        absolute["state"] = absolute["state"].resolve()
    return params.model_copy(update={"paths": params.paths.model_copy(update=absolute)})
