"""Fingerprints of the code that a stage runs, so that DVC runs it again when the code changes.

`write_fingerprints` writes one small file for each stage of dvc.yaml to `data/code/`; each stage
depends on its own. A fingerprint covers the modules of Evertune that the project's file
`pipelines/<stage>.py` imports, directly or not, the templates that they name, the Python files in
the project's folder (metrics and heuristics of the user), and the versions of the numeric libraries
that those modules import. Comments, docstrings and layout don't count: a module is hashed as its
syntax tree. Modules that only check values and word messages don't count either, since no result
depends on them. Of the schema of params.yaml the sections count that those modules name, with their
defaults: DVC sees only the values that stand in the file.

`python -m evertune.fingerprint` is the stage `code`, which DVC always runs, so that `dvc repro`
alone notices a new version of Evertune.
"""

import ast
import hashlib
import json
import os
import sys
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from evertune.errors import StageError
from evertune.import_graph import imported_modules, imported_names, module_files, reachable_modules

PACKAGE = Path(__file__).parent
STAGES = ("prepare", "split", "baseline", "search", "fit", "evaluate")
FOLDER = Path("data", "code")
CACHE = Path("state", "fingerprints.json")  # of an installation that may not be written to
PARTS = Path("state", "fingerprint_parts.json")
PARTS_VERSION, PARTS_KEPT = 1, 8  # of each stage, the newest fingerprints
PART_DIGITS = 12
# They refuse or word messages; what a stage computes does not depend on them.
NOT_COUNTED = (
    "evertune.errors",
    "evertune.messages",
    "evertune.config",
    "evertune.fingerprint",
    "evertune.import_graph",
)
SCHEMA = "evertune.config.schema"
NUMERIC_LIBRARIES = {
    "bayes_opt": "bayesian-optimization",
    "catboost": "catboost",
    "cmaes": "cmaes",
    "hyperopt": "hyperopt",
    "lightgbm": "lightgbm",
    "matplotlib": "matplotlib",
    "numpy": "numpy",
    "optuna": "optuna",
    "pandas": "pandas",
    "pyarrow": "pyarrow",
    "ray": "ray",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "skops": "skops",
    "skopt": "scikit-optimize",
    "torch": "torch",
    "xgboost": "xgboost-cpu",
}


def write_fingerprints(root: Path) -> tuple[str, ...]:
    """Write the fingerprint of each stage to the project's folder.

    Parameters
    ----------
    root : Path
        The project's folder.

    Returns
    -------
    tuple of str
        The stages whose fingerprint is new or has changed.
    """
    folder = root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    changed, codes = [], stage_codes(root)
    _keep_parts(root / PARTS, codes)
    for stage, code in codes.items():
        path = folder / stage
        text = f"{code.fingerprint}\n"
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            changed.append(stage)
    return tuple(changed)


def stage_fingerprints(root: Path) -> dict[str, str]:
    """Return the fingerprint of each stage, as 64 hexadecimal digits; see `stage_codes`."""
    return {stage: code.fingerprint for stage, code in stage_codes(root).items()}


@dataclass(frozen=True)
class StageCode:
    """The code that a stage runs.

    Attributes
    ----------
    fingerprint : str
        64 hexadecimal digits.
    parts : dict
        What it was made of: for each of `modules`, `settings`, `files` and `libraries`, the hash
        or the version of each by its name.
    """

    fingerprint: str
    parts: dict[str, dict[str, str]]


@dataclass(frozen=True)
class CodeChange:
    """A part of a stage's code that is not what it was.

    Attributes
    ----------
    kind : str
        `modules`, `settings`, `files` or `libraries`.
    old, new : str, optional
        Versions of a library, else hashes; None where it was not there, or is not any more.
    """

    kind: str
    name: str
    old: str | None
    new: str | None


def code_changes(root: Path, stage: str, *, recorded_md5: str) -> tuple[CodeChange, ...]:
    """Return how a stage's code differs from the code of which DVC recorded the fingerprint.

    Parameters
    ----------
    recorded_md5 : str
        Of the file of the fingerprint.

    Returns
    -------
    tuple of CodeChange
        Empty where it is not known what the recorded fingerprint was made of.
    """
    before = next(
        (
            parts
            for fingerprint, parts in _read_parts(root / PARTS).get(stage, {}).items()
            if hashlib.md5(f"{fingerprint}\n".encode(), usedforsecurity=False).hexdigest()
            == recorded_md5
        ),
        None,
    )
    if before is None:
        return ()
    return tuple(
        CodeChange(kind, name, before.get(kind, {}).get(name), parts.get(name))
        for kind, parts in stage_codes(root)[stage].parts.items()
        for name in sorted({*before.get(kind, {}), *parts})
        if before.get(kind, {}).get(name) != parts.get(name)
    )


def stage_codes(root: Path) -> dict[str, StageCode]:
    """Return the code that each stage runs.

    Parameters
    ----------
    root : Path
        The project's folder: its own Python files count.

    Notes
    -----
    What was read of Evertune's modules is cached by size and time of change, beside their
    bytecode; in the project's `state` folder where that may not be written.
    """
    modules = _package_modules(_cache_file(root))
    own = sorted((path.name, _hash(_syntax_tree(_source_of(path)))) for path in root.glob("*.py"))
    return {
        stage: _stage_code(*_stage_imports(root, stage, set(modules)), modules, own)
        for stage in STAGES
    }


def _stage_imports(root: Path, stage: str, names: set[str]) -> tuple[list[str], set[str]]:
    """Return the modules of Evertune, and the names of the schema, that a stage's file imports."""
    path = root / "pipelines" / f"{stage}.py"
    if not path.is_file():
        return [], set()
    imported = imported_names(ast.parse(_source_of(path)))
    settings = {name.removeprefix(f"{SCHEMA}.") for name in imported if name.startswith(SCHEMA)}
    return sorted(filter(_counts, imported_modules(imported, names))), settings


def _stage_code(
    starts: list[str],
    settings: set[str],
    modules: dict[str, "_Module"],
    own: list[tuple[str, str]],
) -> StageCode:
    reached = sorted(
        reachable_modules(starts, lambda name: filter(_counts, modules[name]["imports"]))
    )
    libraries = {library for name in reached for library in modules[name]["libraries"]}
    parts = [(name, modules[name]["hash"]) for name in reached]
    named = settings.union(*(modules[name]["settings"] for name in reached))
    definitions = _settings(named, modules[SCHEMA]["definitions"])
    versions = [(library, _installed_version(library)) for library in sorted(libraries)]
    hashes = {"modules": parts, "settings": definitions, "files": own}
    return StageCode(
        _hash(json.dumps([parts, definitions, own, versions])),
        {
            **{
                kind: {name: h[:PART_DIGITS] for name, h in named} for kind, named in hashes.items()
            },
            "libraries": {NUMERIC_LIBRARIES[name]: number for name, number in versions},
        },
    )


def _settings(named: set[str], definitions: dict[str, list[Any]]) -> list[tuple[str, str]]:
    """Return the hash of each definition of the schema that is named, directly or by another."""
    reached = reachable_modules(named & set(definitions), lambda name: definitions[name][1])
    return [(name, definitions[name][0]) for name in sorted(reached)]


_Module = dict[str, Any]  # stamp, hash, imports of Evertune, libraries, settings; of the schema
#                           also `definitions`: hash and named definitions of each


def _cache_file(root: Path) -> Path:
    if os.access(PACKAGE, os.W_OK):
        return PACKAGE / "__pycache__" / CACHE.name
    return root / CACHE


def _package_modules(cache_file: Path) -> dict[str, _Module]:
    """Return hash and imports of each module of Evertune, from the cache where it is unchanged."""
    known = _read_cache(cache_file)
    paths = module_files(PACKAGE)
    found: dict[str, _Module] = {}
    for name, path in paths.items():
        status = path.stat()
        stamp = f"{status.st_size} {status.st_mtime_ns}"
        entry = known.get(name)
        if entry is None or entry.get("stamp") != stamp:
            entry = _read_module(name, path, set(paths)) | {"stamp": stamp}
        found[name] = entry
    if found != known:
        _write_cache(cache_file, found)
    return found


def _read_module(module: str, path: Path, names: set[str]) -> _Module:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    imported = set(imported_names(tree))
    templates = [
        _hash(page.read_text(encoding="utf-8"))
        for page in sorted((PACKAGE / "templates").glob("*.jinja"))
        if page.name in text
    ]
    return {
        "hash": _hash(_syntax_tree(text) + "".join(templates)),
        "imports": sorted(imported_modules(imported, names)),
        "libraries": sorted({name.partition(".")[0] for name in imported} & set(NUMERIC_LIBRARIES)),
        "settings": sorted(
            name.removeprefix(f"{SCHEMA}.") for name in imported if name.startswith(f"{SCHEMA}.")
        ),
        "definitions": _definitions(tree) if module == SCHEMA else {},
    }


def _definitions(tree: ast.Module) -> dict[str, list[Any]]:
    """Return hash and named definitions of each class and value of a module."""
    nodes: dict[str, ast.stmt] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            # methods check values
            node.body = [inner for inner in node.body if not isinstance(inner, ast.FunctionDef)]
            nodes[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            nodes |= {target.id: node for target in targets if isinstance(target, ast.Name)}
    names = {
        name: {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)} - {name}
        for name, node in nodes.items()
    }
    return {
        name: [_hash(_syntax_tree(ast.unparse(node))), sorted(names[name] & set(nodes))]
        for name, node in nodes.items()
    }


def _source_of(path: Path) -> str:
    """Return the text of a Python file of the user's."""
    text = path.read_text(encoding="utf-8")
    try:
        ast.parse(text)
    except SyntaxError as error:
        raise StageError(
            f"{path}, line {error.lineno}: expected Python, but: {error.msg}. Correct it."
        ) from error
    return text


def _syntax_tree(text: str) -> str:
    """Return the syntax tree of a module as text, without docstrings and positions."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list) or not body:
            continue
        first = body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            body[:1] = [] if len(body) > 1 else [ast.Pass()]
    return ast.dump(tree)


def _counts(name: str) -> bool:
    return not any(name == other or name.startswith(f"{other}.") for other in NOT_COUNTED)


@cache
def _installed_version(library: str) -> str:
    try:
        return version(NUMERIC_LIBRARIES[library])
    except PackageNotFoundError:
        return "not installed"


def _read_cache(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # no cache, or one that was cut off: it is made anew
        return {}
    return found


def _write_cache(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(f".{os.getpid()}")  # other runs may write, too
    beside.write_text(json.dumps(content), encoding="utf-8")
    beside.replace(path)


def _read_parts(path: Path) -> dict[str, dict[str, Any]]:
    """Return what the newest fingerprints of each stage were made of, oldest first."""
    found = _read_cache(path)
    stages: dict[str, dict[str, Any]] = found.get("stages", {})
    return stages if found.get("schema_version") == PARTS_VERSION else {}


def _keep_parts(path: Path, codes: dict[str, StageCode]) -> None:
    known = _read_parts(path)
    if all(code.fingerprint in known.get(stage, {}) for stage, code in codes.items()):
        return
    kept = {}
    for stage, code in codes.items():
        others = {k: v for k, v in known.get(stage, {}).items() if k != code.fingerprint}
        newest = list(others.items())[1 - PARTS_KEPT :]
        kept[stage] = dict([*newest, (code.fingerprint, code.parts)])
    _write_cache(path, {"schema_version": PARTS_VERSION, "stages": kept})


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


if __name__ == "__main__":
    write_fingerprints(Path.cwd())
    sys.exit(0)
