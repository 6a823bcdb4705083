"""The portfolio: strong and diverse configurations that a search tries before it searches.

Values of the boosters start from the tuned defaults of Holzmüller et al. (2024) and from the
portfolio of TabRepo (Salinas and Erickson 2024), with learning rates for budgets of minutes.
"""

from pipelines.core.predictions import Task
from pipelines.core.trials import Configuration, Value

FEW_ROWS, MANY_ROWS = 1_000, 50_000
MOST_COMPARED = 20_000  # rows with which neighbours are of use
MANY_CELLS = 10_000_000  # rows times columns times classes
SMALL_BATCHES = 4_000  # rows, below which a network takes small batches

Values = dict[str, Value]

CLASSIFICATION: dict[str, tuple[str, Values]] = {
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
REGRESSION: dict[str, tuple[str, Values]] = {
    "lightgbm": (
        "lightgbm",
        {"learning_rate": 0.05, "num_leaves": 100, "min_data_in_leaf": 3, "feature_fraction": 1.0,
         "bagging_fraction": 0.7, "lambda_l1": 1e-4, "lambda_l2": 1e-4, "levels": "one_hot"},
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
EITHER: dict[str, tuple[str, Values]] = {
    "linear": ("linear", {"numbers": "power"}),
    "additive": ("linear", {"numbers": "spline"}),
    "stumps": (
        "lightgbm",
        {"learning_rate": 0.15, "num_leaves": 2, "min_data_in_leaf": 17, "feature_fraction": 0.6,
         "bagging_fraction": 0.84},
    ),
    "random_splits": (
        "lightgbm",
        {"learning_rate": 0.1, "num_leaves": 64, "min_data_in_leaf": 28, "feature_fraction": 0.55,
         "bagging_fraction": 0.99, "lambda_l1": 0.9, "lambda_l2": 1.9, "extra_trees": True},
    ),
    "small_leaves": (
        "lightgbm",
        {"learning_rate": 0.08, "num_leaves": 8, "min_data_in_leaf": 15, "feature_fraction": 0.6,
         "bagging_fraction": 0.8, "lambda_l1": 0.1, "lambda_l2": 0.3},
    ),
    "hist_boosting": (
        "hist_boosting",
        {"learning_rate": 0.08, "max_leaf_nodes": 31, "min_samples_leaf": 20, "max_features": 0.7},
    ),
    "extra_trees": ("extra_trees", {"max_features": 1.0, "min_samples_leaf": 1}),
    "neighbours": ("neighbours", {"numbers": "quantile"}),
    "random_forest": ("random_forest", {"max_features": 0.4, "min_samples_leaf": 4}),
    "network": ("neural_network", {"numbers": "spline", "learning_rate": 0.001}),
    "wide_network": (
        "neural_network",
        {"numbers": "spline", "layers": 1, "width": 256, "dropout": 0.2, "learning_rate": 0.002},
    ),
    "embeddings": ("embedding_network", {"numbers": "spline"}),
    "shallow_catboost": (
        "catboost",
        {"learning_rate": 0.15, "depth": 4, "l2_leaf_reg": 4.6, "random_strength": 1.0},
    ),
}  # fmt: skip
ORDER = (
    "linear", "lightgbm", "shallow_catboost", "small_leaves", "additive", "xgboost", "catboost",
    "stumps", "wide_network", "random_splits", "extra_trees", "hist_boosting", "random_forest",
    "neighbours", "network", "embeddings",
)  # fmt: skip
ORDER_OF_FEW_ROWS = (
    "linear", "shallow_catboost", "additive", "stumps", "wide_network", "extra_trees",
    "small_leaves", "catboost", "random_forest", "lightgbm", "random_splits", "xgboost",
    "neighbours", "network", "embeddings",
)  # fmt: skip
ORDER_OF_MANY_ROWS = (
    "linear", "lightgbm", "xgboost", "hist_boosting", "catboost", "stumps", "random_splits",
    "shallow_catboost", "extra_trees", "wide_network", "embeddings",
)  # fmt: skip


def portfolio(
    task: Task, n_rows: int, n_features: int, n_classes: int
) -> tuple[Configuration, ...]:
    """Return the configurations to try first: cheap ones, and those that are rarely in vain.

    Parameters
    ----------
    task : str
    n_rows, n_features, n_classes : int
        Of the training rows; `n_classes` is 0 in regression.

    Examples
    --------
    >>> [point.family for point in portfolio("binary", 5000, 10, 2)][:3]
    ['linear', 'lightgbm', 'catboost']
    """
    named = EITHER | (REGRESSION if task == "regression" else CLASSIFICATION)
    large = n_rows > MANY_ROWS or n_rows * n_features * max(n_classes, 1) > MANY_CELLS
    order: tuple[str, ...] = ORDER_OF_MANY_ROWS if large else ORDER
    if n_rows < FEW_ROWS:
        order = ORDER_OF_FEW_ROWS
    chosen = [named[name] for name in order if name != "neighbours" or n_rows <= MOST_COMPARED]
    points = [Configuration(family, dict(values)) for family, values in chosen]
    return tuple(_fitted_to(point, n_rows, large=large) for point in points)


def _fitted_to(point: Configuration, n_rows: int, *, large: bool) -> Configuration:
    """Return a configuration whose batches and rates suit the rows."""
    values = point.hyperparameters
    if point.family in ("neural_network", "embedding_network"):
        size = 64 if n_rows < SMALL_BATCHES else 256
        return Configuration(point.family, values | {"batch_size": size})
    if large and point.family in ("catboost", "hist_boosting"):
        rounds = {"max_iter": 400} if point.family == "hist_boosting" else {"n_estimators": 400}
        return Configuration(point.family, values | rounds | {"learning_rate": 0.12})
    return point
