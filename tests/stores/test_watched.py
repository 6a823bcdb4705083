from dataclasses import replace

import pytest
from threadpoolctl import threadpool_limits

from evertune.config.loader import load_params
from evertune.models.persistence import load_model
from evertune.monitoring.label_delay import age_at_coverage
from evertune.monitoring.reference_store import load_reference
from evertune.monitoring.window_findings import (
    load_monitored_version,
    matured_losses,
    monitoring_notes,
)
from tests.production import day, labelled, learned, log_of, project, rows, served


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    with threadpool_limits(1):
        yield learned(tmp_path_factory.mktemp("learned"))


@pytest.fixture
def seen(made, tmp_path):
    """Return how version 2, which took over on day 20, is watched four days later."""
    (tmp_path / "state").mkdir()
    params = load_params(project(tmp_path))
    model = load_model(made / "model")
    for version, table in (("1", rows(0, 20)), ("2", rows(20, 2))):
        labelled(tmp_path, table, served(tmp_path, model, table, version=version), after_days=3)
    reference, log = load_reference(made / "reference"), log_of(tmp_path)
    return load_monitored_version(
        tmp_path, params, log=log, version="2", reference=reference, now=day(24)
    )


def test_how_long_labels_take_is_learned_from_all_versions(seen):
    assert (seen.frame["version"].unique().tolist(), age_at_coverage(seen.curve, 0.9)) == (
        ["2"],
        3.0,
    )
    assert seen.curve.observed == pytest.approx(23 + 2 / 3)


def test_a_new_champion_is_judged_as_soon_as_its_labels_are_there(seen):
    assert [each.day for each in matured_losses(seen)] == [day(20)]


@pytest.mark.parametrize(
    ("monitoring", "noted"),
    [({}, 0), ({"window_days": 7}, 1), ({"window_days": 7, "window_rows": 100}, 0)],
)
def test_windows_of_another_length_than_was_learned_are_noted(seen, monitoring, noted):
    section = seen.params.monitoring.model_copy(update=monitoring)
    changed = replace(seen, params=seen.params.model_copy(update={"monitoring": section}))
    notes = monitoring_notes(changed)
    assert len(notes) == noted
    assert all("is 7, but version 2 was calibrated on 1-day windows" in each for each in notes)
