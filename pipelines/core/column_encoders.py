"""What is learned from columns of one kind: numbers, levels of categories, means of the target.

Only classes of scikit-learn and of our own are used, so that a fitted encoder can be written to
disk without pickle.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.impute import SimpleImputer
from sklearn.model_selection import KFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)

from pipelines.core.box_cox import BoxCox

RARE = 3  # levels with fewer rows share one code
TAILS = (5.0, 95.0)  # percentiles between which a robust scale lies
N_QUANTILES = 100

NUMBER_WAYS: dict[str, Callable[[], Any]] = {
    "scaled": StandardScaler,
    "power": PowerTransformer,
    "box_cox": BoxCox,
    "spline": lambda: make_pipeline(StandardScaler(), SplineTransformer(6, knots="quantile")),
    "piecewise": lambda: make_pipeline(
        StandardScaler(), SplineTransformer(8, degree=1, knots="quantile")
    ),
    "binned": lambda: KBinsDiscretizer(8, encode="onehot-dense", random_state=0),
    "robust": lambda: make_pipeline(
        RobustScaler(quantile_range=TAILS), FunctionTransformer(np.tanh), StandardScaler()
    ),
    "quantile": lambda: QuantileTransformer(
        n_quantiles=N_QUANTILES, output_distribution="normal", random_state=0
    ),
}


def number_encoder(way: str) -> Any:
    """Return an unfitted transformer of numbers: gaps filled by the median and marked, then `way`.

    Examples
    --------
    >>> number_encoder("scaled").fit_transform(np.array([[1.0], [np.nan], [3.0]])).round(2).tolist()
    [[-1.22, -0.71], [0.0, 1.41], [1.22, -0.71]]
    """
    gaps = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    return make_pipeline(gaps, NUMBER_WAYS[way]())


def one_hot_encoder() -> OneHotEncoder:
    """Return an unfitted transformer from levels to columns of 0 and 1."""
    return OneHotEncoder(
        handle_unknown="infrequent_if_exist", min_frequency=RARE, sparse_output=False
    )


def code_encoder() -> OrdinalEncoder:
    """Return an unfitted transformer from levels to codes; a level never seen is NaN."""
    return OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=np.nan, min_frequency=RARE
    )


def target_encoder(*, continuous: bool, scaled: bool) -> TargetEncoder | Pipeline:
    """Return an unfitted transformer from levels to the mean target of other rows."""
    means = TargetEncoder(
        target_type="continuous" if continuous else "auto",
        cv=KFold(5, shuffle=True, random_state=0),
    )
    return make_pipeline(means, StandardScaler()) if scaled else means
