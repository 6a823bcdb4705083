"""Bring a project that an earlier release wrote to the form of this release: `evertune upgrade`.

A project of 0.1 was a clone of Evertune with the code inside; today it is a folder beside an
installed library. `upgrade_project` first checks that nothing stands in the way, then takes one
step after the other under the project's lock. Each step looks at what is there and does what is
missing, so that an upgrade that was killed, or done already, can be run again.

1. code: `flows/` and `pipelines/` of this release. A file as an earlier release wrote it is
   replaced, or removed where this release has none. A file that was edited stays, and the new one
   is written beside it as NAME.new; in a project of 0.1, whose code no longer runs, the edited one
   becomes NAME.old. Files of the user's own stay.
2. params.yaml: keys that were renamed.
3. dvc.yaml and the ignore files.
4. dvc.lock: the new commands and dependencies of each stage whose inputs and outputs are as it
   recorded them, so that it need not run again.
5. models: the code that loads them, and what it requires, beside each registered version.
6. log: the tables of the log's database.
7. project: the id in data/project.json.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from ruamel.yaml import YAML

from evertune.config.loader import load_params, load_paths
from evertune.config.schema import Family, Params, former_names
from evertune.config.yaml_file import read_yaml, rename_keys
from evertune.database import database_url, open_log
from evertune.errors import InputError
from evertune.files import project_lock, template_folder, write_text
from evertune.identity import project_id
from evertune.trials import FORMER_FAMILIES, FORMER_PARAMETERS, FORMER_VALUES
from evertune.versioning import dvc

# Every form in which a release wrote a file: the first digits of git's hash, and its path. A file
# of flows/ or pipelines/ that changes is added here, so that later releases know it as unedited.
SHIPPED_FILE = Path(__file__).parent / "templates" / "shipped.txt"
CODE_FOLDERS = ("flows", "pipelines", "infra", "tests")
TEMPLATE_FOLDERS = ("flows", "pipelines")
IGNORE_FILES = (".gitignore", ".dvcignore")
OLD_CODE = ("pipelines/", "infra/")  # dependencies of a stage of 0.1 that are no longer
RENAMED_VALUES: dict[str, dict[str, str]] = {
    "monitoring.now": {"newest": "latest_event"},
    "search.families": FORMER_FAMILIES,
    **{
        f"search.space.{family}.{parameter}": choices
        for family in get_args(Family)
        for parameter, choices in FORMER_VALUES.items()
    },
}

Reporter = Callable[[str, str], None]


def upgrade_project(root: Path, say: Reporter) -> None:
    """Bring a project to the form of this release.

    Parameters
    ----------
    root : Path
        The project's folder.
    say : function
        Called with the name of each step and what it did.

    Raises
    ------
    InputError
        dvc.yaml has stages of the user's own, or other edits. Nothing was changed.
    ParamsError
        params.yaml has faults. Nothing was changed.
    BusyError
        Another run holds the project, or the log's database does not answer.
    UnsafeError
        A newer Evertune wrote the log's database.
    """
    _check_pipeline_file(root)
    with project_lock(load_paths(root).state, "evertune upgrade"):
        say("code", _upgrade_code(root, say))
        say("params.yaml", _upgrade_params(root))
        say("dvc.yaml", _upgrade_pipeline_file(root))
        say("dvc.lock", _upgrade_recorded_stages(root))
        say("models", _upgrade_models(root))
        say("log", _upgrade_log(root))
        say("project", f"its id is {project_id(root)}")


def _is_library(root: Path) -> bool:
    """Whether the project is a clone of today's Evertune, whose code git keeps current."""
    return (root / "evertune" / "upgrade.py").is_file()


def shipped_line(content: bytes, name: str) -> str:
    """Return the line of shipped.txt for a file: 12 digits of git's hash and its path."""
    digest = hashlib.sha1(b"blob %d\0%b" % (len(content), content), usedforsecurity=False)
    return f"{digest.hexdigest()[:12]} {name}"


@cache
def _shipped() -> frozenset[str]:
    return frozenset(SHIPPED_FILE.read_text(encoding="utf-8").splitlines())


def _is_as_shipped(path: Path, name: str) -> bool:
    return shipped_line(path.read_bytes(), name) in _shipped()


def _is_of_first_release(root: Path) -> bool:
    """Whether the code in a project is that of 0.1, whose stages had no fingerprint."""
    if not (root / "dvc.yaml").is_file():
        return (root / "pipelines" / "core").is_dir()
    stages = read_yaml(root / "dvc.yaml").values.get("stages")
    return not isinstance(stages, dict) or "code" not in stages


def _check_pipeline_file(root: Path) -> None:
    path, template = root / "dvc.yaml", template_folder() / "dvc.yaml"
    if not path.is_file() or path.read_bytes() == template.read_bytes():
        return
    if _is_as_shipped(path, "dvc.yaml") or _is_library(root):
        return
    known = set(read_yaml(template).values["stages"])  # type: ignore[arg-type]
    stages = read_yaml(path).values.get("stages")
    own = sorted(set(stages) - known) if isinstance(stages, dict) else []
    found = f"it has stages of your own ({', '.join(own)})" if own else "it was edited"
    raise InputError(
        f"expected {path} as an earlier release wrote it, but {found}. Nothing was changed. Move"
        " your stages to a dvc.yaml in a subfolder, put the other lines back, or move the file"
        " away and add your edits again after the upgrade."
    )


def _upgrade_code(root: Path, say: Reporter) -> str:
    if _is_library(root):
        return "this folder is a clone of Evertune: git keeps its code current"
    templates = {
        f"{folder}/{file.name}": file.read_bytes()
        for folder in TEMPLATE_FOLDERS
        for file in sorted((template_folder() / folder).glob("*.py"))
    }
    names = {line.partition(" ")[2] for line in _shipped()}
    code = {name for name in names if name.partition("/")[0] in CODE_FOLDERS}
    is_first, written, removed = _is_of_first_release(root), 0, 0
    for name in sorted(code | templates.keys()):
        path, new = root / name, templates.get(name)
        old = path.read_bytes() if path.is_file() else None
        if old == new:
            continue
        if old is not None and not _is_as_shipped(path, name):
            if not is_first:
                if new is not None:
                    write_text(path.with_name(f"{path.name}.new"), new.decode())
                    say("code", f"{name} was edited and stays; compare it with {name}.new")
                continue
            say("code", f"{name} was edited: kept as {_set_aside(path).relative_to(root)}")
        if new is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, new.decode())
            written += 1
        elif path.is_file():
            path.unlink()
            removed += 1
    _remove_empty_folders(root)
    if not (written or removed):
        return "flows/ and pipelines/ are up to date"
    return (
        f"{written} files of flows/ and pipelines/ written, {removed} of earlier releases removed"
    )


def _set_aside(path: Path) -> Path:
    """Rename a file to NAME.old, or NAME.old.2 and so on, and return its new path."""
    ends = ("", *(f".{number}" for number in range(2, 100)))
    names = [path.with_name(f"{path.name}.old{end}") for end in ends]
    return path.rename(next(name for name in names if not name.exists()))


def _remove_empty_folders(root: Path) -> None:
    """Remove folders of earlier releases' code that hold nothing but compiled Python."""
    names = {line.partition(" ")[2] for line in _shipped()}
    shipped = {parent for name in names for parent in Path(name).parents if parent.parts}
    for folder in sorted(shipped, key=lambda each: len(each.parts), reverse=True):
        compiled = root / folder / "__pycache__"
        if not (root / folder).is_dir() or {*(root / folder).iterdir()} - {compiled}:
            continue
        for file in compiled.glob("*.pyc"):
            file.unlink()
        if compiled.is_dir():
            compiled.rmdir()
        (root / folder).rmdir()


def _renamed_keys() -> dict[str, str]:
    """Return the new name of each renamed key of params.yaml by its former path, with dots."""

    def walk(section: type[BaseModel], prefix: str) -> Iterator[tuple[str, str]]:
        for old, new in former_names(section).items():
            yield f"{prefix}{old}", new
        for name, field in section.model_fields.items():
            kind = field.annotation
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from walk(kind, f"{prefix}{name}.")

    space = {f"search.space.{old}": new for old, new in FORMER_FAMILIES.items()}
    for family in get_args(Family):
        space |= {f"search.space.{family}.{old}": new for old, new in FORMER_PARAMETERS.items()}
    return dict(walk(Params, "")) | space


def _upgrade_params(root: Path) -> str:
    path, renamed = root / "params.yaml", _renamed_keys()
    found = rename_keys(path, renamed, RENAMED_VALUES)
    load_params(root)
    return f"renamed: {', '.join(found)}" if found else "its keys are up to date"


def _upgrade_pipeline_file(root: Path) -> str:
    template = template_folder()
    changed = []
    for name in IGNORE_FILES:
        path = root / name
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        lacking = [
            line
            for line in (template / name).read_text(encoding="utf-8").splitlines()
            if line not in lines
        ]
        if lacking:
            write_text(path, "\n".join([*lines, *lacking]) + "\n")
            changed.append(name)
    path, text = root / "dvc.yaml", (template / "dvc.yaml").read_text(encoding="utf-8")
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)
        changed.append("dvc.yaml")
    return f"written: {', '.join(changed)}" if changed else "the stages are up to date"


def _upgrade_recorded_stages(root: Path) -> str:
    """Record each stage anew that has run with 0.1's code and whose files did not change since."""
    dvc.ensure_project(root)
    path = root / "dvc.lock"
    if not path.is_file():
        return "no stage has run yet"
    kept, stale = [], []
    for stage in dvc.list_stages(root):
        recorded = YAML(typ="safe", pure=True).load(path)["stages"].get(stage)
        if recorded is None or not _is_of_old_code(stage, recorded):
            continue
        if _is_unchanged(root, stage, recorded):
            dvc.commit_stage(root, stage)
            kept.append(stage)
        else:
            stale.append(stage)
    told = [f"kept: {', '.join(kept)}"] if kept else []
    if stale:
        told.append(
            f"changed since they ran, so that `evertune train` runs them again: {', '.join(stale)}"
        )
    return "; ".join(told) or "the records of the stages are up to date"


def _is_of_old_code(stage: str, recorded: Mapping[str, Any]) -> bool:
    own = f"pipelines/{stage}.py"
    return any(
        each["path"].startswith(OLD_CODE) and each["path"] != own for each in recorded["deps"]
    )


def _is_unchanged(root: Path, stage: str, recorded: Mapping[str, Any]) -> bool:
    """Whether parameters, inputs and outputs of a stage are as recorded, whatever its code."""
    values = read_yaml(root / "params.yaml").values
    sections = recorded.get("params", {}).get("params.yaml", {})
    if any(
        _renamed({name: values.get(name)}) != _renamed({name: sections[name]}) for name in sections
    ):
        return False
    dependencies, outputs = dvc.changed_files(root, stage)
    known = {each["path"] for each in recorded["deps"] if not each["path"].startswith(OLD_CODE)}
    return not outputs and not known & dependencies


def _renamed(values: Any, prefix: str = "") -> Any:
    """Return values of params.yaml under the keys of today, wherever they come from."""
    if isinstance(values, list):
        return [_renamed(value, prefix) for value in values]
    if not isinstance(values, Mapping):
        choices = RENAMED_VALUES.get(prefix.removesuffix("."), {})
        return choices.get(values, values) if isinstance(values, str) else values
    keys = _renamed_keys()
    new = {name: keys.get(f"{prefix}{name}", name) for name in values}
    return {new[name]: _renamed(value, f"{prefix}{new[name]}.") for name, value in values.items()}


def _upgrade_models(root: Path) -> str:
    from evertune.registry.packaging import package_older_version

    models = (load_paths(root).state / "artifacts" / "models").glob("*/artifacts/MLmodel")
    changed = sum(package_older_version(path.parent) for path in sorted(models))
    if not changed:
        return "the registered versions are up to date"
    return f"{changed} registered versions have the code that loads them beside them now"


def _upgrade_log(root: Path) -> str:
    params = load_params(root)
    address = database_url(params.scoring.log_variable)
    open_log(params.paths.state, model=params.registry.name, address=address).close()
    return "the tables of the log's database are up to date"
