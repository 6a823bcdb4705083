"""List the versions of the model, or those that learned from some version of the data.

Reads the registry, and the plan among the artifacts of each version's run.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from pipelines.core.plans import Plan
from pipelines.core.summaries import FIGURE_TAG, MODE_TAG
from pipelines.errors import InputError
from pipelines.params import load_params
from pipelines.stores import registry
from pipelines.stores.files import read_record
from pipelines.stores.pages import kept_file
from pipelines.stores.tracking import Store, open_store

LEARNED_FROM = ("source", "absorbed", "training")
LEAST = 4  # characters of a hash


@dataclass(frozen=True)
class Listed:
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


def models(root: Path, *, used: str | None = None) -> tuple[Listed, ...]:
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
    store = open_store(params.paths.state, params.registry.name)
    versions = registry.all_versions(store)
    if used is not None:
        md5s = _meant(used, versions)
        versions = tuple(each for each in versions if md5s & set(_data(each).values()))
    plan = params.paths.plan.name
    return tuple(_listed(store, version, plan=plan) for version in reversed(versions))


def _meant(used: str, versions: tuple[registry.Version, ...]) -> set[str]:
    known = {md5 for version in versions for md5 in _data(version).values()}
    found = {md5 for md5 in known if len(used) >= LEAST and md5.startswith(used.lower())}
    if len(found) > 1:
        raise InputError(
            f"expected the hash of one version of the data, but {', '.join(sorted(found))} all"
            f" begin with {used}; give more of it"
        )
    if not found:
        shown = ", ".join(sorted(known)) or "none yet"
        raise InputError(
            f"expected the hash of data that a version learned from, or at least {LEAST} characters"
            f" of it, but got {used!r}; known are {shown}"
        )
    return found


def _data(version: registry.Version) -> dict[str, str]:
    named = {name: version.tags.get(f"dvc.{name}") for name in LEARNED_FROM}
    return {name: md5 for name, md5 in named.items() if md5 is not None}


def _listed(store: Store, version: registry.Version, *, plan: str) -> Listed:
    metric = version.tags.get("metric")
    return Listed(
        number=version.number,
        aliases=version.aliases,
        created=datetime.fromtimestamp(version.created_seconds, UTC),
        metric=metric,
        figure=version.tags.get(f"{FIGURE_TAG}{metric}"),
        data=_data(version),
        mode=version.tags.get(MODE_TAG) or _mode(store, version, plan),
    )


def _mode(store: Store, version: registry.Version, plan: str) -> str | None:
    with TemporaryDirectory() as beside:
        project = kept_file(store, version.run_id, name="project", folder=Path(beside))
        if project is None or not (project / plan).is_file():
            return None
        return read_record(project / plan, Plan).mode
