"""Default ranges of every model family, and the portfolio of strong default configurations.

`Float`, `Integer` and `Choice` are the parameter types, `ALL_SPACES` the ranges by family,
`SHARED_PARAMETERS` what every family takes, `OPTIONAL_PARAMETERS` what is searched only on
request because it is slow or rarely helps. `default_portfolio` lists the configurations that a
search tries first, in an order that depends on the size of the table.

The bounds of the boosters and forests follow those agreed on by their authors for TabArena
(Erickson et al. 2025). Booster values in the portfolio start from the tuned defaults of
Holzmüller et al. (2024) and from the portfolio of TabRepo (Salinas and Erickson 2024). Learning
rates are adapted to budgets of minutes.
"""

from dataclasses import dataclass

from evertune.trials import Configuration, ParameterValue
from evertune.types import Task


@dataclass(frozen=True)
class Condition:
    """The condition under which a parameter is looked at: another one has one of these values."""

    name: str
    values: tuple[ParameterValue, ...]


@dataclass(frozen=True)
class Float:
    """A number between two bounds, both included; `log` where ratios matter more than steps."""

    low: float
    high: float
    log: bool = False
    when: Condition | None = None


@dataclass(frozen=True)
class Integer:
    """A whole number between two bounds, both included."""

    low: int
    high: int
    log: bool = False
    when: Condition | None = None


@dataclass(frozen=True)
class Choice:
    """One of a few values."""

    values: tuple[ParameterValue, ...]
    when: Condition | None = None


Parameter = Float | Integer | Choice
Parameters = dict[str, Parameter]
Space = dict[str, Parameters]

NOMINAL_ENCODINGS = Choice(("one_hot", "target", "hashed"))
IF_ADAM, IF_SGD = Condition("solver", ("adam",)), Condition("solver", ("sgd",))
BOOSTING_LEARNING_RATE = Float(0.02, 0.2, log=True)

# what every family takes; `narrowing` says which of it a table's columns would notice
SHARED_PARAMETERS: Parameters = {
    "text": Choice(("auto", "target", "hashed", "words", "characters")),
    "class_weight": Choice(("none", "balanced")),
    "select": Choice(("none", "filter", "l1", "importance", "recursive")),
    "select_share": Float(
        0.2, 0.9, when=Condition("select", ("filter", "l1", "importance", "recursive"))
    ),
}
# what every family takes where a user asks for it: it is dear, or rarely of use
OPTIONAL_PARAMETERS: Parameters = {"pairs": Choice(("none", "numbers", "levels", "both"))}
NUMERIC_INTERACTIONS = Choice(
    ("none", "numbers")
)  # what trees find by themselves, and others do not

DEFAULT_SPACES: Space = {
    "linear": {
        "numbers": Choice(("scaled", "power", "quantile", "spline", "binned", "box_cox")),
        "levels": NOMINAL_ENCODINGS,
        "pairs": NUMERIC_INTERACTIONS,
        "penalty": Choice(("l2", "l1", "elastic")),
        "regularisation": Float(1e-3, 1e3, log=True),
    },
    "naive_bayes": {
        "numbers": Choice(("power", "scaled", "quantile", "box_cox")),
        "levels": NOMINAL_ENCODINGS,
        "var_smoothing": Float(1e-9, 1.0, log=True),
    },
    "neighbours": {
        "numbers": Choice(("scaled", "quantile", "robust")),
        "levels": NOMINAL_ENCODINGS,
        "n_neighbors": Integer(3, 200, log=True),
        "weights": Choice(("distance", "uniform")),
        "p": Choice((2, 1)),
    },
    "svm": {
        "numbers": Choice(("scaled", "quantile", "robust")),
        "levels": NOMINAL_ENCODINGS,
        "C": Float(0.1, 100.0, log=True),
        "gamma": Float(0.1, 10.0, log=True),
    },
    "tree": {
        "levels": NOMINAL_ENCODINGS,
        "max_depth": Integer(2, 16, log=True),
        "min_samples_leaf": Integer(2, 100, log=True),
    },
    "lightgbm": {
        "levels": Choice(("ordinal", "target", "one_hot", "codes", "hashed")),
        "learning_rate": BOOSTING_LEARNING_RATE,
        "num_leaves": Integer(2, 200, log=True),
        "min_data_in_leaf": Integer(1, 64, log=True),
        "feature_fraction": Float(0.4, 1.0),
        "bagging_fraction": Float(0.7, 1.0),
        "extra_trees": Choice((False, True)),
        "lambda_l1": Float(1e-4, 1.0, log=True),
        "lambda_l2": Float(1e-4, 10.0, log=True),
        "cat_smooth": Float(1e-3, 100.0, log=True, when=Condition("levels", ("ordinal", "codes"))),
        "cat_l2": Float(5e-3, 20.0, log=True, when=Condition("levels", ("ordinal", "codes"))),
    },
    "xgboost": {
        "levels": Choice(("one_hot", "target", "ordinal", "hashed")),
        "learning_rate": BOOSTING_LEARNING_RATE,
        "max_depth": Integer(3, 10, log=True),
        "min_child_weight": Float(1e-3, 10.0, log=True),
        "subsample": Float(0.6, 1.0),
        "colsample_bylevel": Float(0.5, 1.0),
        "reg_alpha": Float(1e-4, 5.0, log=True),
        "reg_lambda": Float(1e-4, 5.0, log=True),
    },
    "hist_boosting": {
        "levels": NOMINAL_ENCODINGS,
        "learning_rate": BOOSTING_LEARNING_RATE,
        "max_leaf_nodes": Integer(3, 128, log=True),
        "min_samples_leaf": Integer(2, 100, log=True),
        "l2_regularization": Float(1e-3, 10.0, log=True),
        "max_features": Float(0.4, 1.0),
    },
    "extra_trees": {
        "levels": NOMINAL_ENCODINGS,
        "max_features": Float(0.1, 1.0),
        "min_samples_leaf": Integer(1, 32, log=True),
    },
    "random_forest": {
        "levels": NOMINAL_ENCODINGS,
        "max_features": Float(0.1, 1.0),
        "min_samples_leaf": Integer(1, 32, log=True),
    },
    "neural_network": {
        "numbers": Choice(("spline", "robust", "quantile")),
        "levels": NOMINAL_ENCODINGS,
        "pairs": NUMERIC_INTERACTIONS,
        "layers": Integer(1, 4),
        "width": Integer(32, 256, log=True),
        "activation": Choice(("relu", "tanh")),
        "solver": Choice(("adam", "sgd")),
        "learning_rate": Float(3e-4, 3e-2, log=True),
        "schedule": Choice(("cosine", "coslog4", "constant")),
        "beta_1": Float(0.8, 0.95, when=IF_ADAM),
        "beta_2": Float(0.9, 0.999, when=IF_ADAM),
        "momentum": Float(0.5, 0.95, when=IF_SGD),
        "batch_size": Integer(64, 512, log=True),
        "alpha": Float(1e-6, 1.0, log=True),
        "dropout": Float(0.0, 0.4),
    },
    "catboost": {
        "learning_rate": BOOSTING_LEARNING_RATE,
        "depth": Integer(3, 8),
        "grow_policy": Choice(("SymmetricTree", "Depthwise")),
        "l2_leaf_reg": Float(1e-2, 10.0, log=True),
        "random_strength": Float(0.0, 2.0),
        "subsample": Float(0.7, 1.0),
        "one_hot_max_size": Integer(8, 100, log=True),
        "max_ctr_complexity": Integer(1, 3),
        "leaf_estimation_iterations": Integer(1, 10, log=True),
    },
}
# families that need an extra; they are searched where they are named
EXTRA_SPACES: Space = {
    "embedding_network": {
        "numbers": Choice(("spline", "piecewise", "quantile", "robust")),
        "levels": Choice(("codes", "ordinal", "one_hot", "target", "hashed")),
        "pairs": NUMERIC_INTERACTIONS,
        "embedding_width": Integer(2, 32, log=True, when=Condition("levels", ("codes", "ordinal"))),
        "layers": Integer(1, 4),
        "width": Integer(32, 256, log=True),
        "activation": Choice(("relu", "tanh", "silu")),
        "solver": Choice(("adam", "nadam", "sgd")),
        "learning_rate": Float(3e-4, 3e-2, log=True),
        "schedule": Choice(("cosine", "coslog4", "constant")),
        "beta_1": Float(0.8, 0.95, when=Condition("solver", ("adam", "nadam"))),
        "beta_2": Float(0.9, 0.999, when=Condition("solver", ("adam", "nadam"))),
        "momentum": Float(0.5, 0.95, when=IF_SGD),
        "batch_size": Integer(64, 512, log=True),
        "alpha": Float(1e-6, 1.0, log=True),
        "dropout": Float(0.0, 0.4),
    },
}
ALL_SPACES: Space = DEFAULT_SPACES | EXTRA_SPACES

FEW_ROWS, MANY_ROWS = 1_000, 50_000
MAX_KNN_ROWS = 20_000  # rows with which neighbours are of use
MANY_CELLS = 10_000_000  # rows times columns times classes
SMALL_BATCH_ROWS = 4_000  # rows, below which a network takes small batches

Hyperparameters = dict[str, ParameterValue]

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
COMMON_PORTFOLIO: dict[str, tuple[str, Hyperparameters]] = {
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
PORTFOLIO_ORDER = (
    "linear", "lightgbm", "shallow_catboost", "small_leaves", "additive", "xgboost", "catboost",
    "stumps", "wide_network", "random_splits", "extra_trees", "hist_boosting", "random_forest",
    "neighbours", "network", "embeddings",
)  # fmt: skip
SMALL_TABLE_ORDER = (
    "linear", "shallow_catboost", "additive", "stumps", "wide_network", "extra_trees",
    "small_leaves", "catboost", "random_forest", "lightgbm", "random_splits", "xgboost",
    "neighbours", "network", "embeddings",
)  # fmt: skip
LARGE_TABLE_ORDER = (
    "linear", "lightgbm", "xgboost", "hist_boosting", "catboost", "stumps", "random_splits",
    "shallow_catboost", "extra_trees", "wide_network", "embeddings",
)  # fmt: skip


def default_portfolio(
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
    >>> [point.family for point in default_portfolio("binary", 5000, 10, 2)][:3]
    ['linear', 'lightgbm', 'catboost']
    """
    named = COMMON_PORTFOLIO | (
        REGRESSION_PORTFOLIO if task == "regression" else CLASSIFICATION_PORTFOLIO
    )
    large = n_rows > MANY_ROWS or n_rows * n_features * max(n_classes, 1) > MANY_CELLS
    order: tuple[str, ...] = LARGE_TABLE_ORDER if large else PORTFOLIO_ORDER
    if n_rows < FEW_ROWS:
        order = SMALL_TABLE_ORDER
    chosen = [named[name] for name in order if name != "neighbours" or n_rows <= MAX_KNN_ROWS]
    points = [Configuration(family, dict(values)) for family, values in chosen]
    return tuple(_adapt_to_table_size(point, n_rows, large=large) for point in points)


def _adapt_to_table_size(point: Configuration, n_rows: int, *, large: bool) -> Configuration:
    """Return a configuration whose batches and rates suit the rows."""
    values = point.hyperparameters
    if point.family in ("neural_network", "embedding_network"):
        size = 64 if n_rows < SMALL_BATCH_ROWS else 256
        return Configuration(point.family, values | {"batch_size": size})
    if large and point.family in ("catboost", "hist_boosting"):
        rounds = {"max_iter": 400} if point.family == "hist_boosting" else {"n_estimators": 400}
        return Configuration(point.family, values | rounds | {"learning_rate": 0.12})
    return point
