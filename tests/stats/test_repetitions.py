import numpy as np
import pytest
from scipy import stats

from evertune.stats.repetitions import compare_ranks, critical_difference, mean_intervals

# Table 6 of Demsar (2006): AUC on 14 tables (one 0.975 is printed as a tie, but ranked before it)
DEMSAR = {
    "C4.5": [
        *(0.763, 0.599, 0.954, 0.628, 0.882, 0.936, 0.661),
        *(0.583, 0.775, 1.000, 0.940, 0.619, 0.972, 0.957),
    ],
    "C4.5+m": [
        *(0.768, 0.591, 0.971, 0.661, 0.888, 0.931, 0.668),
        *(0.583, 0.838, 1.000, 0.962, 0.666, 0.981, 0.978),
    ],
    "C4.5+cf": [
        *(0.771, 0.590, 0.968, 0.654, 0.886, 0.916, 0.609),
        *(0.563, 0.866, 1.000, 0.965, 0.614, 0.9751, 0.946),
    ],
    "C4.5+m+cf": [
        *(0.798, 0.569, 0.967, 0.657, 0.898, 0.931, 0.685),
        *(0.625, 0.875, 1.000, 0.962, 0.669, 0.975, 0.970),
    ],
}


def test_mean_ranks_are_those_of_the_published_example():
    found = compare_ranks(DEMSAR, greater_is_better=True)
    ranks = dict(zip(found.names, found.mean_ranks, strict=True))
    assert ranks == pytest.approx(
        {"C4.5+m+cf": 1.964, "C4.5+m": 2.0, "C4.5+cf": 2.893, "C4.5": 3.143}, abs=5e-4
    )
    assert found.names[0] == "C4.5+m+cf"


def test_friedmans_statistic_is_scipys_and_the_p_value_is_near_it():
    found = compare_ranks(DEMSAR, greater_is_better=True)
    expected = stats.friedmanchisquare(*DEMSAR.values())
    assert found.chi_square == pytest.approx(expected.statistic)
    assert found.p_value == pytest.approx(expected.pvalue, abs=0.006)


def test_critical_differences_are_those_of_the_published_example():
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)
    assert critical_difference(4, 14, confidence=0.9) == pytest.approx(1.12, abs=0.005)
    assert critical_difference(2, 1) == pytest.approx(1.960, abs=0.001)
    assert critical_difference(10, 1) / np.sqrt(110 / 6) == pytest.approx(3.164, abs=0.001)


def test_methods_are_grouped_as_in_the_published_example():
    found = compare_ranks(DEMSAR, greater_is_better=True, confidence=0.9)
    assert found.groups == (("C4.5+m+cf", "C4.5+m", "C4.5+cf"), ("C4.5+cf", "C4.5"))
    assert found.different_pairs() == (("C4.5+m+cf", "C4.5"), ("C4.5+m", "C4.5"))


def test_a_smaller_score_can_be_the_better_one_and_a_missing_one_is_the_worst():
    scores = {"a": [3.0, 3.0], "b": [1.0, 2.0], "c": [None, None]}
    found = compare_ranks(scores, greater_is_better=False)
    assert (found.names, found.mean_ranks) == (("b", "a", "c"), (1.0, 2.0, 3.0))


def test_few_blocks_show_no_difference_even_if_one_method_always_wins():
    found = compare_ranks({"a": [2.0] * 5, "b": [1.0] * 5}, greater_is_better=True)
    assert found.smallest_p_value == 2**-4
    assert (found.can_find_difference, found.finds_difference) == (False, False)
    assert found.groups == (("a", "b"),)
    more = compare_ranks({"a": [2.0] * 6, "b": [1.0] * 6}, greater_is_better=True)
    assert more.p_value == pytest.approx(2**-5, abs=0.004)
    assert more.different_pairs() == (("a", "b"),)


def test_equal_scores_are_no_difference():
    found = compare_ranks({"a": [1.0] * 9, "b": [1.0] * 9}, greater_is_better=True)
    assert (found.chi_square, found.p_value, found.mean_ranks) == (0.0, 1.0, (1.5, 1.5))


@pytest.mark.parametrize("scores", [{"a": [1.0]}, {"a": [], "b": []}, {"a": [1.0], "b": []}])
def test_what_cannot_be_ranked_is_refused(scores):
    with pytest.raises(ValueError, match="at least two methods"):
        compare_ranks(scores, greater_is_better=True)


def test_intervals_over_runs_cover_the_mean_as_often_as_they_say():
    rng = np.random.default_rng(0)
    runs = rng.normal(size=(8, 500))  # 8 runs at 500 independent points
    mean, low, high = mean_intervals(runs)
    assert np.allclose(mean, runs.mean(axis=0))
    assert 0.90 <= ((low <= 0) & (high >= 0)).mean() <= 0.98


def test_one_run_has_no_interval():
    with pytest.raises(ValueError, match="at least two runs, but got 1"):
        mean_intervals(np.ones((1, 3)))
