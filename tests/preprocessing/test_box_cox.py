import numpy as np
import pytest
from scipy import stats
from sklearn.preprocessing import PowerTransformer

from evertune.preprocessing.transformers import BoxCox

DRAWS = np.random.default_rng(0)
SKEWED = np.exp(DRAWS.normal(size=500))


def test_a_positive_column_is_bent_as_scipy_bends_it():
    found = BoxCox().fit(SKEWED[:, None])
    assert found.powers_[0] == pytest.approx(stats.boxcox(SKEWED)[1], abs=1e-3)
    assert abs(stats.skew(found.transform(SKEWED[:, None])[:, 0])) < 0.2


@pytest.mark.parametrize("shift", [-1.0, -SKEWED.min()])
def test_a_column_that_is_not_positive_is_bent_by_yeo_and_johnson(shift):
    X = np.column_stack([SKEWED, SKEWED + shift])
    other = PowerTransformer().fit_transform(X[:, 1:])
    assert BoxCox().fit_transform(X)[:, 1] == pytest.approx(other[:, 0], abs=1e-6)


@pytest.mark.parametrize("cell", [-5.0, 0.0, 1e37])
def test_a_later_value_of_any_size_is_a_number(cell):
    found = BoxCox().fit(SKEWED[:, None] + 2000)  # years, whose best power is large
    assert np.isfinite(found.transform([[cell]])).all()


def test_a_column_without_differences_is_harmless():
    assert (BoxCox().fit_transform(np.full((9, 1), 3.0)) == 0).all()
