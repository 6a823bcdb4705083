"""The versions of a model and their aliases in MLflow's registry.

A version is found again by the hash of the model's files, so that a model is registered once
however often it is tried. The aliases are `champion` (in use), `challenger` (the newest that is
not) and `previous` (the champion before).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from pipelines.core.model import Model
from pipelines.core.pages import ServedPage
from pipelines.errors import BusyError, StageError
from pipelines.stores.models import load_model
from pipelines.stores.tracking import Store, client, fetched, link_model, told, write_served

IDENTITY_TAG = "evertune.model"
ROLLED_BACK_TAG = "evertune.rolled_back"
FOLDER = "model"
EXAMPLE = "input_example.json"
ALIASES = ("champion", "challenger", "previous")


@dataclass(frozen=True)
class Version:
    """A registered version.

    Attributes
    ----------
    number : str
    identity : str
        Hash of the model's files.
    run_id : str
        The run that shows how it was made.
    created_seconds : float
        When it was registered, since 1970.
    source : str
        Where its files lie.
    tags : dict
    aliases : tuple of str
    """

    number: str
    identity: str
    run_id: str
    created_seconds: float
    source: str
    tags: dict[str, str]
    aliases: tuple[str, ...]


@told
def register_version(store: Store, run_id: str, *, model: Path, page: ServedPage) -> Version:
    """Return the version with the page's identity; it is registered unless it is already.

    Parameters
    ----------
    store : Store
    run_id : str
        The run that shows how the model was made.
    model : Path
        Folder that `save_model` wrote.
    page : ServedPage
    """
    known = client(store.address)
    _ensure_name(known, store.name)
    found = _with_identity(known, store, page.identity)
    if found is None:
        logged = _logged_model(known, store, run_id, model=model, page=page)
        made = known.create_model_version(
            store.name,
            source=logged.artifact_location,
            run_id=run_id,
            tags=_tags(page),
            description=page.description,
            model_id=logged.model_id,
        )
        return _version(made, _aliases(known, store.name))
    return found


@told
def describe_version(
    store: Store, number: str, *, tags: Mapping[str, str], description: str
) -> None:
    """Set tags and the description of a version, such as after a new evaluation or a verdict."""
    known = client(store.address)
    known.update_model_version(store.name, number, description)
    for name, value in tags.items():
        known.set_model_version_tag(store.name, number, name, value)


@told
def version_numbered(store: Store, number: str) -> Version:
    """Return a version by its number."""
    known = client(store.address)
    return _version(known.get_model_version(store.name, number), _aliases(known, store.name))


@told
def version_with_alias(store: Store, alias: str) -> Version | None:
    """Return the version with this alias, None if there is none."""
    known = client(store.address)
    aliases = _aliases(known, store.name)
    if alias not in aliases:
        return None
    return _version(known.get_model_version(store.name, aliases[alias]), aliases)


def champion(store: Store) -> Version | None:
    """Return the version in use, None if there is none yet."""
    return version_with_alias(store, "champion")


@told
def make_challenger(store: Store, number: str) -> None:
    """Give a version the alias `challenger`, unless it is the champion."""
    known = client(store.address)
    if _aliases(known, store.name).get("champion") != number:
        known.set_registered_model_alias(store.name, "challenger", number)


@told
def promote(store: Store, number: str, *, over: str | None) -> None:
    """Make a version the champion; the champion before it keeps the alias `previous`.

    Parameters
    ----------
    store : Store
    number : str
    over : str, optional
        The champion that it was compared with, None if there was none.

    Raises
    ------
    BusyError
        Another version has become champion in the meantime.
    """
    known = client(store.address)
    aliases = _aliases(known, store.name)
    if aliases.get("champion") not in (over, number):
        raise BusyError(
            f"expected version {over} of {store.name} to be champion, but it is version"
            f" {aliases.get('champion')} now; run again to compare with that one"
        )
    if over is not None and over != number:
        known.set_registered_model_alias(store.name, "previous", over)
    known.set_registered_model_alias(store.name, "champion", number)
    if aliases.get("challenger") == number:
        known.delete_registered_model_alias(store.name, "challenger")


@told
def roll_back(store: Store, number: str, *, over: str) -> None:
    """Make a former champion the champion again; the one that it replaces becomes `previous`.

    That one keeps a tag that says so: `register` does not promote it again.

    Parameters
    ----------
    store : Store
    number : str
    over : str
        The champion that is replaced.

    Raises
    ------
    BusyError
        Another version has become champion in the meantime.
    """
    known = client(store.address)
    standing = _aliases(known, store.name).get("champion")
    if standing not in (over, number):
        raise BusyError(
            f"expected version {over} of {store.name} to be champion, but it is version {standing}"
            " now; nothing was rolled back"
        )
    known.set_model_version_tag(store.name, over, ROLLED_BACK_TAG, f"to version {number}")
    known.set_registered_model_alias(store.name, "previous", over)
    known.set_registered_model_alias(store.name, "champion", number)


@told
def download_model(store: Store, version: Version, *, folder: Path) -> Path:
    """Return the folder of a version's model, for `load_model`, copied to `folder`.

    Raises
    ------
    StageError
        Its files are gone.
    """
    return fetched(store.address, version.source, folder=folder) / "data" / FOLDER


def champion_model(store: Store) -> Model:
    """Return the model in use.

    Raises
    ------
    StageError
        There is none, or its files are gone.
    """
    standing = champion(store)
    if standing is None:
        raise StageError(
            f"expected a champion of '{store.name}', but there is none; run `evertune train`"
        )
    return model_of(store, standing)


def model_of(store: Store, version: Version) -> Model:
    """Return the model of a version.

    Raises
    ------
    StageError
        Its files are gone.
    """
    with TemporaryDirectory() as beside:
        return load_model(download_model(store, version, folder=Path(beside)))


@told
def example_rows(store: Store, version: Version) -> pd.DataFrame:
    """Return the raw rows that a version was registered with as an example."""
    with TemporaryDirectory() as beside:
        files = fetched(store.address, version.source, folder=Path(beside))
        example = json.loads((files / EXAMPLE).read_text(encoding="utf-8"))
    return pd.DataFrame(example["data"], columns=example["columns"])


def _ensure_name(known: Any, name: str) -> None:
    if not known.search_registered_models(f"name = '{name}'"):
        known.create_registered_model(name, description="Kept tuned by Evertune.")


def _aliases(known: Any, name: str) -> dict[str, str]:
    if not known.search_registered_models(f"name = '{name}'"):
        return {}
    return {alias: str(n) for alias, n in known.get_registered_model(name).aliases.items()}


def _with_identity(known: Any, store: Store, identity: str) -> Version | None:
    wanted = f"name = '{store.name}' and tags.`{IDENTITY_TAG}` = '{identity}'"
    found = known.search_model_versions(wanted)
    return _version(found[0], _aliases(known, store.name)) if found else None


def _tags(page: ServedPage) -> dict[str, str]:
    return {IDENTITY_TAG: page.identity, **page.tags}


def _logged_model(known: Any, store: Store, run_id: str, *, model: Path, page: ServedPage) -> Any:
    wanted = f"tags.`{IDENTITY_TAG}` = '{page.identity}'"
    left = known.search_logged_models([store.experiment_id], wanted)
    if left and str(left[0].status) == "READY":
        return left[0]
    logged = (
        left[0]
        if left
        else known.create_logged_model(
            store.experiment_id, name=FOLDER, source_run_id=run_id, tags=_tags(page)
        )
    )
    with TemporaryDirectory() as beside:
        served = Path(beside) / "served"
        write_served(served, model=_named(model, Path(beside)), page=page)
        known.log_model_artifacts(logged.model_id, str(served))
    link_model(known, run_id, model_id=logged.model_id, metrics=page.metrics)
    return known.finalize_logged_model(logged.model_id, "READY")


def _named(model: Path, beside: Path) -> Path:
    # MLflow keeps the last part of the path; download_model looks for one name.
    link = beside / FOLDER
    link.symlink_to(model, target_is_directory=True)
    return link


def _version(found: Any, aliases: Mapping[str, str]) -> Version:
    number = str(found.version)
    return Version(
        number=number,
        identity=str(found.tags.get(IDENTITY_TAG, "")),
        run_id=str(found.run_id or ""),
        created_seconds=found.creation_timestamp / 1000,
        source=str(found.source),
        tags={str(name): str(value) for name, value in found.tags.items()},
        aliases=tuple(sorted(alias for alias, holder in aliases.items() if holder == number)),
    )
