"""The monitoring reference of a registered version, fetched once and kept in the state folder.

`register` logs the reference's folder with a version's MLflow run; `load_version_reference`
downloads it to `state/reference/<model>/<version>`. The kept copy has its base loss capped by the
reference of the champion before it (`cap_reference_loss`), so that the baseline cannot drift
upwards by itself.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from evertune.errors import StageError
from evertune.monitoring.reference import (
    REFERENCE_FILE,
    Reference,
    cap_reference_loss,
    load_reference,
    save_reference,
)
from evertune.registry.model_registry import ModelRegistry, ModelVersion

REFERENCE_ARTIFACT = "reference"


def load_version_reference(
    store: ModelRegistry, version: ModelVersion, *, state: Path, former: ModelVersion | None = None
) -> Reference:
    """Return the reference of a champion, fetched once and kept in the state folder.

    Parameters
    ----------
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
