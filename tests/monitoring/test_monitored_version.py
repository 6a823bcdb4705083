"""How a version's production is read from the log: labels of all versions, slices, notes."""

import pandas as pd
import pytest

from evertune.config.loader import load_params
from evertune.models.persistence import load_model
from evertune.monitoring.label_delay import age_at_coverage
from evertune.monitoring.monitoring_run import MonitoringRun
from evertune.monitoring.reference import load_reference
from tests.production import day, labelled, log_of, project, rows, served


@pytest.fixture(scope="module")
def project_with_log(tmp_path_factory, learned):
    """Return a project whose version 2 took over on day 20; labels come three days late."""
    root = tmp_path_factory.mktemp("project")
    (root / "state").mkdir()
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
    assert age_at_coverage(run.curve, 0.9) == 3.0
    assert run.curve.observed == pytest.approx(23 + 2 / 3)


def test_a_new_champion_is_judged_as_soon_as_its_labels_are_there(project_with_log):
    assert [each.day for each in run_of(project_with_log).matured_losses()] == [day(20)]


def test_slices_are_judged_by_the_values_of_a_column(project_with_log):
    findings = run_of(project_with_log, n_days=26, slices=("plan",), least_rows=5).findings()
    parts = {each.part for each in findings if each.signal == "loss" and each.part}
    assert parts
    assert all(part.startswith("plan=") for part in parts)


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


def test_a_record_of_a_window_is_written_once(project_with_log):
    run = run_of(project_with_log)
    first = run.findings()
    run.inputs = lambda window: pd.DataFrame(columns=[f"not read again: {window}"])
    assert run.findings() == first
