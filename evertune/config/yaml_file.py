"""Read params.yaml with the line of every value, and edit it without losing comments.

The language is YAML 1.2 as DVC reads it: `1e-3` is a number, and `yes` and dates are text.
Anchors are refused: a parameter file does not need them, and a few lines of them can fill
memory.

`edit_section` changes only the lines of the keys that differ; all else keeps its bytes. The
result is read back before it is written, and a value that would not read back the same is
refused.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeAlias, Union

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    Event,
    NodeEvent,
)
from ruamel.yaml.nodes import CollectionNode, MappingNode, Node, SequenceNode

from evertune.errors import ParamsError
from evertune.files import write_text

YamlValue: TypeAlias = Union[bool, int, float, str, list["YamlValue"], "YamlMapping", None]
YamlMapping: TypeAlias = dict[str, YamlValue]

MAX_DEPTH = 20
MAX_LINE_LENGTH = 100
PLAIN_SCALAR_PATTERN = re.compile(r"[^\W\d][\w./@-]*( [\w./@-]+)*|/[\w./@-]*")
NEEDS_QUOTES = {"null", "true", "false", "y", "n", "yes", "no", "on", "off"}
TEXT_TAGS = {"tag:yaml.org,2002:str", "tag:yaml.org,2002:timestamp"}
CONVERTED_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float")}


class ParamsIssue(NamedTuple):
    """What is wrong in one line of a file; line 1 where no line can be named."""

    line: int
    text: str


@dataclass(frozen=True)
class YamlDocument:
    """What a YAML file says.

    Attributes
    ----------
    values : dict
        Plain dicts, lists and scalars.
    lines : dict of str to int
        The line, from 1, of every dotted key (`search.families.0` for the first of a list).
    """

    values: YamlMapping
    lines: dict[str, int] = field(default_factory=dict)


def find_line(document: YamlDocument, place: str) -> int:
    """Return the line of a dotted key, or of the nearest key around it that the file has."""
    while place and place not in document.lines:
        place = place.rpartition(".")[0]
    return document.lines.get(place, 1)


def params_error(path: Path, faults: Iterable[ParamsIssue]) -> ParamsError:
    """Return the error that lists all faults of a file in the order of their lines."""
    listed = sorted(set(faults))
    count = "1 fault" if len(listed) == 1 else f"{len(listed)} faults"
    lines = [f"  line {fault.line}: {fault.text}" for fault in listed]
    return ParamsError("\n".join([f"{path} has {count}:", *lines]))


def read_yaml(path: Path) -> YamlDocument:
    """Return the values of a YAML file, each with its line.

    Raises
    ------
    ParamsError
        Where the file is missing, empty or no YAML, or has anchors, keys that stand twice or more
        than 20 levels.
    """
    return _parse_document(path, _read_text(path))


def edit_section(path: Path, section: str, values: Mapping[str, object]) -> None:
    """Put values into a section of a YAML file; whatever is not changed keeps its very bytes.

    Parameters
    ----------
    path : Path
    section : str
        A key of the first level; it is added where the file does not have it.
    values : mapping
        Replaces the keys it names, comments behind them stay; new keys go to the section's end.

    Raises
    ------
    ParamsError
        Where the file has a fault, or a value cannot be written so that it reads back the same.
    """
    text = _read_text(path)
    before = _parse_document(path, text).values
    old, new = _to_plain_mapping(before.get(section) or {}), _to_plain_mapping(values)
    changed = {name: value for name, value in new.items() if _is_changed(old, name, value)}
    if not changed:
        return
    edited = _edit_text(text, section, {**old, **new}, changed)
    if _parse_document(path, edited).values != {**before, section: {**old, **new}}:
        raise ParamsError(f"{path}: '{section}' cannot be edited; write by hand: {changed}.")
    write_text(path, edited)


def _parse_document(path: Path, text: str) -> YamlDocument:
    root = _parse_root(path, text)
    faults: list[ParamsIssue] = []
    lines: dict[str, int] = {}
    values = _parse_value(root, "", lines, faults)
    if faults or not isinstance(values, dict):
        raise params_error(path, faults or [ParamsIssue(1, "expected sections such as `data:`.")])
    return YamlDocument(values=values, lines=lines)


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ParamsError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ParamsError(f"{path} is not written in UTF-8: {error.reason}.") from error


def _parse_root(path: Path, text: str) -> Node:
    yaml = YAML(typ="safe", pure=True)
    try:
        faults = _find_unsafe_nodes(yaml.parse(text))
        root: Node | None = None if faults else yaml.compose(text)
    except MarkedYAMLError as error:
        raise params_error(path, [_syntax_issue(error)]) from error
    except YAMLError as error:
        raise params_error(path, [ParamsIssue(1, f"{error}")]) from error
    if root is None:
        raise params_error(
            path, faults or [ParamsIssue(1, "the file is empty; expected sections.")]
        )
    return root


def _syntax_issue(error: MarkedYAMLError) -> ParamsIssue:
    mark = error.problem_mark or error.context_mark
    problem = str(error.problem or error.context)
    hint = " Indent with blanks." if "\\t" in problem else ""
    return ParamsIssue(mark.line + 1, f"column {mark.column + 1}: {problem}.{hint}")


def _find_unsafe_nodes(events: Iterable[Event]) -> list[ParamsIssue]:
    faults, depth = [], 0
    for event in events:
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        line = event.start_mark.line + 1
        if isinstance(event, AliasEvent) or (isinstance(event, NodeEvent) and event.anchor):
            faults.append(
                ParamsIssue(line, "anchors and aliases are not read; write the value out.")
            )
        if depth > MAX_DEPTH:
            return [*faults, ParamsIssue(line, f"more than {MAX_DEPTH} levels.")]
    return faults


def _parse_value(
    node: Node, place: str, lines: dict[str, int], faults: list[ParamsIssue]
) -> YamlValue:
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, MappingNode):
        return _parse_mapping(node, place, lines, faults)
    if isinstance(node, SequenceNode):
        items = enumerate(node.value)
        return [_parse_value(item, _join_key(place, str(n)), lines, faults) for n, item in items]
    return _parse_scalar(node, faults)


def _parse_mapping(
    node: MappingNode, place: str, lines: dict[str, int], faults: list[ParamsIssue]
) -> YamlMapping:
    values: YamlMapping = {}
    for key, value in node.value:
        line, name = key.start_mark.line + 1, str(key.value)
        if name in values:
            first = lines[_join_key(place, name)]
            faults.append(
                ParamsIssue(line, f"'{_join_key(place, name)}' stands in line {first} already.")
            )
        lines.setdefault(_join_key(place, name), line)
        values[name] = _parse_value(value, _join_key(place, name), lines, faults)
    return values


def _parse_scalar(node: Node, faults: list[ParamsIssue]) -> YamlValue:
    if node.tag in TEXT_TAGS:
        return str(node.value)
    if node.tag not in CONVERTED_TAGS:
        faults.append(ParamsIssue(node.start_mark.line + 1, f"the tag '{node.tag}' is not read."))
        return None
    scalar: YamlValue = YAML(typ="safe", pure=True).constructor.construct_object(node)
    return scalar


def _join_key(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _to_plain_mapping(values: object) -> YamlMapping:
    plain: YamlMapping = json.loads(json.dumps(values))
    return plain


def _is_changed(old: YamlMapping, name: str, value: YamlValue) -> bool:
    return name not in old or json.dumps(old[name]) != json.dumps(value)


def _edit_text(text: str, section: str, values: YamlMapping, changed: YamlMapping) -> str:
    lines = text.rstrip("\n").split("\n")
    key, node = _entries_by_key(YAML(typ="safe", pure=True).compose(text)).get(
        section, (None, None)
    )
    if key is None or node is None:
        lines += ["", *_format_section(section, values)]
    elif not isinstance(node, MappingNode) or node.flow_style or not node.value:
        lines[key.start_mark.line : _last_line(node) + 1] = _format_section(section, values)
    else:
        _edit_entries(lines, node, changed)
    return "\n".join(lines) + "\n"


def _edit_entries(lines: list[str], node: MappingNode, changed: YamlMapping) -> None:
    entries = _entries_by_key(node)
    indent = " " * node.start_mark.column
    end = _last_line(node) + 1
    added = [
        _format_entry(indent, name, value) for name, value in changed.items() if name not in entries
    ]
    lines[end:end] = [line for entry in added for line in entry]
    for name, (key, value) in reversed(entries.items()):
        if name in changed:
            comment, column = _trailing_comment(lines, key, value)
            entry = _format_entry(indent, name, changed[name])
            entry[0] = f"{entry[0].ljust(column - 2)}  {comment}" if comment else entry[0]
            lines[key.start_mark.line : _last_line(value) + 1] = entry


def _entries_by_key(node: MappingNode) -> dict[str, tuple[Node, Node]]:
    return {str(key.value): (key, value) for key, value in node.value}


def _last_line(node: Node) -> int:
    if isinstance(node, CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _last_line(last[1] if isinstance(node, MappingNode) else last)
    start, end = node.start_mark, node.end_mark
    return int(end.line) - bool(end.column == 0 and end.line > start.line)


def _trailing_comment(lines: list[str], key: Node, value: Node) -> tuple[str, int]:
    inline = value.start_mark.line == key.start_mark.line
    mark = value.end_mark if inline else key.end_mark
    found = re.search(r"(?<=\s)#.*", lines[mark.line][mark.column :])
    return (found.group(), mark.column + found.start()) if found else ("", 0)


def _format_section(section: str, values: YamlMapping) -> list[str]:
    entries = [_format_entry("  ", name, value) for name, value in values.items()]
    return [f"{_format_inline(section)}:", *(line for entry in entries for line in entry)]


def _format_entry(indent: str, name: str, value: YamlValue) -> list[str]:
    head = f"{indent}{_format_inline(name)}:"
    inline = f"{head} {_format_inline(value)}"
    if len(inline) <= MAX_LINE_LENGTH or not isinstance(value, dict | list):
        return [inline]
    if isinstance(value, dict):
        return [
            head,
            *(
                f"{indent}  {_format_inline(key)}: {_format_inline(each)}"
                for key, each in value.items()
            ),
        ]
    return [head, *(f"{indent}  - {_format_inline(each)}" for each in value)]


def _format_inline(value: YamlValue) -> str:
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(
                f"{_format_inline(key)}: {_format_inline(each)}" for key, each in value.items()
            )
            + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(_format_inline, value)) + "]"
    if not isinstance(value, str):
        return json.dumps(value)
    plain = PLAIN_SCALAR_PATTERN.fullmatch(value) and value.casefold() not in NEEDS_QUOTES
    return value if plain else json.dumps(value, ensure_ascii=not value.isprintable())
