from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from scipy.stats import wasserstein_distance

from evertune.decisions import Finding
from evertune.monitoring.bins import number_bins
from evertune.monitoring.column_reference import ColumnReference
from evertune.monitoring.drift import (
    drift_findings,
    psi,
    rank_causes,
    wasserstein,
)
from evertune.times import TimeWindow
from tests.monitoring.drifting import day, profile, reference, rows_of


def found(rows, number=0, **known):
    return drift_findings(profile(rows, number, **known), reference())


def figure(findings, signal, part=None):
    (finding,) = (each for each in findings if each.signal == signal and each.part == part)
    return finding


def test_days_like_those_of_the_reference_have_not_drifted():
    days = [found(rows_of(number), number, predicted=True) for number in range(30)]
    assert [each for findings in days for each in findings if each.state != "ok"] == []


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
    findings = found(rows.assign(**{name: CHANGES[name](rows)}))
    drifted = {each.part for each in findings if each.state == "breach" and each.part}
    assert drifted == {name}
    assert figure(findings, "input_drift").value == figure(findings, "column_drift", name).value > 1


def test_a_column_that_is_no_longer_filled_drifted():
    finding = figure(found(rows_of().assign(age=np.nan)), "column_drift", "age")
    assert finding.value > 1
    assert finding.note.startswith("missing up by")


def test_dates_that_move_on_with_the_calendar_have_not_drifted():
    assert figure(found(rows_of(300), 300), "column_drift", "joined").state == "ok"


def test_a_small_change_that_lasts_is_found_by_seven_windows_together():
    profiles = [profile(rows_of(k).assign(age=rows_of(k)["age"] + 4), k) for k in range(7)]
    alone = drift_findings(profiles[-1], reference())
    together = drift_findings(profiles[-1], reference(), recent=profiles[:-1])
    assert figure(alone, "input_drift").state == "ok"
    assert "in 7 windows" in figure(together, "input_drift").note
    assert figure(together, "input_drift").value > 1


def test_windows_with_gaps_between_them_are_not_taken_together():
    apart = [profile(rows_of(9 * k).assign(age=rows_of(9 * k)["age"] + 4), 9 * k) for k in range(7)]
    findings = drift_findings(apart[-1], reference(), recent=apart[:-1])
    assert figure(findings, "input_drift").state == "ok"


def test_what_the_model_says_drifts_with_its_input():
    rows = rows_of()
    findings = found(rows.assign(age=rows["age"] + 10), predicted=True)
    assert figure(findings, "prediction_drift").value > 1


def test_columns_that_no_longer_go_together_are_joint_drift_alone():
    rows = rows_of(n_rows=300)
    mixed = rows.assign(income=rows["income"].sample(frac=1, random_state=0).to_numpy())
    findings = found(mixed)
    assert figure(findings, "joint_drift").value > 1
    assert figure(findings, "input_drift").state == "ok"


@pytest.mark.parametrize("n_rows", [0, 29])
def test_few_rows_are_no_data_and_never_no_drift(n_rows):
    findings = found(rows_of().head(n_rows))
    assert {(each.value, each.state) for each in findings} == {(None, "no data")}


def test_a_column_that_is_not_there_is_no_data_while_others_are_judged():
    findings = found(rows_of().drop(columns="age"))
    assert figure(findings, "column_drift", "age").state == "no data"
    assert figure(findings, "joint_drift").state == "no data"
    assert figure(findings, "input_drift").state == "ok"


def test_few_windows_widen_the_limit_and_the_note_says_so():
    rows = rows_of()
    moved = rows.assign(age=rows["age"] + 8)
    few = drift_findings(profile(moved, n_days=12), reference(12))
    assert figure(few, "input_drift").value < figure(found(moved), "input_drift").value
    assert "12 windows only: the limit is wider" in figure(few, "input_drift").note


def test_without_time_only_large_changes_count_and_the_note_says_so():
    rows = rows_of()
    moved = rows.assign(age=rows["age"] + 8)
    timeless = drift_findings(profile(moved, timed=False), reference(timed=False))
    assert figure(timeless, "input_drift").value < figure(found(moved), "input_drift").value
    assert "has no time" in figure(timeless, "input_drift").note


def test_a_profile_of_another_reference_is_refused():
    first = profile(rows_of())
    short = replace(first.columns[0], counts=first.columns[0].counts[1:])
    with pytest.raises(ValueError, match="against another reference: expected its bins of 'age'"):
        drift_findings(replace(first, columns=(short, *first.columns[1:])), reference())


def test_a_note_gives_the_usual_figures_beside_the_calibrated_one():
    rows = rows_of()
    note = figure(found(rows.assign(age=rows["age"] + 10)), "column_drift", "age").note
    assert "location up by" in note
    assert "PSI 0.90, about 0.34 by chance: large, Wasserstein 1.05 sd" in note


def test_the_latest_figure_of_a_column_counts_as_a_cause():
    moments = [datetime(2024, 5, k, tzinfo=UTC) for k in (1, 2, 3)]
    findings = [
        Finding("column_drift", "drift", TimeWindow(start, end), value, part="age")
        for start, end, value in zip(moments[:2], moments[1:], [5.0, 0.5], strict=True)
    ]
    assert rank_causes(findings, {"age": 0.1}) == ()
    assert [each.drift for each in rank_causes(findings[:1], {})] == [5.0]
    assert day().end > day().start


def column(values):
    bins = number_bins("age", values)
    counts = np.bincount(bins.codes(values), minlength=bins.size)
    ends = (values[values < bins.edges[0]], values[values >= bins.edges[-1]])
    return ColumnReference(
        "age",
        "number",
        "value",
        bins,
        counts=tuple(counts.tolist()),
        mean=float(values.mean()),
        deviation=float(values.std()),
        tails=tuple(float(end.mean()) for end in ends),
    )


def test_the_index_is_the_one_by_hand():
    p, q = 60.5 / 101, 500.5 / 1001
    by_hand = (p - q) * np.log(p / q) + (q - p) * np.log((1 - p) / (1 - q))
    assert psi(np.array([60, 40]), np.array([500, 500])) == pytest.approx(by_hand)


@pytest.mark.parametrize(("shift", "spread"), [(0.5, 1.0), (0.0, 1.5), (3.0, 1.0)])
def test_the_distance_from_bins_is_about_that_of_the_values(shift, spread):
    random = np.random.default_rng(0)
    known, new = random.normal(0, 1, 20_000), random.normal(shift, spread, 20_000)
    found = column(known)
    counts = np.bincount(found.bins.codes(new), minlength=found.bins.size)
    exact = wasserstein_distance(known, new) / known.std()
    assert wasserstein(counts, float(new.mean()), found) == pytest.approx(exact, abs=0.1)
