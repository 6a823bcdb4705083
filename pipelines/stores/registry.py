"""The versions of a model and their aliases in MLflow's registry.

A version is found again by the hash of the model's files, so that a model is registered once
however often it is tried. The aliases are `champion` (in use), `challenger` (the newest that is
not) and `previous` (the champion before).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipelines.core.judging.records import (
    challenged_aliases,
    promoted_aliases,
    rolled_back_aliases,
)
from pipelines.core.pages import ServedPage
from pipelines.errors import StageError
from pipelines.stores.aliases import aliases, move_aliases, named_aliases
from pipelines.stores.logged_models import (
    FOLDER,
    IDENTITY_TAG,
    example_in,
    logged_model,
    model_tags,
)
from pipelines.stores.tracking import Store, client, fetched, told

if TYPE_CHECKING:
    from pipelines.core.model import Model

ROLLED_BACK_TAG = "evertune.rolled_back"


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
        logged = logged_model(known, store, run_id, model=model, page=page)
        made = known.create_model_version(
            store.name,
            source=logged.artifact_location,
            run_id=run_id,
            tags=model_tags(page),
            description=page.description,
            model_id=logged.model_id,
        )
        return _version(made, named_aliases(known, store.name))
    return found


@told
def describe_version(
    store: Store, number: str, *, tags: Mapping[str, str], description: str
) -> None:
    """Set tags and the description of a version, such as after a new evaluation or a verdict."""
    client(store.address).update_model_version(store.name, number, description)
    tag_version(store, number, tags)


@told
def tag_version(store: Store, number: str, tags: Mapping[str, str]) -> None:
    """Set tags of a version; its others stay."""
    known = client(store.address)
    for name, value in tags.items():
        known.set_model_version_tag(store.name, number, name, value)


@told
def version_numbered(store: Store, number: str) -> Version:
    """Return a version by its number."""
    known = client(store.address)
    return _version(known.get_model_version(store.name, number), named_aliases(known, store.name))


@told
def all_versions(store: Store) -> tuple[Version, ...]:
    """Return every version of the model, oldest first."""
    known = client(store.address)
    named, found = named_aliases(known, store.name), []
    page = known.search_model_versions(f"name = '{store.name}'")
    while True:
        found += [_version(each, named) for each in page]
        if not page.token:
            return tuple(sorted(found, key=lambda version: int(version.number)))
        page = known.search_model_versions(f"name = '{store.name}'", page_token=page.token)


@told
def version_with_alias(store: Store, alias: str) -> Version | None:
    """Return the version with this alias, None if there is none."""
    known = client(store.address)
    named = named_aliases(known, store.name)
    if alias not in named:
        return None
    return _version(known.get_model_version(store.name, named[alias]), named)


def champion(store: Store) -> Version | None:
    """Return the version in use, None if there is none yet."""
    return version_with_alias(store, "champion")


def make_challenger(store: Store, number: str) -> None:
    """Give a version the alias `challenger`, unless it is the champion."""
    before = aliases(store)
    move_aliases(store, before=before, after=challenged_aliases(before, number))


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
    before = _with_champion(aliases(store), over)
    move_aliases(store, before=before, after=promoted_aliases(before, number))


def roll_back(store: Store, number: str, *, over: str) -> None:
    """Make a former champion the champion again; the one that it replaces becomes `previous`.

    Raises
    ------
    BusyError
        Another version has become champion in the meantime.
    """
    before = _with_champion(aliases(store), over)
    move_aliases(store, before=before, after=rolled_back_aliases(before, number))
    mark_rolled_back(store, over, number=number)


@told
def mark_rolled_back(store: Store, over: str, *, number: str) -> None:
    """Tag a champion that another version replaces: the gate does not promote it again."""
    known = client(store.address)
    known.set_model_version_tag(store.name, over, ROLLED_BACK_TAG, f"to version {number}")


@told
def mark_wanted(store: Store, number: str) -> None:
    """Take that tag from a version that is champion again."""
    known = client(store.address)
    if ROLLED_BACK_TAG in known.get_model_version(store.name, number).tags:
        known.delete_model_version_tag(store.name, number, ROLLED_BACK_TAG)


@told
def download_version(store: Store, version: Version, *, folder: Path) -> Path:
    """Return the folder of a version's files, copied to `folder`.

    Raises
    ------
    StageError
        They are gone.
    """
    return fetched(store.address, version.source, folder=folder)


def download_model(store: Store, version: Version, *, folder: Path) -> Path:
    """Return the folder of a version's model, for `load_model`, copied to `folder`.

    Raises
    ------
    StageError
        Its files are gone.
    """
    return download_version(store, version, folder=folder) / "data" / FOLDER


def champion_model(store: Store) -> "Model":
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


def model_of(store: Store, version: Version) -> "Model":
    """Return the model of a version.

    Raises
    ------
    StageError
        Its files are gone.
    """
    from pipelines.stores.models import load_model

    with TemporaryDirectory() as beside:
        return load_model(download_model(store, version, folder=Path(beside)))


def example_rows(store: Store, version: Version) -> pd.DataFrame:
    """Return the raw rows that a version was registered with as an example."""
    with TemporaryDirectory() as beside:
        return example_in(download_version(store, version, folder=Path(beside)))


def _ensure_name(known: Any, name: str) -> None:
    if not known.search_registered_models(f"name = '{name}'"):
        known.create_registered_model(name, description="Kept tuned by Evertune.")


def _with_champion(before: Mapping[str, str], number: str | None) -> dict[str, str]:
    others = {alias: holder for alias, holder in before.items() if alias != "champion"}
    return others if number is None else {**others, "champion": number}


def _with_identity(known: Any, store: Store, identity: str) -> Version | None:
    wanted = f"name = '{store.name}' and tags.`{IDENTITY_TAG}` = '{identity}'"
    found = known.search_model_versions(wanted)
    return _version(found[0], named_aliases(known, store.name)) if found else None


def _version(found: Any, named: Mapping[str, str]) -> Version:
    number = str(found.version)
    return Version(
        number=number,
        identity=str(found.tags.get(IDENTITY_TAG, "")),
        run_id=str(found.run_id or ""),
        created_seconds=found.creation_timestamp / 1000,
        source=str(found.source),
        tags={str(name): str(value) for name, value in found.tags.items()},
        aliases=tuple(sorted(alias for alias, holder in named.items() if holder == number)),
    )
