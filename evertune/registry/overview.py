"""Read-only summaries of a project: its status, its versions, the history of champions.

`read_status` returns the champion, the data it was trained on and the last run; `list_models`
the versions, also only those that were trained on a given version of the data; `read_history`
when each version was champion and what was decided. They read the registry, the decision log
and what DVC recorded, and change no decision.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from evertune.config.loader import load_params
from evertune.errors import InputError
from evertune.files import read_record
from evertune.plan import Plan
from evertune.registry import versions as registry
from evertune.registry.decision_log import read_decision_records
from evertune.registry.mlflow_client import TrackingStore, open_tracking_store
from evertune.registry.promotion import open_registry, read_champion_history
from evertune.registry.records import ChampionPeriod, DecisionRecord, champion_periods
from evertune.registry.runs import METRIC_TAG_PREFIX, MODE_TAG, LastRun, download_artifact, last_run
from evertune.registry.versions import ALIASES, ModelVersion, read_aliases
from evertune.versioning import dvc


@dataclass(frozen=True)
class VersionHistory:
    """What happened to the versions of a model.

    Attributes
    ----------
    name : str
        `registry.name`.
    champion : str, optional
        The version that has the alias now; the last turn is another's where a hand other than
        ours has moved it.
    turns : tuple of ChampionPeriod
        Oldest first.
    decisions : tuple of DecisionRecord
        Oldest first.
    """

    name: str
    champion: str | None
    turns: tuple[ChampionPeriod, ...]
    decisions: tuple[DecisionRecord, ...]


def read_history(root: Path) -> VersionHistory:
    """Return what happened to the versions of a project's model.

    Parameters
    ----------
    root : Path
        The project's folder.
    """
    with open_registry(root) as (store, log):
        decisions = read_decision_records(log)
        figures = {each.number: _metric_text(each) for each in registry.list_versions(store)}
        turns = champion_periods(read_champion_history(store, log), decisions, figures)
        return VersionHistory(log.model, read_aliases(store).get("champion"), turns, decisions)


def _metric_text(version: ModelVersion) -> str:
    metric = version.tags.get("metric")
    figure = version.tags.get(f"{METRIC_TAG_PREFIX}{metric}")
    return "" if metric is None or figure is None else f"{metric} {float(figure):.4g}"


DATA_TABLES = ("source", "absorbed", "training")
MIN_HASH_LENGTH = 4  # characters of a hash


@dataclass(frozen=True)
class VersionSummary:
    """A version in short.

    Attributes
    ----------
    number : str
    aliases : tuple of str
    created : datetime
    metric : str, optional
        That was optimised.
    figure : str, optional
        On the hold-out.
    data : dict of str to str
        DVC's md5 of the `source`, `absorbed` and `training` tables, as far as they are known.
    mode : str, optional
        `tune`, `refit` or `retune`; None where the run does not tell.
    """

    number: str
    aliases: tuple[str, ...]
    created: datetime
    metric: str | None
    figure: str | None
    data: dict[str, str]
    mode: str | None


def list_models(root: Path, *, used: str | None = None) -> tuple[VersionSummary, ...]:
    """Return the versions of the model, the newest first.

    Parameters
    ----------
    root : Path
        The project's folder.
    used : str, optional
        The md5 of a source, absorbed or training table, or its beginning: only versions that
        learned from it.

    Raises
    ------
    InputError
        Several versions of data begin like that.
    """
    params = load_params(root)
    store = open_tracking_store(params.paths.state, params.registry.name)
    versions = registry.list_versions(store)
    if used is not None:
        md5s = _matching_md5s(used, versions)
        versions = tuple(each for each in versions if md5s & set(_data_md5s(each).values()))
    plan = params.paths.plan.name
    return tuple(_version_summary(store, version, plan=plan) for version in reversed(versions))


def _matching_md5s(used: str, versions: tuple[registry.ModelVersion, ...]) -> set[str]:
    known = {md5 for version in versions for md5 in _data_md5s(version).values()}
    found = {md5 for md5 in known if len(used) >= MIN_HASH_LENGTH and md5.startswith(used.lower())}
    if len(found) > 1:
        raise InputError(
            f"expected the hash of one version of the data, but {', '.join(sorted(found))} all"
            f" begin with {used}; give more of it"
        )
    if not found:
        shown = ", ".join(sorted(known)) or "none yet"
        raise InputError(
            f"expected the hash of data that a version learned from, or at least {MIN_HASH_LENGTH} characters"
            f" of it, but got {used!r}; known are {shown}"
        )
    return found


def _data_md5s(version: registry.ModelVersion) -> dict[str, str]:
    named = {name: version.tags.get(f"dvc.{name}") for name in DATA_TABLES}
    return {name: md5 for name, md5 in named.items() if md5 is not None}


def _version_summary(
    store: TrackingStore, version: registry.ModelVersion, *, plan: str
) -> VersionSummary:
    metric = version.tags.get("metric")
    return VersionSummary(
        number=version.number,
        aliases=version.aliases,
        created=datetime.fromtimestamp(version.created_seconds, UTC),
        metric=metric,
        figure=version.tags.get(f"{METRIC_TAG_PREFIX}{metric}"),
        data=_data_md5s(version),
        mode=version.tags.get(MODE_TAG) or _training_mode(store, version, plan),
    )


def _training_mode(store: TrackingStore, version: registry.ModelVersion, plan: str) -> str | None:
    with TemporaryDirectory() as beside:
        project = download_artifact(store, version.run_id, name="project", folder=Path(beside))
        if project is None or not (project / plan).is_file():
            return None
        return read_record(project / plan, Plan).mode


@dataclass(frozen=True)
class ChampionSummary:
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
class ProjectStatus:
    """How a project stands.

    Attributes
    ----------
    name : str
        Of the registered model.
    champion : ChampionSummary, optional
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
    champion: ChampionSummary | None
    challenger: str | None
    previous: str | None
    data: str | None
    has_remote: bool
    stale: tuple[str, ...]
    last_run: LastRun | None


def read_status(root: Path) -> ProjectStatus:
    """Return how the project stands.

    Raises
    ------
    BusyError
        MLflow does not answer.
    """
    params = load_params(root)
    dvc.ensure_project(root)
    store = open_tracking_store(params.paths.state, params.registry.name)
    current = {stage: dvc.is_stage_current(root, stage) for stage in dvc.list_stages(root)}
    holders = {alias: registry.get_version_by_alias(store, alias) for alias in ALIASES}
    numbers = {alias: found.number if found else None for alias, found in holders.items()}
    return ProjectStatus(
        name=params.registry.name,
        champion=_champion_summary(holders["champion"], time.time()),
        challenger=numbers["challenger"],
        previous=numbers["previous"],
        data=dvc.recorded_hash(root, params.paths.source),
        has_remote=dvc.has_remote(root),
        stale=tuple(stage for stage, is_current in current.items() if not is_current),
        last_run=last_run(store),
    )


def _champion_summary(
    found: registry.ModelVersion | None, now_seconds: float
) -> ChampionSummary | None:
    if found is None:
        return None
    return ChampionSummary(
        version=found.number,
        metric=found.tags["metric"],
        figures={
            name.removeprefix(METRIC_TAG_PREFIX): float(value)
            for name, value in found.tags.items()
            if name.startswith(METRIC_TAG_PREFIX)
        },
        data=found.tags["dvc.source"],
        age_seconds=now_seconds - found.created_seconds,
    )
