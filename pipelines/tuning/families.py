"""The families of models: their defaults, and how a configuration of one is fitted."""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from pipelines.core.encoding import code_columns, encoder, matrix
from pipelines.core.forms import Form, Ways, form_named
from pipelines.core.model import Fitted
from pipelines.core.predictions import Floats
from pipelines.core.schema import Schema
from pipelines.core.trials import Configuration
from pipelines.tuning.growing import Grown, Hyperparameters, Setting
from pipelines.tuning.paradigms import FAMILIES, PARTS, Family
from pipelines.tuning.selecting import only, selected

__all__ = [
    "FAMILIES",
    "PARTS",
    "Family",
    "default_configuration",
    "fit_configuration",
    "form_of",
    "grow",
    "setting_of",
]


def default_configuration(family: str) -> Configuration:
    """Return the configuration of a family that is tried first."""
    return Configuration(family, dict(FAMILIES[family].defaults))


def form_of(configuration: Configuration) -> Form:
    """Return the form of the encoder that a configuration asks for.

    Examples
    --------
    >>> form_of(Configuration("linear", {"numbers": "power"})), form_of(Configuration("catboost"))
    ('power', 'codes')
    """
    _, chosen = _chosen(configuration)
    parts = ("numbers", "levels", "text", "pairs")
    return form_named(Ways(*(str(chosen[name]) for name in parts)))


def setting_of(  # noqa: PLR0913
    configuration: Configuration,
    schema: Schema,
    *,
    seed: int,
    n_jobs: int,
    weights: Floats | None = None,
    validation: tuple[Floats, Floats] | None = None,
    metric: str = "",
    iterations: int | None = None,
    deadline: float = math.inf,
) -> Setting:
    """Return what a fit of a configuration needs to know; weights are made 1 on average."""
    return Setting(
        task=schema.task,
        n_classes=len(schema.classes),
        n_levels=len(code_columns(form_of(configuration), schema)),
        seed=seed,
        n_jobs=n_jobs,
        weights=None if weights is None else weights / weights.mean(),
        validation=validation,
        metric=metric,
        iterations=iterations,
        deadline=deadline,
    )


def grow(configuration: Configuration, X: Floats, y: Floats, setting: Setting) -> Grown:
    """Return a configuration fitted on encoded rows.

    Parameters
    ----------
    configuration : Configuration
        Hyperparameters that it does not name have their family's default.
    X : array of shape (n, width)
        Rows as the encoder of `form_of` gives them.
    y : array of shape (n,)
        Codes of classes, or values.
    setting : Setting

    Raises
    ------
    ValueError
        If the family is unknown, or the rows cannot be learned from.
    """
    family, chosen = _chosen(configuration)
    own = {name: value for name, value in chosen.items() if name not in PARTS}
    with _quiet(), threadpool_limits(None if setting.n_jobs < 0 else setting.n_jobs):
        weighed = replace(setting, weights=_weights(y, chosen, setting))
        columns = selected(X, y, chosen, weighed)
        kept, told = only(columns, X, weighed)
        grown = family.fit(kept, y, own, told)
    return replace(grown, columns=_composed(columns, grown.columns))


def fit_configuration(  # noqa: PLR0913
    configuration: Configuration,
    table: pd.DataFrame,
    truth: Floats,
    *,
    schema: Schema,
    seed: int,
    n_jobs: int,
    weights: Floats | None = None,
    iterations: int | None = None,
    deadline: float = math.inf,
) -> Fitted:
    """Return a configuration fitted on the n rows of a clean table.

    Parameters
    ----------
    configuration : Configuration
        Hyperparameters that it does not name have their family's default.
    table : DataFrame of n rows
        Clean features; other columns are not looked at.
    truth : array of shape (n,)
        Codes of classes, or values.
    schema : Schema
    seed : int
    n_jobs : int
        Threads; -1 is one for each processor.
    weights : array of shape (n,), optional
        How much each row counts, above 0; by default all count the same. The encoder's view of
        the columns is not weighted.
    iterations : int, optional
        Exactly so many rounds, trees or epochs.
    deadline : float
        Moment of the monotonic clock at which the fit ends with what it has.

    Raises
    ------
    ValueError
        If the family is unknown, or the rows cannot be learned from.
    """
    setting = setting_of(
        configuration,
        schema,
        seed=seed,
        n_jobs=n_jobs,
        weights=weights,
        iterations=iterations,
        deadline=deadline,
    )
    with _quiet(), threadpool_limits(None if n_jobs < 0 else n_jobs):
        columns = encoder(form_of(configuration), schema)
        X = columns.fit_transform(matrix(table, schema), truth)
    grown = grow(configuration, X, truth, setting)
    return Fitted(columns, grown.predictor, grown.columns)


def _chosen(configuration: Configuration) -> tuple[Family, Hyperparameters]:
    if configuration.family not in FAMILIES:
        names = ", ".join(FAMILIES)
        raise ValueError(f"family must be one of {names}, but got {configuration.family!r}.")
    family = FAMILIES[configuration.family]
    return family, PARTS | family.defaults | configuration.hyperparameters


def _weights(y: Floats, chosen: Hyperparameters, setting: Setting) -> Floats | None:
    if chosen["class_weight"] == "none" or setting.task == "regression":
        return setting.weights
    counts = np.bincount(y.astype(int), minlength=setting.n_classes)
    balanced: Floats = (len(y) / ((counts > 0).sum() * np.maximum(counts, 1)))[y.astype(int)]
    return balanced if setting.weights is None else balanced * setting.weights


def _composed(
    outer: tuple[int, ...] | None, inner: tuple[int, ...] | None
) -> tuple[int, ...] | None:
    if outer is None or inner is None:
        return inner if outer is None else outer
    return tuple(outer[place] for place in inner)


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave it to the score to judge a fit that did not converge or that has empty bins."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "Bins whose width are too small")
        warnings.filterwarnings("ignore", "Feature .* is constant")
        warnings.filterwarnings("ignore", "Features .* are constant")
        warnings.filterwarnings("ignore", "n_quantiles .* is greater")
        yield
