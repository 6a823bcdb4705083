import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.preprocessing import PowerTransformer

from evertune.preprocessing.transformers import (
    MAX_ARITHMETIC,
    MAX_CROSSES,
    MAX_PRODUCTS,
    Arithmetic,
    BoxCox,
    Crosses,
    HashedLevels,
    Products,
    hash_categories,
)

DRAWS = np.random.default_rng(0)
N = 1000
NUMBERS = DRAWS.normal(size=(N, 8))
WORDS = pd.DataFrame({name: DRAWS.choice(list("xyz"), N) for name in "abcde"}, dtype=object)
ODD = ((WORDS["a"] == "x") ^ (WORDS["b"] == "y")).to_numpy(float)


def test_a_product_that_decides_is_among_the_few():
    y = NUMBERS[:, 2] + NUMBERS[:, 5] + 3 * NUMBERS[:, 2] * NUMBERS[:, 5]
    made = Products(continuous=True).fit(NUMBERS, y)
    assert [2, 5] in made.places_.tolist()
    assert len(made.places_) == MAX_PRODUCTS


def test_gaps_and_extremes_are_harmless_in_products():
    X = np.where(DRAWS.random(NUMBERS.shape) < 0.2, np.nan, NUMBERS)
    X[:, 3] = np.nan
    made = Products(continuous=True).fit(X, NUMBERS[:, 0])
    assert np.isfinite(made.transform(np.full((1, 8), 1e37))).all()
    assert np.isfinite(made.transform(X)).all()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("add:2,5", NUMBERS[:, 2] + NUMBERS[:, 5]),
        ("subtract:2,5", NUMBERS[:, 2] - NUMBERS[:, 5]),
        ("multiply:2,5", NUMBERS[:, 2] * NUMBERS[:, 5]),
        ("divide:5,2", NUMBERS[:, 5] / NUMBERS[:, 2]),
    ],
)
def test_what_decides_of_two_numbers_is_computed(name, expected):
    made = Arithmetic(continuous=True).fit(NUMBERS, expected)
    names = made.get_feature_names_out().tolist()
    assert made.transform(NUMBERS)[:, names.index(name)] == pytest.approx(expected)
    assert len(names) <= MAX_ARITHMETIC


def test_arithmetic_keeps_gaps_for_trees_and_fills_them_for_others():
    X = np.where(DRAWS.random(NUMBERS.shape) < 0.2, np.nan, NUMBERS)
    X[:, 3], X[:5, 2] = np.nan, 0.0
    kept, filled = (Arithmetic(continuous=True, fill=fill).fit(X, NUMBERS[:, 0]) for fill in (0, 1))
    assert np.isnan(kept.transform(X)).any()
    far = np.full((1, 8), 1e300)
    assert not np.isinf(kept.transform(far)).any()
    assert np.isfinite(filled.transform(np.vstack([X, far]))).all()


def test_two_categories_that_inform_only_together_are_crossed():
    made = Crosses(continuous=False, scaled=False)
    result = made.fit_transform(WORDS, ODD)
    assert made.places_[0].tolist() == [0, 1]
    assert np.corrcoef(result[:, 0], ODD)[0, 1] == pytest.approx(1)
    assert result.shape[1] <= MAX_CROSSES


def test_crosses_that_add_nothing_are_left_out_but_one():
    y = (WORDS["a"] == "x").to_numpy(float)
    assert len(Crosses(continuous=False, scaled=False).fit(WORDS, y).places_) < MAX_CROSSES


def test_many_categories_alone_are_no_reason_for_a_cross():
    ids = WORDS.assign(a=[f"id {n}" for n in range(N)], b=[f"no {n}" for n in range(N)])
    y = ((WORDS["c"] == "x") ^ (WORDS["d"] == "y")).to_numpy(float)
    assert Crosses(continuous=False, scaled=False).fit(ids, y).places_[0].tolist() == [2, 3]


def test_a_pair_of_levels_that_was_never_seen_has_the_mean_of_all_rows():
    made = Crosses(continuous=False, scaled=False).fit(WORDS, ODD)
    unseen = pd.DataFrame({name: ["new"] for name in "abcde"}, dtype=object)
    assert made.transform(unseen)[0] == pytest.approx(ODD.mean())


@pytest.mark.parametrize("continuous", [False, True])
def test_a_target_that_does_not_vary_is_harmless(continuous):
    y = np.zeros(N)
    result = Products(continuous=continuous).fit(NUMBERS, y).transform(NUMBERS)
    crossed = Crosses(continuous=continuous, scaled=True).fit_transform(WORDS, y)
    assert np.isfinite(result).all()
    assert np.isfinite(crossed).all()


def test_each_class_of_several_has_its_mean():
    y = DRAWS.integers(0, 3, N).astype(float)
    made = Crosses(continuous=False, scaled=False).fit(WORDS, y)
    assert made.transform(WORDS).shape[1] == len(made.get_feature_names_out())
    assert made.transform(WORDS).shape[1] == 3 * len(made.places_)


SKEWED = np.exp(DRAWS.normal(size=500))


def test_a_positive_column_is_bent_as_scipy_bends_it():
    result = BoxCox().fit(SKEWED[:, None])
    assert result.powers_[0] == pytest.approx(stats.boxcox(SKEWED)[1], abs=1e-3)
    assert abs(stats.skew(result.transform(SKEWED[:, None])[:, 0])) < 0.2


@pytest.mark.parametrize("shift", [-1.0, -SKEWED.min()])
def test_a_column_that_is_not_positive_is_bent_by_yeo_and_johnson(shift):
    X = np.column_stack([SKEWED, SKEWED + shift])
    other = PowerTransformer().fit_transform(X[:, 1:])
    assert BoxCox().fit_transform(X)[:, 1] == pytest.approx(other[:, 0], abs=1e-6)


@pytest.mark.parametrize("cell", [-5.0, 0.0, 1e37])
def test_a_later_value_of_any_size_is_a_number(cell):
    result = BoxCox().fit(SKEWED[:, None] + 2000)  # years, whose best power is large
    assert np.isfinite(result.transform([[cell]])).all()


def test_a_column_without_differences_is_harmless():
    assert (BoxCox().fit_transform(np.full((9, 1), 3.0)) == 0).all()


LEVELS = [f"city {number}" for number in range(1000)]


def test_few_levels_share_their_columns_and_signs():
    assert len(np.unique(hash_categories(LEVELS), axis=0)) > 300
    assert (np.abs(hash_categories(LEVELS)).sum(axis=1) == 2).all()


def test_a_hash_is_the_same_in_every_process():
    expected = np.zeros(16)
    expected[[0, 10]] = 1, -1
    assert hash_categories(["a"])[0].tolist() == expected.tolist()


def test_a_level_that_was_never_seen_is_like_any_other():
    table = pd.DataFrame({"city": LEVELS[:5]}, dtype=object)
    result = HashedLevels().fit(table).transform(pd.DataFrame({"city": ["new"]}, dtype=object))
    assert result.tolist() == hash_categories(["new"]).tolist()


def test_every_column_has_a_name():
    table = pd.DataFrame({"city": LEVELS[:5], "shop": LEVELS[:5]}, dtype=object)
    made = HashedLevels().fit(table)
    assert len(set(made.get_feature_names_out())) == made.transform(table).shape[1]
