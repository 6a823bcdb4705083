"""References on disk, and those of registered versions.

A reference's folder holds reference.json. `register` logs it with a version's run; what was
fetched is kept in `state/reference/<model>/<version>`.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from pipelines.core.references import Reference, capped
from pipelines.errors import StageError
from pipelines.stores.files import read_record, replaced_folder, write_record
from pipelines.stores.registry import Version
from pipelines.stores.tracking import Store, client, fetched, told

ARTIFACT = "reference"
FILE = "reference.json"


def save_reference(folder: Path, reference: Reference) -> None:
    """Write a reference; an older one in the folder is replaced when all is written."""
    with replaced_folder(folder) as part:
        write_record(part / FILE, reference)


def load_reference(folder: Path) -> Reference:
    """Return the reference that `save_reference` wrote.

    Raises
    ------
    InputError
        If the folder holds none.
    """
    return read_record(folder / FILE, Reference)


def reference_of_version(
    store: Store, version: Version, *, state: Path, former: Version | None = None
) -> Reference:
    """Return the reference of a champion, fetched once and kept in the state folder.

    Parameters
    ----------
    store : Store
    version : Version
    state : Path
        The project's `state` folder, absolute.
    former : Version, optional
        The champion before it, whose reference caps this one for good (see `capped`).

    Raises
    ------
    StageError
        The version has none: it was registered before there were references.
    """
    kept = state / ARTIFACT / store.name / version.number
    if not (kept / FILE).exists():
        before = None if former is None else _before(store, former, state=state)
        save_reference(kept, capped(_fetched(store, version), before))
    return load_reference(kept)


def _before(store: Store, former: Version, *, state: Path) -> Reference | None:
    try:
        return reference_of_version(store, former, state=state)
    except StageError:
        return None  # a version without a reference caps nothing


def _fetched(store: Store, version: Version) -> Reference:
    if not _has_reference(store, version):
        raise StageError(
            f"Version {version.number} of {store.name} has no reference to compare production"
            " with: it was registered without one. Run `evertune train` and promote a version that"
            " has one."
        )
    with TemporaryDirectory() as beside:
        return load_reference(_copied(store, version, folder=Path(beside)))


@told
def _has_reference(store: Store, version: Version) -> bool:
    return bool(client(store.address).list_artifacts(version.run_id, ARTIFACT))


@told
def _copied(store: Store, version: Version, *, folder: Path) -> Path:
    return fetched(store.address, f"runs:/{version.run_id}/{ARTIFACT}", folder=folder)
