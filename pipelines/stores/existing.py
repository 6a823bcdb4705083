"""Predictions of the system in use, made by a registered model."""

import re
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from pipelines.errors import ParamsError
from pipelines.stores.models import load_model, predict_rows, prediction_table
from pipelines.stores.registry import Version, download_model
from pipelines.stores.tracking import Store, client, told

REFERENCE = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<number>[0-9]+)|@(?P<alias>.+))")
TWO = 2


def existing_predictions(
    store: Store, reference: str, *, table: pd.DataFrame, positive: str | float | bool
) -> pd.Series:
    """Return what a registered model says about n rows, as a source table would hold it.

    Parameters
    ----------
    store : Store
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
    found = REFERENCE.fullmatch(reference)
    if found is None:
        raise ParamsError(
            f"data.existing_model must be models:/NAME/NUMBER or models:/NAME@ALIAS, but got "
            f"{reference!r}."
        )
    store = replace(store, name=found["name"])
    with TemporaryDirectory() as folder:
        version = _version(store, number=found["number"], alias=found["alias"])
        model = load_model(download_model(store, version, folder=Path(folder)))
    said = prediction_table(predict_rows(model, table), model.schema)
    share = f"probability_{positive}"
    return said[share if share in said and len(model.schema.classes) == TWO else "prediction"]


@told
def _version(store: Store, *, number: str | None, alias: str | None) -> Version:
    known = client(store.address)
    if number is None:
        found = known.get_model_version_by_alias(store.name, alias)
    else:
        found = known.get_model_version(store.name, number)
    made = found.creation_timestamp / 1000
    return Version(str(found.version), "", "", made, str(found.source), tags={}, aliases=())
