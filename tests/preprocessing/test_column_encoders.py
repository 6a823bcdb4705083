import numpy as np
import pandas as pd
import pytest

from evertune.preprocessing.encoders import (
    NUMERIC_TRANSFORMERS,
    make_numeric_encoder,
    make_ordinal_encoder,
)

DRAWS = np.random.default_rng(0)


@pytest.mark.filterwarnings("ignore:Bins whose width", "ignore:Feature .* is constant")
@pytest.mark.parametrize("way", NUMERIC_TRANSFORMERS)
def test_a_column_without_a_value_is_harmless(way):
    X = np.column_stack([DRAWS.normal(size=200), np.full(200, np.nan)])
    assert np.isfinite(make_numeric_encoder(way).fit_transform(X)).all()


def test_an_extreme_value_has_no_great_say_in_robust_numbers():
    X = DRAWS.normal(size=(200, 1))
    found = make_numeric_encoder("robust").fit(X).transform(np.array([[1e9]]))
    assert abs(found[0, 0]) < 5


def test_rare_levels_share_a_code_and_a_new_one_is_unknown():
    levels = pd.DataFrame({"a": ["x"] * 9 + ["y", "z"]}, dtype=object)
    codes = (
        make_ordinal_encoder().fit(levels).transform(pd.DataFrame({"a": ["x", "y", "z", "new"]}))
    )
    assert codes[1, 0] == codes[2, 0] != codes[0, 0]
    assert np.isnan(codes[3, 0])
