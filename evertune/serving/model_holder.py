"""Load and try the versions that a service or batch scoring uses.

A version is used only after it has predicted the rows that it was registered with, alike for single
rows (the compiled model) and as a table. `load_shadow` picks the version that predicts beside the
champion: the previous champion while the champion is young, then the challenger.
"""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from evertune.errors import StageError
from evertune.models.compiled import CompiledModel, compile_model, predict_compiled
from evertune.models.fitted_model import Model
from evertune.models.persistence import predict_rows
from evertune.registry.mlflow_registry import ModelRegistry, ModelVersion
from evertune.types import Predictions

PREDICTION_TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A version whose model is loaded and was tried."""

    version: ModelVersion
    model: Model
    fast: CompiledModel


def load_champion(registry: ModelRegistry, before: LoadedModel | None) -> LoadedModel | None:
    """Return the champion, loaded unless it is the one before; None where there is none yet.

    Raises
    ------
    StageError
        Its files are gone, or it does not predict the rows that it was registered with.
    """
    return _load_version(registry, registry.champion(), before)


def load_shadow(
    registry: ModelRegistry,
    before: LoadedModel | None,
    *,
    beside: ModelVersion,
    now: datetime,
    days: float,
) -> LoadedModel | None:
    """Return the version that predicts beside the champion, None where there is none.

    Parameters
    ----------
    before : LoadedModel, optional
        What predicted beside it until now.
    beside : ModelVersion
        The champion.
    days : float
        So long after the champion was registered it is the champion before; later, or where
        there is none, the challenger.
    """
    former = registry.find("previous")
    young = now.timestamp() - beside.created_seconds <= days * 86_400
    chosen = former if former and young else registry.find("challenger")
    if chosen is None or chosen.number == beside.number:
        return None
    return _load_version(registry, chosen, before)


def _load_version(
    registry: ModelRegistry, version: ModelVersion | None, before: LoadedModel | None
) -> LoadedModel | None:
    if version is None:
        return None
    if before is not None and before.version.identity == version.identity:
        return LoadedModel(version, before.model, before.fast)
    model = registry.load_model(version)
    made = LoadedModel(version, model, compile_model(model))
    _smoke_test(made, registry)
    return made


def _smoke_test(made: LoadedModel, registry: ModelRegistry) -> None:
    raw = registry.example_rows(made.version)
    rows = [
        {str(name): None if pd.isna(cell) else cell for name, cell in row.items()}
        for row in raw.to_dict("records")
    ]
    whole = predict_rows(made.model, raw)
    try:
        alike = _predictions_agree(predict_compiled(rows, made.fast), whole)
    except ValueError as error:
        raise StageError(
            f"version {made.version.number} of {registry.name} cannot read the rows that it was"
            f" registered with, and is not used: {error}"
        ) from error
    if not alike:
        raise StageError(
            f"version {made.version.number} of {registry.name} does not give the same predictions"
            " for single rows as for a table, and is not used; train again"
        )


def _predictions_agree(quick: Predictions, whole: Predictions) -> bool:
    mine = quick.values if quick.probabilities is None else quick.probabilities
    theirs = whole.values if whole.probabilities is None else whole.probabilities
    return bool(
        np.allclose(
            mine, theirs, rtol=PREDICTION_TOLERANCE, atol=PREDICTION_TOLERANCE, equal_nan=True
        )
    )
