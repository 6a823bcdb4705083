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
def reference_and_schema():
    prepared, _ = prepare_table(training_table(), TableSpec("churned", positive="yes", time="date"))
    reference = build_input_reference(
        prepared.clean,
        prepared.schema,
        moments=prepared.clean["date"],
        predictions=None,
        window_days=1,
        seed=0,
    )
    return replace(reference, joint=None), prepared.schema


def monitored(production, reference, schema):
    """Return the input drift of each day, and all breaches of the contract."""
    profiles, drift, breaches = [], {}, []
    for day, rows in production.drop(columns="churned").groupby("date"):
        start = to_utc_datetime(day)
        window = TimeWindow(start, start + timedelta(days=1), len(rows))
        profile = build_window_profile(rows, reference, schema, window=window, predictions=None)
        contract = contract_findings(
            profile,
            reference,
            limits=ContractSection(),
            typical_rows=typical_row_count([each.window for each in profiles], window),
        )
        breaches += [each for each in contract if each.state == "breach"]
        findings = drift_findings(profile, reference, recent=profiles)
        drift[day] = next(each.value for each in findings if each.signal == "input_drift")
        profiles.append(profile)
    return pd.Series(drift), breaches


@pytest.mark.slow
def test_eight_months_of_the_example_neither_drift_nor_break_the_contract(reference_and_schema):
    drift, breaches = monitored(production_table(), *reference_and_schema)
    assert drift.max() < 1
    assert breaches == []


def test_older_customers_are_found_within_ten_days(reference_and_schema):
    production = production_table()
    near = production[production["date"].between("2024-10-20", "2024-11-14")]
    changed = near.assign(age=near["age"].where(near["date"] < CHANGE, near["age"] + 6))
    drift, _ = monitored(changed, *reference_and_schema)
    assert drift[drift > 1].index[0] - CHANGE < pd.Timedelta(days=10)
    assert drift[drift.index < CHANGE].max() < 1
