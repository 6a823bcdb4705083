"""A registered version's project, laid out in a folder of its own as it was.

What the version's MLflow run keeps comes from there: params.yaml, dvc.yaml, dvc.lock, pointers, the
plan, trials, figures and the environment. The data comes by its md5 from DVC's store, the code from
git or from what is at hand.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from pipelines.core.locks import code
from pipelines.errors import StageError
from pipelines.stores.documents import read_yaml
from pipelines.stores.pages import kept_file
from pipelines.stores.registry import Version
from pipelines.stores.replacing import remove
from pipelines.stores.revisions import extract_commit
from pipelines.stores.tracking import Store
from pipelines.stores.versions import restore

PROJECT = "project"  # the folder among a run's artifacts
LOCK = "dvc.lock"
FIGURES = "recorded.figures.json"
ENVIRONMENT = "recorded.environment.txt"
DATA = {"source": "dvc.source", "absorbed": "dvc.absorbed"}
CODE = ("flows", "pipelines", "infra")
NEEDED = "pipelines/rebuild.py"  # what makes a version again; older code has it not
COMMIT = "mlflow.source.git.commit"


@dataclass(frozen=True)
class Code:
    """Which code was laid out.

    Attributes
    ----------
    what : str
        In words.
    changed : tuple of str
        Files that a stage depends on and that are not as they were recorded.
    """

    what: str
    changed: tuple[str, ...]


def restore_records(store: Store, version: Version, *, folder: Path) -> None:
    """Write to a folder what the run of a version keeps of its project, each file at its place.

    Raises
    ------
    StageError
        The run lacks one of them.
    """
    _set_apart(folder)
    with tempfile.TemporaryDirectory() as beside:
        project = _kept(store, version, PROJECT, Path(beside))
        for name in ("params.yaml", "dvc.yaml", LOCK):
            shutil.copyfile(_there(project / name, version), folder / name)
        places = places_of(folder)
        _copy(_there(project / places["plan"].name, version), places["plan"])
        for name in DATA:
            pointer = places[name].with_name(f"{places[name].name}.dvc")
            _copy(_there(project / pointer.name, version), pointer)
        for kept, target in (
            (places["trials"].name, places["trials"]),
            (places["figures"].name, folder / FIGURES),
            ("environment.txt", folder / ENVIRONMENT),
        ):
            _copy(_kept(store, version, kept, Path(beside)), target)


def restore_data(root: Path, version: Version, *, folder: Path) -> None:
    """Write the tables that a version learned from to a folder, by their md5s.

    Raises
    ------
    StageError
        DVC's store and its remote have one of them no more.
    """
    places = places_of(folder)
    for name, tag in DATA.items():
        if tag not in version.tags:
            raise StageError(
                f"expected version {version.number} to carry the tag {tag} with the md5 of its"
                " data, but it has none; it was registered by something else"
            )
        restore(root, version.tags[tag], target=places[name])


def lay_out_code(root: Path, version: Version, *, folder: Path) -> Code:
    """Write the code that a version was made with to a folder, as near as it can be had.

    The md5s in dvc.lock tell whether code is the recorded one: that at hand is taken if it is, else
    that of the recorded commit, whichever has fewer files that differ.
    """
    recorded = code(lock_of(folder))
    _copy_code(root, folder)
    here = Code("the code at hand", changed_files(folder, recorded))
    commit = version.tags.get(COMMIT)
    if not here.changed or commit is None:
        return here
    with tempfile.TemporaryDirectory(dir=folder) as name:
        committed = Path(name)
        if not extract_commit(root, commit, folder=committed):
            return here
        changed = changed_files(committed, recorded)
        if not (committed / NEEDED).is_file() or len(changed) >= len(here.changed):
            return here
        _replace_code(committed, folder)
    return Code(f"the code of commit {commit[:12]}", changed)


def changed_files(folder: Path, recorded: Mapping[str, str]) -> tuple[str, ...]:
    """Return the files of a folder that are not there or have another md5 than was recorded."""
    return tuple(path for path in sorted(recorded) if file_md5(folder / path) != recorded[path])


def file_md5(path: Path) -> str | None:
    """Return the md5 of a file, as DVC takes it; None where there is none."""
    if not path.is_file():
        return None
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def lock_of(folder: Path) -> Mapping[str, Any]:
    """Return what the dvc.lock of a folder says."""
    return read_yaml(folder / LOCK).values


def places_of(folder: Path) -> dict[str, Path]:
    """Return the places of a project by their names in params.yaml, whatever else stands there."""
    paths: Any = read_yaml(folder / "params.yaml").values["paths"]
    return {name: folder / str(path) for name, path in paths.items()}


def environment() -> str:
    """Return what is installed, a line such as `numpy==2.4.6` for each package."""
    found = {(each.name, each.version) for each in distributions()}
    return "".join(f"{name}=={number}\n" for name, number in sorted(found))


def _set_apart(folder: Path) -> None:
    """Make a folder a DVC project of its own: that around it would take its stages for its own."""
    settings = folder / ".dvc" / "config"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text("[core]\n    no_scm = True\n    analytics = False\n", encoding="utf-8")


def _kept(store: Store, version: Version, name: str, beside: Path) -> Path:
    found = kept_file(store, version.run_id, name=name, folder=beside)
    if found is None:
        raise _lacking(version, name)
    return found


def _there(path: Path, version: Version) -> Path:
    if not path.is_file():
        raise _lacking(version, f"{PROJECT}/{path.name}")
    return path


def _lacking(version: Version, name: str) -> StageError:
    return StageError(
        f"expected {name} among the artifacts of run {version.run_id}, which made version"
        f" {version.number}, but it is not there; without it the version cannot be made again"
    )


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _copy_code(root: Path, folder: Path) -> None:
    own = root if (root / "pipelines").is_dir() else Path(__file__).parents[2]
    for name in CODE:
        if (own / name).is_dir():
            shutil.copytree(own / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for module in root.glob("*.py"):  # functions of the user's own, such as a metric
        shutil.copy2(module, folder / module.name)


def _replace_code(committed: Path, folder: Path) -> None:
    for path in committed.iterdir():
        if path.name in CODE or path.suffix == ".py":
            remove(folder / path.name)
            shutil.move(path, folder / path.name)
