"""Load params.yaml, check it, and hand its sections to the stages.

`load_params` reports every fault of the file in one error, each with its line: what the schema
refuses, values that look like secrets, and conflicts between values. A file that has not changed
is parsed once per process. `edit_params` writes values back.
"""

import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeGuard, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from evertune.config.checks import find_conflicts
from evertune.config.schema import CONFLICTS, KEEP_CONFLICTS, Params, PathsSection, former_names
from evertune.config.yaml_file import (
    ParamsIssue,
    YamlDocument,
    YamlValue,
    edit_section,
    find_line,
    params_error,
    read_yaml,
)
from evertune.errors import EvertuneError, ParamsError
from evertune.messages import (
    did_you_mean,
    looks_like_secret,
    to_safe_json,
    without_library_warnings,
)
from evertune.trials import FORMER_FAMILIES, FORMER_PARAMETERS

FILE = "params.yaml"
DISCRIMINATOR_KEY = "kind"  # the key that tells which of several sections stands at a place
FORMER_SPACE_KEYS = FORMER_FAMILIES | FORMER_PARAMETERS  # pydantic names the present ones
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


def load_params(root: Path) -> Params:
    """Return the values of `root`/params.yaml, checked, with absolute paths.

    Raises
    ------
    ParamsError
        With every fault and its line.
    """
    path = root.absolute() / FILE
    try:
        stat = path.stat()
        version = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
    except OSError:
        version = (0, 0, 0)  # reading it raises the error
    params = _load_file(path, version)
    absolute = {name: path.parent / relative for name, relative in params.paths}
    if absolute["state"].is_symlink():  # a checkout beside the project shares the project's state
        absolute["state"] = absolute["state"].resolve()
    return params.model_copy(update={"paths": params.paths.model_copy(update=absolute)})


def load_paths(root: Path) -> PathsSection:
    """Return the absolute paths of params.yaml, whatever else stands in the file.

    Raises
    ------
    ParamsError
        The file cannot be read, or its section `paths` has faults.
    """
    path = root / FILE
    document = read_yaml(path)
    only_paths = YamlDocument({"paths": document.values.get("paths", {})}, document.lines)
    try:
        paths = PathsSection.model_validate_json(json.dumps(only_paths.values["paths"]))
    except ValidationError as error:
        issues = _validation_issues(error, only_paths, PathsSection, prefix="paths")
        raise params_error(path, issues) from error
    return paths.model_copy(update={name: root / relative for name, relative in paths})


def edit_params(root: Path, section: str, values: Mapping[str, object]) -> None:
    """Write values into a section of `root`/params.yaml; see `yaml_file.edit_section`.

    A value whose key the file has under its former name is written under that name.
    """
    path = root / FILE
    written, model = read_yaml(path).values.get(section), Params.model_fields[section].annotation
    present = written if isinstance(written, dict) else {}
    former = former_names(model) if _is_section(model) else {}
    names = {new: old for old, new in former.items() if old in present}
    edit_section(path, section, {names.get(key, key): value for key, value in values.items()})


def find_root(start: Path) -> Path:
    """Return the nearest folder at or above `start` that has a params.yaml.

    Raises
    ------
    ParamsError
        There is none.
    """
    for folder in (start.absolute(), *start.absolute().parents):
        if (folder / FILE).is_file():
            return folder
    raise ParamsError(f"No params.yaml in {start} or above; start in the folder of a project.")


def call_with_sections(run: Callable[..., Any], root: Path) -> Any:
    """Call `run` with the sections of params.yaml that its signature names."""
    params = load_params(root)
    return run(**{name: getattr(params, name) for name in inspect.signature(run).parameters})


def run_stage(run: Callable[..., Any]) -> int:
    """Call `run` for the project that the working directory lies in; return the exit code."""
    try:
        with without_library_warnings():
            call_with_sections(run, find_root(Path.cwd()))
    except EvertuneError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


@lru_cache(maxsize=32)
def _load_file(path: Path, version: tuple[int, int, int]) -> Params:  # noqa: ARG001 a cache key
    document = read_yaml(path)
    document.lines.update(_lines_of_former_names(document, Params))
    issues = [
        ParamsIssue(
            find_line(document, key),
            f"{key} looks like a secret; keep it in an environment variable.",
        )
        for key, text in _text_values("", document.values)
        if looks_like_secret(text)
    ]
    params, sections = None, {}
    try:
        params = Params.model_validate_json(json.dumps(document.values))
        sections = dict(params)
    except ValidationError as error:
        issues += _validation_issues(error, document, Params)
        sections = _valid_sections(document, error)
    conflicts = find_conflicts({**sections, "root": path.parent})
    issues += [ParamsIssue(find_line(document, key), text) for key, text in conflicts]
    if issues or params is None:
        raise params_error(path, issues)
    return params


def _lines_of_former_names(
    document: YamlDocument, model: type[BaseModel], prefix: str = ""
) -> dict[str, int]:
    """Return the lines of keys that the file has under their former name, by their new name."""
    lines = {
        f"{prefix}{new}": document.lines[f"{prefix}{old}"]
        for old, new in former_names(model).items()
        if f"{prefix}{old}" in document.lines and f"{prefix}{new}" not in document.lines
    }
    for name, field in model.model_fields.items():
        if _is_section(field.annotation):
            lines |= _lines_of_former_names(document, field.annotation, f"{prefix}{name}.")
    return lines


def _valid_sections(document: YamlDocument, error: ValidationError) -> dict[str, BaseModel]:
    broken = {detail["loc"][0] for detail in error.errors() if detail["type"] != CONFLICTS}
    return {
        name: field.annotation.model_validate_json(
            json.dumps(document.values.get(name, {})), context=KEEP_CONFLICTS
        )
        for name, field in Params.model_fields.items()
        if name not in broken and _is_section(field.annotation)
    }


def _validation_issues(
    error: ValidationError, document: YamlDocument, model: type[BaseModel], prefix: str = ""
) -> list[ParamsIssue]:
    """Return one issue for each key that pydantic refused."""
    by_key: dict[str, list[ErrorDetails]] = {}
    conflicts: list[tuple[str, str]] = []
    for detail in _without_consequences(error.errors(include_url=False)):
        loc = (prefix, *detail["loc"]) if prefix else detail["loc"]
        if detail["type"] == CONFLICTS:
            section = _dotted_key(loc, "", document)
            for key, text in detail["ctx"]["conflicts"]:
                place = _dotted_key((*loc, *key.split(".")), "", document)
                conflicts.append((place, f"{section}.{key}: {text}."))
            continue
        by_key.setdefault(_dotted_key(loc, detail["type"], document), []).append(detail)
    described = [
        (key, _describe_issue(key, details, _enclosing_section(model, key, document)))
        for key, details in by_key.items()
    ]
    return [ParamsIssue(find_line(document, key), text) for key, text in described + conflicts]


def _without_consequences(details: list[ErrorDetails]) -> list[ErrorDetails]:
    """Leave out that a list is too short where one of its items was refused."""
    places = [detail["loc"] for detail in details]

    def has_refused_item(loc: tuple[int | str, ...]) -> bool:
        return any(len(each) > len(loc) and each[: len(loc)] == loc for each in places)

    return [
        detail
        for detail in details
        if detail["type"] != "too_short" or not has_refused_item(detail["loc"])
    ]


def _dotted_key(loc: tuple[int | str, ...], kind: str, document: YamlDocument) -> str:
    steps: list[str] = []
    value: YamlValue = document.values
    for step in loc:
        if isinstance(value, dict) and step not in value and value.get(DISCRIMINATOR_KEY) == step:
            continue  # pydantic names the kind of a rule as if it were a key
        written = step
        if isinstance(value, dict) and step not in value:
            written = next((old for old in value if FORMER_SPACE_KEYS.get(old) == step), step)
        steps.append(str(written))
        value = _child_value(value, written)
    if kind.startswith("union_tag"):
        return ".".join([*steps, DISCRIMINATOR_KEY])
    while kind != "missing" and steps and ".".join(steps) not in document.lines:
        steps.pop()
    return ".".join(steps)


def _child_value(value: YamlValue, step: int | str) -> YamlValue:
    if isinstance(value, dict):
        return value.get(str(step))
    if isinstance(value, list) and str(step).isdigit() and int(step) < len(value):
        return value[int(step)]
    return None


def _describe_issue(key: str, details: list[ErrorDetails], section: type[BaseModel]) -> str:
    first = details[0]
    if first["type"] in {"missing", "union_tag_not_found"}:
        return f"{key} is missing."
    if first["type"] == "union_tag_invalid":
        tag, tags = first["ctx"]["tag"], first["ctx"]["expected_tags"]
        hint = did_you_mean(tag, re.findall(r"'([^']*)'", tags))
        return f"{key} must be one of {tags}, but got {to_safe_json(tag)}.{hint}"
    if first["type"] == "value_error":
        text = str(first["ctx"]["error"])
        return f"{key}: {text}{'' if text.endswith('?') else '.'}"  # it may end with a suggestion
    if first["type"] == "extra_forbidden":
        return _describe_unknown_key(key, section)
    expected = " or ".join(_describe_expected(detail["msg"]) for detail in details)
    got = to_safe_json(first["input"])
    return f"{key} must be {expected}, but got {got}.{_correction_hint(first)}"


def _describe_unknown_key(key: str, section: type[BaseModel]) -> str:
    before, _, name = key.rpartition(".")
    new = former_names(section).get(name)
    if new is not None:
        current = f"{before}.{new}".strip(".")
        return f"{key} is the former name of {current}, and both are given; keep {current}."
    known = [field.alias or each for each, field in section.model_fields.items()]
    hint = did_you_mean(name, known) or f" Known: {', '.join(known)}."
    return f"{key} is not known.{hint}"


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


def _enclosing_section(model: type[BaseModel], key: str, document: YamlDocument) -> type[BaseModel]:
    """Return the section that the last step of a dotted key belongs to."""
    value: YamlValue = document.values
    for step in key.split(".")[:-1]:
        value = _child_value(value, step)
        inner = model.model_fields[step].annotation if step in model.model_fields else None
        for candidate in (inner, *get_args(inner)):
            if _is_section(candidate) and _matches_discriminator(candidate, value):
                model = candidate
                break
    return model


def _matches_discriminator(section: type[BaseModel], value: YamlValue) -> bool:
    if DISCRIMINATOR_KEY not in section.model_fields or not isinstance(value, dict):
        return True
    return value.get(DISCRIMINATOR_KEY) in get_args(
        section.model_fields[DISCRIMINATOR_KEY].annotation
    )


def _is_section(kind: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _text_values(key: str, value: YamlValue) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict | list):
        children = value.items() if isinstance(value, dict) else enumerate(value)
        for name, child in children:
            yield from _text_values(f"{key}.{name}".strip("."), child)
