import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from evertune.monitoring.bins import number_bins, number_codes
from evertune.monitoring.drift import describe_histogram, psi, wasserstein
from evertune.monitoring.profiles import ColumnReference


def column(values):
    bins = number_bins("age", values)
    counts = np.bincount(number_codes(values, bins), minlength=bins.size)
    ends = (values[values < bins.edges[0]], values[values >= bins.edges[-1]])
    return ColumnReference(
        "age",
        "number",
        "value",
        bins,
        counts=tuple(counts.tolist()),
        mean=float(values.mean()),
        deviation=float(values.std()),
        tails=tuple(float(end.mean()) for end in ends),
    )


def test_the_index_of_equal_histograms_is_zero():
    assert psi(np.array([30, 70]), np.array([30, 70])) == 0


def test_the_index_is_the_one_by_hand():
    p, q = 60.5 / 101, 500.5 / 1001
    by_hand = (p - q) * np.log(p / q) + (q - p) * np.log((1 - p) / (1 - q))
    assert psi(np.array([60, 40]), np.array([500, 500])) == pytest.approx(by_hand)


@pytest.mark.parametrize(("shift", "spread"), [(0.5, 1.0), (0.0, 1.5), (3.0, 1.0)])
def test_the_distance_from_bins_is_about_that_of_the_values(shift, spread):
    random = np.random.default_rng(0)
    known, new = random.normal(0, 1, 20_000), random.normal(shift, spread, 20_000)
    found = column(known)
    counts = np.bincount(number_codes(new, found.bins), minlength=found.bins.size)
    exact = wasserstein_distance(known, new) / known.std()
    assert wasserstein(counts, float(new.mean()), found) == pytest.approx(exact, abs=0.1)


def test_a_window_without_filled_cells_has_no_words():
    found = column(np.arange(100.0))
    assert describe_histogram(np.zeros(found.bins.size, int), None, found) == ""
