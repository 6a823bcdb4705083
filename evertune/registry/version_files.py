"""The list of a registered version's files, by which changed and missing ones are found.

`write_file_list` adds `files.sha256` to the files of a version, in the form that
`sha256sum --check` reads. The digest of the list itself is kept apart from them, as a tag of the
version's run; `find_file_fault` compares. Who can change files of a model, and not the registry's
database, cannot have them loaded. Versions of before this list have no tag.
"""

import hashlib
from pathlib import Path

from evertune.files import write_text

LIST_FILE = "files.sha256"
DIGITS_SHOWN = 12


def write_file_list(folder: Path) -> str:
    """Write the list of the files in a folder, and return the SHA-256 of the list."""
    lines = [f"{digest}  {name}\n" for name, digest in sorted(_digests(folder).items())]
    write_text(folder / LIST_FILE, "".join(lines))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def find_file_fault(folder: Path, list_digest: str) -> str | None:
    """Return what is not as it was when the list was written, a clause; None where all is.

    Files beside the listed ones are a fault in `data` only, from which a model is read: MLflow puts
    some of its own, and Python its caches, into other folders.
    """
    path = folder / LIST_FILE
    content = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(content).hexdigest() != list_digest:
        return f"the list of its files, {LIST_FILE}, is not the one that was registered"
    lines = [line.partition("  ") for line in content.decode().splitlines()]
    listed = {name: digest for digest, _, name in lines}
    found = _digests(folder)
    for name, digest in listed.items():
        if name not in found:
            return f"its file {name} is missing"
        if found[name] != digest:
            return (
                f"its file {name} is not the one that was registered (SHA-256"
                f" {found[name][:DIGITS_SHOWN]}... instead of {digest[:DIGITS_SHOWN]}...)"
            )
    added = sorted(name for name in found.keys() - listed.keys() if name.startswith("data/"))
    return f"a file was added to it: {added[0]!r}" if added else None


def _digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file below a folder, by its path there, but for the list."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if name != LIST_FILE:
            with path.open("rb") as file:
                found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found
