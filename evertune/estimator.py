"""Scikit-learn estimators that search within a budget: `TunedClassifier` and `TunedRegressor`.

    from evertune.estimator import TunedClassifier

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
from typing import Any, Literal, Self, cast, get_args
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
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

from evertune.data.folds import default_folds, default_n_folds, subsample_folds
from evertune.data.tables import ParsedTable, parse_features, parse_table
from evertune.data.validation import DataIssue
from evertune.fitting.build import TunedModel
from evertune.fitting.refit import ModeOption
from evertune.fitting.tune import TuneSettings, tune
from evertune.metrics.metrics import Metric, get_metric
from evertune.models.compiled import CompiledModel, compile_model, encode_rows
from evertune.models.compiled_rows import read_rows
from evertune.models.model import Model, predict
from evertune.search.default_space import ALL_SPACES, DEFAULT_SPACES
from evertune.search.leaderboard import leaderboard
from evertune.search.objective import Objective
from evertune.search.study import SearchConfig
from evertune.types import ColumnKind, FloatArray, Predictions, Task

MAX_COMPILED_ROWS = 8  # above, whole columns are faster than rows
compiled_models: WeakKeyDictionary[Model, CompiledModel] = WeakKeyDictionary()


def predict_raw_table(model: Model, raw: pd.DataFrame) -> Predictions:
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
    quick = _predict_compiled(model, raw) if len(raw) <= MAX_COMPILED_ROWS else None
    if quick is not None:
        return quick
    table, unread = parse_features(raw, model.schema)
    warn_unread_cells(unread)
    return predict(model.fitted, table, model.schema)


def warn_unread_cells(unread: Sequence[DataIssue]) -> None:
    """Tell of cells that count as missing."""
    if unread:
        told = "; ".join(f"{breach.column}: {breach.problem}" for breach in unread)
        warnings.warn(f"{told}; they count as missing.", UserWarning, stacklevel=5)


def _predict_compiled(model: Model, raw: pd.DataFrame) -> Predictions | None:
    """Return what a model says of a few rows; None where a cell cannot be read."""
    if model not in compiled_models:
        compiled_models[model] = compile_model(model)
    fast = compiled_models[model]
    cells = raw.astype(object).where(raw.notna(), None).to_dict("records")  # as JSON has gaps
    columns, faults = read_rows(cells, fast.reading)  # type: ignore[arg-type]
    return None if faults else fast.score(encode_rows(columns, len(raw), fast))


TableLike = pd.DataFrame | ArrayLike
MODES = get_args(ModeOption)
MAX_SEED = 2**31 - 1


def check_parameters(estimator: Any) -> None:
    """Check the parameters of an estimator but its metric, which needs the task.

    Raises
    ------
    ValueError
        If one cannot be used; the message lists all of them.
    """
    faults = [
        f"The {name!r} parameter of {type(estimator).__name__} must be {expected}. "
        f"Got {getattr(estimator, name)!r} instead."
        for name, expected, holds in _parameter_checks(estimator)
        if not holds
    ]
    if estimator.budget_seconds is None and estimator.budget_trials is None:
        faults.append("One of 'budget_seconds' and 'budget_trials' must be given.")
    if faults:
        raise ValueError("\n".join(faults))


def _parameter_checks(estimator: Any) -> list[tuple[str, str, bool]]:
    names = list(DEFAULT_SPACES) if estimator.families is None else estimator.families
    known = not isinstance(names, str) and len(names) > 0 and set(names) <= set(ALL_SPACES)
    seconds, trials = estimator.budget_seconds, estimator.budget_trials
    return [
        ("budget_seconds", "a number above 0 or None", seconds is None or _is_positive(seconds)),
        ("budget_trials", "a whole number from 1 or None", trials is None or _is_count(trials)),
        ("families", f"some of {', '.join(ALL_SPACES)}, or None", known),
        ("n_folds", "a whole number from 1 or 'auto'", _is_count_or_auto(estimator.n_folds)),
        ("mode", f"one of {', '.join(MODES)}", estimator.mode in MODES),
        (
            "workers",
            f"a whole number {_worker_bounds()} or 'auto'",
            _are_workers_available(estimator.workers),
        ),
    ]


def _worker_bounds() -> str:
    return "from 1" if _max_workers() is None else f"from 1 to the {_max_workers()} processors"


def _are_workers_available(workers: Any) -> bool:
    most = _max_workers()
    known = _is_count_or_auto(workers)
    return known and (workers == "auto" or most is None or bool(workers <= most))


def _max_workers() -> int | None:
    """Return how many processors this machine has; None where a cluster is to tell."""
    return None if os.environ.get("RAY_ADDRESS") else os.cpu_count()


def _is_positive(value: Any) -> bool:
    return isinstance(value, (int, float, np.number)) and bool(0 < value < np.inf)


def _is_count(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and bool(value >= 1)


def _is_count_or_auto(value: Any) -> bool:
    return value == "auto" if isinstance(value, str) else _is_count(value)


def metric_for_task(metric: str | Metric, task: Task) -> Metric:
    """Return the metric that is meant.

    Raises
    ------
    ValueError
        If there is none of that name for the task.
    """
    return metric if isinstance(metric, Metric) else get_metric(metric, task, {})


def make_settings(estimator: Any) -> TuneSettings:
    """Return the parameters of an estimator as the search takes them."""
    strategy = SearchConfig(
        families=tuple(DEFAULT_SPACES if estimator.families is None else estimator.families),
        workers=None if estimator.workers == "auto" else int(estimator.workers),
        seed=_seed(estimator.random_state),
    )
    return TuneSettings(strategy, estimator.budget_seconds, estimator.budget_trials, estimator.mode)


def resolve_n_folds(estimator: Any, n_rows: int, n_columns: int) -> int:
    """Return how many folds an estimator shall have; 1 is a single hold-out."""
    if estimator.n_folds != "auto":
        return int(estimator.n_folds)
    return default_n_folds(n_rows, n_columns, estimator.budget_seconds)


def _seed(random_state: Any) -> int:
    if isinstance(random_state, (int, np.integer)):
        return int(random_state)
    return int(check_random_state(random_state).randint(MAX_SEED))


def check_table_and_target(
    estimator: Any, X: TableLike, y: ArrayLike
) -> tuple[pd.DataFrame, NDArray[Any]]:
    """Return the raw table and the target, of the same length, without gaps in the target.

    Raises
    ------
    ValueError
        If their shapes do not fit, or the target has gaps.
    """
    name = type(estimator).__name__
    if y is None:
        raise ValueError(f"{name} requires y to be passed, but the target y is None.")
    raw = raw_table(estimator, X, reset=True)
    target = column_or_1d(y, warn=True)
    check_consistent_length(raw, target)
    if len(raw) == 1:
        raise ValueError(f"{name} needs at least two rows, but got n_samples=1.")
    gaps = int(pd.isna(target).sum())
    if gaps:
        raise ValueError(
            f"Expected a target in every row, but the input y contains NaN {gaps} times."
        )
    return raw, target


def raw_table(estimator: Any, X: TableLike, *, reset: bool) -> pd.DataFrame:
    """Return a table with text names, after scikit-learn's own checks of its shape and names.

    Parameters
    ----------
    estimator : TunedClassifier or TunedRegressor
    X : DataFrame or array of shape (n, n_features)
    reset : bool
        Whether the table's width and names are those to hold to from now on.

    Raises
    ------
    ValueError
        If it is no table, is empty, or differs from the one that was fitted.
    """
    if not isinstance(X, pd.DataFrame):
        X = check_array(X, dtype=None, ensure_all_finite=False, estimator=estimator)
    validate_data(estimator, X, reset=reset, skip_check_array=True)
    raw = pd.DataFrame(cast(Any, X)).reset_index(drop=True)
    if raw.empty:
        raise ValueError(
            f"Found a table with {raw.shape[0]} sample(s) and {raw.shape[1]} feature(s), but a "
            f"minimum of 1 is required by {type(estimator).__name__}."
        )
    named = isinstance(X, pd.DataFrame)
    names = [str(name) if named else f"x{name}" for name in raw.columns]
    return raw.set_axis(names, axis="columns")


def encode_target_classes(target: NDArray[Any]) -> tuple[NDArray[Any], FloatArray]:
    """Return the classes of a target, sorted, and the place of every row's class in them.

    Raises
    ------
    ValueError
        If the target holds other things than classes, or a single class.
    """
    if target.dtype.kind == "f":
        assert_all_finite(target, input_name="y")
    check_classification_targets(target)
    classes, codes = np.unique(target, return_inverse=True)
    if len(classes) == 1:
        only = classes.tolist()[0]
        raise ValueError(f"Expected at least two classes, but got one class: {only!r}.")
    return classes, codes.astype(np.float64)


def to_float_target(target: NDArray[Any]) -> FloatArray:
    """Return a target as finite float64 values.

    Raises
    ------
    ValueError
        If it holds something else.
    """
    values = check_array(target, dtype="float64", ensure_2d=False, input_name="y")
    return np.asarray(values, dtype=np.float64)


N_BINARY_CLASSES = 2


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

    def __init__(
        self,
        metric: str | Metric = "auto",
        *,
        budget_seconds: float | None = 60,
        budget_trials: int | None = None,
        families: Sequence[str] | None = None,
        n_folds: int | Literal["auto"] = "auto",
        mode: ModeOption = "auto",
        workers: int | Literal["auto"] = "auto",
        columns: Mapping[str, ColumnKind] | None = None,
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

    def fit(self, X: TableLike, y: ArrayLike) -> Self:
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
        raw, target = check_table_and_target(self, X, y)
        self.classes_, codes = encode_target_classes(target)
        task: Task = "binary" if len(self.classes_) == N_BINARY_CLASSES else "multiclass"
        return cast(Self, _fit_estimator(self, raw, codes, task=task, started=started))

    def predict(self, X: TableLike) -> NDArray[Any]:
        """Return the most likely class of every row, an array of shape (n,)."""
        said = _predict_raw(self, X)
        labels: NDArray[Any] = self.classes_[said.values.astype(np.int64)]
        return labels

    def predict_proba(self, X: TableLike) -> FloatArray:
        """Return the probability of every class, an array of shape (n, n_classes)."""
        said = _predict_raw(self, X).probabilities
        if said is None:
            raise ValueError("Expected a model with probabilities, but it gives none.")
        return said

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn should know."""
        return _set_tags(self, super().__sklearn_tags__())


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

    def __init__(
        self,
        metric: str | Metric = "auto",
        *,
        budget_seconds: float | None = 60,
        budget_trials: int | None = None,
        families: Sequence[str] | None = None,
        n_folds: int | Literal["auto"] = "auto",
        mode: ModeOption = "auto",
        workers: int | Literal["auto"] = "auto",
        columns: Mapping[str, ColumnKind] | None = None,
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

    def fit(self, X: TableLike, y: ArrayLike) -> Self:
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
        raw, target = check_table_and_target(self, X, y)
        return cast(
            Self,
            _fit_estimator(self, raw, to_float_target(target), task="regression", started=started),
        )

    def predict(self, X: TableLike) -> FloatArray:
        """Return the predicted value of every row, an array of shape (n,)."""
        return _predict_raw(self, X).values

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn should know."""
        return _set_tags(self, super().__sklearn_tags__())


def _fit_estimator(
    tuner: Any, raw: pd.DataFrame, truth: FloatArray, *, task: Task, started: float
) -> Any:
    metric, settings = metric_for_task(tuner.metric, task), make_settings(tuner)
    found = parse_table(
        raw,
        task=task,
        classes=() if task == "regression" else [str(label) for label in tuner.classes_],
        kinds=tuner.columns or {},
        missing_values=tuner.missing_values,
    )
    warn_unread_cells(found.unread)
    n_folds, seed = resolve_n_folds(tuner, *found.table.shape), settings.strategy.seed
    folds = default_folds(truth, n_folds, has_classes=task != "regression", seed=seed)
    folds = subsample_folds(folds, len(found.schema.features), seed=seed)
    work = Objective(found.table, truth, found.schema, folds, (metric,), seed)
    tuner._columns = list(raw.columns)
    return _store_results(tuner, tune(work, settings, started=started), found=found, metric=metric)


def _store_results(tuner: Any, tuned: TunedModel, *, found: ParsedTable, metric: Metric) -> Any:
    tuner.schema_, tuner.excluded_ = found.schema, found.excluded
    tuner.model_ = Model(found.schema, tuned.configuration, tuned.fitted, ())
    tuner.metric_, tuner.best_score_ = metric.name, tuned.score
    tuner.leaderboard_ = leaderboard(
        tuned.trials, greater_is_better=metric.greater_is_better, metric=metric.name
    )
    tuner.weights_ = tuned.weights
    tuner.ended_in_baseline_ = not tuned.weights
    return tuner


def _predict_raw(tuner: Any, X: TableLike) -> Predictions:
    check_is_fitted(tuner)
    raw = raw_table(tuner, X, reset=False).set_axis(tuner._columns, axis="columns")
    return predict_raw_table(tuner.model_, raw)


def _set_tags(tuner: Any, tags: Any) -> Any:
    tags.input_tags.allow_nan = True
    tags.input_tags.categorical = True
    tags.input_tags.string = True
    tags.non_deterministic = tuner.budget_seconds is not None
    return tags
