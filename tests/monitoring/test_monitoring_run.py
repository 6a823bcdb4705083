from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from evertune.config.loader import load_params
from evertune.config.schema import BusinessMetric
from evertune.decisions import Finding
from evertune.models.persistence import load_model
from evertune.monitoring.label_delay import maturity_cutoff
from evertune.monitoring.monitoring_run import (
    CachedFindings,
    MonitoringRun,
    first_stale_window,
    mean_value_since,
)
from evertune.monitoring.reference import load_reference
from evertune.times import TimeWindow
from tests.support.production import day, labelled, log_of, project, rows, served

FIRST = datetime(2024, 5, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def project_with_log(tmp_path_factory, learned):
    """Return a project whose version 2 took over on day 20; labels come three days late."""
    root = tmp_path_factory.mktemp("project")
    (root / "state").mkdir()
    (root / "own_metrics.py").write_text(
        "def older(rows):\n    return (rows['input_age'] > 40).mean()\n"
        "def unknown(rows):\n    return float('nan')\n"
    )
    model = load_model(learned / "model")
    params = load_params(project(root))
    for version, table in (("1", rows(0, 20)), ("2", rows(20, 2))):
        labelled(root, table, served(root, model, table, version=version), after_days=3)
    return root, params, load_reference(learned / "reference")


def run_of(project_with_log, *, n_days=24, **settings):
    root, params, reference = project_with_log
    section = params.monitoring.model_copy(update=settings)
    return MonitoringRun(
        root,
        params.model_copy(update={"monitoring": section}),
        log=log_of(root),
        version="2",
        reference=reference,
        now=day(n_days),
    )


def test_how_long_labels_take_is_learned_from_all_versions(project_with_log):
    run = run_of(project_with_log)
    assert set(run.frame["version"]) == {"2"}
    assert maturity_cutoff(run.curve, now=day(24), coverage=0.9) == day(21)
    assert run.curve.observed == pytest.approx(23 + 2 / 3)


def test_a_new_champion_is_judged_as_soon_as_its_labels_are_there(project_with_log):
    assert [each.day for each in run_of(project_with_log).matured_losses()] == [day(20)]


def test_slices_are_judged_by_the_values_of_a_column(project_with_log):
    findings = run_of(project_with_log, n_days=26, slices=("plan",), least_rows=5).findings()
    parts = {each.part for each in findings if each.signal == "loss" and each.part}
    assert parts
    assert all(part.startswith("plan=") for part in parts)


def test_business_metrics_of_the_project_see_the_inputs(project_with_log):
    business = {
        name: BusinessMetric(function=f"own_metrics:{name}") for name in ("older", "unknown")
    }
    found = run_of(project_with_log, n_days=23, business=business).findings()
    older = [each.value for each in found if each.signal == "business.older"]
    assert older == [pytest.approx(0.5, abs=0.15), None]  # the second day has no rows
    assert {each.state for each in found if each.signal == "business.unknown"} == {"no data"}


@pytest.mark.parametrize(
    ("settings", "n_notes"),
    [({}, 0), ({"window_days": 7.0}, 1), ({"window_days": 7.0, "window_rows": 100}, 0)],
)
def test_windows_of_another_length_than_the_reference_are_noted(
    project_with_log, settings, n_notes
):
    notes = run_of(project_with_log, **settings).notes()
    assert len(notes) == n_notes
    assert all("is 7, but version 2 was calibrated on 1-day windows" in note for note in notes)


def test_findings_are_computed_once(project_with_log):
    run = run_of(project_with_log)
    first = run.findings()
    run.inputs = lambda window: pd.DataFrame(columns=[f"not read again: {window}"])
    assert run.findings() == first


def test_a_mean_weighs_windows_by_their_rows_and_leaves_out_missing_values():
    day = TimeWindow(FIRST, FIRST + timedelta(days=1), 10)
    later = TimeWindow(day.end, day.end + timedelta(days=1), 30)
    found = [
        Finding("loss", "performance", day, 0.4),
        Finding("loss", "performance", later, 0.2),
        Finding("loss", "performance", later, float("nan")),
        Finding("loss", "performance", later, None, state="immature"),
        Finding("loss", "performance", later, 0.9, part="city=Bern"),
    ]
    assert mean_value_since(found, "loss", None) == pytest.approx((0.4 * 10 + 0.2 * 30) / 40)
    assert mean_value_since(found, "loss", later.start) == pytest.approx(0.2)
    assert mean_value_since(found, "loss", later.end) is None


def first_stale(*states, n_rows=None, changed=None):
    """Return the first stale of windows with these states; None: pooled with the ones before."""
    counts = n_rows or [10] * len(states)
    windows = [
        TimeWindow(FIRST + timedelta(days=n), FIRST + timedelta(days=n + 1), count)
        for n, count in enumerate(counts)
    ]
    cached = {
        window.start: CachedFindings(
            "m", () if state is None else (Finding("loss", "performance", window, 1, state=state),)
        )
        for window, state in zip(windows, states, strict=True)
        if state != "new"
    }
    marks = ["other" if n == changed else "m" for n in range(len(states))]
    return first_stale_window(windows, marks, cached)


@pytest.mark.parametrize(
    ("states", "more", "position"),
    [
        (("ok", "ok", "ok"), {}, 3),
        (("ok", "no data", "ok"), {"n_rows": [10, 0, 10]}, 3),
        (("ok", "new", "ok"), {}, 1),
        (("ok", "immature", "ok"), {}, 1),
        (("ok", "no data", "ok"), {}, 1),
        (("ok", "ok", "ok"), {"changed": 1}, 1),
        (("ok", "ok", None, None), {"changed": 3}, 1),
        (("ok", "ok", "no data", None), {"n_rows": [9, 9, 0, 9], "changed": 3}, 1),
    ],
)
def test_realised_performance_is_computed_again_from_the_first_stale_window(states, more, position):
    assert first_stale(*states, **more) == position
