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
    profile,
    reference,
    rows_of,
    said,
)


def made(table, **known):
    defaults = {"moments": None, "predictions": None, "window_days": 1, "seed": 0}
    return build_input_reference(table, SCHEMA, **(defaults | known))


def column(found, name):
    return next(each for each in found.columns if each.name == name)


def test_reference_and_profile_come_back_from_their_files(tmp_path):
    found, path = profile(rows_of(), predicted=True), tmp_path / "record.json"
    write_record(path, reference())
    assert read_record(path, InputReference) == reference()
    write_record(path, found)
    assert read_record(path, WindowProfile) == found


def test_every_day_is_a_window():
    assert reference().input_null.daily.n_windows == N_DAYS
    assert (reference().usual_rows, reference().window_days) == (ROWS, 1)


def test_bounds_shares_and_categories_are_those_of_the_table():
    table = people(days(), seed=0)
    income, plan = column(reference(), "income"), column(reference(), "plan")
    assert (income.low, income.high) == (table["income"].min(), table["income"].max())
    assert column(reference(), "age").histogram.missing == pytest.approx(table["age"].isna().mean())
    assert plan.known == ("a", "b", "c")
    assert plan.counts[0] == (table["plan"] == plan.bins.levels[0]).sum()


def test_text_is_measured_by_its_levels_where_they_repeat_and_else_by_its_length():
    table = people(days(), seed=0).assign(city=lambda rows: [f"no {k}" for k in range(len(rows))])
    assert column(made(table), "city").measured == "length"
    repeated = table.assign(city=np.where(table.index % 2, "here", table["city"]))
    assert column(made(repeated), "city").measured == "level"


def test_dates_are_measured_by_their_age_where_rows_have_a_time():
    assert column(reference(), "joined").measured == "age"
    assert column(reference(timed=False), "joined").bins.size == 1


def test_predictions_on_rows_that_were_learned_from_are_left_out():
    table = people(days(), seed=0)
    known = said(table)
    learned = np.arange(len(table)) < len(table) // 2
    partly = Predictions(np.where(learned, np.nan, known.values), known.probabilities)
    found = made(table, moments=pd.Series(days()), predictions=partly)
    assert found.prediction_null.daily.n_windows == N_DAYS / 2
    assert sum(found.predictions[0].counts) == len(table) / 2


def test_a_table_of_few_rows_has_no_scale_and_says_so():
    found = made(people(days(1), seed=0).head(50))
    assert (found.input_null, found.joint) == (None, None)
    assert found.notes == ("the reference has too few rows (50) to tell drift from chance",)


def test_a_table_with_columns_that_say_nothing_has_a_reference():
    empty = people(days(), seed=0).assign(age=np.nan, income=1.0, plan="a", joined=pd.NaT)
    found = made(empty.astype({"joined": "datetime64[us]"}), moments=pd.Series(days()))
    assert np.isfinite(found.input_null.daily.worst)


def test_another_schema_is_refused_with_the_columns_that_differ():
    other = replace(SCHEMA, features=(Column("age", "text"), *SCHEMA.features[1:]))
    with pytest.raises(ValueError, match=r"differ in age \(number\), age \(text\)"):
        check_same_schema(reference(), other)
