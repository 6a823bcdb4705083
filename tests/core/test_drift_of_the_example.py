"""The example's production changes its relation and not its columns, but for weekday and season."""

from dataclasses import replace
from datetime import timedelta

import pandas as pd
import pytest

from pipelines.core.contract import Limits, contract_findings, usual_rows
from pipelines.core.declared import Declared
from pipelines.core.drift import drift_findings
from pipelines.core.findings import Window, aware
from pipelines.core.input_reference import input_reference
from pipelines.core.preparing import prepare
from pipelines.core.window_profiles import window_profile
from pipelines.example import production_table, training_table

CHANGE = pd.Timestamp("2024-11-01")


@pytest.fixture(scope="module")
def known():
    prepared, _ = prepare(training_table(), Declared("churned", positive="yes", time="date"))
    found = input_reference(
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
        windows.append(Window(aware(day), aware(day) + timedelta(days=1), len(rows)))
        profile = window_profile(rows, *known, window=windows[-1], predictions=None)
        found = drift_findings(profile, known[0], recent=profiles)
        usual = usual_rows(windows[:-1], windows[-1])
        found += contract_findings(profile, known[0], limits=Limits(), typical_rows=usual)
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
