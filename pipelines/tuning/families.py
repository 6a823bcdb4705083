"""The families of models: their defaults, and how a configuration of one is fitted."""

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pandas as pd
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from pipelines.core.encoding import Form, encoder, levels, matrix
from pipelines.core.model import Fitted
from pipelines.core.predictions import Floats, Task
from pipelines.core.schema import Schema
from pipelines.core.trials import Configuration, Value

Hyperparameters = dict[str, Value]
ROWS_OF_FULL_DEPTH = 10_000  # above, leaves of forests grow with the table, or files would


@dataclass(frozen=True, eq=False)
class Setting:
    """What a fit needs to know beside rows and hyperparameters; `weights` are those of the rows."""

    task: Task
    n_classes: int
    n_levels: int
    seed: int
    n_jobs: int
    weights: Floats | None


Fit = Callable[[Floats, Floats, Hyperparameters, Setting], Any]


@dataclass(frozen=True)
class Family:
    """A kind of model.

    Attributes
    ----------
    fit : callable
        Takes X, y, hyperparameters and a setting; returns the fitted predictor.
    defaults : dict
        The values that a configuration need not name. `numbers`, where there is one, is the form
        of the encoder.
    form : str
        The form of the encoder otherwise.
    """

    fit: Fit
    defaults: Hyperparameters
    form: Form = "plain"


def default_configuration(family: str) -> Configuration:
    """Return the configuration of a family that is tried first."""
    return Configuration(family, dict(FAMILIES[family].defaults))


def fit_configuration(  # noqa: PLR0913
    configuration: Configuration,
    table: pd.DataFrame,
    truth: Floats,
    *,
    schema: Schema,
    seed: int,
    n_jobs: int,
    weights: Floats | None = None,
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

    Raises
    ------
    ValueError
        If the family is unknown, or the rows cannot be learned from.
    """
    if configuration.family not in FAMILIES:
        names = ", ".join(FAMILIES)
        raise ValueError(f"family must be one of {names}, but got {configuration.family!r}.")
    family = FAMILIES[configuration.family]
    chosen = family.defaults | configuration.hyperparameters
    counts = None if weights is None else weights / weights.mean()
    setting = Setting(schema.task, len(schema.classes), len(levels(schema)), seed, n_jobs, counts)
    with _quiet(), threadpool_limits(None if n_jobs < 0 else n_jobs):
        columns = encoder(_form(family, chosen), schema)
        X = columns.fit_transform(matrix(table, schema), truth)
        return Fitted(columns, family.fit(X, truth, chosen, setting))


def _form(family: Family, chosen: Hyperparameters) -> Form:
    return chosen.get("numbers", family.form)  # type: ignore[return-value]


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave it to the score to judge a fit that did not converge or that has empty bins."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "Bins whose width are too small")
        warnings.filterwarnings("ignore", "Feature .* is constant")
        yield


def _linear(X: Floats, y: Floats, chosen: Hyperparameters, setting: Setting) -> Any:
    strength = float(chosen["regularisation"])  # type: ignore[arg-type]
    if setting.task == "regression":
        return Ridge(alpha=strength).fit(X, y, setting.weights)
    return LogisticRegression(C=1 / strength, max_iter=200).fit(X, y, setting.weights)


def _tree(X: Floats, y: Floats, chosen: Hyperparameters, setting: Setting) -> Any:
    kind = DecisionTreeRegressor if setting.task == "regression" else DecisionTreeClassifier
    return kind(random_state=setting.seed, **chosen).fit(X, y, setting.weights)


def _forest(classifier: Any, regressor: Any) -> Fit:
    def fit(X: Floats, y: Floats, chosen: Hyperparameters, setting: Setting) -> Any:
        kind = regressor if setting.task == "regression" else classifier
        least = max(int(chosen["min_samples_leaf"]), math.ceil(len(X) / ROWS_OF_FULL_DEPTH))  # type: ignore[arg-type]
        values = chosen | {"min_samples_leaf": least}
        forest = kind(random_state=setting.seed, n_jobs=setting.n_jobs, **values)
        forest.fit(X, y, setting.weights)
        return forest.set_params(n_jobs=None)  # threads would add up votes in any order

    return fit


def _hist_boosting(X: Floats, y: Floats, chosen: Hyperparameters, setting: Setting) -> Any:
    regression = setting.task == "regression"
    kind = HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier
    model = kind(
        random_state=setting.seed,
        early_stopping=False,
        categorical_features=None,
        **chosen,
    )
    return model.fit(X, y, setting.weights)


def _lightgbm(X: Floats, y: Floats, chosen: Hyperparameters, setting: Setting) -> Any:
    import lightgbm

    fixed = {
        "objective": setting.task,
        "seed": setting.seed,
        "num_threads": max(setting.n_jobs, 0),
        "deterministic": True,
        "force_row_wise": True,
        "bagging_freq": 1,
        "verbose": -1,
    }
    if setting.task == "multiclass":
        fixed["num_class"] = setting.n_classes
    rounds = chosen["n_estimators"]
    settings = {name: value for name, value in chosen.items() if name != "n_estimators"}
    columns = list(range(setting.n_levels)) or "auto"
    quiet = {"verbose": -1}
    rows = lightgbm.Dataset(X, y, weight=setting.weights, categorical_feature=columns, params=quiet)
    return lightgbm.train(fixed | settings, rows, num_boost_round=rounds)


def _zero_rule(X: Floats, y: Floats, chosen: Hyperparameters, setting: Setting) -> Any:
    if setting.task == "regression":
        return DummyRegressor(strategy=chosen["statistic"]).fit(X, y, setting.weights)
    return DummyClassifier(strategy="prior").fit(X, y, setting.weights)


FAMILIES: dict[str, Family] = {
    "linear": Family(_linear, {"numbers": "scaled", "regularisation": 1.0}),
    "random_forest": Family(
        _forest(RandomForestClassifier, RandomForestRegressor),
        {"n_estimators": 100, "max_features": 0.4, "min_samples_leaf": 2},
    ),
    "extra_trees": Family(
        _forest(ExtraTreesClassifier, ExtraTreesRegressor),
        {"n_estimators": 100, "max_features": 0.6, "min_samples_leaf": 2},
    ),
    "hist_boosting": Family(
        _hist_boosting,
        {
            "max_iter": 150,
            "learning_rate": 0.06,
            "max_leaf_nodes": 16,
            "min_samples_leaf": 20,
            "l2_regularization": 0.1,
        },
    ),
    "lightgbm": Family(
        _lightgbm,
        {
            "n_estimators": 200,
            "learning_rate": 0.05,
            "num_leaves": 16,
            "min_data_in_leaf": 20,
            "feature_fraction": 0.7,
            "bagging_fraction": 0.8,
            "lambda_l2": 0.1,
        },
        "ordinal",
    ),
    "tree": Family(_tree, {"max_depth": 4, "min_samples_leaf": 20}),
    "zero_rule": Family(_zero_rule, {"statistic": "mean"}),
}
