"""What dvc.lock says of a run: which files went in and which came out, each by its md5."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

MD5 = re.compile(r"\bmd5: '?([0-9a-f]{32}(?:\.dir)?)\b")
CODE = (".py", ".jinja", ".txt")


def outputs(lock: Mapping[str, Any]) -> dict[str, str]:
    """Return the md5 of everything that the stages wrote, by its path in the project.

    Examples
    --------
    >>> outputs({"stages": {"fit": {"outs": [{"path": "data/model", "md5": "5f.dir"}]}}})
    {'data/model': '5f.dir'}
    """
    return dict(_entries(lock, "outs"))


def code(lock: Mapping[str, Any]) -> dict[str, str]:
    """Return the md5 of every module, page and list of pins that a stage depends on.

    Examples
    --------
    >>> deps = [{"path": "pipelines/fit.py", "md5": "3a"}, {"path": "data/pool", "md5": "5f.dir"}]
    >>> code({"stages": {"fit": {"deps": deps}}})
    {'pipelines/fit.py': '3a'}
    """
    return {path: md5 for path, md5 in _entries(lock, "deps") if path.endswith(CODE)}


def named_in(text: str) -> frozenset[str]:
    r"""Return every md5 that a dvc.lock or a .dvc file names.

    Examples
    --------
    >>> named_in("outs:\n- md5: 3f5b7ae8b0a1c2d3e4f5061728394a5b.dir\n  size: 1\n")
    frozenset({'3f5b7ae8b0a1c2d3e4f5061728394a5b.dir'})
    """
    return frozenset(MD5.findall(text))


def md5_at(text: str, path: str) -> str | None:
    r"""Return the md5 that a dvc.lock names for a path; None where it names none.

    Examples
    --------
    >>> md5 = "3f5b7ae8b0a1c2d3e4f5061728394a5b.dir"
    >>> md5_at(f"outs:\n- path: data/pool\n  hash: md5\n  md5: {md5}\n", "data/pool") == md5
    True
    """
    found = re.search(rf"path: {re.escape(path)}\n\s+hash: md5\n\s+{MD5.pattern[2:]}", text)
    return found[1] if found else None


def _entries(lock: Mapping[str, Any], part: str) -> Iterator[tuple[str, str]]:
    for stage in lock.get("stages", {}).values():
        for entry in stage.get(part, []):
            if "md5" in entry:
                yield entry["path"], entry["md5"]
