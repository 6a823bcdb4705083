import numpy as np

from evertune.models.model import to_catboost_rows


def test_rows_without_codes_stay_an_array():
    X = np.array([[1.0, np.nan]])
    assert to_catboost_rows(X, ()) is X


def test_codes_become_whole_numbers_and_numbers_keep_their_gaps():
    rows = to_catboost_rows(np.array([[2.0, np.nan], [np.nan, 0.5]]), (0,))
    assert rows[0].tolist() == [2, -1]
    assert rows[0].dtype == np.int64
    assert np.isnan(rows.loc[0, 1])
