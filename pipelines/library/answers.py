"""What a model in memory says of a raw table: few rows quickly, many at once."""

import warnings
from collections.abc import Sequence
from weakref import WeakKeyDictionary

import pandas as pd

from pipelines.core.breaches import Breach
from pipelines.core.fast_models import FastModel, encoded, fast_model
from pipelines.core.fast_rows import read_rows
from pipelines.core.model import Model, predict
from pipelines.core.predictions import Predictions
from pipelines.core.tabled import read

FEW_ROWS = 8  # above, whole columns are faster than rows
ready: WeakKeyDictionary[Model, FastModel] = WeakKeyDictionary()


def answers(model: Model, raw: pd.DataFrame) -> Predictions:
    """Return what a model says of n rows; cells that cannot be read count as missing.

    Parameters
    ----------
    model : Model
    raw : DataFrame of n rows
        The columns that the model was fitted on, with text names; typed or text cells.

    Raises
    ------
    ValueError
        Where a cell is infinite, or no cell of a column can be read.
    """
    quick = _quick_answers(model, raw) if len(raw) <= FEW_ROWS else None
    if quick is not None:
        return quick
    table, unread = read(raw, model.schema)
    warn_of(unread)
    return predict(model.fitted, table, model.schema)


def warn_of(unread: Sequence[Breach]) -> None:
    """Tell of cells that count as missing."""
    if unread:
        told = "; ".join(f"{breach.column}: {breach.problem}" for breach in unread)
        warnings.warn(f"{told}; they count as missing.", UserWarning, stacklevel=5)


def _quick_answers(model: Model, raw: pd.DataFrame) -> Predictions | None:
    """Return what a model says of a few rows; None where a cell cannot be read."""
    if model not in ready:
        ready[model] = fast_model(model)
    fast = ready[model]
    cells = raw.astype(object).where(raw.notna(), None).to_dict("records")  # as JSON has gaps
    columns, faults = read_rows(cells, fast.reading)  # type: ignore[arg-type]
    return None if faults else fast.score(encoded(columns, len(raw), fast))
