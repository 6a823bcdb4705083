"""Say how a project stands: its champion, the data that it was trained on, the last run.

Reads the registry and what DVC recorded, and changes neither.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from pipelines.core.summaries import FIGURE_TAG
from pipelines.params import load_params
from pipelines.stores import registry, versions
from pipelines.stores.aliases import ALIASES
from pipelines.stores.pages import LastRun, last_run
from pipelines.stores.tracking import open_store


@dataclass(frozen=True)
class Champion:
    """The version in use.

    Attributes
    ----------
    version : str
    metric : str
        The metric that it was optimised for.
    figures : dict
        On the hold-out, when it was registered.
    data : str
        The md5 of the source table that it was trained on.
    age_seconds : float
        Since it was registered.
    """

    version: str
    metric: str
    figures: dict[str, float]
    data: str
    age_seconds: float


@dataclass(frozen=True)
class Status:
    """How a project stands.

    Attributes
    ----------
    name : str
        Of the registered model.
    champion : Champion, optional
    challenger, previous : str, optional
        Versions.
    data : str, optional
        The md5 of the source table's last snapshot.
    has_remote : bool
        Whether DVC copies versions to a remote.
    stale : tuple of str
        Stages that are not up to date.
    last_run : LastRun, optional
    """

    name: str
    champion: Champion | None
    challenger: str | None
    previous: str | None
    data: str | None
    has_remote: bool
    stale: tuple[str, ...]
    last_run: LastRun | None


def status(root: Path) -> Status:
    """Return how the project stands.

    Raises
    ------
    BusyError
        MLflow does not answer.
    """
    params = load_params(root)
    versions.ensure_project(root)
    store = open_store(params.paths.state, params.registry.name)
    current = {stage: versions.is_current(root, stage) for stage in versions.stages(root)}
    holders = {alias: registry.version_with_alias(store, alias) for alias in ALIASES}
    numbers = {alias: found.number if found else None for alias, found in holders.items()}
    return Status(
        name=params.registry.name,
        champion=_champion(holders["champion"], time.time()),
        challenger=numbers["challenger"],
        previous=numbers["previous"],
        data=versions.recorded_hash(root, params.paths.source),
        has_remote=versions.has_remote(root),
        stale=tuple(stage for stage, is_current in current.items() if not is_current),
        last_run=last_run(store),
    )


def _champion(found: registry.Version | None, now_seconds: float) -> Champion | None:
    if found is None:
        return None
    return Champion(
        version=found.number,
        metric=found.tags["metric"],
        figures={
            name.removeprefix(FIGURE_TAG): float(value)
            for name, value in found.tags.items()
            if name.startswith(FIGURE_TAG)
        },
        data=found.tags["dvc.source"],
        age_seconds=now_seconds - found.created_seconds,
    )
