"""Scikit-learn estimators that search within a budget: `TunedClassifier` and `TunedRegressor`.

    from evertune import TunedClassifier

    model = TunedClassifier(metric="log_loss", budget_seconds=60).fit(X, y)
    model.predict_proba(X_new)
    model.leaderboard_

Columns may be numbers, booleans, categories, text or dates, typed or as text, with missing
cells. Unseen categories are allowed. Up to `MAX_COMPILED_ROWS` rows are predicted by the
compiled model, more rows by whole columns; cells that cannot be read count as missing and cause
a warning.
"""

import os
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Self, cast, get_args
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
from joblib import cpu_count
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import (
    assert_all_finite,
    check_array,
    check_consistent_length,
    check_random_state,
    column_or_1d,
)
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from evertune.data.dataframes import parse_features, parse_table
from evertune.data.folds import default_folds, default_n_folds, subsample_folds
from evertune.data.schema import Trend
from evertune.data.validation import DataIssue
from evertune.fitting.refit import ModeOption
from evertune.fitting.tune import tune
from evertune.metrics.metrics import Metric, get_metric
from evertune.models.compiled import CompiledModel, compile_model
from evertune.models.compiled_rows import read_rows
from evertune.models.fitted_model import Model, predict
from evertune.search.leaderboard import leaderboard
from evertune.search.objective import Objective
from evertune.search.space import ALL_SPACES, DEFAULT_SPACES
from evertune.search.study import SearchConfig
from evertune.trials import current_family
from evertune.types import (
    ColumnKind,
    FloatArray,
    Predictions,
    Task,
    probabilities_or_values,
)

MAX_COMPILED_ROWS = 8  # above, whole columns are faster than rows
MODES = get_args(ModeOption)
PREFERENCES = ("best", "simplest")
MAX_SEED = 2**31 - 1

TableLike = pd.DataFrame | ArrayLike
_compiled_models: WeakKeyDictionary[Model, CompiledModel] = WeakKeyDictionary()


class _Tuned(BaseEstimator):  # type: ignore[misc]
    """Parameters, search and prediction, which classifier and regressor share."""

    def __init__(
        self,
        metric: str | Metric = "auto",
        *,
        budget_seconds: float | None = 60,
        budget_trials: int | None = None,
        families: Sequence[str] | None = None,
        n_folds: int | Literal["auto"] = "auto",
        mode: ModeOption = "auto",
        prefer: Literal["best", "simplest"] = "best",
        workers: int | Literal["auto"] = "auto",
        columns: Mapping[str, ColumnKind] | None = None,
        monotone: Mapping[str, Trend] | None = None,
        missing_values: Sequence[str] = (),
        random_state: Any = 0,
    ) -> None:
        self.metric = metric
        self.budget_seconds = budget_seconds
        self.budget_trials = budget_trials
        self.families = families
        self.n_folds = n_folds
        self.mode = mode
        self.prefer = prefer
        self.workers = workers
        self.columns = columns
        self.monotone = monotone
        self.missing_values = missing_values
        self.random_state = random_state

    def _check(self, X: TableLike, y: ArrayLike) -> tuple[pd.DataFrame, NDArray[Any]]:
        """Return the raw table and the target after all checks that do not need the task."""
        self._check_parameters()
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None."
            )
        raw = self._raw_table(X, reset=True)
        target = column_or_1d(y, warn=True)
        check_consistent_length(raw, target)
        if len(raw) == 1:
            raise ValueError(f"{type(self).__name__} needs at least two rows, but got n_samples=1.")
        n_missing = int(pd.isna(target).sum())
        if n_missing:
            raise ValueError(
                f"Expected a target in every row, but the input y contains NaN {n_missing} times."
            )
        return raw, target

    def _check_weights(self, sample_weight: ArrayLike | None, n_rows: int) -> FloatArray | None:
        """Return the weights of n rows; None if there are none."""
        if sample_weight is None:
            return None
        weights: FloatArray = check_array(
            sample_weight, dtype="float64", ensure_2d=False, input_name="sample_weight"
        )
        if weights.shape != (n_rows,) or (weights < 0).any() or not (weights > 0).any():
            raise ValueError(
                f"Expected sample_weight to be {n_rows} numbers from 0, one for each row and not"
                f" all zero, but got an array of shape {weights.shape} with values from"
                f" {weights.min():g} to {weights.max():g}."
            )
        return weights

    def _families(self) -> tuple[str, ...]:
        chosen = DEFAULT_SPACES if self.families is None else self.families
        return tuple(map(current_family, chosen))

    def _check_parameters(self) -> None:
        families = self._families()
        # with a cluster, its own processors count
        most = None if os.environ.get("RAY_ADDRESS") else int(cpu_count())
        workers, seconds, trials = self.workers, self.budget_seconds, self.budget_trials
        checks = {
            "budget_seconds": (
                "a number above 0 or None",
                seconds is None or _is_positive(seconds),
            ),
            "budget_trials": ("a whole number from 1 or None", trials is None or _is_count(trials)),
            "families": (
                f"some of {', '.join(ALL_SPACES)}, or None",
                not isinstance(self.families, str)
                and len(families) > 0
                and set(families) <= set(ALL_SPACES),
            ),
            "n_folds": ("a whole number from 1 or 'auto'", _is_count_or_auto(self.n_folds)),
            "mode": (f"one of {', '.join(MODES)}", self.mode in MODES),
            "prefer": (f"one of {', '.join(PREFERENCES)}", self.prefer in PREFERENCES),
            "workers": (
                f"a whole number from 1{'' if most is None else f' to the {most} processors'} or "
                "'auto'",
                _is_count_or_auto(workers)
                and (isinstance(workers, str) or most is None or workers <= most),
            ),
        }
        faults = [
            f"The {name!r} parameter of {type(self).__name__} must be {expected}. "
            f"Got {getattr(self, name)!r} instead."
            for name, (expected, valid) in checks.items()
            if not valid
        ]
        if seconds is None and trials is None:
            faults.append("One of 'budget_seconds' and 'budget_trials' must be given.")
        if faults:
            raise ValueError("\n".join(faults))

    def _raw_table(self, X: TableLike, *, reset: bool) -> pd.DataFrame:
        """Return a table with text names, after scikit-learn's checks of its shape and names."""
        is_frame = isinstance(X, pd.DataFrame)
        if not is_frame:
            X = check_array(X, dtype=None, ensure_all_finite=False, estimator=self)
        validate_data(self, X, reset=reset, skip_check_array=True)
        raw = pd.DataFrame(cast(Any, X)).reset_index(drop=True)
        if raw.empty:
            raise ValueError(
                f"Found a table with {raw.shape[0]} sample(s) and {raw.shape[1]} feature(s), but a "
                f"minimum of 1 is required by {type(self).__name__}."
            )
        names = [str(name) if is_frame else f"x{name}" for name in raw.columns]
        return raw.set_axis(names, axis="columns")

    def _search(
        self,
        raw: pd.DataFrame,
        truth: FloatArray,
        *,
        task: Task,
        classes: Sequence[str],
        weights: FloatArray | None,
        started: float,
    ) -> Self:
        given, seed = self.metric, self._seed()
        metric = given if isinstance(given, Metric) else get_metric(given, task, {})
        parsed = parse_table(
            raw,
            task=task,
            classes=classes,
            kinds=self.columns or {},
            monotone=self.monotone or {},
            missing_values=self.missing_values,
        )
        _warn_unread_cells(parsed.unread)
        table, schema = parsed.table, parsed.schema
        if weights is not None:
            name = "weight"
            while name in raw.columns:
                name += "_"
            table, schema = table.assign(**{name: weights}), replace(schema, weight=name)
        n_folds = (
            default_n_folds(*parsed.table.shape, self.budget_seconds)
            if self.n_folds == "auto"
            else int(self.n_folds)
        )
        folds = default_folds(truth, n_folds, has_classes=task != "regression", seed=seed)
        folds = subsample_folds(folds, len(parsed.schema.features), seed=seed)
        config = SearchConfig(
            families=self._families(),
            workers=None if self.workers == "auto" else int(self.workers),
            seed=seed,
        )
        built, trials = tune(
            Objective(table, truth, schema, folds, (metric,), seed),
            config,
            started=started,
            budget_seconds=self.budget_seconds,
            budget_trials=self.budget_trials,
            mode=self.mode,
            prefer_simplest=self.prefer == "simplest",
        )
        self._columns = list(raw.columns)
        self.schema_, self.excluded_ = parsed.schema, parsed.excluded
        self.model_ = Model(parsed.schema, built.configuration, built.fitted, ())
        self.metric_, self.best_score_ = metric.name, built.score
        self.leaderboard_ = leaderboard(
            trials, greater_is_better=metric.greater_is_better, metric=metric.name
        )
        self.weights_, self.origin_ = built.weights, built.origin
        self.ended_in_baseline_ = built.origin.made_of == "zero rule"
        return self

    def _seed(self) -> int:
        if isinstance(self.random_state, (int, np.integer)):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(MAX_SEED))

    def _predict(self, X: TableLike) -> Predictions:
        check_is_fitted(self)
        raw = self._raw_table(X, reset=False).set_axis(self._columns, axis="columns")
        quick = _predict_compiled(self.model_, raw) if len(raw) <= MAX_COMPILED_ROWS else None
        if quick is not None:
            return quick
        table, unread = parse_features(raw, self.model_.schema)
        _warn_unread_cells(unread)
        return predict(self.model_.fitted, table, self.model_.schema)

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn should know."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        tags.non_deterministic = self.budget_seconds is not None
        return tags


class TunedClassifier(ClassifierMixin, _Tuned):  # type: ignore[misc]
    """A classifier that searches for its family, preprocessing and hyperparameters.

    Parameters
    ----------
    metric : str or Metric
        The metric to optimise: `auto` (ROC AUC of two classes, log loss of more), or a name
        such as `accuracy`, `f1`, `balanced_accuracy`, `pr_auc` or `brier`.
    budget_seconds : float, optional
        The time that `fit` may take from its call to its return.
    budget_trials : int, optional
        Configurations to try. With `budget_seconds=None` the same seed gives the same model.
    families : sequence of str, optional
        Model families to search; all by default.
    n_folds : int or "auto"
        1 validates a part of the rows; `auto` decides by rows, columns and budget.
    mode : str
        How the model is built: `bag` (the models of the folds of several configurations,
        averaged), `refit` (the same configurations, fitted again on all rows), `single` (the best
        configuration alone, fitted on all rows) or `auto`.
    prefer : str
        `best`, or `simplest`: the best linear model, tree, naive Bayes or nearest neighbours
        where it is not significantly worse than the best model.
    workers : int or "auto"
        Trials at once; `auto` is one for each processor.
    columns : mapping from name to kind, optional
        Kinds of columns (`number`, `boolean`, `category`, `text`, `date`) that would be inferred
        wrongly.
    monotone : mapping from name to "up" or "down", optional
        Numbers with which predictions may only rise, or fall: the value, or the probability of the
        second class. Only families that keep it are searched.
    missing_values : sequence of str
        Cells that mean "missing" beside empty ones, such as `?`.

    Attributes
    ----------
    model_ : Model
        The schema, the configuration and the fitted parts.
    schema_ : TableSchema
        The inferred columns.
    excluded_ : dict
        Columns that are not used, each with the reason.
    leaderboard_ : DataFrame
        All trials, best first, with scores, seconds and the reason why they were stopped.
    weights_ : dict
        The weight of each trial in the model, by its number.
    origin_ : ModelOrigin
        How the model was built; `origin_.notes` are sentences for people.
    best_score_ : float or None
        The metric over the folds.
    ended_in_baseline_ : bool
        Whether no trial was finished, so that the model is the zero rule: class shares or mean.
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

    def fit(self, X: TableLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Search within the budget and keep the best model.

        Parameters
        ----------
        y : array of shape (n,)
            Class labels: text, whole numbers or booleans.
        sample_weight : array of shape (n,), optional
            How much each row counts in fits, numbers from 0. Scores count all rows alike.

        Raises
        ------
        ValueError
            If a parameter, the table or the labels cannot be used.
        """
        started = time.monotonic()
        raw, target = self._check(X, y)
        if target.dtype.kind == "f":
            assert_all_finite(target, input_name="y")
        check_classification_targets(target)
        self.classes_, codes = np.unique(target, return_inverse=True)
        if len(self.classes_) == 1:
            only = self.classes_.tolist()[0]
            raise ValueError(f"Expected at least two classes, but got one class: {only!r}.")
        return self._search(
            raw,
            codes.astype(np.float64),
            task="binary" if len(self.classes_) == 2 else "multiclass",
            classes=[str(label) for label in self.classes_],
            weights=self._check_weights(sample_weight, len(raw)),
            started=started,
        )

    def predict(self, X: TableLike) -> NDArray[Any]:
        """Return the most likely class of every row, an array of shape (n,)."""
        codes = self._predict(X).values.astype(np.int64)
        labels: NDArray[Any] = self.classes_[codes]
        return labels

    def predict_proba(self, X: TableLike) -> FloatArray:
        """Return the probability of every class, an array of shape (n, n_classes)."""
        return probabilities_or_values(self._predict(X))


class TunedRegressor(RegressorMixin, _Tuned):  # type: ignore[misc]
    """A regressor that searches for its family, preprocessing and hyperparameters.

    Parameters
    ----------
    metric : str or Metric
        The metric to optimise: `auto` (RMSE), or `mae`, `mape`, `r2`, `pinball`.

    The other parameters and the attributes are those of `TunedClassifier`, except `classes_`.

    Examples
    --------
    >>> X = pd.DataFrame({"size": range(0, 80, 2), "kind": ["a", "b"] * 20})
    >>> y = 2.0 * X["size"] + (X["kind"] == "b")
    >>> quick = {"budget_seconds": None, "budget_trials": 1, "workers": 1}
    >>> model = TunedRegressor(families=["linear"], **quick).fit(X, y)
    >>> bool(abs(model.predict(X.iloc[[20]])[0] - 80) < 5)
    True
    """

    def fit(self, X: TableLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Search within the budget and keep the best model.

        Parameters
        ----------
        y : array of shape (n,)
            Numbers.
        sample_weight : array of shape (n,), optional
            How much each row counts in fits, numbers from 0. Scores count all rows alike.

        Raises
        ------
        ValueError
            If a parameter, the table or the targets cannot be used.
        """
        started = time.monotonic()
        raw, target = self._check(X, y)
        values = check_array(target, dtype="float64", ensure_2d=False, input_name="y")
        return self._search(
            raw,
            values,
            task="regression",
            classes=(),
            weights=self._check_weights(sample_weight, len(raw)),
            started=started,
        )

    def predict(self, X: TableLike) -> FloatArray:
        """Return the predicted value of every row, an array of shape (n,)."""
        return self._predict(X).values


def _predict_compiled(model: Model, raw: pd.DataFrame) -> Predictions | None:
    """Return the predictions for a few rows; None if a cell cannot be read."""
    if model not in _compiled_models:
        _compiled_models[model] = compile_model(model)
    compiled = _compiled_models[model]
    cells = raw.astype(object).where(raw.notna(), None).to_dict("records")  # None: missing
    columns, faults = read_rows(cells, compiled.reading)  # type: ignore[arg-type]
    return None if faults else compiled.predict(columns, len(raw))


def _warn_unread_cells(unread: Sequence[DataIssue]) -> None:
    if unread:
        issues = "; ".join(f"{issue.column}: {issue.problem}" for issue in unread)
        warnings.warn(f"{issues}; they count as missing.", UserWarning, stacklevel=4)


def _is_positive(value: Any) -> bool:
    return isinstance(value, (int, float, np.number)) and bool(0 < value < np.inf)


def _is_count(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and bool(value >= 1)


def _is_count_or_auto(value: Any) -> bool:
    return value == "auto" if isinstance(value, str) else _is_count(value)
