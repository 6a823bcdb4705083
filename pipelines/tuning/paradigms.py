"""The table of the families: what fits each, and the values that a configuration need not name."""

from dataclasses import dataclass

from pipelines.tuning.boosters import catboost, lightgbm, xgboost
from pipelines.tuning.embeddings import embedding_network
from pipelines.tuning.forests import extra_trees, hist_boosting, random_forest
from pipelines.tuning.growing import Fit, Hyperparameters
from pipelines.tuning.linears import linear, naive_bayes, tree, zero_rule
from pipelines.tuning.neighbours import neighbours, svm
from pipelines.tuning.networks import neural_network

# what every family takes beside its own hyperparameters
PARTS: Hyperparameters = {
    "numbers": "plain",
    "levels": "one_hot",
    "text": "auto",
    "pairs": "none",
    "class_weight": "none",
    "select": "none",
    "select_share": 0.5,
}


@dataclass(frozen=True)
class Family:
    """A kind of model.

    Attributes
    ----------
    fit : callable
        Takes X, y, hyperparameters and a setting.
    defaults : dict
        The values that a configuration need not name; `numbers` and `levels` say the form of the
        encoder.
    endless : bool
        Whether a fit looks at no clock, so that only the end of its process can stop it.
    """

    fit: Fit
    defaults: Hyperparameters
    endless: bool = False


FAMILIES: dict[str, Family] = {
    "linear": Family(linear, {"numbers": "scaled", "regularisation": 1.0, "penalty": "l2"}),
    "naive_bayes": Family(naive_bayes, {"numbers": "power", "var_smoothing": 1e-3}),
    "neighbours": Family(
        neighbours,
        {"numbers": "scaled", "n_neighbors": 20, "weights": "distance", "p": 2},
        endless=True,
    ),
    "svm": Family(svm, {"numbers": "scaled", "C": 1.0, "gamma": 1.0}, endless=True),
    "tree": Family(tree, {"max_depth": 4, "min_samples_leaf": 20}),
    "random_forest": Family(
        random_forest, {"n_estimators": 100, "max_features": 0.4, "min_samples_leaf": 2}
    ),
    "extra_trees": Family(
        extra_trees, {"n_estimators": 100, "max_features": 0.6, "min_samples_leaf": 2}
    ),
    "hist_boosting": Family(
        hist_boosting,
        {
            "max_iter": 1000,
            "learning_rate": 0.06,
            "max_leaf_nodes": 16,
            "min_samples_leaf": 20,
            "l2_regularization": 0.1,
            "max_features": 1.0,
        },
    ),
    "lightgbm": Family(
        lightgbm,
        {
            "n_estimators": 1000,
            "learning_rate": 0.05,
            "num_leaves": 16,
            "min_data_in_leaf": 20,
            "feature_fraction": 0.7,
            "bagging_fraction": 0.8,
            "extra_trees": False,
            "lambda_l1": 1e-3,
            "lambda_l2": 0.1,
            "cat_smooth": 10.0,
            "cat_l2": 10.0,
            "levels": "ordinal",
        },
    ),
    "xgboost": Family(
        xgboost,
        {
            "n_estimators": 1000,
            "learning_rate": 0.08,
            "max_depth": 6,
            "min_child_weight": 1.0,
            "subsample": 0.8,
            "colsample_bylevel": 0.9,
            "reg_alpha": 1e-3,
            "reg_lambda": 1.0,
        },
    ),
    "catboost": Family(
        catboost,
        {
            "n_estimators": 1000,
            "learning_rate": 0.08,
            "depth": 6,
            "grow_policy": "SymmetricTree",
            "l2_leaf_reg": 3.0,
            "random_strength": 1.0,
            "subsample": 0.8,
            "one_hot_max_size": 16,
            "max_ctr_complexity": 2,
            "leaf_estimation_iterations": 1,
            "levels": "codes",
        },
    ),
    "neural_network": Family(
        neural_network,
        {
            "numbers": "spline",
            "layers": 2,
            "width": 128,
            "activation": "relu",
            "solver": "adam",
            "learning_rate": 0.001,
            "schedule": "cosine",
            "momentum": 0.9,
            "beta_1": 0.9,
            "beta_2": 0.98,
            "batch_size": 256,
            "alpha": 0.01,
            "dropout": 0.1,
            "epochs": 100,
        },
    ),
    "embedding_network": Family(
        embedding_network,
        {
            "numbers": "spline",
            "levels": "codes",
            "embedding_width": 8,
            "layers": 2,
            "width": 128,
            "activation": "relu",
            "solver": "adam",
            "learning_rate": 0.002,
            "schedule": "cosine",
            "momentum": 0.9,
            "beta_1": 0.9,
            "beta_2": 0.98,
            "batch_size": 256,
            "alpha": 0.01,
            "dropout": 0.1,
            "epochs": 100,
        },
    ),
    "zero_rule": Family(zero_rule, {"statistic": "mean"}),
}
