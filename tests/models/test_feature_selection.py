import numpy as np
import pytest

from evertune.models.families import fit_encoded
from evertune.models.feature_selection import restrict_to_columns, select_features
from evertune.trials import Configuration
from tests.models.families import context, encoded_rows

WAYS = ("filter", "l1", "importance", "recursive")


def wide(task):
    X, y = encoded_rows(task)
    noise = np.random.default_rng(5).normal(size=(400, 17))
    noise[::7, 3] = np.nan
    noise[:, 4] = np.nan
    return np.hstack([X, noise]), y


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("way", WAYS)
def test_informative_columns_are_selected_and_noise_is_not(way, task):
    kept = select_features(
        *wide(task), {"feature_selection": way, "selected_fraction": 0.2}, context(task)
    )
    assert 1 in kept
    assert len(kept) == 4


@pytest.mark.parametrize(("way", "share"), [("none", 0.5), ("filter", 1.0)])
def test_selecting_all_columns_returns_none(way, share):
    assert (
        select_features(
            *wide("binary"),
            {"feature_selection": way, "selected_fraction": share},
            context("binary"),
        )
        is None
    )


def test_codes_and_validation_rows_follow_the_selected_columns():
    X, y = wide("binary")
    full = context("binary", n_ordinal=1, validation=(X, y))
    selected, narrowed = restrict_to_columns((1, 3), X, full)
    assert selected.shape == narrowed.validation[0].shape == (400, 2)
    assert narrowed.n_ordinal == 0


def test_columns_left_out_twice_are_counted_from_the_first():
    X, y = wide("regression")
    point = Configuration(
        "hist_gradient_boosting", {"feature_selection": "filter", "selected_fraction": 0.95}
    )
    grown = fit_encoded(point, X, y, context("regression"))
    assert 7 not in grown.columns
    assert grown.predictor.n_features_in_ == len(grown.columns)
