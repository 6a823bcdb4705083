"""The versions of a model in MLflow's registry and their aliases.

The aliases are `champion` (in use), `challenger` (the newest that is not) and `previous` (the
champion before). A version is found by the hash of the model's files, so that a model is
registered once however often it is tried (`register_version`). `move_aliases` refuses if
another version has become champion in the meantime, and completes a move that was cut short.
`load_champion_model` and `load_version_model` return models; `predict_existing_model` predicts
with any model that Evertune registered, such as the system in use.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pandas as pd

from evertune.data.schema import TableSchema
from evertune.errors import BusyError, ParamsError, StageError
from evertune.files import read_record
from evertune.models.persistence import ModelMetadata, load_model, predict_rows, prediction_table
from evertune.registry.mlflow_client import (
    ModelDescription,
    TrackingStore,
    create_client,
    fetch_artifacts,
    translate_mlflow_errors,
)
from evertune.registry.pyfunc import (
    IDENTITY_TAG,
    MODEL_FOLDER,
    get_or_log_model,
    model_tags,
    read_example_rows,
)
from evertune.registry.records import (
    aliases_after_promotion,
    aliases_after_rollback,
    aliases_with_challenger,
)

if TYPE_CHECKING:
    from evertune.models.model import Model


ALIASES = ("previous", "champion", "challenger")  # in the order in which they move


@translate_mlflow_errors
def read_aliases(store: TrackingStore) -> dict[str, str]:
    """Return the version that has each of our aliases; those that a user gave are left out."""
    found = fetch_all_aliases(create_client(store.address), store.name)
    return {alias: found[alias] for alias in ALIASES if alias in found}


@translate_mlflow_errors
def move_aliases(
    store: TrackingStore, *, before: Mapping[str, str], after: Mapping[str, str]
) -> None:
    """Bring the aliases from how they were when it was decided to how they shall be.

    Half-way moved aliases are brought to the same end.

    Raises
    ------
    BusyError
        Another version has become champion in the meantime; nothing is moved.
    """
    known = create_client(store.address)
    standing = fetch_all_aliases(known, store.name)
    champion = standing.get("champion")
    if champion not in (before.get("champion"), after.get("champion")):
        raise BusyError(
            f"expected {_version_text(before.get('champion'))} of {store.name} to be champion, but it is"
            f" {_version_text(champion)} now; nothing was changed: run again, with that one as champion"
        )
    for alias in ALIASES:
        wanted = after.get(alias)
        if wanted is None and alias in standing:
            known.delete_registered_model_alias(store.name, alias)
        elif wanted is not None and wanted != standing.get(alias):
            known.set_registered_model_alias(store.name, alias, wanted)


def fetch_all_aliases(known: Any, name: str) -> dict[str, str]:
    """Return every alias of a registered model; to be called in a function that is
    `translate_mlflow_errors`.
    """
    if not known.search_registered_models(f"name = '{name}'"):
        return {}
    return {alias: str(n) for alias, n in known.get_registered_model(name).aliases.items()}


def _version_text(version: str | None) -> str:
    return "no version" if version is None else f"version {version}"


ROLLED_BACK_TAG = "evertune.rolled_back"


@dataclass(frozen=True)
class ModelVersion:
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


@translate_mlflow_errors
def register_version(
    store: TrackingStore, run_id: str, *, model: Path, page: ModelDescription
) -> ModelVersion:
    """Return the version with the page's identity; it is registered unless it is already.

    Parameters
    ----------
    store : TrackingStore
    run_id : str
        The run that shows how the model was made.
    model : Path
        Folder that `save_model` wrote.
    page : ModelDescription
    """
    known = create_client(store.address)
    _ensure_registered_model(known, store.name)
    found = _find_by_identity(known, store, page.identity)
    if found is None:
        logged = get_or_log_model(known, store, run_id, model=model, page=page)
        made = known.create_model_version(
            store.name,
            source=logged.artifact_location,
            run_id=run_id,
            tags=model_tags(page),
            description=page.description,
            model_id=logged.model_id,
        )
        return _to_model_version(made, fetch_all_aliases(known, store.name))
    return found


@translate_mlflow_errors
def describe_version(
    store: TrackingStore, number: str, *, tags: Mapping[str, str], description: str
) -> None:
    """Set tags and the description of a version, such as after a new evaluation or a verdict."""
    create_client(store.address).update_model_version(store.name, number, description)
    tag_version(store, number, tags)


@translate_mlflow_errors
def tag_version(store: TrackingStore, number: str, tags: Mapping[str, str]) -> None:
    """Set tags of a version; its others stay."""
    known = create_client(store.address)
    for name, value in tags.items():
        known.set_model_version_tag(store.name, number, name, value)


@translate_mlflow_errors
def get_version(store: TrackingStore, number: str) -> ModelVersion:
    """Return a version by its number."""
    known = create_client(store.address)
    return _to_model_version(
        known.get_model_version(store.name, number), fetch_all_aliases(known, store.name)
    )


@translate_mlflow_errors
def list_versions(store: TrackingStore) -> tuple[ModelVersion, ...]:
    """Return every version of the model, oldest first."""
    known = create_client(store.address)
    named, found = fetch_all_aliases(known, store.name), []
    page = known.search_model_versions(f"name = '{store.name}'")
    while True:
        found += [_to_model_version(each, named) for each in page]
        if not page.token:
            return tuple(sorted(found, key=lambda version: int(version.number)))
        page = known.search_model_versions(f"name = '{store.name}'", page_token=page.token)


@translate_mlflow_errors
def get_version_by_alias(store: TrackingStore, alias: str) -> ModelVersion | None:
    """Return the version with this alias, None if there is none."""
    known = create_client(store.address)
    named = fetch_all_aliases(known, store.name)
    if alias not in named:
        return None
    return _to_model_version(known.get_model_version(store.name, named[alias]), named)


def get_champion(store: TrackingStore) -> ModelVersion | None:
    """Return the version in use, None if there is none yet."""
    return get_version_by_alias(store, "champion")


def make_challenger(store: TrackingStore, number: str) -> None:
    """Give a version the alias `challenger`, unless it is the champion."""
    before = read_aliases(store)
    move_aliases(store, before=before, after=aliases_with_challenger(before, number))


def promote_version(store: TrackingStore, number: str, *, over: str | None) -> None:
    """Make a version the champion; the champion before it keeps the alias `previous`.

    Parameters
    ----------
    store : TrackingStore
    number : str
    over : str, optional
        The champion that it was compared with, None if there was none.

    Raises
    ------
    BusyError
        Another version has become champion in the meantime.
    """
    before = _replace_champion(read_aliases(store), over)
    move_aliases(store, before=before, after=aliases_after_promotion(before, number))


def roll_back_version(store: TrackingStore, number: str, *, over: str) -> None:
    """Make a former champion the champion again; the one that it replaces becomes `previous`.

    Raises
    ------
    BusyError
        Another version has become champion in the meantime.
    """
    before = _replace_champion(read_aliases(store), over)
    move_aliases(store, before=before, after=aliases_after_rollback(before, number))
    set_rolled_back_tag(store, over, number=number)


@translate_mlflow_errors
def set_rolled_back_tag(store: TrackingStore, over: str, *, number: str) -> None:
    """Tag a champion that another version replaces: the gate does not promote it again."""
    known = create_client(store.address)
    known.set_model_version_tag(store.name, over, ROLLED_BACK_TAG, f"to version {number}")


@translate_mlflow_errors
def clear_rolled_back_tag(store: TrackingStore, number: str) -> None:
    """Take that tag from a version that is champion again."""
    known = create_client(store.address)
    if ROLLED_BACK_TAG in known.get_model_version(store.name, number).tags:
        known.delete_model_version_tag(store.name, number, ROLLED_BACK_TAG)


@translate_mlflow_errors
def download_version(store: TrackingStore, version: ModelVersion, *, folder: Path) -> Path:
    """Return the folder of a version's files, copied to `folder`.

    Raises
    ------
    StageError
        They are gone.
    """
    return fetch_artifacts(store.address, version.source, folder=folder)


def download_model(store: TrackingStore, version: ModelVersion, *, folder: Path) -> Path:
    """Return the folder of a version's model, for `load_model`, copied to `folder`.

    Raises
    ------
    StageError
        Its files are gone.
    """
    return download_version(store, version, folder=folder) / "data" / MODEL_FOLDER


def load_champion_model(store: TrackingStore) -> "Model":
    """Return the model in use.

    Raises
    ------
    StageError
        There is none, or its files are gone.
    """
    standing = get_champion(store)
    if standing is None:
        raise StageError(
            f"expected a champion of '{store.name}', but there is none; run `evertune train`"
        )
    return load_version_model(store, standing)


def load_version_model(store: TrackingStore, version: ModelVersion) -> "Model":
    """Return the model of a version.

    Raises
    ------
    StageError
        Its files are gone.
    """
    from evertune.models.persistence import load_model

    with TemporaryDirectory() as beside:
        return load_model(download_model(store, version, folder=Path(beside)))


def example_rows(store: TrackingStore, version: ModelVersion) -> pd.DataFrame:
    """Return the raw rows that a version was registered with as an example."""
    with TemporaryDirectory() as beside:
        return read_example_rows(download_version(store, version, folder=Path(beside)))


def _ensure_registered_model(known: Any, name: str) -> None:
    if not known.search_registered_models(f"name = '{name}'"):
        known.create_registered_model(name, description="Kept tuned by Evertune.")


def _replace_champion(before: Mapping[str, str], number: str | None) -> dict[str, str]:
    others = {alias: holder for alias, holder in before.items() if alias != "champion"}
    return others if number is None else {**others, "champion": number}


def _find_by_identity(known: Any, store: TrackingStore, identity: str) -> ModelVersion | None:
    wanted = f"name = '{store.name}' and tags.`{IDENTITY_TAG}` = '{identity}'"
    found = known.search_model_versions(wanted)
    return _to_model_version(found[0], fetch_all_aliases(known, store.name)) if found else None


def _to_model_version(found: Any, named: Mapping[str, str]) -> ModelVersion:
    number = str(found.version)
    return ModelVersion(
        number=number,
        identity=str(found.tags.get(IDENTITY_TAG, "")),
        run_id=str(found.run_id or ""),
        created_seconds=found.creation_timestamp / 1000,
        source=str(found.source),
        tags={str(name): str(value) for name, value in found.tags.items()},
        aliases=tuple(sorted(alias for alias, holder in named.items() if holder == number)),
    )


MODEL_URI = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<number>[0-9]+)|@(?P<alias>.+))")
N_BINARY_CLASSES = 2


def predict_existing_model(
    store: TrackingStore, reference: str, *, table: pd.DataFrame, positive: str | float | bool
) -> pd.Series:
    """Return what a registered model says about n rows, as a source table would hold it.

    Parameters
    ----------
    store : TrackingStore
    reference : str
        ``models:/NAME/NUMBER`` or ``models:/NAME@ALIAS``, a model that Evertune registered.
    table : DataFrame of n rows
        Text or typed cells.
    positive : str
        The class of interest in a binary task, or `auto`.

    Returns
    -------
    series of n
        Values; or classes as text; or, where the model tells one class from another and `positive`
        is one of them, the probabilities of `positive`.

    Raises
    ------
    ParamsError
        Where the reference names no model.
    TableError
        Where the table lacks what the model needs.
    """
    found = MODEL_URI.fullmatch(reference)
    if found is None:
        raise ParamsError(
            f"data.existing_model must be models:/NAME/NUMBER or models:/NAME@ALIAS, but got "
            f"{reference!r}."
        )
    store = replace(store, name=found["name"])
    with TemporaryDirectory() as folder:
        version = _resolve_version(store, number=found["number"], alias=found["alias"])
        model = load_model(download_model(store, version, folder=Path(folder)))
    said = prediction_table(predict_rows(model, table), model.schema)
    share = f"probability_{positive}"
    return said[
        share if share in said and len(model.schema.classes) == N_BINARY_CLASSES else "prediction"
    ]


@translate_mlflow_errors
def _resolve_version(
    store: TrackingStore, *, number: str | None, alias: str | None
) -> ModelVersion:
    known = create_client(store.address)
    if number is None:
        found = known.get_model_version_by_alias(store.name, alias)
    else:
        found = known.get_model_version(store.name, number)
    made = found.creation_timestamp / 1000
    return ModelVersion(str(found.version), "", "", made, str(found.source), tags={}, aliases=())


def load_champion_schema(store: TrackingStore) -> TableSchema:
    """Return the schema of the champion.

    Raises
    ------
    StageError
        Where there is no champion yet.
    """
    version = get_champion(store)
    if version is None:
        raise StageError(
            f"{store.name} has no champion yet; run `evertune train`, which makes the first one."
        )
    with TemporaryDirectory() as folder:
        model = download_model(store, version, folder=Path(folder))
        return read_record(model / "model.json", ModelMetadata).schema
