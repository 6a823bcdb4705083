"""Equal bytes for equal skops archives.

skops names what it stores by its place in memory and stamps files with the time of day; arrays of
records hold whatever lay in memory between their fields.
"""

import io
import json
import zipfile
from typing import Any

import numpy as np

FIRST_DAY = (1980, 1, 1, 0, 0, 0)  # a ZIP archive knows no earlier one
Numbers = dict[str, int]


def canonical(archive: bytes) -> bytes:
    """Return the same archive, compressed, with names, times and gaps that its content decides.

    Parameters
    ----------
    archive : bytes
        What `skops.io.dumps` returned.
    """
    target, numbers, files = io.BytesIO(), Numbers(), dict[str, str]()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(target, "w") as new:
        schema = _renumbered(json.loads(old.read("schema.json")), numbers, files)
        for old_name, new_name in files.items():
            _add(new, new_name, _without_gaps(old_name, old.read(old_name)))
        _add(new, "schema.json", json.dumps(schema, separators=(",", ":")).encode())
    return target.getvalue()


def _renumbered(node: Any, numbers: Numbers, files: dict[str, str]) -> Any:
    if isinstance(node, list):
        return [_renumbered(part, numbers, files) for part in node]
    if not isinstance(node, dict):
        return node
    plain = node.get("__loader__") == "JsonNode"  # who shares a number or a text is chance
    parts = {key: part for key, part in node.items() if not (plain and key == "__id__")}
    if "__id__" in parts:
        parts["__id__"] = numbers.setdefault(str(parts["__id__"]), len(numbers) + 1)
    if "__loader__" in parts and "file" in parts:
        parts["file"] = files.setdefault(node["file"], _file_name(node["file"], numbers))
    return {key: _renumbered(part, numbers, files) for key, part in parts.items()}


def _file_name(name: str, numbers: Numbers) -> str:
    key, dot, ending = name.partition(".")
    return f"{numbers.setdefault(key, len(numbers) + 1)}{dot}{ending}"


def _without_gaps(name: str, content: bytes) -> bytes:
    array = np.load(io.BytesIO(content), allow_pickle=False) if name.endswith(".npy") else None
    if array is None or array.dtype.names is None:
        return content
    filled = np.zeros(array.shape, array.dtype)  # zeros_like would leave the gaps as they are
    for field in array.dtype.names:
        filled[field] = array[field]
    target = io.BytesIO()
    np.save(target, filled, allow_pickle=False)
    return target.getvalue()


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, date_time=FIRST_DAY)
    archive.writestr(entry, content, compress_type=zipfile.ZIP_DEFLATED, compresslevel=1)
