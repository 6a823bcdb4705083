import numpy as np

from pipelines.core.joint_drift import (
    MOST_SAMPLED,
    area,
    drawn_sample,
    joined_samples,
    joint_distance,
    joint_reference,
    unpacked,
)
from pipelines.core.reference_windows import windows_of


def codes(n_rows, seed=0):
    return np.random.default_rng(seed).integers(0, 20, (n_rows, 4)).astype(np.uint8)


def test_rows_of_one_kind_cannot_be_told_apart():
    assert 0.4 < area(codes(300), codes(300, seed=1)) < 0.6


def test_a_window_like_the_reference_is_within_it_and_another_is_beyond():
    windows = windows_of(None, 3000, window_days=1, seed=0)
    found = joint_reference(codes(3000), windows, seed=0)
    same, other = codes(100, seed=1), codes(100, seed=1) // 2
    assert joint_distance(drawn_sample(same), found, 4)[1] < 1
    assert joint_distance(drawn_sample(other), found, 4)[1] > 1


def test_a_few_rows_are_not_judged():
    windows = windows_of(None, 3000, window_days=1, seed=0)
    found = joint_reference(codes(3000), windows, seed=0)
    assert np.isnan(joint_distance(drawn_sample(codes(5)), found, 4)).all()


def test_one_column_cannot_drift_jointly():
    windows = windows_of(None, 3000, window_days=1, seed=0)
    assert joint_reference(codes(3000)[:, :1], windows, seed=0) is None


def test_a_sample_has_at_most_its_size_also_when_windows_are_joined():
    sample = drawn_sample(codes(5000))
    assert len(unpacked(sample, 4)) == MOST_SAMPLED
    assert len(unpacked(joined_samples([sample, sample], 4), 4)) == MOST_SAMPLED
