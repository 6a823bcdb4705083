"""The monitoring reference of a registered version, downloaded once to the state folder.

`register` logs the reference's folder with a version's MLflow run; `load_version_reference`
downloads it to `state/reference/<model>/<version>`. The stored copy has its base loss capped by the
reference of the champion before it (`cap_reference_loss`), so that the baseline cannot drift
upwards by itself.
"""

from contextlib import suppress
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
from evertune.registry.mlflow_registry import ModelRegistry, ModelVersion

REFERENCE_ARTIFACT = "reference"


def load_version_reference(
    store: ModelRegistry, version: ModelVersion, *, state: Path, former: ModelVersion | None = None
) -> Reference:
    """Return the reference of a champion, downloaded once to the state folder.

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
    folder = state / REFERENCE_ARTIFACT / store.name / version.number
    if not (folder / REFERENCE_FILE).exists():
        before = None
        if former is not None:
            with suppress(StageError):  # a version without a reference caps nothing
                before = load_version_reference(store, former, state=state)
        with TemporaryDirectory() as beside:
            artifact = store.download_artifact(
                version.run_id, name=REFERENCE_ARTIFACT, folder=Path(beside)
            )
            if artifact is None:
                raise StageError(
                    f"Version {version.number} of {store.name} has no reference to compare"
                    " production with: it was registered without one. Run `evertune train` and"
                    " promote a version that has one."
                )
            save_reference(folder, cap_reference_loss(load_reference(artifact), before))
    return load_reference(folder)
