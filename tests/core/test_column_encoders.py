import numpy as np
import pandas as pd
import pytest

from pipelines.core.column_encoders import NUMBER_WAYS, code_encoder, number_encoder

DRAWS = np.random.default_rng(0)


@pytest.mark.filterwarnings("ignore:Bins whose width", "ignore:Feature .* is constant")
@pytest.mark.parametrize("way", NUMBER_WAYS)
def test_a_column_without_a_value_is_harmless(way):
    X = np.column_stack([DRAWS.normal(size=200), np.full(200, np.nan)])
    assert np.isfinite(number_encoder(way).fit_transform(X)).all()


def test_an_extreme_value_has_no_great_say_in_robust_numbers():
    X = DRAWS.normal(size=(200, 1))
    found = number_encoder("robust").fit(X).transform(np.array([[1e9]]))
    assert abs(found[0, 0]) < 5


def test_rare_levels_share_a_code_and_a_new_one_is_unknown():
    levels = pd.DataFrame({"a": ["x"] * 9 + ["y", "z"]}, dtype=object)
    codes = code_encoder().fit(levels).transform(pd.DataFrame({"a": ["x", "y", "z", "new"]}))
    assert codes[1, 0] == codes[2, 0] != codes[0, 0]
    assert np.isnan(codes[3, 0])
