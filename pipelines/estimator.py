"""The search as scikit-learn estimators: fit within a budget, predict, and see what was tried.

    from pipelines.estimator import TunedClassifier

    model = TunedClassifier(metric="log_loss", budget_seconds=60).fit(X, y)
    model.predict_proba(X_new)
    model.leaderboard_

A table is understood as `evertune use` understands it: numbers, booleans, categories, text and
dates, typed or as text, with missing cells anywhere. Categories that were never seen are harmless.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self, cast

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from pipelines.core.assembling import Mode
from pipelines.core.metrics import Metric
from pipelines.core.model import Model
from pipelines.core.predictions import Floats, Predictions, Task
from pipelines.core.resampling import resampled, thinned
from pipelines.core.runs import leaderboard
from pipelines.core.schema import Kind
from pipelines.core.tabled import Tabled, tabled
from pipelines.library.answers import answers, warn_of
from pipelines.library.inputs import (
    Table,
    check_parameters,
    checked,
    classes_and_codes,
    n_folds_of,
    numbers,
    optimised,
    raw_table,
    settings_of,
)
from pipelines.library.making import Tuned
from pipelines.library.tune import tune
from pipelines.tuning.work import Work

TWO = 2


class TunedClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier that searches for its family, preprocessing and hyperparameters.

    Parameters
    ----------
    metric : str or Metric
        What is optimised: `auto` (ROC AUC of two classes, log loss of more), or the name of a
        metric such as `accuracy`, `f1`, `balanced_accuracy`, `pr_auc` or `brier`.
    budget_seconds : float, optional
        What `fit` may take from its call to its return.
    budget_trials : int, optional
        Configurations to try. With `budget_seconds=None` the same seed gives the same model.
    families : sequence of str, optional
        Where to search; all families by default.
    n_folds : int or "auto"
        1 is a single hold-out; `auto` looks at rows, columns and budget.
    mode : str
        What the model is made of: `bag` (the models of the folds of several configurations,
        averaged), `refit` (the same configurations, fitted again on all rows), `single` (the best
        configuration alone, fitted on all rows) or `auto`.
    workers : int or "auto"
        Trials at once; `auto` is one for each processor.
    columns : mapping from name to kind, optional
        What the columns are (`number`, `boolean`, `category`, `text`, `date`), where a guess would
        go wrong.
    missing_values : sequence of str
        What means "missing" beside an empty cell, such as `?`.
    random_state : int, RandomState or None

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
    model_ : Model
        The schema, the configuration and the fitted parts.
    schema_ : Schema
        What was found out about the columns.
    excluded_ : dict
        Columns that are not learned from, each with the reason.
    leaderboard_ : DataFrame
        All trials, best first, with scores, seconds and why they were stopped.
    weights_ : dict
        What each trial weighs in the model, by its number.
    best_score_ : float or None
        Of the metric, over the folds.
    metric_ : str
    ended_in_baseline_ : bool
        Whether no trial was finished, so that the model is the zero rule.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> quick = {"budget_seconds": None, "budget_trials": 1, "workers": 1}
    >>> model = TunedClassifier(families=["linear"], **quick).fit(X, y)
    >>> model.predict(X.iloc[[0, 149]])
    array([0, 2])
    """

    def __init__(  # noqa: PLR0913
        self,
        metric: str | Metric = "auto",
        *,
        budget_seconds: float | None = 60,
        budget_trials: int | None = None,
        families: Sequence[str] | None = None,
        n_folds: int | Literal["auto"] = "auto",
        mode: Mode = "auto",
        workers: int | Literal["auto"] = "auto",
        columns: Mapping[str, Kind] | None = None,
        missing_values: Sequence[str] = (),
        random_state: Any = 0,
    ) -> None:
        self.metric = metric
        self.budget_seconds = budget_seconds
        self.budget_trials = budget_trials
        self.families = families
        self.n_folds = n_folds
        self.mode = mode
        self.workers = workers
        self.columns = columns
        self.missing_values = missing_values
        self.random_state = random_state

    def fit(self, X: Table, y: ArrayLike) -> Self:
        """Search within the budget and keep the best model.

        Parameters
        ----------
        X : DataFrame or array of shape (n, n_features)
        y : array of shape (n,)
            Class labels: text, whole numbers or booleans.

        Raises
        ------
        ValueError
            Where a parameter, the table or the labels cannot be used.
        """
        started = time.monotonic()
        check_parameters(self)
        raw, target = checked(self, X, y)
        self.classes_, codes = classes_and_codes(target)
        task: Task = "binary" if len(self.classes_) == TWO else "multiclass"
        return cast(Self, _fit(self, raw, codes, task=task, started=started))

    def predict(self, X: Table) -> NDArray[Any]:
        """Return the most likely class of every row, an array of shape (n,)."""
        said = _said(self, X)
        labels: NDArray[Any] = self.classes_[said.values.astype(np.int64)]
        return labels

    def predict_proba(self, X: Table) -> Floats:
        """Return the probability of every class, an array of shape (n, n_classes)."""
        said = _said(self, X).probabilities
        if said is None:
            raise ValueError("Expected a model with probabilities, but it gives none.")
        return said

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn should know."""
        return _tagged(self, super().__sklearn_tags__())


class TunedRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A regressor that searches for its family, preprocessing and hyperparameters.

    Parameters
    ----------
    metric : str or Metric
        What is optimised: `auto` (RMSE), or `mae`, `mape`, `r2`, `pinball`.

    The other parameters and the attributes are those of `TunedClassifier`, but for `classes_`.

    Examples
    --------
    >>> X = pd.DataFrame({"size": range(0, 80, 2), "kind": ["a", "b"] * 20})
    >>> y = 2.0 * X["size"] + (X["kind"] == "b")
    >>> quick = {"budget_seconds": None, "budget_trials": 1, "workers": 1}
    >>> model = TunedRegressor(families=["linear"], **quick).fit(X, y)
    >>> bool(abs(model.predict(X.iloc[[20]])[0] - 80) < 5)
    True
    """

    def __init__(  # noqa: PLR0913
        self,
        metric: str | Metric = "auto",
        *,
        budget_seconds: float | None = 60,
        budget_trials: int | None = None,
        families: Sequence[str] | None = None,
        n_folds: int | Literal["auto"] = "auto",
        mode: Mode = "auto",
        workers: int | Literal["auto"] = "auto",
        columns: Mapping[str, Kind] | None = None,
        missing_values: Sequence[str] = (),
        random_state: Any = 0,
    ) -> None:
        self.metric = metric
        self.budget_seconds = budget_seconds
        self.budget_trials = budget_trials
        self.families = families
        self.n_folds = n_folds
        self.mode = mode
        self.workers = workers
        self.columns = columns
        self.missing_values = missing_values
        self.random_state = random_state

    def fit(self, X: Table, y: ArrayLike) -> Self:
        """Search within the budget and keep the best model.

        Parameters
        ----------
        X : DataFrame or array of shape (n, n_features)
        y : array of shape (n,)
            Numbers.

        Raises
        ------
        ValueError
            Where a parameter, the table or the targets cannot be used.
        """
        started = time.monotonic()
        check_parameters(self)
        raw, target = checked(self, X, y)
        return cast(Self, _fit(self, raw, numbers(target), task="regression", started=started))

    def predict(self, X: Table) -> Floats:
        """Return the predicted value of every row, an array of shape (n,)."""
        return _said(self, X).values

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn should know."""
        return _tagged(self, super().__sklearn_tags__())


def _fit(tuner: Any, raw: pd.DataFrame, truth: Floats, *, task: Task, started: float) -> Any:
    metric, settings = optimised(tuner.metric, task), settings_of(tuner)
    found = tabled(
        raw,
        task=task,
        classes=() if task == "regression" else [str(label) for label in tuner.classes_],
        kinds=tuner.columns or {},
        missing_values=tuner.missing_values,
    )
    warn_of(found.unread)
    n_folds, seed = n_folds_of(tuner, *found.table.shape), settings.strategy.seed
    folds = resampled(truth, n_folds, has_classes=task != "regression", seed=seed)
    folds = thinned(folds, len(found.schema.features), seed=seed)
    work = Work(found.table, truth, found.schema, folds, (metric,), seed)
    tuner._columns = list(raw.columns)
    return _keep(tuner, tune(work, settings, started=started), found=found, metric=metric)


def _keep(tuner: Any, tuned: Tuned, *, found: Tabled, metric: Metric) -> Any:
    tuner.schema_, tuner.excluded_ = found.schema, found.excluded
    tuner.model_ = Model(found.schema, tuned.configuration, tuned.fitted, ())
    tuner.metric_, tuner.best_score_ = metric.name, tuned.score
    tuner.leaderboard_ = leaderboard(
        tuned.trials, greater_is_better=metric.greater_is_better, metric=metric.name
    )
    tuner.weights_ = tuned.weights
    tuner.ended_in_baseline_ = not tuned.weights
    return tuner


def _said(tuner: Any, X: Table) -> Predictions:
    check_is_fitted(tuner)
    raw = raw_table(tuner, X, reset=False).set_axis(tuner._columns, axis="columns")
    return answers(tuner.model_, raw)


def _tagged(tuner: Any, tags: Any) -> Any:
    tags.input_tags.allow_nan = True
    tags.input_tags.categorical = True
    tags.input_tags.string = True
    tags.non_deterministic = tuner.budget_seconds is not None
    return tags
