"""Keep a tabular model tuned: search, register, serve, watch, and search again on drift.

`TunedClassifier` and `TunedRegressor` are scikit-learn estimators that search within a budget;
`Project` is a folder with a params.yaml, with the whole loop. Each is imported at first use.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evertune.estimator import TunedClassifier, TunedRegressor
    from evertune.project import Project

__all__ = ["Project", "TunedClassifier", "TunedRegressor"]
_MODULES = {
    "Project": "evertune.project",
    "TunedClassifier": "evertune.estimator",
    "TunedRegressor": "evertune.estimator",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'evertune' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_MODULES[name]), name)
