"""How much a person would have to read to follow a model: its numbers, counted."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pipelines.core.model import Ensemble, Fitted, Model
from pipelines.core.rules import Rule


def numbers_to_read(fitted: Fitted | Ensemble) -> int | None:
    """Return about how many numbers make up a fitted model; None where a part is unknown.

    They are the coefficients of linear models, the leaves of trees, means and spreads of naive
    Bayes, the weights of networks, and the cells of the rows that neighbours and support vectors
    keep. Of an ensemble those of all members are added up; of a member's models one is counted,
    for all of its folds.
    """
    if isinstance(fitted, Fitted):
        return numbers_of(fitted.predictor)
    counts = [numbers_of(member.fitted[0].predictor) for member in fitted.members]
    models = [len(member.fitted) for member in fitted.members]
    known = [n * count for n, count in zip(models, counts, strict=True) if count is not None]
    return sum(known) if len(known) == len(counts) else None


def numbers_of(predictor: Any) -> int | None:
    """Return how many numbers make up a predictor; None for one that is not known.

    Parameters
    ----------
    predictor : scikit-learn estimator, or booster of LightGBM, XGBoost or CatBoost

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> numbers_of(Ridge().fit([[0.0, 1.0], [1.0, 0.0]], [1.0, 2.0]))
    3
    """
    library = type(predictor).__module__.partition(".")[0]
    if library in BOOSTERS:
        return BOOSTERS[library](predictor)
    for mark, count in ESTIMATORS.items():
        if hasattr(predictor, mark):
            return count(predictor)
    return None


def numbers_of_baselines(simplest: Mapping[str, Model], rule: Rule) -> dict[str, int | None]:
    """Return how many numbers each baseline is made of, by its name.

    Examples
    --------
    >>> numbers_of_baselines({}, Rule("tenure", 3.0, (), None, (0.0, 1.0, 0.0), ()))["heuristic"]
    4
    """
    threshold = 0 if rule.threshold is None else 1
    models = {name: numbers_to_read(model.fitted) for name, model in simplest.items()}
    return {"zero_rule": 1, "heuristic": len(rule.values) + threshold, **models}


def _coefficients(predictor: Any) -> int:
    return int(np.size(predictor.coef_) + np.size(predictor.intercept_))


def _leaves(predictor: Any) -> int:
    return int(predictor.tree_.n_leaves)


def _trees(predictor: Any) -> int:
    return sum(_leaves(tree) for tree in predictor.estimators_)


def _histogram_leaves(predictor: Any) -> int:
    trees = [tree for round_ in predictor._predictors for tree in round_]
    return sum(int(tree.get_n_leaf_nodes()) for tree in trees)


def _moments(predictor: Any) -> int:
    return int(predictor.theta_.size + predictor.var_.size + predictor.class_prior_.size)


def _layers(predictor: Any) -> int:
    return sum(int(part.size) for part in (*predictor.coefs_, *predictor.intercepts_))


def _rows(predictor: Any) -> int:
    return int(predictor.n_samples_fit_ * predictor.n_features_in_)


def _vectors(predictor: Any) -> int:
    return int(predictor.support_vectors_.size + predictor.dual_coef_.size)


def _calibrated(predictor: Any) -> int | None:
    counts = [numbers_of(each.estimator) for each in predictor.calibrated_classifiers_]
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _constants(predictor: Any) -> int:
    return int(np.size(predictor.class_prior_))


def _lightgbm(booster: Any) -> int:
    text = getattr(booster, "booster_", booster).model_to_string()
    return sum(int(found) for found in re.findall(r"^num_leaves=(\d+)$", text, re.MULTILINE))


def _xgboost(booster: Any) -> int:
    made = booster.get_booster() if hasattr(booster, "get_booster") else booster
    return sum(tree.count("leaf=") for tree in made.get_dump())


def _catboost(model: Any) -> int:
    return int(np.size(model.get_leaf_values()))


# by an attribute that only such a fitted estimator has; the first that is there counts
ESTIMATORS: Mapping[str, Callable[[Any], int | None]] = {
    "calibrated_classifiers_": _calibrated,
    "support_vectors_": _vectors,
    "coefs_": _layers,
    "coef_": _coefficients,
    "tree_": _leaves,
    "_predictors": _histogram_leaves,
    "estimators_": _trees,
    "theta_": _moments,
    "n_samples_fit_": _rows,
    "constant_": lambda predictor: int(np.size(predictor.constant_)),
    "class_prior_": _constants,
}
BOOSTERS: Mapping[str, Callable[[Any], int]] = {
    "lightgbm": _lightgbm,
    "xgboost": _xgboost,
    "catboost": _catboost,
}
