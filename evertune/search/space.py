"""What is searched by default: every model family with its parameters and their ranges.

`Float`, `Integer` and `Choice` are the parameter types. `DEFAULT_SPACES` has the ranges of each
family, `EXTRA_SPACES` those of families that need an extra, `SHARED_PARAMETERS` what every family
takes, and `OPTIONAL_PARAMETERS` what is searched only on request because it is slow or rarely
helps. `configurations.build_space` builds the space of one search from them, and `spaces_table`
shows them on a page.

The types are our own, not Optuna's distributions: they carry the condition of a parameter, and
this module must import quickly.

The bounds of the boosters and forests follow those agreed on by their authors for TabArena
(Erickson et al. 2025). Learning rates are adapted to budgets of minutes.
"""

from dataclasses import dataclass

from evertune.trials import ParameterValue


@dataclass(frozen=True)
class Condition:
    """A parameter is searched only if another one has one of these values."""

    name: str
    values: tuple[ParameterValue, ...]


@dataclass(frozen=True)
class Float:
    """A number between two bounds, both included; `log` searches its logarithm uniformly."""

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
IF_ORDINAL = Condition("categorical_encoding", ("ordinal", "ordinal_all"))
IF_ADAM, IF_SGD = Condition("solver", ("adam",)), Condition("solver", ("sgd",))
BOOSTING_LEARNING_RATE = Float(0.02, 0.2, log=True)

# What every family takes; `configurations.relevant_parameters` drops what no column needs.
SHARED_PARAMETERS: Parameters = {
    "text_encoding": Choice(("auto", "target", "hashed", "words", "characters")),
    "class_weight": Choice(("none", "balanced")),
    "feature_selection": Choice(("none", "filter", "l1", "importance", "recursive")),
    "selected_fraction": Float(
        0.2, 0.9, when=Condition("feature_selection", ("filter", "l1", "importance", "recursive"))
    ),
}
# What every family takes on request: it is slow, or rarely helps.
OPTIONAL_PARAMETERS: Parameters = {
    "interactions": Choice(("none", "numeric", "categorical", "both", "arithmetic"))
}
NUMERIC_INTERACTIONS = Choice(("none", "numeric"))  # trees find products by themselves

DEFAULT_SPACES: Space = {
    "linear": {
        "numeric_transform": Choice(("scaled", "power", "quantile", "spline", "binned", "box_cox")),
        "categorical_encoding": NOMINAL_ENCODINGS,
        "interactions": NUMERIC_INTERACTIONS,
        "penalty": Choice(("l2", "l1", "elasticnet")),
        "alpha": Float(1e-3, 1e3, log=True),
    },
    "naive_bayes": {
        "numeric_transform": Choice(("power", "scaled", "quantile", "box_cox")),
        "categorical_encoding": NOMINAL_ENCODINGS,
        "var_smoothing": Float(1e-9, 1.0, log=True),
    },
    "knn": {
        "numeric_transform": Choice(("scaled", "quantile", "robust")),
        "categorical_encoding": NOMINAL_ENCODINGS,
        "n_neighbors": Integer(3, 200, log=True),
        "weights": Choice(("distance", "uniform")),
        "p": Choice((2, 1)),
    },
    "svm": {
        "numeric_transform": Choice(("scaled", "quantile", "robust")),
        "categorical_encoding": NOMINAL_ENCODINGS,
        "C": Float(0.1, 100.0, log=True),
        "gamma": Float(0.1, 10.0, log=True),
    },
    "tree": {
        "categorical_encoding": NOMINAL_ENCODINGS,
        "max_depth": Integer(2, 16, log=True),
        "min_samples_leaf": Integer(2, 100, log=True),
    },
    "lightgbm": {
        "categorical_encoding": Choice(("ordinal", "target", "one_hot", "ordinal_all", "hashed")),
        "interactions": Choice(("none", "arithmetic")),
        "learning_rate": BOOSTING_LEARNING_RATE,
        "num_leaves": Integer(2, 200, log=True),
        "min_data_in_leaf": Integer(1, 64, log=True),
        "feature_fraction": Float(0.4, 1.0),
        "bagging_fraction": Float(0.7, 1.0),
        "extra_trees": Choice((False, True)),
        "lambda_l1": Float(1e-4, 1.0, log=True),
        "lambda_l2": Float(1e-4, 10.0, log=True),
        "cat_smooth": Float(1e-3, 100.0, log=True, when=IF_ORDINAL),
        "cat_l2": Float(5e-3, 20.0, log=True, when=IF_ORDINAL),
    },
    "xgboost": {
        "categorical_encoding": Choice(("one_hot", "target", "ordinal", "hashed")),
        "learning_rate": BOOSTING_LEARNING_RATE,
        "max_depth": Integer(3, 10, log=True),
        "min_child_weight": Float(1e-3, 10.0, log=True),
        "subsample": Float(0.6, 1.0),
        "colsample_bylevel": Float(0.5, 1.0),
        "reg_alpha": Float(1e-4, 5.0, log=True),
        "reg_lambda": Float(1e-4, 5.0, log=True),
    },
    "hist_gradient_boosting": {
        "categorical_encoding": NOMINAL_ENCODINGS,
        "learning_rate": BOOSTING_LEARNING_RATE,
        "max_leaf_nodes": Integer(3, 128, log=True),
        "min_samples_leaf": Integer(2, 100, log=True),
        "l2_regularization": Float(1e-3, 10.0, log=True),
        "max_features": Float(0.4, 1.0),
    },
    "extra_trees": {
        "categorical_encoding": NOMINAL_ENCODINGS,
        "max_features": Float(0.1, 1.0),
        "min_samples_leaf": Integer(1, 32, log=True),
    },
    "random_forest": {
        "categorical_encoding": NOMINAL_ENCODINGS,
        "max_features": Float(0.1, 1.0),
        "min_samples_leaf": Integer(1, 32, log=True),
    },
    "mlp": {
        "numeric_transform": Choice(("spline", "robust", "quantile")),
        "categorical_encoding": NOMINAL_ENCODINGS,
        "interactions": NUMERIC_INTERACTIONS,
        "layers": Integer(1, 4),
        "width": Integer(32, 256, log=True),
        "activation": Choice(("relu", "tanh")),
        "solver": Choice(("adam", "sgd")),
        "learning_rate": Float(3e-4, 3e-2, log=True),
        "learning_rate_schedule": Choice(("cosine", "coslog4", "constant")),
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
# Families that need an extra; they are searched only if they are named.
EXTRA_SPACES: Space = {
    "embedding_mlp": {
        "numeric_transform": Choice(("spline", "piecewise", "quantile", "robust")),
        "categorical_encoding": Choice(("ordinal_all", "ordinal", "one_hot", "target", "hashed")),
        "interactions": NUMERIC_INTERACTIONS,
        "embedding_dim": Integer(2, 32, log=True, when=IF_ORDINAL),
        "layers": Integer(1, 4),
        "width": Integer(32, 256, log=True),
        "activation": Choice(("relu", "tanh", "silu")),
        "solver": Choice(("adam", "nadam", "sgd")),
        "learning_rate": Float(3e-4, 3e-2, log=True),
        "learning_rate_schedule": Choice(("cosine", "coslog4", "constant")),
        "beta_1": Float(0.8, 0.95, when=Condition("solver", ("adam", "nadam"))),
        "beta_2": Float(0.9, 0.999, when=Condition("solver", ("adam", "nadam"))),
        "momentum": Float(0.5, 0.95, when=IF_SGD),
        "batch_size": Integer(64, 512, log=True),
        "alpha": Float(1e-6, 1.0, log=True),
        "dropout": Float(0.0, 0.4),
    },
}
ALL_SPACES: Space = DEFAULT_SPACES | EXTRA_SPACES


def spaces_table() -> str:
    """Return the table of the families and their ranges as docs/search.md shows it."""
    spaces = {"all families": SHARED_PARAMETERS} | {
        f"`{name}`": ALL_SPACES[name] for name in ALL_SPACES
    }
    rows = [("family", "what is searched"), ("---", "---")]
    for family, parameters in spaces.items():
        rows.append((family, "; ".join(_in_words(*each) for each in parameters.items())))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _in_words(name: str, parameter: Parameter) -> str:
    """Return a parameter in words, such as `alpha` 0.001 to 1000 (log)."""
    if isinstance(parameter, Choice):
        values, notes = ", ".join(map(str, parameter.values)), []
    else:
        values = f"{parameter.low:g} to {parameter.high:g}"
        notes = ["log"] if parameter.log else []
    if parameter.when is not None:
        notes.append(f"{parameter.when.name} {' or '.join(map(str, parameter.when.values))}")
    return f"`{name}` {values}" + (f" ({'; '.join(notes)})" if notes else "")
