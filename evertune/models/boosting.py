"""Gradient boosting by LightGBM, XGBoost and CatBoost, with early stopping and a deadline.

Each fit has a callback that asks `EarlyStopping` after every round. It watches the library's
metric that is nearest to the optimised one; with few validation rows of the rarer class it
watches the log loss, because ranking metrics are too noisy. The model is cut to its best round.

`train_lightgbm`, `train_xgboost` and `train_catboost` grow a model by some rounds (`Growth`), from
nothing or from one that was grown before (`evertune.models.stepwise`).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

import numpy as np

from evertune.models.early_stopping import ROUNDS_WITHOUT_VALIDATION, EarlyStopping, can_rank
from evertune.models.fit_context import FitContext, FitResult, Hyperparameters, int_param
from evertune.models.fitted_model import to_catboost_rows
from evertune.models.sklearn_models import fit_zero_rule
from evertune.types import FloatArray

MIN_ROWS_TO_SUBSAMPLE = 20  # with fewer rows, CatBoost could draw none for a round

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


@dataclass(frozen=True, eq=False)
class Growth:
    """By how much a booster is to grow.

    Attributes
    ----------
    n_rounds : int
        At most.
    is_over : callable
        From a new round, counted from 1, and its loss if there are validation rows: whether to end.
    model : booster, optional
        To go on from.
    """

    n_rounds: int
    is_over: Callable[[int, float | None], bool]
    model: Any = None


def fit_lightgbm(
    X: FloatArray, y: FloatArray, params: Hyperparameters, context: FitContext
) -> FitResult:
    """Fit a booster of LightGBM; the first columns of X are codes of categories."""
    stopping = EarlyStopping(context.deadline)
    n_rounds, own_params = split_params(params, context)
    growth = Growth(n_rounds, stopping.is_over)
    booster = train_lightgbm(X, y, own_params, context, growth=growth, best=lambda: stopping.best)
    booster.best_iteration = stopping.best or booster.current_iteration()
    return FitResult(booster, booster.best_iteration, whole=not stopping.expired)


def train_lightgbm(
    X: FloatArray,
    y: FloatArray,
    own_params: Hyperparameters,
    context: FitContext,
    *,
    growth: Growth,
    best: Callable[[], int] | None = None,
) -> Any:
    """Return a booster of LightGBM that has grown.

    Parameters
    ----------
    best : callable, optional
        Returns the rounds to keep once the fit is over; by default all.
    """
    import lightgbm

    eval_metric = nearest_eval_metric(LIGHTGBM_EVAL_METRICS, context)
    columns: dict[str, Any] = {
        "categorical_feature": list(range(context.n_ordinal)) or "auto",
        "params": LIGHTGBM_QUIET,
    }
    rows = lightgbm.Dataset(X, y, weight=context.weights, **columns)
    validation = context.stopping_rows

    def after_round(env: Any) -> None:
        results = env.evaluation_result_list
        loss = last_loss([row[2] for row in results], eval_metric)
        if growth.is_over(env.iteration - env.begin_iteration + 1, loss):
            last = env.iteration if best is None else best() - 1
            raise lightgbm.callback.EarlyStopException(last, results)

    return lightgbm.train(
        lightgbm_values(context, eval_metric) | own_params,
        rows,
        num_boost_round=growth.n_rounds,
        valid_sets=[lightgbm.Dataset(*validation, reference=rows, **columns)] if validation else [],
        callbacks=[after_round],
        init_model=growth.model,
    )


def lightgbm_values(context: FitContext, eval_metric: str) -> dict[str, Any]:
    """Return the parameters of LightGBM that no configuration has."""
    return LIGHTGBM_FIXED_PARAMS | {
        "objective": context.task,
        "metric": eval_metric,
        "num_class": context.n_classes if context.task == "multiclass" else 1,
        "seed": context.seed,
        "num_threads": max(context.n_jobs, 0),
        **({"monotone_constraints": list(context.monotone)} if context.monotone else {}),
    }


def fit_xgboost(
    X: FloatArray, y: FloatArray, params: Hyperparameters, context: FitContext
) -> FitResult:
    """Fit a booster of XGBoost."""
    stopping = EarlyStopping(context.deadline)
    n_rounds, own_params = split_params(params, context)
    growth = Growth(n_rounds, stopping.is_over)
    booster = train_xgboost(X, y, own_params, context, growth=growth)
    n_kept = stopping.best or booster.num_boosted_rounds()
    return FitResult(booster[:n_kept], n_kept, whole=not stopping.expired)


def train_xgboost(
    X: FloatArray,
    y: FloatArray,
    own_params: Hyperparameters,
    context: FitContext,
    *,
    growth: Growth,
) -> Any:
    """Return a booster of XGBoost that has grown."""
    import xgboost

    eval_metric = nearest_eval_metric(XGBOOST_EVAL_METRICS, context)
    validation = context.stopping_rows

    class AfterRound(xgboost.callback.TrainingCallback):  # type: ignore[misc]
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:  # noqa: ARG002
            scores = evals_log.get("validation", {}).get(eval_metric, [])
            return growth.is_over(epoch + 1, last_loss(scores, eval_metric))

    return xgboost.train(
        xgboost_values(context, eval_metric) | own_params,
        xgboost.QuantileDMatrix(X, y, weight=context.weights),
        num_boost_round=growth.n_rounds,
        evals=[(xgboost.DMatrix(*validation), "validation")] if validation else [],
        callbacks=[AfterRound()],
        verbose_eval=False,
        xgb_model=growth.model,
    )


def xgboost_values(context: FitContext, eval_metric: str) -> dict[str, Any]:
    """Return the parameters of XGBoost that no configuration has."""
    values = XGBOOST_FIXED_PARAMS | {
        "objective": XGBOOST_OBJECTIVES[context.task],
        "eval_metric": eval_metric,
        "seed": context.seed,
        "nthread": max(context.n_jobs, 0),
    }
    if context.task == "multiclass":
        values["num_class"] = context.n_classes
    if context.monotone:
        values["monotone_constraints"] = str(context.monotone)
    return values


def fit_catboost(
    X: FloatArray, y: FloatArray, params: Hyperparameters, context: FitContext
) -> FitResult:
    """Fit a model of CatBoost; the first columns of X are codes of categories.

    If no column varies, or the target does not, it is the zero rule, as other libraries have it:
    CatBoost refuses such rows.
    """
    if catboost_refuses(X, y):
        return fit_zero_rule(X, y, {"statistic": "mean"}, context)
    stopping = EarlyStopping(context.deadline)
    n_rounds, own_params = split_params(params, context)
    growth, cuts = Growth(n_rounds, stopping.is_over), context.stopping_rows is not None
    model = train_catboost(X, y, own_params, context, growth=growth, cuts=cuts)
    return FitResult(model, model.tree_count_, whole=not stopping.expired)


def train_catboost(
    X: FloatArray,
    y: FloatArray,
    own_params: Hyperparameters,
    context: FitContext,
    *,
    growth: Growth,
    cuts: bool = False,
) -> Any:
    """Return a model of CatBoost that has grown; with `cuts`, to its best round alone."""
    import catboost

    eval_metric = nearest_eval_metric(CATBOOST_EVAL_METRICS, context)
    validation = context.stopping_rows

    class AfterRound:
        def after_iteration(self, info: Any) -> bool:
            scores = info.metrics.get("validation", {}).get(eval_metric, [])
            return not growth.is_over(info.iteration, last_loss(scores, eval_metric))

    values = catboost_values(own_params, len(y), context, eval_metric)
    grown = catboost.CatBoost(values | {"iterations": growth.n_rounds, "use_best_model": cuts})
    grown.fit(
        catboost_pool(X, y, context, context.weights),
        eval_set=catboost_pool(*validation, context) if validation else None,
        callbacks=[AfterRound()],
        init_model=growth.model,
        # It warns on the terminal even if silent, such as of classes that a fold lacks.
        log_cout=StringIO(),
        log_cerr=StringIO(),
    )
    return grown


def catboost_refuses(X: FloatArray, y: FloatArray) -> bool:
    """Return whether no column varies, or the target does not."""
    return _is_constant(y) or all(_is_constant(column) for column in X.T)


def catboost_values(
    own_params: Hyperparameters, n_rows: int, context: FitContext, eval_metric: str
) -> dict[str, Any]:
    """Return the parameters of CatBoost, those of the configuration included."""
    values = CATBOOST_FIXED_PARAMS | {
        "loss_function": CATBOOST_LOSSES[context.task],
        "eval_metric": eval_metric,
        "random_seed": context.seed,
        "thread_count": context.n_jobs,
    }
    if context.task == "multiclass":
        values["classes_count"] = context.n_classes
    if context.monotone:  # other trees cannot be monotone
        own_params = own_params | {"grow_policy": "SymmetricTree"}
        values["monotone_constraints"] = list(context.monotone)
    if n_rows < MIN_ROWS_TO_SUBSAMPLE:
        own_params = {name: own_params[name] for name in own_params if name != "subsample"}
        values["bootstrap_type"] = "No"
    return values | own_params


def catboost_pool(
    X: FloatArray, y: FloatArray, context: FitContext, weights: FloatArray | None = None
) -> Any:
    """Return rows as CatBoost takes them."""
    import catboost

    codes = tuple(range(context.n_ordinal))
    rows = to_catboost_rows(X, codes)
    return catboost.Pool(rows, y, weight=weights, cat_features=list(codes))


def _is_constant(values: FloatArray) -> bool:
    return len(np.unique(values)) <= 1


def split_params(params: Hyperparameters, context: FitContext) -> tuple[int, Hyperparameters]:
    """Return the rounds to grow at most, and the other hyperparameters."""
    limit = int_param(params, "n_estimators")
    others = {name: value for name, value in params.items() if name != "n_estimators"}
    return context.max_rounds(limit, ROUNDS_WITHOUT_VALIDATION), others


def nearest_eval_metric(names: Mapping[str, Mapping[str, str]], context: FitContext) -> str:
    """Return the library's metric for early stopping that is nearest to the optimised one."""
    known = names[context.task]
    ranks = context.metric in ("roc_auc", "pr_auc")
    if ranks and context.validation is not None and not can_rank(context.validation[1]):
        return known[""]
    return known.get(context.metric, known[""])


def last_loss(scores: Sequence[float], eval_metric: str) -> float | None:
    """Return the last score, turned so that less is better; None without validation rows."""
    if not scores:
        return None
    last = math.inf if math.isnan(scores[-1]) else scores[-1]
    return -last if eval_metric in HIGHER_IS_BETTER else last
