import numpy as np
import pytest

from evertune.monitoring.joint_drift import (
    MAX_SAMPLED_ROWS,
    build_joint_reference,
    classifier_auc,
    joint_drift_score,
    merge_samples,
    sample_rows,
    unpack_codes,
)
from evertune.monitoring.window_bounds import split_into_windows

WINDOWS = split_into_windows(None, 1500, window_days=1, seed=0)


def codes(n_rows, seed=0):
    return np.random.default_rng(seed).integers(0, 20, (n_rows, 4)).astype(np.uint8)


@pytest.fixture(scope="module")
def reference():
    return build_joint_reference(codes(1500), WINDOWS, seed=0)


def test_rows_of_one_kind_cannot_be_told_apart():
    assert 0.4 < classifier_auc(codes(300), codes(300, seed=1)) < 0.6


def test_a_window_like_the_reference_is_within_it_and_another_is_beyond(reference):
    same, other = codes(100, seed=1), codes(100, seed=1) // 2
    assert joint_drift_score(sample_rows(same), reference, 4)[1] < 1
    assert joint_drift_score(sample_rows(other), reference, 4)[1] > 1


def test_a_few_rows_are_not_judged(reference):
    assert np.isnan(joint_drift_score(sample_rows(codes(5)), reference, 4)).all()


def test_one_column_cannot_drift_jointly():
    assert build_joint_reference(codes(1500)[:, :1], WINDOWS, seed=0) is None


def test_a_sample_has_at_most_its_size_also_when_windows_are_merged():
    sample = sample_rows(codes(5000))
    assert len(unpack_codes(sample, 4)) == MAX_SAMPLED_ROWS
    assert len(unpack_codes(merge_samples([sample, sample], 4), 4)) == MAX_SAMPLED_ROWS
