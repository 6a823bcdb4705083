"""The whole space: of every family, what may be chosen and between which bounds.

The bounds of the boosters and forests follow those that their authors agreed on for TabArena
(Erickson et al. 2025), with learning rates for budgets of minutes.
"""

from pipelines.tuning.parameters import Choice, Float, Integer, Parameters, Space, When

FLAT = Choice(("one_hot", "target", "hashed"))
ADAM, DESCENT = When("solver", ("adam",)), When("solver", ("sgd",))
SHRUNK = Float(0.02, 0.2, log=True)

# what every family takes; `narrowing` says which of it a table's columns would notice
EVERYWHERE: Parameters = {
    "text": Choice(("auto", "target", "hashed", "words", "characters")),
    "class_weight": Choice(("none", "balanced")),
    "select": Choice(("none", "filter", "l1", "importance", "recursive")),
    "select_share": Float(
        0.2, 0.9, when=When("select", ("filter", "l1", "importance", "recursive"))
    ),
}
# what every family takes where a user asks for it: it is dear, or rarely of use
ON_REQUEST: Parameters = {"pairs": Choice(("none", "numbers", "levels", "both"))}
PRODUCTS = Choice(("none", "numbers"))  # what trees find by themselves, and others do not

SPACES: Space = {
    "linear": {
        "numbers": Choice(("scaled", "power", "quantile", "spline", "binned", "box_cox")),
        "levels": FLAT,
        "pairs": PRODUCTS,
        "penalty": Choice(("l2", "l1", "elastic")),
        "regularisation": Float(1e-3, 1e3, log=True),
    },
    "naive_bayes": {
        "numbers": Choice(("power", "scaled", "quantile", "box_cox")),
        "levels": FLAT,
        "var_smoothing": Float(1e-9, 1.0, log=True),
    },
    "neighbours": {
        "numbers": Choice(("scaled", "quantile", "robust")),
        "levels": FLAT,
        "n_neighbors": Integer(3, 200, log=True),
        "weights": Choice(("distance", "uniform")),
        "p": Choice((2, 1)),
    },
    "svm": {
        "numbers": Choice(("scaled", "quantile", "robust")),
        "levels": FLAT,
        "C": Float(0.1, 100.0, log=True),
        "gamma": Float(0.1, 10.0, log=True),
    },
    "tree": {
        "levels": FLAT,
        "max_depth": Integer(2, 16, log=True),
        "min_samples_leaf": Integer(2, 100, log=True),
    },
    "lightgbm": {
        "levels": Choice(("ordinal", "target", "one_hot", "codes", "hashed")),
        "learning_rate": SHRUNK,
        "num_leaves": Integer(2, 200, log=True),
        "min_data_in_leaf": Integer(1, 64, log=True),
        "feature_fraction": Float(0.4, 1.0),
        "bagging_fraction": Float(0.7, 1.0),
        "extra_trees": Choice((False, True)),
        "lambda_l1": Float(1e-4, 1.0, log=True),
        "lambda_l2": Float(1e-4, 10.0, log=True),
        "cat_smooth": Float(1e-3, 100.0, log=True, when=When("levels", ("ordinal", "codes"))),
        "cat_l2": Float(5e-3, 20.0, log=True, when=When("levels", ("ordinal", "codes"))),
    },
    "xgboost": {
        "levels": Choice(("one_hot", "target", "ordinal", "hashed")),
        "learning_rate": SHRUNK,
        "max_depth": Integer(3, 10, log=True),
        "min_child_weight": Float(1e-3, 10.0, log=True),
        "subsample": Float(0.6, 1.0),
        "colsample_bylevel": Float(0.5, 1.0),
        "reg_alpha": Float(1e-4, 5.0, log=True),
        "reg_lambda": Float(1e-4, 5.0, log=True),
    },
    "hist_boosting": {
        "levels": FLAT,
        "learning_rate": SHRUNK,
        "max_leaf_nodes": Integer(3, 128, log=True),
        "min_samples_leaf": Integer(2, 100, log=True),
        "l2_regularization": Float(1e-3, 10.0, log=True),
        "max_features": Float(0.4, 1.0),
    },
    "extra_trees": {
        "levels": FLAT,
        "max_features": Float(0.1, 1.0),
        "min_samples_leaf": Integer(1, 32, log=True),
    },
    "random_forest": {
        "levels": FLAT,
        "max_features": Float(0.1, 1.0),
        "min_samples_leaf": Integer(1, 32, log=True),
    },
    "neural_network": {
        "numbers": Choice(("spline", "robust", "quantile")),
        "levels": FLAT,
        "pairs": PRODUCTS,
        "layers": Integer(1, 4),
        "width": Integer(32, 256, log=True),
        "activation": Choice(("relu", "tanh")),
        "solver": Choice(("adam", "sgd")),
        "learning_rate": Float(3e-4, 3e-2, log=True),
        "schedule": Choice(("cosine", "coslog4", "constant")),
        "beta_1": Float(0.8, 0.95, when=ADAM),
        "beta_2": Float(0.9, 0.999, when=ADAM),
        "momentum": Float(0.5, 0.95, when=DESCENT),
        "batch_size": Integer(64, 512, log=True),
        "alpha": Float(1e-6, 1.0, log=True),
        "dropout": Float(0.0, 0.4),
    },
    "catboost": {
        "learning_rate": SHRUNK,
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
NEURAL: Space = {
    "embedding_network": {
        "numbers": Choice(("spline", "piecewise", "quantile", "robust")),
        "levels": Choice(("codes", "ordinal", "one_hot", "target", "hashed")),
        "pairs": PRODUCTS,
        "embedding_width": Integer(2, 32, log=True, when=When("levels", ("codes", "ordinal"))),
        "layers": Integer(1, 4),
        "width": Integer(32, 256, log=True),
        "activation": Choice(("relu", "tanh", "silu")),
        "solver": Choice(("adam", "nadam", "sgd")),
        "learning_rate": Float(3e-4, 3e-2, log=True),
        "schedule": Choice(("cosine", "coslog4", "constant")),
        "beta_1": Float(0.8, 0.95, when=When("solver", ("adam", "nadam"))),
        "beta_2": Float(0.9, 0.999, when=When("solver", ("adam", "nadam"))),
        "momentum": Float(0.5, 0.95, when=DESCENT),
        "batch_size": Integer(64, 512, log=True),
        "alpha": Float(1e-6, 1.0, log=True),
        "dropout": Float(0.0, 0.4),
    },
}
KNOWN: Space = SPACES | NEURAL
