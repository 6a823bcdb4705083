"""What an estimator is given, read and checked: its parameters, its table and its target."""

import os
from typing import Any, cast, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import (
    assert_all_finite,
    check_array,
    check_consistent_length,
    check_random_state,
    column_or_1d,
)
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from pipelines.core.assembling import Mode
from pipelines.core.metrics import Metric, chosen_metric
from pipelines.core.predictions import Floats, Task
from pipelines.core.resampling import n_folds_for
from pipelines.library.tune import Settings
from pipelines.tuning.ranges import KNOWN, SPACES
from pipelines.tuning.strategies import Strategy

Table = pd.DataFrame | ArrayLike
MODES = get_args(Mode)
LARGEST_SEED = 2**31 - 1


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
        for name, expected, holds in _expected(estimator)
        if not holds
    ]
    if estimator.budget_seconds is None and estimator.budget_trials is None:
        faults.append("One of 'budget_seconds' and 'budget_trials' must be given.")
    if faults:
        raise ValueError("\n".join(faults))


def _expected(estimator: Any) -> list[tuple[str, str, bool]]:
    names = list(SPACES) if estimator.families is None else estimator.families
    known = not isinstance(names, str) and len(names) > 0 and set(names) <= set(KNOWN)
    seconds, trials = estimator.budget_seconds, estimator.budget_trials
    return [
        ("budget_seconds", "a number above 0 or None", seconds is None or _is_positive(seconds)),
        ("budget_trials", "a whole number from 1 or None", trials is None or _is_count(trials)),
        ("families", f"some of {', '.join(KNOWN)}, or None", known),
        ("n_folds", "a whole number from 1 or 'auto'", _is_count_or_auto(estimator.n_folds)),
        ("mode", f"one of {', '.join(MODES)}", estimator.mode in MODES),
        ("workers", f"a whole number {_bounds()} or 'auto'", _are_there(estimator.workers)),
    ]


def _bounds() -> str:
    return "from 1" if _most_workers() is None else f"from 1 to the {_most_workers()} processors"


def _are_there(workers: Any) -> bool:
    most = _most_workers()
    known = _is_count_or_auto(workers)
    return known and (workers == "auto" or most is None or bool(workers <= most))


def _most_workers() -> int | None:
    """Return how many processors this machine has; None where a cluster is to tell."""
    return None if os.environ.get("RAY_ADDRESS") else os.cpu_count()


def _is_positive(value: Any) -> bool:
    return isinstance(value, (int, float, np.number)) and bool(0 < value < np.inf)


def _is_count(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and bool(value >= 1)


def _is_count_or_auto(value: Any) -> bool:
    return value == "auto" if isinstance(value, str) else _is_count(value)


def optimised(metric: str | Metric, task: Task) -> Metric:
    """Return the metric that is meant.

    Raises
    ------
    ValueError
        If there is none of that name for the task.
    """
    return metric if isinstance(metric, Metric) else chosen_metric(metric, task, {})


def settings_of(estimator: Any) -> Settings:
    """Return the parameters of an estimator as the search takes them."""
    strategy = Strategy(
        families=tuple(SPACES if estimator.families is None else estimator.families),
        workers=None if estimator.workers == "auto" else int(estimator.workers),
        seed=_seed(estimator.random_state),
    )
    return Settings(strategy, estimator.budget_seconds, estimator.budget_trials, estimator.mode)


def n_folds_of(estimator: Any, n_rows: int, n_columns: int) -> int:
    """Return how many folds an estimator shall have; 1 is a single hold-out."""
    if estimator.n_folds != "auto":
        return int(estimator.n_folds)
    return n_folds_for(n_rows, n_columns, estimator.budget_seconds)


def _seed(random_state: Any) -> int:
    if isinstance(random_state, (int, np.integer)):
        return int(random_state)
    return int(check_random_state(random_state).randint(LARGEST_SEED))


def checked(estimator: Any, X: Table, y: ArrayLike) -> tuple[pd.DataFrame, NDArray[Any]]:
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


def raw_table(estimator: Any, X: Table, *, reset: bool) -> pd.DataFrame:
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


def classes_and_codes(target: NDArray[Any]) -> tuple[NDArray[Any], Floats]:
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


def numbers(target: NDArray[Any]) -> Floats:
    """Return a target as finite float64 values.

    Raises
    ------
    ValueError
        If it holds something else.
    """
    values = check_array(target, dtype="float64", ensure_2d=False, input_name="y")
    return np.asarray(values, dtype=np.float64)
