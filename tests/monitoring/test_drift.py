from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import wasserstein_distance

from evertune.data.schema import Column, TableSchema
from evertune.decisions import Finding
from evertune.monitoring.bins import number_bins
from evertune.monitoring.column_reference import ColumnReference
from evertune.monitoring.drift import drift_findings, psi, rank_causes, wasserstein
from evertune.monitoring.input_reference import build_input_reference
from evertune.monitoring.window_profiles import build_window_profile
from tests.monitoring.drifting import day, days, predictions_of, profile, reference, rows_of


def findings_of(rows, number=0, **settings):
    return drift_findings(profile(rows, number, **settings), reference())


def finding(findings, signal, part=None):
    (found,) = (each for each in findings if each.signal == signal and each.part == part)
    return found


def older(number=0, years=8):
    rows = rows_of(number)
    return rows.assign(age=rows["age"] + years)


def test_days_like_those_of_the_reference_have_not_drifted():
    quiet = [findings_of(rows_of(number), number, predicted=True) for number in range(20)]
    assert {each.state for findings in quiet for each in findings} == {"ok"}


CHANGES = {
    "age": lambda rows: rows["age"] + 8,
    "income": lambda rows: 40 + (rows["income"] - 40) * 2.5,
    "member": lambda rows: rows["member"] * 0,
    "plan": lambda rows: rows["plan"].where(rows.index % 2 == 0, "c"),
    "city": lambda rows: rows["city"].where(rows.index % 3 > 0, "town 3"),
    "joined": lambda rows: rows["joined"] - pd.Timedelta(days=500),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_column_that_changed_is_the_one_that_drifted(name):
    rows = rows_of()
    findings = findings_of(rows.assign(**{name: CHANGES[name](rows)}))
    drifted = {each.part for each in findings if each.state == "breach" and each.part}
    assert drifted == {name}
    worst = finding(findings, "column_drift", name).value
    assert finding(findings, "input_drift").value == worst > 1


def test_a_column_that_is_no_longer_filled_drifted():
    found = finding(findings_of(rows_of().assign(age=np.nan)), "column_drift", "age")
    assert found.value > 1
    assert found.note.startswith("missing up by")


def test_dates_that_move_on_with_the_calendar_have_not_drifted():
    assert finding(findings_of(rows_of(300), 300), "column_drift", "joined").state == "ok"


@pytest.mark.parametrize(("days_apart", "state"), [(1, "breach"), (9, "ok")])
def test_a_small_change_that_lasts_is_found_by_seven_neighbouring_windows(days_apart, state):
    profiles = [profile(older(k, years=4), k) for k in range(0, 7 * days_apart, days_apart)]
    alone = drift_findings(profiles[-1], reference())
    pooled = drift_findings(profiles[-1], reference(), recent=profiles[:-1])
    assert finding(alone, "input_drift").state == "ok"
    assert finding(pooled, "input_drift").state == state
    assert ("in 7 windows" in finding(pooled, "input_drift").note) == (state == "breach")


def test_predictions_drift_with_their_input():
    assert finding(findings_of(older(years=10), predicted=True), "prediction_drift").value > 1


def test_a_feature_is_not_taken_for_a_column_of_predictions_of_the_same_name():
    schema = TableSchema((Column("probability", "number"),), "left", "binary", ("no", "yes"))
    random, table = np.random.default_rng(0), pd.DataFrame({"age": np.full(4200, 40.0)})
    table = table.assign(probability=random.normal(size=4200))
    known = build_input_reference(
        table,
        schema,
        moments=pd.Series(days()),
        predictions=predictions_of(table.assign(age=random.normal(40, 10, 4200))),
        window_days=1,
        seed=0,
    )
    surer = predictions_of(table.head(60).assign(age=90.0))
    window = build_window_profile(table.head(60), known, schema, window=day(), predictions=surer)
    findings = drift_findings(window, known)
    assert finding(findings, "column_drift", "probability").state == "ok"
    assert finding(findings, "prediction_drift").state == "breach"


def test_columns_that_no_longer_go_together_are_joint_drift_alone():
    rows = rows_of(n_rows=300)
    mixed = rows.assign(income=rows["income"].sample(frac=1, random_state=0).to_numpy())
    findings = findings_of(mixed)
    assert finding(findings, "joint_drift").value > 1
    assert finding(findings, "input_drift").state == "ok"


@pytest.mark.parametrize("n_rows", [0, 29])
def test_few_rows_are_no_data_and_never_no_drift(n_rows):
    findings = findings_of(rows_of().head(n_rows))
    assert {(each.value, each.state) for each in findings} == {(None, "no data")}


def test_a_column_that_is_not_there_is_no_data_while_others_are_judged():
    findings = findings_of(rows_of().drop(columns="age"))
    assert finding(findings, "column_drift", "age").state == "no data"
    assert finding(findings, "joint_drift").state == "no data"
    assert finding(findings, "input_drift").state == "ok"


@pytest.mark.parametrize(
    ("settings", "note"),
    [({"n_days": 12}, "12 windows only: the limit is wider"), ({"timed": False}, "has no time")],
)
def test_a_reference_of_few_days_or_without_time_has_a_wider_limit_and_says_so(settings, note):
    found = drift_findings(profile(older(), **settings), reference(**settings))
    usual = finding(findings_of(older()), "input_drift").value
    assert finding(found, "input_drift").value < usual
    assert note in finding(found, "input_drift").note


def test_a_profile_of_another_reference_is_refused():
    first = profile(rows_of())
    short = replace(first.columns[0], counts=first.columns[0].counts[1:])
    with pytest.raises(ValueError, match="against another reference: expected its bins of 'age'"):
        drift_findings(replace(first, columns=(short, *first.columns[1:])), reference())


def test_a_note_gives_the_usual_measures_beside_the_calibrated_score():
    note = finding(findings_of(older(years=10)), "column_drift", "age").note
    assert "location up by" in note
    assert "PSI 0.90, about 0.34 by chance: large, Wasserstein 1.05 sd" in note


def test_the_latest_score_of_a_column_counts_as_a_cause():
    scores = [
        Finding("column_drift", "drift", day(number), value, part="age")
        for number, value in enumerate([5.0, 0.5])
    ]
    assert [each.drift for each in rank_causes(scores[:1], {})] == [5.0]
    assert rank_causes(scores, {"age": 0.1}) == ()


def test_the_population_stability_index_is_the_one_by_hand():
    p, q = 60.5 / 101, 500.5 / 1001
    by_hand = (p - q) * np.log(p / q) + (q - p) * np.log((1 - p) / (1 - q))
    assert psi(np.array([60, 40]), np.array([500, 500])) == pytest.approx(by_hand)


@pytest.mark.parametrize(("shift", "spread"), [(0.5, 1.0), (0.0, 1.5), (3.0, 1.0)])
def test_the_wasserstein_distance_of_bins_is_about_that_of_the_values(shift, spread):
    random = np.random.default_rng(0)
    known, new = random.normal(0, 1, 20_000), random.normal(shift, spread, 20_000)
    bins = number_bins("age", known)
    counts, usual = (np.bincount(bins.codes(each), minlength=bins.size) for each in (new, known))
    tails = (known[known < bins.edges[0]].mean(), known[known >= bins.edges[-1]].mean())
    column = ColumnReference(
        "age",
        "number",
        "value",
        bins,
        counts=tuple(usual),
        mean=known.mean(),
        deviation=known.std(),
        tails=tails,
    )
    exact = wasserstein_distance(known, new) / known.std()
    assert wasserstein(counts, new.mean(), column) == pytest.approx(exact, abs=0.1)
