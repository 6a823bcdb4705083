"""How a project stands: versions, champions, decisions, stages."""

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from evertune.config.loader import load_params
from evertune.errors import InputError
from evertune.files import is_project_locked, read_record
from evertune.registry.mlflow_registry import (
    LastRun,
    ModelRegistry,
    ModelVersion,
    open_registry,
)
from evertune.registry.promotion_records import ChampionPeriod, champion_periods
from evertune.registry.run_page import HIGH_PREFIX, HOLDOUT_PREFIX, LOW_PREFIX, MODEL_TAG
from evertune.times import in_zone

if TYPE_CHECKING:
    from evertune.registry.decision_log import DecisionEntry

DATA_TABLES = ("source", "absorbed", "training")
MIN_HASH_LENGTH = 4  # characters


@dataclass(frozen=True)
class VersionHistory:
    """What happened to the versions of a model; periods and decisions stand oldest first.

    `champion` has the alias now; the last period is another's if somebody else moved it. Times are
    shown in `timezone`.
    """

    name: str
    champion: str | None
    periods: tuple[ChampionPeriod, ...]
    decisions: "tuple[DecisionEntry, ...]"
    timezone: str = "UTC"


@dataclass(frozen=True)
class VersionSummary:
    """A version in short.

    Attributes
    ----------
    created : datetime
        In the project's time zone.
    metric : str, optional
        The optimised one.
    score : float, optional
        Its value on the hold-out.
    data : dict of str to str
        DVC's md5 of the `source`, `absorbed` and `training` tables, as far as they are known.
    mode : str, optional
        `tune`, `refit` or `retune`; None if the run does not tell.
    """

    number: str
    aliases: tuple[str, ...]
    created: datetime
    metric: str | None
    score: float | None
    data: dict[str, str]
    mode: str | None


@dataclass(frozen=True)
class ChampionSummary:
    """The version in use.

    Attributes
    ----------
    metric : str, optional
        The optimised one; None if somebody removed the version's tag.
    metrics : dict of str to float
        All scores on the hold-out, when it was registered.
    intervals : dict of str to (float, float)
        Of these scores, as far as they are known.
    data : str, optional
        The md5 of the source table that it was trained on.
    age_seconds : float
        Since it was registered.
    model : str, optional
        Its kind, such as `catboost`.
    """

    version: str
    metric: str | None
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    data: str | None
    age_seconds: float
    model: str | None = None


@dataclass(frozen=True)
class ProjectStatus:
    """How a project stands.

    Attributes
    ----------
    data : str, optional
        The md5 of the source table's last snapshot.
    has_remote : bool
        Whether DVC copies versions to a remote.
    stale : tuple of str
        Stages that are not up to date.
    """

    name: str
    champion: ChampionSummary | None
    challenger: str | None
    previous: str | None
    data: str | None
    has_remote: bool
    stale: tuple[str, ...]
    last_run: LastRun | None


def read_status(root: Path) -> ProjectStatus:
    """Return how the project in `root` stands; BusyError if MLflow does not answer."""
    from evertune.versioning import dvc

    params = load_params(root)
    dvc.ensure_project(root)
    registry = open_registry(params)
    aliases, version, champion = registry.aliases(), registry.champion(), None
    if version is not None:
        champion = ChampionSummary(
            version=version.number,
            metric=version.metric,
            metrics={
                name.removeprefix(HOLDOUT_PREFIX): score
                for name, score in version.metrics.items()
                if name.startswith(HOLDOUT_PREFIX)
            },
            intervals=_intervals(version),
            model=version.facts.get(MODEL_TAG),
            data=version.data_md5s.get("source"),
            age_seconds=time.time() - version.created_seconds,
        )
    return ProjectStatus(
        name=registry.name,
        champion=champion,
        challenger=aliases.get("challenger"),
        previous=aliases.get("previous"),
        data=dvc.recorded_hash(root, params.paths.source),
        has_remote=dvc.has_remote(root),
        stale=dvc.outdated_stages(root),
        last_run=_last_run(registry, params.paths.state),
    )


def _last_run(registry: ModelRegistry, state: Path) -> LastRun | None:
    """Return the last run; a killed process left it as RUNNING, but no longer holds the lock."""
    run = registry.last_run()
    if run is None or run.status != "RUNNING" or is_project_locked(state):
        return run
    run = registry.last_run() or run  # it may have ended since it was read
    return replace(run, status="INTERRUPTED") if run.status == "RUNNING" else run


def read_history(root: Path) -> VersionHistory:
    """Return the champions and all decisions of the project in `root`."""
    from evertune.registry.promotion import open_decisions, read_champion_history

    params = load_params(root)
    with open_decisions(root) as (registry, log):
        scores = {}
        for version in registry.versions():
            score = _key_score(version)
            scores[version.number] = "" if score is None else f"{version.metric} {score:.4g}"
        changes = read_champion_history(registry, log)
        return VersionHistory(
            name=registry.name,
            champion=registry.aliases().get("champion"),
            periods=champion_periods(changes, log.records(), scores),
            decisions=log.entries(params.paths.state),
            timezone=params.monitoring.timezone,
        )


def list_models(root: Path, *, used: str | None = None) -> tuple[VersionSummary, ...]:
    """Return the versions of the model, the newest first.

    Parameters
    ----------
    used : str, optional
        The md5 of a source, absorbed or training table, or its beginning: only versions that
        learned from it.

    Raises
    ------
    InputError
        None or several versions of data begin like that.
    """
    params = load_params(root)
    registry, zone = open_registry(params), params.monitoring.timezone
    versions = registry.versions()
    if used is not None:
        md5 = _matching_md5(used, versions)
        versions = tuple(each for each in versions if md5 in _data_md5s(each).values())
    return tuple(
        VersionSummary(
            number=version.number,
            aliases=version.aliases,
            created=in_zone(datetime.fromtimestamp(version.created_seconds, UTC), zone),
            metric=version.metric,
            score=_key_score(version),
            data=_data_md5s(version),
            mode=version.mode or _mode_of_run(registry, version, params.paths.plan.name),
        )
        for version in reversed(versions)
    )


def _key_score(version: ModelVersion) -> float | None:
    return None if version.metric is None else version.holdout_score(version.metric)


def _intervals(version: ModelVersion) -> dict[str, tuple[float, float]]:
    lows, highs = (
        {
            name.removeprefix(end): score
            for name, score in version.metrics.items()
            if name.startswith(end)
        }
        for end in (LOW_PREFIX, HIGH_PREFIX)
    )
    return {name: (low, highs[name]) for name, low in lows.items() if name in highs}


def _data_md5s(version: ModelVersion) -> dict[str, str]:
    return {name: md5 for name, md5 in version.data_md5s.items() if name in DATA_TABLES}


def _matching_md5(used: str, versions: tuple[ModelVersion, ...]) -> str:
    known = sorted({md5 for version in versions for md5 in _data_md5s(version).values()})
    found = [md5 for md5 in known if len(used) >= MIN_HASH_LENGTH and md5.startswith(used.lower())]
    if len(found) > 1:
        raise InputError(
            f"expected the hash of one version of the data, but {', '.join(found)} all begin with"
            f" {used}; give more of it"
        )
    if not found:
        raise InputError(
            f"expected the hash of data that a version learned from, or at least {MIN_HASH_LENGTH}"
            f" characters of it, but got {used!r}; known are {', '.join(known) or 'none yet'}"
        )
    return found[0]


def _mode_of_run(registry: ModelRegistry, version: ModelVersion, plan: str) -> str | None:
    from evertune.plan import Plan

    with TemporaryDirectory() as beside:
        run_id, folder = version.run_id, Path(beside)
        project = registry.download_artifact(run_id, name="project", folder=folder)
        if project is None or not (project / plan).is_file():
            return None
        found: Plan = read_record(project / plan, Plan)
        return found.mode
