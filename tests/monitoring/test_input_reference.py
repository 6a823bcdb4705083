from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from evertune.data.schema import Column
from evertune.files import read_record, write_record
from evertune.monitoring.input_reference import (
    InputReference,
    build_input_reference,
    check_same_schema,
)
from evertune.monitoring.window_profiles import WindowProfile
from evertune.types import Predictions
from tests.monitoring.drifting import (
    N_DAYS,
    ROWS,
    SCHEMA,
    days,
    people,
    predictions_of,
    profile,
    reference,
    rows_of,
)

TABLE = people(days(), seed=0)


def built(table, *, features=None, n_days=None, predictions=None):
    """Return the reference of a table; of one feature, which has no joint drift, it is fast."""
    described = [each for each in SCHEMA.features if each.name in (features or table)]
    return build_input_reference(
        table,
        replace(SCHEMA, features=tuple(described)),
        moments=pd.Series(days(n_days)) if n_days else None,
        predictions=predictions,
        window_days=1,
        seed=0,
    )


def column(found, name):
    return next(each for each in found.columns if each.name == name)


def test_reference_and_profile_come_back_from_their_files(tmp_path):
    for record, kind in (
        (reference(), InputReference),
        (profile(rows_of(), predicted=True), WindowProfile),
    ):
        write_record(tmp_path / "record.json", record)
        assert read_record(tmp_path / "record.json", kind) == record


def test_every_day_is_a_window():
    assert reference().input_null.daily.n_windows == N_DAYS
    assert (reference().usual_rows, reference().window_days) == (ROWS, 1)


def test_bounds_shares_and_categories_are_those_of_the_table():
    income, plan = column(reference(), "income"), column(reference(), "plan")
    assert (income.low, income.high) == (TABLE["income"].min(), TABLE["income"].max())
    missing = column(reference(), "age").histogram.missing
    assert missing == pytest.approx(TABLE["age"].isna().mean())
    assert plan.known == ("a", "b", "c")
    assert plan.counts[0] == (TABLE["plan"] == plan.bins.levels[0]).sum()


@pytest.mark.parametrize(
    ("cities", "measured"),
    [
        ([f"no {k}" for k in range(len(TABLE))], "length"),
        (np.where(TABLE.index % 2, "here", TABLE["city"]), "level"),
    ],
)
def test_text_is_measured_by_its_levels_where_they_repeat_and_else_by_its_length(cities, measured):
    found = built(TABLE.assign(city=cities), features=["city"])
    assert found.columns[0].measured == measured


def test_dates_are_measured_by_their_age_where_rows_have_a_time():
    assert column(reference(), "joined").measured == "age"
    assert built(TABLE, features=["joined"]).columns[0].bins.size == 1


def test_predictions_of_training_rows_are_left_out():
    pred, is_training = predictions_of(TABLE), np.arange(len(TABLE)) < len(TABLE) // 2
    partly = Predictions(np.where(is_training, np.nan, pred.values), pred.probabilities)
    found = built(TABLE, features=["age"], n_days=N_DAYS, predictions=partly)
    assert found.prediction_null.daily.n_windows == N_DAYS / 2
    assert sum(found.predictions[0].counts) == len(TABLE) / 2


def test_a_table_of_few_rows_has_no_null_distribution_and_says_so():
    found = built(TABLE.head(50))
    assert (found.input_null, found.joint) == (None, None)
    assert found.notes == ("the reference has too few rows (50) to tell drift from chance",)


def test_a_table_with_constant_and_empty_columns_has_a_reference():
    empty = people(days(10), seed=0).assign(age=np.nan, income=1.0, plan="a", joined=pd.NaT)
    found = built(empty.astype({"joined": "datetime64[us]"}), n_days=10)
    assert np.isfinite(found.input_null.daily.worst)


def test_another_schema_is_refused_with_the_columns_that_differ():
    other = replace(SCHEMA, features=(Column("age", "text"), *SCHEMA.features[1:]))
    with pytest.raises(ValueError, match=r"differ in age \(number\), age \(text\)"):
        check_same_schema(reference(), other)
