"""Read a YAML file with the line of every value, and edit it without losing comments.

The language is YAML 1.2 as DVC reads it: `1e-3` is a number, and `yes` and dates are text.
Anchors are refused: a parameter file does not need them, and a few lines of them can fill
memory.

`edit_section` replaces only the lines of the keys that change, at the places that ruamel.yaml
reports. Its round-trip mode keeps comments, too, but writes the whole file anew: with its own
indentation, lists of several lines joined into one, and without `null`.
"""

import io
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, Union

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionStartEvent
from ruamel.yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.representer import SafeRepresenter

from evertune.errors import ParamsError
from evertune.files import write_text

YamlValue: TypeAlias = Union[bool, int, float, str, list["YamlValue"], "YamlMapping", None]
YamlMapping: TypeAlias = dict[str, YamlValue]

MAX_DEPTH = 20
MAX_LINE_LENGTH = 100
TEXT_TAGS = {"tag:yaml.org,2002:str", "tag:yaml.org,2002:timestamp"}
CONVERTED_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float")}


class ParamsIssue(NamedTuple):
    """A fault in one line of a file; line 1 if no line can be named."""

    line: int
    text: str


@dataclass(frozen=True)
class YamlDocument:
    """The content of a YAML file.

    Attributes
    ----------
    values : dict
        Plain dicts, lists and scalars.
    lines : dict of str to int
        The line, from 1, of every dotted key (`search.families.0` for the first of a list).
    """

    values: YamlMapping
    lines: dict[str, int] = field(default_factory=dict)


def read_yaml(path: Path) -> YamlDocument:
    """Return the values of a YAML file, each with its line.

    Raises
    ------
    ParamsError
        The file is missing, empty or not YAML, or has anchors, duplicate keys or more than 20
        levels.
    """
    return _parse_text(path, _read_text(path))[1]


def edit_section(path: Path, section: str, values: Mapping[str, object]) -> None:
    """Write values into a section of a YAML file; see `edit_sections`."""
    edit_sections(path, {section: values})


def edit_sections(path: Path, sections: Mapping[str, Mapping[str, object]]) -> None:
    """Write values into sections of a YAML file; all that does not change keeps its very bytes.

    Parameters
    ----------
    sections : mapping
        By keys of the first level, which are added if the file does not have them, mappings that
        replace the values of the keys they name, comments behind them stay; new keys go to the
        section's end.

    Raises
    ------
    ParamsError
        The file has a fault, or a value would not read back the same.
    """
    text = _read_text(path)
    root, document = _parse_text(path, text)
    lines, entries, expected = text.rstrip("\n").split("\n"), _entries(root), document.values
    changes: dict[str, YamlMapping] = {}
    for section in sorted(sections, key=lambda name: _first_line(entries, name), reverse=True):
        old = expected.get(section) or {}
        old, new = (json.loads(json.dumps(part)) for part in (old, sections[section]))
        changed = {
            key: value
            for key, value in new.items()
            if key not in old or json.dumps(old[key]) != json.dumps(value)  # 1 and true differ
        }
        if changed:
            changes[section] = changed
            expected = {**expected, section: {**old, **new}}
            _replace_values(lines, entries, section, {**old, **new}, changed)
    if not changes:
        return
    edited = "\n".join(lines) + "\n"
    if _parse_text(path, edited)[1].values != expected:
        names = " and ".join(f"'{section}'" for section in changes)
        raise ParamsError(f"{path}: {names} cannot be edited; write by hand: {changes}.")
    write_text(path, edited)


def _first_line(entries: dict[str, tuple[Node, Node]], section: str) -> int:
    """Return the line of a section, -1 if the file lacks it: it comes last, as it is appended."""
    return int(entries[section][0].start_mark.line) if section in entries else -1


def rename_keys(
    path: Path, keys: Mapping[str, str], values: Mapping[str, Mapping[str, str]]
) -> list[str]:
    """Rename keys of a YAML file in place, all at once; comments and layout stay.

    Parameters
    ----------
    keys : mapping
        New name of a key by its old path with dots: ``{"metric.optimise": "primary"}``.
    values : mapping
        New texts of a value, or of those in a list, by the new path of its key:
        ``{"monitoring.now": {"newest": ...}}``.

    Returns
    -------
    list of str
        The paths of the keys that were renamed, or whose value was.

    Raises
    ------
    ParamsError
        The file has a fault.
    """
    text = _read_text(path)
    root, _ = _parse_text(path, text)
    renamed: list[str] = []
    edits: list[tuple[Node, str]] = []

    def visit(node: Node, prefix: str) -> None:
        if not isinstance(node, MappingNode):
            return
        for key, value in node.value:
            old = f"{prefix}{key.value}"
            new = keys.get(old, str(key.value))
            choices = values.get(f"{prefix}{new}", {})
            if new != key.value:
                edits.append((key, new))
                renamed.append(old)
            words = value.value if isinstance(value, SequenceNode) else [value]
            for word in words:
                if isinstance(word, ScalarNode) and str(word.value) in choices:
                    edits.append((word, choices[str(word.value)]))
                    renamed.append(f"{prefix}{new}")
            visit(value, f"{prefix}{new}.")

    visit(root, "")
    for node, new in sorted(edits, key=lambda edit: edit[0].start_mark.index, reverse=True):
        text = text[: node.start_mark.index] + new + text[node.end_mark.index :]
    if edits:
        write_text(path, text)
    return list(dict.fromkeys(renamed))


def find_line(document: YamlDocument, key: str) -> int:
    """Return the line of a dotted key, or of the nearest key around it that the file has."""
    while key and key not in document.lines:
        key = key.rpartition(".")[0]
    return document.lines.get(key, 1)


def params_error(path: Path, issues: Iterable[ParamsIssue]) -> ParamsError:
    """Return the error that lists all faults of a file in the order of their lines."""
    listed = sorted(set(issues))
    count = "1 fault" if len(listed) == 1 else f"{len(listed)} faults"
    lines = [f"  line {issue.line}: {issue.text}" for issue in listed]
    return ParamsError("\n".join([f"{path} has {count}:", *lines]))


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ParamsError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ParamsError(f"{path} is not written in UTF-8: {error.reason}.") from error


def _parse_text(path: Path, text: str) -> tuple[MappingNode, YamlDocument]:
    """Return the nodes of a YAML text with their places, and its values with their lines."""
    issues: list[ParamsIssue] = []
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = _Composer
    composer = yaml.composer
    try:
        root: Node | None = yaml.compose(text)
    except _TooDeepError as error:
        raise params_error(path, [*composer.issues, *error.args]) from error
    except MarkedYAMLError as error:
        mark, problem = error.problem_mark or error.context_mark, error.problem or error.context
        hint = " Indent with blanks." if "\\t" in str(problem) else ""
        text = f"column {mark.column + 1}: {problem}.{hint}"
        raise params_error(path, [ParamsIssue(mark.line + 1, text)]) from error
    except YAMLError as error:
        raise params_error(path, [ParamsIssue(1, f"{error}")]) from error
    if composer.issues:
        raise params_error(path, composer.issues)
    if root is None:
        raise params_error(path, [ParamsIssue(1, "the file is empty; expected sections.")])
    lines: dict[str, int] = {}
    values = _parse_value(root, "", lines, issues)
    if issues or not isinstance(root, MappingNode) or not isinstance(values, dict):
        raise params_error(path, issues or [ParamsIssue(1, "expected sections such as `data:`.")])
    return root, YamlDocument(values, lines)


class _TooDeepError(Exception):
    """A text has more levels than are read."""


class _Composer(Composer):
    """Collects the anchors of a text as issues, and stops at too many levels."""

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader)
        self.warn_double_anchors = False
        self.issues: list[ParamsIssue] = []

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.parser.peek_event()
        line = event.start_mark.line + 1
        if event.anchor:
            fault = "anchors and aliases are not read; write the value out."
            self.issues.append(ParamsIssue(line, fault))
        if isinstance(event, AliasEvent):
            self.parser.get_event()
            return ScalarNode("tag:yaml.org,2002:null", "", event.start_mark, event.end_mark)
        if self.depth == MAX_DEPTH and isinstance(event, CollectionStartEvent):
            raise _TooDeepError(ParamsIssue(line, f"more than {MAX_DEPTH} levels."))
        return super().compose_node(parent, index)


def _parse_value(
    node: Node, key: str, lines: dict[str, int], issues: list[ParamsIssue]
) -> YamlValue:
    line = node.start_mark.line + 1
    lines.setdefault(key, line)
    if isinstance(node, MappingNode):
        values: YamlMapping = {}
        for name_node, child in node.value:
            name, name_line = str(name_node.value), name_node.start_mark.line + 1
            full = f"{key}.{name}" if key else name
            if name in values:
                fault = f"'{full}' is in line {lines[full]} already."
                issues.append(ParamsIssue(name_line, fault))
            lines.setdefault(full, name_line)
            values[name] = _parse_value(child, full, lines, issues)
        return values
    if isinstance(node, SequenceNode):
        children = enumerate(node.value)
        return [_parse_value(child, f"{key}.{n}", lines, issues) for n, child in children]
    if node.tag in TEXT_TAGS:
        return str(node.value)
    if node.tag not in CONVERTED_TAGS:
        issues.append(ParamsIssue(line, f"the tag '{node.tag}' is not read."))
        return None
    scalar: YamlValue = YAML(typ="safe", pure=True).constructor.construct_object(node)
    return scalar


def _replace_values(
    lines: list[str],
    root: dict[str, tuple[Node, Node]],
    section: str,
    values: YamlMapping,
    changed: YamlMapping,
) -> None:
    """Replace the lines of a section; those above it stay where they are."""
    key, node = root.get(section, (None, None))
    if key is None or node is None:
        lines += ["", *_dump_section(section, values)]
    elif not isinstance(node, MappingNode) or node.flow_style or not node.value:
        lines[key.start_mark.line : _last_line(node) + 1] = _dump_section(section, values)
    else:
        entries, indent = _entries(node), " " * node.start_mark.column
        end = _last_line(node) + 1
        added = {name: value for name, value in changed.items() if name not in entries}
        lines[end:end] = _dump(added, indent)
        for name, (key, value) in reversed(entries.items()):
            if name in changed:
                dumped = _dump({name: changed[name]}, indent)
                comment, column = _trailing_comment(lines, key, value)
                if comment:
                    dumped[0] = f"{dumped[0].ljust(column - 2)}  {comment}"
                lines[key.start_mark.line : _last_line(value) + 1] = dumped


def _entries(node: MappingNode) -> dict[str, tuple[Node, Node]]:
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
    match = re.search(r"(?<=\s)#.*", lines[mark.line][mark.column :])
    return (match.group(), mark.column + match.start()) if match else ("", 0)


def _dump_section(section: str, values: YamlMapping) -> list[str]:
    header = _write({section: values}, flow=False)[0]
    return [header, *_dump(values, "  ")]


def _dump(values: YamlMapping, indent: str) -> list[str]:
    """Return the lines of a block mapping; a value is written inline where it fits in a line."""
    lines = []
    for name, value in values.items():
        is_block = isinstance(value, dict | list) and len(value) > MAX_LINE_LENGTH // 3
        if not is_block:
            (inline,) = _write({name: value}, flow=True)
            inline = inline.removeprefix("{").removesuffix("}")
            is_block = isinstance(value, dict | list) and len(indent + inline) > MAX_LINE_LENGTH
        lines += _write({name: value}, flow=False) if is_block else [inline]
    return [indent + line for line in lines]


def _write(values: YamlMapping, *, flow: bool) -> list[str]:
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = flow
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.width = 10**6
    yaml.indent(mapping=2, sequence=4, offset=2)
    buffer = io.StringIO()
    yaml.Representer = _Representer
    yaml.dump(values, buffer)
    return buffer.getvalue().removesuffix("\n").split("\n")


class _Representer(SafeRepresenter):
    """Quotes a text with a colon: the parser that DVC uses splits it there in a flow mapping."""

    def represent_str(self, data: str) -> ScalarNode:
        style = '"' if ":" in data else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Representer.add_representer(str, _Representer.represent_str)
