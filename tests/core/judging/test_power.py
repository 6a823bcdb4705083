import numpy as np
import pytest

from evertune.metrics.metrics import METRICS
from evertune.stats.bootstrap import PairedDifference, paired_difference
from evertune.stats.comparison import required_sample_size
from evertune.types import Predictions


@pytest.mark.parametrize(("mean", "low"), [(None, None), (0.1, None), (0.0, -0.1), (-0.1, -0.2)])
def test_no_number_of_rows_shows_what_does_not_seem_so(mean, low):
    assert required_sample_size(PairedDifference(mean, low, 0.2, None, 50)) is None


def better_by_a_tenth(n_rows):
    gaps = np.random.default_rng(0).normal(size=n_rows)
    gaps = 0.1 + (gaps - gaps.mean()) / gaps.std()
    left, right = (Predictions(9.0 + each) for each in (np.zeros(n_rows), gaps))
    how = {"draws": 1000, "confidence": 0.95, "seed": 0}
    return paired_difference(METRICS["mae"], np.zeros(n_rows), left, right, **how)


def test_as_many_rows_as_it_says_would_do():
    found = better_by_a_tenth(100)
    needed = required_sample_size(found)
    assert found.low < 0 < better_by_a_tenth(int(1.2 * needed)).low
    assert better_by_a_tenth(int(0.8 * needed)).low < 0
