"""What the portfolio tries first: strong configurations for a table, by its size.

One of each kind of model comes first, the quickest kind first: an ensemble gains most from models
of different kinds, and on a large table there may be no time for more.

Booster values start from the tuned defaults of Holzmüller et al. (2024) and from the portfolio of
TabRepo (Salinas and Erickson 2024).
"""

import math

from evertune.models.families import FAMILIES
from evertune.models.fit_context import Hyperparameters
from evertune.trials import Configuration
from evertune.types import Task

FEW_ROWS, MANY_ROWS = 1_000, 50_000
MAX_KNN_ROWS = 20_000  # of training, beyond which neighbours take too long
MANY_CELLS = 10_000_000  # rows x columns x classes
SMALL_BATCH_ROWS = 4_000  # below which a network takes small batches

# What a fold of the portfolio's configurations takes with one thread at 3,200 training rows of 20
# numbers and two classes, in seconds; only their ratios matter. Measured on generated tables, but
# for the families that no default is of (guessed), and the embeddings (guessed, too).
FOLD_SECONDS = {
    "linear": 0.15,
    "naive_bayes": 0.1,
    "knn": 0.2,
    "svm": 1.0,
    "tree": 0.1,
    "random_forest": 1.6,
    "extra_trees": 0.9,
    "hist_gradient_boosting": 0.7,
    "lightgbm": 0.5,
    "xgboost": 0.5,
    "catboost": 1.5,
    "mlp": 1.1,
    "embedding_mlp": 5.0,
}
ONE_TREE_A_CLASS = ("hist_gradient_boosting", "lightgbm", "xgboost", "catboost")
REFERENCE_CELLS = 4_000 * 20
CELLS_EXPONENT = 0.8

CLASSIFICATION_PORTFOLIO: dict[str, tuple[str, Hyperparameters]] = {
    "lightgbm": (
        "lightgbm",
        {"learning_rate": 0.05, "num_leaves": 50, "min_data_in_leaf": 40, "feature_fraction": 1.0,
         "bagging_fraction": 0.75, "lambda_l1": 1e-4, "lambda_l2": 1e-4},
    ),
    "catboost": (
        "catboost",
        {"learning_rate": 0.08, "depth": 7, "l2_leaf_reg": 0.01, "random_strength": 0.8,
         "subsample": 0.9},
    ),
    "xgboost": (
        "xgboost",
        {"learning_rate": 0.08, "max_depth": 6, "min_child_weight": 1e-3, "subsample": 0.65,
         "colsample_bylevel": 0.9, "reg_lambda": 1e-4, "reg_alpha": 1e-4},
    ),
}  # fmt: skip
REGRESSION_PORTFOLIO: dict[str, tuple[str, Hyperparameters]] = {
    "lightgbm": (
        "lightgbm",
        {"learning_rate": 0.05, "num_leaves": 100, "min_data_in_leaf": 3, "feature_fraction": 1.0,
         "bagging_fraction": 0.7, "lambda_l1": 1e-4, "lambda_l2": 1e-4,
         "categorical_encoding": "one_hot"},
    ),
    "catboost": (
        "catboost",
        {"learning_rate": 0.06, "depth": 7, "l2_leaf_reg": 3.0, "random_strength": 1.0,
         "subsample": 0.8, "one_hot_max_size": 2},
    ),
    "xgboost": (
        "xgboost",
        {"learning_rate": 0.05, "max_depth": 9, "min_child_weight": 2.0, "subsample": 0.7,
         "colsample_bylevel": 1.0, "reg_lambda": 1e-4, "reg_alpha": 1e-4},
    ),
}  # fmt: skip
COMMON_PORTFOLIO: dict[str, tuple[str, Hyperparameters]] = {
    "linear": ("linear", {"numeric_transform": "power"}),
    "additive": ("linear", {"numeric_transform": "spline"}),
    "stumps": (
        "lightgbm",
        {"learning_rate": 0.15, "num_leaves": 2, "min_data_in_leaf": 17, "feature_fraction": 0.6,
         "bagging_fraction": 0.84},
    ),
    "random_splits": (
        "lightgbm",
        {"learning_rate": 0.1, "num_leaves": 64, "min_data_in_leaf": 28, "feature_fraction": 0.55,
         "bagging_fraction": 0.99, "lambda_l1": 0.9, "lambda_l2": 1.9, "extra_trees": True,
         "interactions": "arithmetic"},
    ),
    "small_leaves": (
        "lightgbm",
        {"learning_rate": 0.08, "num_leaves": 8, "min_data_in_leaf": 15, "feature_fraction": 0.6,
         "bagging_fraction": 0.8, "lambda_l1": 0.1, "lambda_l2": 0.3},
    ),
    "hist_gradient_boosting": (
        "hist_gradient_boosting",
        {"learning_rate": 0.08, "max_leaf_nodes": 31, "min_samples_leaf": 20, "max_features": 0.7},
    ),
    "extra_trees": ("extra_trees", {"max_features": 1.0, "min_samples_leaf": 1}),
    "knn": ("knn", {"numeric_transform": "quantile"}),
    "random_forest": ("random_forest", {"max_features": 0.4, "min_samples_leaf": 4}),
    "network": ("mlp", {"numeric_transform": "spline", "learning_rate": 0.001}),
    "wide_network": (
        "mlp",
        {"numeric_transform": "spline", "layers": 1, "width": 256, "dropout": 0.2,
         "learning_rate": 0.002},
    ),
    "embeddings": ("embedding_mlp", {"numeric_transform": "spline"}),
    "plain_catboost": ("catboost", {"learning_rate": 0.06}),
    "shallow_catboost": (
        "catboost",
        {"learning_rate": 0.15, "depth": 4, "l2_leaf_reg": 4.6, "random_strength": 1.0},
    ),
}  # fmt: skip
PORTFOLIO_ORDER = (
    "linear", "lightgbm", "plain_catboost", "small_leaves", "shallow_catboost", "additive",
    "xgboost", "catboost", "stumps", "wide_network", "random_splits", "extra_trees",
    "hist_gradient_boosting", "random_forest", "knn", "network", "embeddings",
)  # fmt: skip
SMALL_TABLE_ORDER = (
    "linear", "shallow_catboost", "additive", "stumps", "wide_network", "extra_trees",
    "small_leaves", "catboost", "random_forest", "lightgbm", "random_splits", "xgboost",
    "knn", "network", "embeddings",
)  # fmt: skip
LARGE_TABLE_ORDER = (
    "linear", "lightgbm", "xgboost", "hist_gradient_boosting", "catboost", "stumps",
    "random_splits", "shallow_catboost", "extra_trees", "wide_network", "embeddings",
)  # fmt: skip


def default_portfolio(
    task: Task, n_rows: int, n_features: int, n_classes: int
) -> tuple[Configuration, ...]:
    """Return the configurations to try first, for a table of this size.

    `n_classes` is 0 in regression. One of each kind comes first, then those that are rarely in
    vain.
    """
    named = COMMON_PORTFOLIO | (
        REGRESSION_PORTFOLIO if task == "regression" else CLASSIFICATION_PORTFOLIO
    )
    large = n_rows > MANY_ROWS or n_rows * n_features * max(n_classes, 1) > MANY_CELLS
    order: tuple[str, ...] = LARGE_TABLE_ORDER if large else PORTFOLIO_ORDER
    if n_rows < FEW_ROWS:
        order = SMALL_TABLE_ORDER
    chosen = [named[name] for name in order if name != "knn" or n_rows <= MAX_KNN_ROWS]
    points = [
        _adapt_to_table_size(Configuration(family, dict(values)), n_rows, large=large)
        for family, values in chosen
    ]
    # the first of each kind
    heads = {FAMILIES[point.family].kind: point for point in reversed(points)}
    first = sorted(
        heads.values(),
        key=lambda point: expected_fold_seconds(point.family, n_rows, n_features, n_classes),
    )
    return (*first, *(point for point in points if not any(point is head for head in first)))


def expected_fold_seconds(family: str, n_rows: int, n_features: int, n_classes: int) -> float:
    """Return roughly what a fold of a family takes, before anything was measured.

    Examples
    --------
    >>> expected_fold_seconds("lightgbm", 4_000, 20, 2)
    0.5
    >>> expected_fold_seconds("lightgbm", 4_000, 20, 26)
    6.5
    """
    trees = max(n_classes, 2) / 2 if family in ONE_TREE_A_CLASS else 1.0
    cells = n_rows * max(n_features, 1) / REFERENCE_CELLS
    return FOLD_SECONDS[family] * trees * math.pow(cells, CELLS_EXPONENT)


def _adapt_to_table_size(point: Configuration, n_rows: int, *, large: bool) -> Configuration:
    """Return a configuration with batch sizes and learning rates that suit the rows."""
    values = point.hyperparameters
    if FAMILIES[point.family].kind == "network":
        size = 64 if n_rows < SMALL_BATCH_ROWS else 256
        return Configuration(point.family, values | {"batch_size": size})
    if large and point.family in ("catboost", "hist_gradient_boosting"):
        rounds = (
            {"max_iter": 400} if point.family == "hist_gradient_boosting" else {"n_estimators": 400}
        )
        return Configuration(point.family, values | rounds | {"learning_rate": 0.12})
    return point
