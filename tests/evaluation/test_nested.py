import numpy as np
import pytest

from evertune.data.folds import Fold, make_folds
from evertune.evaluation.nested import inner_folds


def made(kind, **others):
    return make_folds(kind, np.arange(12.0), n_folds=3, task="regression", **others)


@pytest.mark.parametrize("outer", [0, 1, 2])
def test_the_outer_rows_are_in_no_inner_fold(outer):
    every = made("kfold")
    inner = inner_folds(every, outer)
    seen = [set(every[outer].training[[*fold.training, *fold.validation]]) for fold in inner]
    assert len(inner) == 2
    assert not set().union(*seen) & set(every[outer].validation)


def test_groups_stay_together_within():
    groups = np.repeat(np.arange(6), 2)
    every = made("group", groups=groups)
    kept = groups[every[0].training]
    for fold in inner_folds(every, 0):
        assert not set(kept[fold.training]) & set(kept[fold.validation])


def test_folds_in_time_have_only_earlier_inner_folds():
    every = made("time", times=np.arange(12.0))
    assert [len(inner_folds(every, outer)) for outer in range(3)] == [0, 1, 2]


def test_a_single_hold_out_has_no_folds_within():
    assert inner_folds([Fold(np.array([0, 1]), np.array([2]))], 0) == ()
