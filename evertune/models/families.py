"""The model families with their defaults, and the fit of a configuration.

`FAMILIES` maps a name to a `Family`: its fit function and the hyperparameters that a
configuration need not name. `fit_configuration` fits encoder and predictor on a clean table;
`fit_encoded` fits on rows that are already encoded, with class weights and feature selection.

To add a family:

- write its fit function, and add its row to `FAMILIES`;
- name it in `Family` of `evertune.config.schema`; in `EXTRA_FAMILIES`, too, if it needs an extra,
  which `evertune.models.embedding_network.OPTIONAL_LIBRARIES` names;
- add its ranges to `evertune.search.space`, and to the table of docs/search.md;
- add the seconds of a fold to `FOLD_SECONDS` of `evertune.search.portfolio`. A configuration that
  is tried first is a row there, and a place in the orders below it;
- where its predictor is of a new class, add that to `TRUSTED_TYPES` of
  `evertune.models.predictor_files`.

Tests name what is missing, and every family takes those of `tests/models` as it is.
"""

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from evertune.data.schema import TableSchema
from evertune.models.boosting import fit_catboost, fit_lightgbm, fit_xgboost
from evertune.models.embedding_network import fit_embedding_network
from evertune.models.feature_selection import restrict_to_columns, select_features
from evertune.models.fit_context import FitContext, FitFunction, FitResult, Hyperparameters
from evertune.models.fitted_model import FittedPipeline
from evertune.models.neural_network import fit_neural_network
from evertune.models.sklearn_models import (
    fit_extra_trees,
    fit_hist_boosting,
    fit_linear,
    fit_naive_bayes,
    fit_neighbours,
    fit_random_forest,
    fit_svm,
    fit_tree,
    fit_zero_rule,
)
from evertune.preprocessing.encoders import (
    ENCODING_CHOICES,
    Encoding,
    feature_frame,
    make_encoder,
    monotone_columns,
    ordinal_columns,
)
from evertune.trials import Configuration
from evertune.types import FloatArray

# what every family takes besides its own hyperparameters
COMMON_DEFAULTS: Hyperparameters = {
    "numeric_transform": "plain",
    "categorical_encoding": "one_hot",
    "text_encoding": "auto",
    "interactions": "none",
    "class_weight": "none",
    "feature_selection": "none",
    "selected_fraction": 0.5,
}


NETWORK_DEFAULTS: Hyperparameters = {
    "numeric_transform": "spline",
    "layers": 2,
    "width": 128,
    "activation": "relu",
    "solver": "adam",
    "learning_rate_schedule": "cosine",
    "momentum": 0.9,
    "beta_1": 0.9,
    "beta_2": 0.98,
    "batch_size": 256,
    "alpha": 0.01,
    "dropout": 0.1,
    "epochs": 100,
}


FamilyKind = Literal[
    "constant",
    "linear",
    "neighbours",
    "support vectors",
    "tree",
    "forest",
    "boosting",
    "catboost",
    "network",
]


@dataclass(frozen=True)
class Family:
    """A kind of model.

    Attributes
    ----------
    kind : str
        The same for families whose models err alike.
    defaults : dict
        Of the hyperparameters that a configuration leaves out, with its encoding
        where that differs from `COMMON_DEFAULTS`.
    ignores_deadline : bool
        Whether a fit ignores its deadline, so that only the end of its process stops it.
    keeps_monotone : bool
        Whether its predictions can be kept from falling, or rising, with a column.
    """

    kind: FamilyKind
    fit: FitFunction
    defaults: Hyperparameters
    ignores_deadline: bool = False
    keeps_monotone: bool = False


FAMILIES: dict[str, Family] = {
    "linear": Family(
        "linear", fit_linear, {"numeric_transform": "scaled", "alpha": 1.0, "penalty": "l2"}
    ),
    "naive_bayes": Family(
        "linear", fit_naive_bayes, {"numeric_transform": "power", "var_smoothing": 1e-3}
    ),
    "knn": Family(
        "neighbours",
        fit_neighbours,
        {"numeric_transform": "scaled", "n_neighbors": 20, "weights": "distance", "p": 2},
        ignores_deadline=True,
    ),
    "svm": Family(
        "support vectors",
        fit_svm,
        {"numeric_transform": "scaled", "C": 1.0, "gamma": 1.0},
        ignores_deadline=True,
    ),
    "tree": Family("tree", fit_tree, {"max_depth": 4, "min_samples_leaf": 20}, keeps_monotone=True),
    "random_forest": Family(
        "forest",
        fit_random_forest,
        {"n_estimators": 100, "max_features": 0.4, "min_samples_leaf": 2},
        keeps_monotone=True,
    ),
    "extra_trees": Family(
        "forest",
        fit_extra_trees,
        {"n_estimators": 100, "max_features": 0.6, "min_samples_leaf": 2},
        keeps_monotone=True,
    ),
    "hist_gradient_boosting": Family(
        "boosting",
        fit_hist_boosting,
        {
            "max_iter": 1000,
            "learning_rate": 0.06,
            "max_leaf_nodes": 16,
            "min_samples_leaf": 20,
            "l2_regularization": 0.1,
            "max_features": 1.0,
        },
        keeps_monotone=True,
    ),
    "lightgbm": Family(
        "boosting",
        fit_lightgbm,
        {
            "n_estimators": 1000,
            "learning_rate": 0.05,
            "num_leaves": 16,
            "min_data_in_leaf": 20,
            "feature_fraction": 0.7,
            "bagging_fraction": 0.8,
            "extra_trees": False,
            "lambda_l1": 1e-3,
            "lambda_l2": 0.1,
            "cat_smooth": 10.0,
            "cat_l2": 10.0,
            "categorical_encoding": "ordinal",
        },
        keeps_monotone=True,
    ),
    "xgboost": Family(
        "boosting",
        fit_xgboost,
        {
            "n_estimators": 1000,
            "learning_rate": 0.08,
            "max_depth": 6,
            "min_child_weight": 1.0,
            "subsample": 0.8,
            "colsample_bylevel": 0.9,
            "reg_alpha": 1e-3,
            "reg_lambda": 1.0,
        },
        keeps_monotone=True,
    ),
    "catboost": Family(
        "catboost",
        fit_catboost,
        {
            "n_estimators": 1000,
            "learning_rate": 0.08,
            "depth": 6,
            "grow_policy": "SymmetricTree",
            "l2_leaf_reg": 3.0,
            "random_strength": 1.0,
            "subsample": 0.8,
            "one_hot_max_size": 16,
            "max_ctr_complexity": 2,
            "leaf_estimation_iterations": 1,
            "categorical_encoding": "ordinal_all",
        },
        keeps_monotone=True,
    ),
    "mlp": Family("network", fit_neural_network, NETWORK_DEFAULTS | {"learning_rate": 0.001}),
    "embedding_mlp": Family(
        "network",
        fit_embedding_network,
        NETWORK_DEFAULTS
        | {"categorical_encoding": "ordinal_all", "embedding_dim": 8, "learning_rate": 0.002},
    ),
    "zero_rule": Family("constant", fit_zero_rule, {"statistic": "mean"}, keeps_monotone=True),
}


MONOTONE_FAMILIES = tuple(
    name for name, family in FAMILIES.items() if family.keeps_monotone and name != "zero_rule"
)


def default_configuration(family: str) -> Configuration:
    """Return the configuration of a family with its defaults."""
    return Configuration(family, dict(FAMILIES[family].defaults))


def configuration_encoding(configuration: Configuration) -> Encoding:
    """Return the encoding of a configuration.

    Examples
    --------
    >>> configuration_encoding(Configuration("catboost")).categorical_encoding
    'ordinal_all'
    """
    _, params = family_and_params(configuration)
    return Encoding(**{name: str(params[name]) for name in ENCODING_CHOICES})


def make_fit_context(
    configuration: Configuration,
    schema: TableSchema,
    *,
    seed: int,
    n_jobs: int,
    weights: FloatArray | None = None,
    validation: tuple[FloatArray, FloatArray] | None = None,
    metric: str = "",
    iterations: int | None = None,
    deadline: float = math.inf,
    monotone: tuple[int, ...] = (),
) -> FitContext:
    """Return the context of a fit; weights are scaled to 1 on average.

    Raises
    ------
    ValueError
        If no row has a weight above 0.
    """
    if weights is not None and not (weights > 0).any():
        raise ValueError(
            f"expected a row whose weight is above 0, but all {len(weights)} have 0; correct the"
            " column of data.weight"
        )
    return FitContext(
        task=schema.task,
        n_classes=len(schema.classes),
        n_ordinal=len(ordinal_columns(configuration_encoding(configuration), schema)),
        seed=seed,
        n_jobs=n_jobs,
        weights=None if weights is None else weights / weights.mean(),
        validation=validation,
        metric=metric,
        iterations=iterations,
        deadline=deadline,
        monotone=monotone,
    )


def fit_encoded(
    configuration: Configuration, X: FloatArray, y: FloatArray, context: FitContext
) -> FitResult:
    """Return a configuration fitted on encoded rows, with its family's defaults for the rest.

    Parameters
    ----------
    X : array of shape (n, width)
        Rows encoded as `configuration_encoding` says.
    y : array of shape (n,)
        Codes of classes, or values.

    Raises
    ------
    ValueError
        If the family is unknown, or cannot be fitted on the rows.
    """
    family = family_and_params(configuration)[0]
    with ignore_fit_warnings(), threadpool_limits(None if context.n_jobs < 0 else context.n_jobs):
        own, columns, X, context = prepare_fit(configuration, X, y, context)
        result = family.fit(X, y, own, context)
    if columns is not None and result.columns is not None:
        columns = tuple(columns[index] for index in result.columns)
    return result if columns is None else replace(result, columns=columns)


def prepare_fit(
    configuration: Configuration,
    X: FloatArray,
    y: FloatArray,
    context: FitContext,
    *,
    select: Callable[..., tuple[int, ...] | None] = select_features,
) -> tuple[Hyperparameters, tuple[int, ...] | None, FloatArray, FitContext]:
    """Return what the fit function of a configuration's family takes.

    Parameters
    ----------
    select : callable
        Returns the columns to fit on; by default they are selected as the configuration says.

    Returns
    -------
    own : dict
        The family's own hyperparameters.
    columns : tuple of int, optional
        Those of X that were selected; None: all.
    X, context
        With those columns alone, and with the weights that balance classes, if they are to.

    Raises
    ------
    ValueError
        If the family is unknown, or cannot be fitted on the rows.
    """
    _, params = family_and_params(configuration)
    own = {name: value for name, value in params.items() if name not in COMMON_DEFAULTS}
    check_monotone(configuration, context)
    context = replace(context, weights=balanced_weights(y, params, context))
    columns = select(X, y, params, context)
    return own, columns, *restrict_to_columns(columns, X, context)


def fit_configuration(
    configuration: Configuration,
    table: pd.DataFrame,
    y: FloatArray,
    *,
    schema: TableSchema,
    seed: int,
    n_jobs: int,
    weights: FloatArray | None = None,
    iterations: int | None = None,
) -> FittedPipeline:
    """Return a configuration fitted on the rows of a clean table; see `fit_table`."""
    return fit_table(
        configuration,
        table,
        y,
        schema=schema,
        seed=seed,
        n_jobs=n_jobs,
        weights=weights,
        iterations=iterations,
    )[0]


def fit_table(
    configuration: Configuration,
    table: pd.DataFrame,
    y: FloatArray,
    *,
    schema: TableSchema,
    seed: int,
    n_jobs: int,
    weights: FloatArray | None = None,
    iterations: int | None = None,
    deadline: float = math.inf,
) -> tuple[FittedPipeline, FitResult]:
    """Return a configuration fitted on the rows of a clean table, encoder included, and its fit.

    Parameters
    ----------
    table : DataFrame of n rows
        Clean features; other columns are ignored.
    y : array of shape (n,)
        Codes of classes, or values.
    n_jobs : int
        Threads; -1 is one for each processor.
    weights : array of shape (n,), optional
        Of the rows, above 0. The encoder is fitted without weights.
    iterations : int, optional
        Exactly so many rounds, trees or epochs.
    deadline : float
        Moment of the monotonic clock at which the fit ends with what it has.

    Raises
    ------
    ValueError
        If the family is unknown, or cannot be fitted on the rows.
    """
    context = make_fit_context(
        configuration,
        schema,
        seed=seed,
        n_jobs=n_jobs,
        weights=weights,
        iterations=iterations,
        deadline=deadline,
    )
    with ignore_fit_warnings(), threadpool_limits(None if n_jobs < 0 else n_jobs):
        encoder = make_encoder(configuration_encoding(configuration), schema)
        X = encoder.fit_transform(feature_frame(table, schema), y)
    context = replace(context, monotone=monotone_columns(encoder, schema))
    result = fit_encoded(configuration, X, y, context)
    return FittedPipeline(encoder, result.predictor, result.columns), result


def can_keep_monotone(family: str, schema: TableSchema) -> bool:
    """Return whether a model of a family is monotone in all columns that a schema names so."""
    return not schema.is_monotone or FAMILIES[family].keeps_monotone


def check_monotone(configuration: Configuration, context: FitContext) -> None:
    """Refuse a family whose predictions would not be monotone where the context asks for it.

    Raises
    ------
    ValueError
        With the families that can.
    """
    if context.monotone and not FAMILIES[configuration.family].keeps_monotone:
        raise ValueError(
            f"data.monotone needs a family that keeps it, one of {', '.join(MONOTONE_FAMILIES)},"
            f" but got {configuration.family!r}."
        )


def family_and_params(configuration: Configuration) -> tuple[Family, Hyperparameters]:
    """Return a configuration's family, and all of its hyperparameters with their defaults."""
    if configuration.family not in FAMILIES:
        names = ", ".join(FAMILIES)
        raise ValueError(f"family must be one of {names}, but got {configuration.family!r}.")
    family = FAMILIES[configuration.family]
    return family, COMMON_DEFAULTS | family.defaults | configuration.hyperparameters


def balanced_weights(
    y: FloatArray, params: Hyperparameters, context: FitContext
) -> FloatArray | None:
    """Return the weights of rows, scaled by class if the configuration balances them."""
    if params["class_weight"] == "none" or context.task == "regression":
        return context.weights
    counts = np.bincount(y.astype(int), minlength=context.n_classes)
    balanced: FloatArray = (len(y) / ((counts > 0).sum() * np.maximum(counts, 1)))[y.astype(int)]
    return balanced if context.weights is None else balanced * context.weights


@contextmanager
def ignore_fit_warnings() -> Iterator[None]:
    """Ignore warnings of fits that did not converge or have empty bins: their score tells."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "Bins whose width are too small")
        warnings.filterwarnings("ignore", "Feature .* is constant")
        warnings.filterwarnings("ignore", "Features .* are constant")
        warnings.filterwarnings("ignore", "n_quantiles .* is greater")
        yield
