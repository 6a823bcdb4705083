"""Versions as they answer: the champion, and the one that predicts beside it."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from pipelines.core.fast_models import FastModel, fast_model, predict_quickly
from pipelines.core.model import Model
from pipelines.core.predictions import Predictions
from pipelines.errors import StageError
from pipelines.stores.models import predict_rows
from pipelines.stores.registry import (
    Version,
    champion,
    example_rows,
    model_of,
    version_with_alias,
)
from pipelines.stores.tracking import Store

NEAR = 1e-9


@dataclass(frozen=True, eq=False)
class InUse:
    """A version whose model is loaded and was tried."""

    version: Version
    model: Model
    fast: FastModel


def champion_in_use(store: Store, before: InUse | None) -> InUse | None:
    """Return the champion, loaded unless it is the one before; None where there is none yet.

    Raises
    ------
    StageError
        Its files are gone, or it does not predict the rows that it was registered with.
    """
    return _in_use(store, champion(store), before)


def shadow_in_use(
    store: Store, before: InUse | None, *, beside: Version, now: datetime, days: float
) -> InUse | None:
    """Return the version that predicts beside the champion, None where there is none.

    Parameters
    ----------
    store : Store
    before : InUse, optional
        What predicted beside it until now.
    beside : Version
        The champion.
    now : datetime
    days : float
        So long after the champion was registered it is the champion before; later, or where
        there is none, the challenger.
    """
    former = version_with_alias(store, "previous")
    young = now.timestamp() - beside.created_seconds <= days * 86_400
    chosen = former if former and young else version_with_alias(store, "challenger")
    if chosen is None or chosen.number == beside.number:
        return None
    return _in_use(store, chosen, before)


def _in_use(store: Store, version: Version | None, before: InUse | None) -> InUse | None:
    if version is None:
        return None
    if before is not None and before.version.identity == version.identity:
        return InUse(version, before.model, before.fast)
    model = model_of(store, version)
    made = InUse(version, model, fast_model(model))
    _try_out(made, store)
    return made


def _try_out(made: InUse, store: Store) -> None:
    raw = example_rows(store, made.version)
    rows = [
        {str(name): None if cell != cell else cell for name, cell in row.items()}  # noqa: PLR0124
        for row in raw.to_dict("records")
    ]
    whole = predict_rows(made.model, raw)
    try:
        alike = _alike(predict_quickly(rows, made.fast), whole)
    except ValueError as error:
        raise StageError(
            f"version {made.version.number} of {store.name} cannot read the rows that it was"
            f" registered with, and is not used: {error}"
        ) from error
    if not alike:
        raise StageError(
            f"version {made.version.number} of {store.name} does not give the same predictions"
            " for single rows as for a table, and is not used; train again"
        )


def _alike(quick: Predictions, whole: Predictions) -> bool:
    mine = quick.values if quick.probabilities is None else quick.probabilities
    theirs = whole.values if whole.probabilities is None else whole.probabilities
    return bool(np.allclose(mine, theirs, rtol=NEAR, atol=NEAR, equal_nan=True))
