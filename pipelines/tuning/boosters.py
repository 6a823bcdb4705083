"""Gradient boosting by LightGBM, XGBoost and CatBoost: early stopping and a deadline in each."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipelines.core.booster_rows import catboost_rows
from pipelines.core.predictions import Floats
from pipelines.tuning.growing import (
    LEAST_RANKED,
    Grown,
    Hyperparameters,
    Setting,
    Watch,
    rarest,
    whole_number,
)
from pipelines.tuning.linears import zero_rule

ROUNDS = "n_estimators"
FEWEST_DRAWN = 20  # rows; of fewer, what CatBoost draws for a round could be none
UNWATCHED_ROUNDS = 200  # without rows on which to stop
Names = Mapping[str, str]

LIGHTGBM_WATCHES = {
    "binary": {"": "binary_logloss", "roc_auc": "auc", "pr_auc": "average_precision"},
    "multiclass": {"": "multi_logloss", "accuracy": "multi_error"},
    "regression": {"": "l2", "mae": "l1", "mape": "mape"},
}
XGBOOST_WATCHES = {
    "binary": {"": "logloss", "roc_auc": "auc", "pr_auc": "aucpr"},
    "multiclass": {"": "mlogloss"},
    "regression": {"": "rmse", "mae": "mae", "mape": "mape"},
}
CATBOOST_WATCHES = {
    "binary": {"": "Logloss", "roc_auc": "AUC", "pr_auc": "PRAUC"},
    "multiclass": {"": "MultiClass"},
    "regression": {"": "RMSE", "mae": "MAE", "mape": "MAPE"},
}
QUIET = {"verbose": -1}
LIGHTGBM_FIXED: dict[str, Any] = QUIET | {
    "deterministic": True,
    "force_row_wise": True,
    "bagging_freq": 1,
}
XGBOOST_FIXED: dict[str, Any] = {"tree_method": "hist", "verbosity": 0}
CATBOOST_FIXED: dict[str, Any] = {
    "bootstrap_type": "Bernoulli",
    "allow_writing_files": False,
    "logging_level": "Silent",
}
RISING = {"auc", "average_precision", "aucpr", "AUC", "PRAUC"}
XGBOOST_OBJECTIVES = {
    "binary": "binary:logistic",
    "multiclass": "multi:softprob",
    "regression": "reg:squarederror",
}
CATBOOST_LOSSES = {"binary": "Logloss", "multiclass": "MultiClass", "regression": "RMSE"}


def lightgbm(X: Floats, y: Floats, chosen: Hyperparameters, setting: Setting) -> Grown:
    """Return a booster of LightGBM; the first columns of X are codes of levels."""
    import lightgbm as library

    watched, watch = _watched(LIGHTGBM_WATCHES, setting), Watch(setting.deadline)
    values = LIGHTGBM_FIXED | {
        "objective": setting.task,
        "metric": watched,
        "num_class": setting.n_classes if setting.task == "multiclass" else 1,
        "seed": setting.seed,
        "num_threads": max(setting.n_jobs, 0),
    }
    quiet = {"categorical_feature": list(range(setting.n_levels)) or "auto", "params": QUIET}
    rows = library.Dataset(X, y, weight=setting.weights, **quiet)
    judged = [library.Dataset(*pair, reference=rows, **quiet) for pair in _validation(setting)]

    def after_round(env: Any) -> None:
        found = env.evaluation_result_list
        if watch.is_over(env.iteration + 1, _falling([row[2] for row in found], watched)):
            raise library.callback.EarlyStopException(watch.best - 1, found)

    booster = library.train(
        values | _own(chosen),
        rows,
        num_boost_round=_rounds(chosen, setting),
        valid_sets=judged,
        callbacks=[after_round],
    )
    booster.best_iteration = watch.best or booster.current_iteration()
    return Grown(booster, booster.best_iteration, whole=not watch.expired)


def xgboost(X: Floats, y: Floats, chosen: Hyperparameters, setting: Setting) -> Grown:
    """Return a booster of XGBoost, cut to its best rounds."""
    import xgboost as library

    watched, watch = _watched(XGBOOST_WATCHES, setting), Watch(setting.deadline)
    values = XGBOOST_FIXED | {
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
            return watch.is_over(epoch + 1, _falling(scores, watched))

    booster = library.train(
        values | _own(chosen),
        library.QuantileDMatrix(X, y, weight=setting.weights),
        num_boost_round=_rounds(chosen, setting),
        evals=[(library.DMatrix(*pair), "validation") for pair in _validation(setting)],
        callbacks=[AfterRound()],
        verbose_eval=False,
    )
    kept = watch.best or booster.num_boosted_rounds()
    return Grown(booster[:kept], kept, whole=not watch.expired)


def catboost(X: Floats, y: Floats, chosen: Hyperparameters, setting: Setting) -> Grown:
    """Return a model of CatBoost, cut to its best rounds; the first columns are codes of levels.

    Where no column varies, or the target does not, it is the zero rule, which is what other
    libraries make of such rows: CatBoost refuses them.
    """
    import catboost as library

    if _is_constant(y) or all(_is_constant(column) for column in X.T):
        return zero_rule(X, y, {"statistic": "mean"}, setting)
    watched, watch = _watched(CATBOOST_WATCHES, setting), Watch(setting.deadline)
    judged = [_pool(*pair, setting=setting) for pair in _validation(setting)]

    class AfterRound:
        def after_iteration(self, info: Any) -> bool:
            scores = info.metrics.get("validation", {}).get(watched, [])
            return not watch.is_over(info.iteration, _falling(scores, watched))

    values = _catboost_settings(chosen, setting) | {"eval_metric": watched}
    own = _own(chosen)
    if len(y) < FEWEST_DRAWN:
        values["bootstrap_type"] = "No"
        own.pop("subsample", None)
    model = library.CatBoost(values | {"use_best_model": bool(judged)} | own)
    rows = _pool(X, y, setting.weights, setting=setting)
    model.fit(rows, eval_set=judged or None, callbacks=[AfterRound()])
    return Grown(model, model.tree_count_, whole=not watch.expired)


def _catboost_settings(chosen: Hyperparameters, setting: Setting) -> dict[str, Any]:
    values = CATBOOST_FIXED | {
        "loss_function": CATBOOST_LOSSES[setting.task],
        "iterations": _rounds(chosen, setting),
        "random_seed": setting.seed,
        "thread_count": setting.n_jobs,
    }
    if setting.task == "multiclass":
        values["classes_count"] = setting.n_classes
    return values


def _is_constant(cells: Floats) -> bool:
    return len(np.unique(cells)) <= 1


def _pool(X: Floats, y: Floats, weights: Floats | None = None, *, setting: Setting) -> Any:
    import catboost as library

    places = tuple(range(setting.n_levels))
    return library.Pool(catboost_rows(X, places), y, weight=weights, cat_features=list(places))


def _own(chosen: Hyperparameters) -> Hyperparameters:
    return {name: value for name, value in chosen.items() if name != ROUNDS}


def _rounds(chosen: Hyperparameters, setting: Setting) -> int:
    most = whole_number(chosen, ROUNDS)
    if setting.iterations is not None:
        return setting.iterations
    return most if setting.validation else min(most, UNWATCHED_ROUNDS)


def _validation(setting: Setting) -> list[tuple[Floats, Floats]]:
    if setting.iterations is not None or setting.validation is None:
        return []
    return [setting.validation]


def _watched(names: Mapping[str, Names], setting: Setting) -> str:
    """Return what early stopping watches: the library's nearest to the metric."""
    known = names[setting.task]
    ranks = setting.metric in ("roc_auc", "pr_auc")
    if ranks and setting.validation is not None and rarest(setting.validation[1]) < LEAST_RANKED:
        return known[""]
    return known.get(setting.metric, known[""])


def _falling(scores: Sequence[float], watched: str) -> float | None:
    """Return the last score, turned so that less is better; None where nothing is watched."""
    if not scores:
        return None
    last = math.inf if math.isnan(scores[-1]) else scores[-1]
    return -last if watched in RISING else last
