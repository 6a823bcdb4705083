"""What expects the loss of a regression's row before its truth is known (direct loss estimation).

A boosted tree learns from the hold-out how large the bounded loss is where the columns and the
prediction are such (as "DLE" of NannyML does). It is kept as LightGBM's own text.
"""

from dataclasses import dataclass

import lightgbm
import numpy as np
import pandas as pd

from pipelines.core.predictions import Floats

MOST_LEVELS = 50
ROUNDS = 60
SETTINGS = {
    "objective": "regression",
    "learning_rate": 0.1,
    "num_leaves": 8,
    "min_data_in_leaf": 20,
    "verbosity": -1,
    "num_threads": 1,
    "deterministic": True,
    "force_col_wise": True,
}


@dataclass(frozen=True)
class ErrorModel:
    """What expects the loss of a row from its columns and its prediction.

    Attributes
    ----------
    columns : tuple of str
    levels : dict
        The levels of each column of words, in the order of their codes.
    booster : str
        A LightGBM model as text.
    """

    columns: tuple[str, ...]
    levels: dict[str, tuple[str, ...]]
    booster: str


def error_model(
    features: pd.DataFrame | None, values: Floats, losses: Floats, *, seed: int
) -> ErrorModel:
    """Return what expects the losses of rows.

    Parameters
    ----------
    features : DataFrame of n rows, optional
        Clean columns.
    values : array of shape (n,)
        What was predicted.
    losses : array of shape (n,)
        In [0, 1].
    seed : int
    """
    features = pd.DataFrame(index=range(values.size)) if features is None else features
    levels = {str(name): _levels(features[name]) for name in features if _is_text(features[name])}
    columns = tuple(str(name) for name in features)
    unfitted = ErrorModel(columns, levels, "")
    rows = lightgbm.Dataset(_matrix(unfitted, features, values), losses)
    booster = lightgbm.train({**SETTINGS, "seed": seed}, rows, num_boost_round=ROUNDS)
    return ErrorModel(columns, levels, str(booster.model_to_string()))


def expected_losses(model: ErrorModel, features: pd.DataFrame | None, values: Floats) -> Floats:
    """Return the expected loss of n rows, shape (n,).

    Raises
    ------
    ValueError
        If a column that it learned from is missing.
    """
    features = pd.DataFrame(index=range(values.size)) if features is None else features
    missing = [name for name in model.columns if name not in features]
    if missing:
        raise ValueError(f"Expected the columns {model.columns}, but {missing=}.")
    if not values.size:
        return np.zeros(0)
    booster = lightgbm.Booster(model_str=model.booster)
    said = booster.predict(_matrix(model, features, values), num_threads=1)
    return np.clip(np.asarray(said, dtype=np.float64), 0.0, 1.0)


def _is_text(column: pd.Series) -> bool:
    return not (
        pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_any_dtype(column)
    )


def _levels(column: pd.Series) -> tuple[str, ...]:
    counts = column.dropna().astype("str").value_counts()
    return tuple(str(level) for level in counts.index[:MOST_LEVELS])


def _matrix(model: ErrorModel, features: pd.DataFrame, values: Floats) -> Floats:
    columns = [_numbers(features[name], model.levels.get(name)) for name in model.columns]
    return np.column_stack([*columns, values])


def _numbers(column: pd.Series, levels: tuple[str, ...] | None) -> Floats:
    if levels is not None:
        codes = {level: float(code) for code, level in enumerate(levels)}
        return np.asarray(column.astype("str").map(codes), dtype=np.float64)
    if pd.api.types.is_datetime64_any_dtype(column):
        days = (column - pd.Timestamp(0)) / pd.Timedelta(days=1)
        return np.asarray(days, dtype=np.float64)
    return np.asarray(column.astype("float64"), dtype=np.float64)
