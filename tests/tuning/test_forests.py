import numpy as np

from evertune.models.families import fit_encoded
from evertune.trials import Configuration
from tests.tuning.rows import rows, setting


def test_histogram_boosting_leaves_out_a_column_without_a_value():
    X, y = rows("regression")
    empty = np.column_stack([X[:, :1], np.full(400, np.nan), X[:, 1:]])
    grown = fit_encoded(Configuration("hist_boosting"), empty, y, setting("regression"))
    assert grown.columns == (0, 2, 3)


def test_a_forest_is_the_same_whatever_the_number_of_threads():
    X, y = rows("binary")
    first, second = (
        fit_encoded(Configuration("extra_trees"), X, y, setting("binary", n_jobs=jobs)).predictor
        for jobs in (1, 2)
    )
    assert (first.predict_proba(X) == second.predict_proba(X)).all()
