import numpy as np
import pytest

from evertune.models.families import FAMILIES, fit_encoded
from evertune.trials import Configuration
from tests.tuning.rows import rows, setting


def test_more_neighbours_than_rows_are_all_rows():
    X, y = rows("binary", n=10)
    assert (
        fit_encoded(Configuration("neighbours"), X, y, setting("binary")).predictor.n_neighbors
        == 10
    )


def test_support_vectors_need_two_rows_of_each_class():
    X, _ = rows("binary", n=10)
    with pytest.raises(ValueError, match=r"svm needs two rows of each class .* but got least=1"):
        fit_encoded(Configuration("svm"), X, np.eye(10)[0], setting("binary"))


def test_what_looks_at_no_clock_is_marked():
    assert {name for name, family in FAMILIES.items() if family.endless} == {"neighbours", "svm"}
