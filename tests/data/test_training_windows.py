import numpy as np
import pandas as pd
import pytest

from evertune.data.schema import TableSchema
from evertune.data.training_windows import TrainingWindow, event_times, is_in_window, row_weights


def days(*texts):
    return pd.Series(pd.to_datetime(list(texts)), dtype="datetime64[us]")


def test_a_row_of_production_happened_at_its_moment_and_one_of_the_source_at_its_time():
    schema = TableSchema((), "y", "regression", time="day")
    table = pd.DataFrame({"day": days("2024-01-01", "2024-01-02")})
    table["moment"] = days(None, "2024-02-02")
    assert event_times(table, schema).tolist() == [*days("2024-01-01", "2024-02-02")]


def test_a_counter_has_no_moment():
    schema = TableSchema((), "y", "regression", time="step")
    assert event_times(pd.DataFrame({"step": [1.0, 2.0]}), schema).isna().all()


def test_a_window_holds_its_first_moment():
    window = TrainingWindow("latest", "2024-01-02T00:00:00+00:00")
    result = is_in_window(days("2024-01-01", "2024-01-02", None), window)
    assert result.tolist() == [False, True, False]


def test_weights_halve_with_every_half_life():
    window = TrainingWindow("decayed", half_life_days=10)
    weights = row_weights(days("2024-01-01", "2024-01-11", "2024-01-21", None), window)
    assert weights == pytest.approx(np.array([0.25, 0.5, 1.0, 0.25]))


def test_rows_of_no_known_moment_all_weigh_the_same():
    assert row_weights(days(None, None), TrainingWindow("decayed", half_life_days=10)) is None
