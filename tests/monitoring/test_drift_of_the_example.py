"""The example's production changes its relation and not its columns, but for weekday and season."""

from dataclasses import replace
from datetime import timedelta

import pandas as pd
import pytest

from evertune.config.schema import ContractSection
from evertune.data.cleaning import prepare_table
from evertune.data.example import production_table, training_table
from evertune.data.schema import TableSpec
from evertune.monitoring.data_contract import contract_findings, typical_row_count
from evertune.monitoring.drift import drift_findings
from evertune.monitoring.input_reference import build_input_reference
from evertune.monitoring.window_profiles import build_window_profile
from evertune.times import TimeWindow, to_utc_datetime

CHANGE = pd.Timestamp("2024-11-01")


@pytest.fixture(scope="module")
def known():
    prepared, _ = prepare_table(training_table(), TableSpec("churned", positive="yes", time="date"))
    found = build_input_reference(
        prepared.clean,
        prepared.schema,
        moments=prepared.clean["date"],
        predictions=None,
        window_days=1,
        seed=0,
    )
    return replace(found, joint=None), prepared.schema


def watched(production, known):
    """Return the input drift of each day, and all that is broken."""
    profiles, windows, drift, broken = [], [], {}, []
    for day, rows in production.drop(columns="churned").groupby("date"):
        windows.append(
            TimeWindow(to_utc_datetime(day), to_utc_datetime(day) + timedelta(days=1), len(rows))
        )
        profile = build_window_profile(rows, *known, window=windows[-1], predictions=None)
        found = drift_findings(profile, known[0], recent=profiles)
        usual = typical_row_count(windows[:-1], windows[-1])
        found += contract_findings(profile, known[0], limits=ContractSection(), typical_rows=usual)
        profiles.append(profile)
        drift[day] = next(each.value for each in found if each.signal == "input_drift")
        broken += [each for each in found if each.layer == "contract" and each.state == "breach"]
    return pd.Series(drift), broken


def test_eight_months_of_the_example_neither_drift_nor_break_the_contract(known):
    drift, broken = watched(production_table(), known)
    assert drift.max() < 1
    assert broken == []


def test_older_customers_are_found_within_ten_days(known):
    production = production_table()
    near = production[production["date"].between("2024-10-20", "2024-11-14")]
    changed = near.assign(age=near["age"].where(near["date"] < CHANGE, near["age"] + 6))
    drift, _ = watched(changed, known)
    assert drift[drift > 1].index[0] - CHANGE < pd.Timedelta(days=10)
    assert drift[drift.index < CHANGE].max() < 1
