import numpy as np
import pandas as pd
import pytest

from evertune.preprocessing.transformers import MAX_CROSSES, MAX_PRODUCTS, Crosses, Products

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


def test_two_categories_that_tell_only_together_are_made_one():
    made = Crosses(continuous=False, scaled=False)
    found = made.fit_transform(WORDS, ODD)
    assert made.places_[0].tolist() == [0, 1]
    assert np.corrcoef(found[:, 0], ODD)[0, 1] == pytest.approx(1)
    assert found.shape[1] <= MAX_CROSSES


def test_pairs_that_tell_no_more_than_their_parts_are_left_out_but_one():
    y = (WORDS["a"] == "x").to_numpy(float)
    assert len(Crosses(continuous=False, scaled=False).fit(WORDS, y).places_) < MAX_CROSSES


def test_many_levels_alone_tell_nothing():
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
    found = Products(continuous=continuous).fit(NUMBERS, y).transform(NUMBERS)
    crossed = Crosses(continuous=continuous, scaled=True).fit_transform(WORDS, y)
    assert np.isfinite(found).all()
    assert np.isfinite(crossed).all()


def test_each_class_of_several_has_its_mean():
    y = DRAWS.integers(0, 3, N).astype(float)
    made = Crosses(continuous=False, scaled=False).fit(WORDS, y)
    assert made.transform(WORDS).shape[1] == len(made.get_feature_names_out())
    assert made.transform(WORDS).shape[1] == 3 * len(made.places_)
