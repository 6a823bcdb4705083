import pytest

from evertune.search.study import should_prune

RIVALS = [{0: 0.8, 1: 0.2}, {0: 0.7, 1: 0.4}, {0: 0.6, 1: 0.9}]


@pytest.mark.parametrize(
    ("scores", "behind"),
    [({0: 0.65}, True), ({0: 0.75}, False), ({0: 0.65, 1: 0.5}, False), ({0: None}, True)],
)
def test_a_trial_is_compared_with_the_median_over_its_own_folds(scores, behind):
    assert should_prune(scores, RIVALS) is behind


def test_nothing_falls_behind_less_than_three_rivals():
    assert not should_prune({0: 0.0}, RIVALS[:2])


def test_rivals_that_lack_a_fold_do_not_count():
    assert not should_prune({0: 0.0, 1: 0.0}, [*RIVALS[:2], {0: 0.9}])
