"""Gradient boosting by LightGBM, XGBoost and CatBoost, with early stopping and a deadline.

Early stopping uses the library's metric that is nearest to the optimised one. With few rows of
the rarer class in the validation rows it uses the log loss, because ranking metrics are too
noisy.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from evertune.models.model import to_catboost_rows
from evertune.models.sklearn_models import fit_zero_rule
from evertune.models.training import (
    MIN_ROWS_FOR_RANKING,
    EarlyStopping,
    FitContext,
    FitResult,
    Hyperparameters,
    int_param,
    minority_count,
)
from evertune.types import FloatArray

ROUNDS_PARAM = "n_estimators"
MIN_ROWS_TO_SUBSAMPLE = 20  # rows; of fewer, what CatBoost draws for a round could be none
ROUNDS_WITHOUT_VALIDATION = 200  # without rows on which to stop
MetricNames = Mapping[str, str]

LIGHTGBM_EVAL_METRICS = {
    "binary": {"": "binary_logloss", "roc_auc": "auc", "pr_auc": "average_precision"},
    "multiclass": {"": "multi_logloss", "accuracy": "multi_error"},
    "regression": {"": "l2", "mae": "l1", "mape": "mape"},
}
XGBOOST_EVAL_METRICS = {
    "binary": {"": "logloss", "roc_auc": "auc", "pr_auc": "aucpr"},
    "multiclass": {"": "mlogloss"},
    "regression": {"": "rmse", "mae": "mae", "mape": "mape"},
}
CATBOOST_EVAL_METRICS = {
    "binary": {"": "Logloss", "roc_auc": "AUC", "pr_auc": "PRAUC"},
    "multiclass": {"": "MultiClass"},
    "regression": {"": "RMSE", "mae": "MAE", "mape": "MAPE"},
}
LIGHTGBM_QUIET = {"verbose": -1}
LIGHTGBM_FIXED_PARAMS: dict[str, Any] = LIGHTGBM_QUIET | {
    "deterministic": True,
    "force_row_wise": True,
    "bagging_freq": 1,
}
XGBOOST_FIXED_PARAMS: dict[str, Any] = {"tree_method": "hist", "verbosity": 0}
CATBOOST_FIXED_PARAMS: dict[str, Any] = {
    "bootstrap_type": "Bernoulli",
    "allow_writing_files": False,
    "logging_level": "Silent",
}
HIGHER_IS_BETTER = {"auc", "average_precision", "aucpr", "AUC", "PRAUC"}
XGBOOST_OBJECTIVES = {
    "binary": "binary:logistic",
    "multiclass": "multi:softprob",
    "regression": "reg:squarederror",
}
CATBOOST_LOSSES = {"binary": "Logloss", "multiclass": "MultiClass", "regression": "RMSE"}


def fit_lightgbm(
    X: FloatArray, y: FloatArray, chosen: Hyperparameters, setting: FitContext
) -> FitResult:
    """Return a booster of LightGBM; the first columns of X are codes of levels."""
    import lightgbm as library

    watched, watch = _eval_metric(LIGHTGBM_EVAL_METRICS, setting), EarlyStopping(setting.deadline)
    values = LIGHTGBM_FIXED_PARAMS | {
        "objective": setting.task,
        "metric": watched,
        "num_class": setting.n_classes if setting.task == "multiclass" else 1,
        "seed": setting.seed,
        "num_threads": max(setting.n_jobs, 0),
    }
    quiet = {
        "categorical_feature": list(range(setting.n_levels)) or "auto",
        "params": LIGHTGBM_QUIET,
    }
    rows = library.Dataset(X, y, weight=setting.weights, **quiet)
    judged = [library.Dataset(*pair, reference=rows, **quiet) for pair in _validation_sets(setting)]

    def after_round(env: Any) -> None:
        found = env.evaluation_result_list
        if watch.is_over(env.iteration + 1, _last_loss([row[2] for row in found], watched)):
            raise library.callback.EarlyStopException(watch.best - 1, found)

    booster = library.train(
        values | _own_params(chosen),
        rows,
        num_boost_round=_n_rounds(chosen, setting),
        valid_sets=judged,
        callbacks=[after_round],
    )
    booster.best_iteration = watch.best or booster.current_iteration()
    return FitResult(booster, booster.best_iteration, whole=not watch.expired)


def fit_xgboost(
    X: FloatArray, y: FloatArray, chosen: Hyperparameters, setting: FitContext
) -> FitResult:
    """Return a booster of XGBoost, cut to its best rounds."""
    import xgboost as library

    watched, watch = _eval_metric(XGBOOST_EVAL_METRICS, setting), EarlyStopping(setting.deadline)
    values = XGBOOST_FIXED_PARAMS | {
        "objective": XGBOOST_OBJECTIVES[setting.task],
        "eval_metric": watched,
        "seed": setting.seed,
        "nthread": max(setting.n_jobs, 0),
    }
    if setting.task == "multiclass":
        values["num_class"] = setting.n_classes

    class AfterRound(library.callback.TrainingCallback):  # type: ignore[misc]
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:  # noqa: ARG002
            scores = evals_log.get("validation", {}).get(watched, [])
            return watch.is_over(epoch + 1, _last_loss(scores, watched))

    booster = library.train(
        values | _own_params(chosen),
        library.QuantileDMatrix(X, y, weight=setting.weights),
        num_boost_round=_n_rounds(chosen, setting),
        evals=[(library.DMatrix(*pair), "validation") for pair in _validation_sets(setting)],
        callbacks=[AfterRound()],
        verbose_eval=False,
    )
    kept = watch.best or booster.num_boosted_rounds()
    return FitResult(booster[:kept], kept, whole=not watch.expired)


def fit_catboost(
    X: FloatArray, y: FloatArray, chosen: Hyperparameters, setting: FitContext
) -> FitResult:
    """Return a model of CatBoost, cut to its best rounds; the first columns are codes of levels.

    Where no column varies, or the target does not, it is the zero rule, which is what other
    libraries make of such rows: CatBoost refuses them.
    """
    import catboost as library

    if _is_constant(y) or all(_is_constant(column) for column in X.T):
        return fit_zero_rule(X, y, {"statistic": "mean"}, setting)
    watched, watch = _eval_metric(CATBOOST_EVAL_METRICS, setting), EarlyStopping(setting.deadline)
    judged = [_catboost_pool(*pair, setting=setting) for pair in _validation_sets(setting)]

    class AfterRound:
        def after_iteration(self, info: Any) -> bool:
            scores = info.metrics.get("validation", {}).get(watched, [])
            return not watch.is_over(info.iteration, _last_loss(scores, watched))

    values = _catboost_params(chosen, setting) | {"eval_metric": watched}
    own = _own_params(chosen)
    if len(y) < MIN_ROWS_TO_SUBSAMPLE:
        values["bootstrap_type"] = "No"
        own.pop("subsample", None)
    model = library.CatBoost(values | {"use_best_model": bool(judged)} | own)
    rows = _catboost_pool(X, y, setting.weights, setting=setting)
    model.fit(rows, eval_set=judged or None, callbacks=[AfterRound()])
    return FitResult(model, model.tree_count_, whole=not watch.expired)


def _catboost_params(chosen: Hyperparameters, setting: FitContext) -> dict[str, Any]:
    values = CATBOOST_FIXED_PARAMS | {
        "loss_function": CATBOOST_LOSSES[setting.task],
        "iterations": _n_rounds(chosen, setting),
        "random_seed": setting.seed,
        "thread_count": setting.n_jobs,
    }
    if setting.task == "multiclass":
        values["classes_count"] = setting.n_classes
    return values


def _is_constant(cells: FloatArray) -> bool:
    return len(np.unique(cells)) <= 1


def _catboost_pool(
    X: FloatArray, y: FloatArray, weights: FloatArray | None = None, *, setting: FitContext
) -> Any:
    import catboost as library

    places = tuple(range(setting.n_levels))
    return library.Pool(to_catboost_rows(X, places), y, weight=weights, cat_features=list(places))


def _own_params(chosen: Hyperparameters) -> Hyperparameters:
    return {name: value for name, value in chosen.items() if name != ROUNDS_PARAM}


def _n_rounds(chosen: Hyperparameters, setting: FitContext) -> int:
    most = int_param(chosen, ROUNDS_PARAM)
    if setting.iterations is not None:
        return setting.iterations
    return most if setting.validation else min(most, ROUNDS_WITHOUT_VALIDATION)


def _validation_sets(setting: FitContext) -> list[tuple[FloatArray, FloatArray]]:
    if setting.iterations is not None or setting.validation is None:
        return []
    return [setting.validation]


def _eval_metric(names: Mapping[str, MetricNames], setting: FitContext) -> str:
    """Return what early stopping watches: the library's nearest to the metric."""
    known = names[setting.task]
    ranks = setting.metric in ("roc_auc", "pr_auc")
    if (
        ranks
        and setting.validation is not None
        and minority_count(setting.validation[1]) < MIN_ROWS_FOR_RANKING
    ):
        return known[""]
    return known.get(setting.metric, known[""])


def _last_loss(scores: Sequence[float], watched: str) -> float | None:
    """Return the last score, turned so that less is better; None where nothing is watched."""
    if not scores:
        return None
    last = math.inf if math.isnan(scores[-1]) else scores[-1]
    return -last if watched in HIGHER_IS_BETTER else last
