"""Save and load monitoring references, on disk and with registered versions.

A reference's folder holds reference.json (`save_reference`, `load_reference`). `register` logs
the folder with a version's MLflow run; `load_version_reference` downloads it once and keeps it
in `state/reference/<model>/<version>`. The kept copy has its base loss capped by the reference
of the champion before it (`cap_reference_loss`), so that the baseline cannot drift upwards by
itself.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from evertune.errors import StageError
from evertune.files import atomic_folder, read_record, write_record
from evertune.monitoring.reference import Reference, cap_reference_loss
from evertune.registry.model_registry import ModelRegistry, ModelVersion

REFERENCE_ARTIFACT = "reference"
REFERENCE_FILE = "reference.json"


def save_reference(folder: Path, reference: Reference) -> None:
    """Write a reference; an older one in the folder is replaced when all is written."""
    with atomic_folder(folder) as part:
        write_record(part / REFERENCE_FILE, reference)


def load_reference(folder: Path) -> Reference:
    """Return the reference that `save_reference` wrote.

    Raises
    ------
    InputError
        If the folder holds none.
    """
    return read_record(folder / REFERENCE_FILE, Reference)


def load_version_reference(
    store: ModelRegistry, version: ModelVersion, *, state: Path, former: ModelVersion | None = None
) -> Reference:
    """Return the reference of a champion, fetched once and kept in the state folder.

    Parameters
    ----------
    store : ModelRegistry
    version : ModelVersion
    state : Path
        The project's `state` folder, absolute.
    former : ModelVersion, optional
        The champion before it, whose reference caps this one for good (see `cap_reference_loss`).

    Raises
    ------
    StageError
        The version has none: it was registered before there were references.
    """
    kept = state / REFERENCE_ARTIFACT / store.name / version.number
    if not (kept / REFERENCE_FILE).exists():
        before = None if former is None else _previous_reference(store, former, state=state)
        save_reference(kept, cap_reference_loss(_load_from_run(store, version), before))
    return load_reference(kept)


def _previous_reference(
    store: ModelRegistry, former: ModelVersion, *, state: Path
) -> Reference | None:
    try:
        return load_version_reference(store, former, state=state)
    except StageError:
        return None  # a version without a reference caps nothing


def _load_from_run(store: ModelRegistry, version: ModelVersion) -> Reference:
    with TemporaryDirectory() as beside:
        run_id, folder = version.run_id, Path(beside)
        kept = store.download_artifact(run_id, name=REFERENCE_ARTIFACT, folder=folder)
        if kept is None:
            raise StageError(
                f"Version {version.number} of {store.name} has no reference to compare production"
                " with: it was registered without one. Run `evertune train` and promote a version"
                " that has one."
            )
        return load_reference(kept)
