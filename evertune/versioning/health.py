"""What can be wrong with a project's DVC and git, found without changing them."""

import hashlib
import json
import re
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from evertune.config.schema import PathsSection
from evertune.errors import BusyError, StageError
from evertune.versioning.dvc import LOCK_FILE, lock_outputs, with_repository
from evertune.versioning.preview import configured_cache_folder, dvc_settings

REMOTE_SECONDS = 10.0
BLOCK_BYTES = 1 << 20
SECRET_SETTING = re.compile(
    r"^\s*(?:(\w*(?:password|secret|token|access_key|connection_string|account_key)\w*)\s*="
    r"|(\w+)\s*=.*://[^/\s:@]*:[^/\s@]+@)",  # or a password in an address
    re.I | re.M,
)


@dataclass(frozen=True)
class DamagedObject:
    """A file in DVC's cache that is not what its name says.

    Attributes
    ----------
    found : str
        The md5 of what it holds.
    name : str
        The path, in the project, of what it is a copy of.
    good_copy : Path, optional
        The file in the project, where that is still what DVC recorded.
    """

    md5: str
    found: str
    path: Path
    name: str
    good_copy: Path | None


def damaged_objects(root: Path, paths: PathsSection) -> Iterator[DamagedObject]:
    """Yield what of the present dvc.lock and .dvc files is in DVC's cache, but damaged.

    Every file is read.
    """
    store, seen = configured_cache_folder(root) / "files" / "md5", set[str]()
    for name, md5 in _recorded_outputs(root, paths):
        for part, part_md5 in _parts(store, name, md5):
            kept = store / part_md5[:2] / part_md5[2:]
            if part_md5 in seen or not kept.is_file():
                continue
            seen.add(part_md5)
            found = file_md5(kept)
            if found != part_md5.removesuffix(".dir"):
                own = root / part
                is_good = own.is_file() and file_md5(own) == part_md5
                yield DamagedObject(part_md5, found, kept, part, own if is_good else None)


def _recorded_outputs(root: Path, paths: PathsSection) -> Iterator[tuple[str, str]]:
    if (root / LOCK_FILE).is_file():
        yield from lock_outputs(root / LOCK_FILE).items()
    for path in (paths.source, paths.production_labels):
        pointer = path.with_name(f"{path.name}.dvc")
        if pointer.is_file():
            for out in YAML(typ="safe").load(pointer).get("outs", []):
                if "md5" in out:
                    yield str((path.parent / out["path"]).relative_to(root)), out["md5"]


def _parts(store: Path, name: str, md5: str) -> Iterator[tuple[str, str]]:
    yield name, md5
    listing = store / md5[:2] / md5[2:]
    if md5.endswith(".dir") and listing.is_file():
        try:
            entries = json.loads(listing.read_bytes())
            parts = [(f"{name}/{each['relpath']}", str(each["md5"])) for each in entries]
        except (ValueError, KeyError, TypeError):  # the listing itself is damaged
            return
        yield from parts


def file_md5(path: Path) -> str:
    """Return the md5 of a file's content, read in pieces."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def remote_fault(root: Path) -> str | None:
    """Return why DVC's default remote cannot be used; None where it can, or there is none."""
    if not dvc_settings(root).get("core", {}).get("remote"):
        return None

    def ask(repo: Any) -> str | None:
        store = repo.cloud.get_remote_odb()
        if store.fs.protocol == "local":
            folder = Path(store.path)
            is_there = folder.is_dir() or (not folder.exists() and folder.parent.is_dir())
            return None if is_there else f"there is no folder {folder}"
        store.fs.exists(store.path)
        return None

    answers: list[str | None] = []

    def run() -> None:
        try:
            answers.append(with_repository(root, ask))
        except (StageError, BusyError, OSError) as error:
            answers.append(str(error))

    thread = threading.Thread(target=run, daemon=True)  # a server may never answer
    thread.start()
    thread.join(REMOTE_SECONDS)
    return answers[0] if answers else f"it does not answer within {REMOTE_SECONDS:.0f} s"


def secret_settings(file: Path) -> tuple[str, ...]:
    """Return the names of the settings in one of DVC's files that hold secrets."""
    try:
        text = file.read_text(encoding="utf-8")
    except OSError:
        return ()
    return tuple(named or address for named, address in SECRET_SETTING.findall(text))


def moved_settings(root: Path) -> bool:
    """Return whether DVC's local settings name the folder that the project was in before."""
    try:
        text = (root / ".dvc" / "config.local").read_text(encoding="utf-8")
    except OSError:
        return False
    found = re.search(r"^\s*site_cache_dir\s*=\s*(.+?)\s*$", text, re.M)
    return found is not None and Path(found[1]) != root / ".dvc" / "tmp" / "site"


def has_git() -> bool:
    """Return whether git can be run."""
    return _git(Path.cwd(), "--version")


def is_in_git(root: Path) -> bool:
    """Return whether a folder lies in a git repository."""
    return _git(root, "rev-parse", "--is-inside-work-tree")


def has_git_identity(root: Path) -> bool:
    """Return whether git knows whose commits it makes."""
    return _git(root, "-c", "user.useConfigOnly=true", "var", "GIT_COMMITTER_IDENT")


def _git(root: Path, *arguments: str) -> bool:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, check=False, timeout=10
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
