from pathlib import Path

import pytest

from evertune.registry.mlflow_client import MetricPoint, create_client, open_tracking_store
from evertune.registry.runs import log_monitoring, unlogged_points

pytestmark = pytest.mark.slow


@pytest.fixture
def logged(state):
    """Return the store and the run after the same was shown twice, and then one window more."""
    store, page = open_tracking_store(state, "churn"), state / "monitoring.html"
    points = [MetricPoint("loss", 0.1, 10, 36_000_000), MetricPoint("loss", 0.2, 34, 122_400_000)]
    for text, shown in (("old", points[:1]), ("old", points[:1]), ("new", points)):
        page.write_text(text)
        run_id = log_monitoring(store, page=page, points=shown)
    return store, run_id


def test_a_model_has_one_run_for_what_production_looks_like(logged):
    store, run_id = logged
    found = create_client(store.address).search_runs([store.experiment_id])
    assert [(run.info.run_id, run.info.status) for run in found] == [(run_id, "FINISHED")]


def test_a_window_that_is_shown_again_is_one_point(logged):
    store, run_id = logged
    history = create_client(store.address).get_metric_history(run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(10, 0.1), (34, 0.2)]


def test_points_that_the_run_has_are_not_sent_again(logged):
    store, run_id = logged
    known, corrected = (
        MetricPoint("loss", 0.2, 34, 122_400_000),
        MetricPoint("loss", 0.3, 34, 122_400_000),
    )
    other = MetricPoint("roc_auc", 0.2, 34, 122_400_000)
    new = unlogged_points(create_client(store.address), run_id, [known, corrected, other])
    assert new == [corrected, other]


def test_the_page_is_the_newest(logged, tmp_path):
    store, run_id = logged
    found = create_client(store.address).download_artifacts(
        run_id, "monitoring.html", str(tmp_path)
    )
    assert Path(found).read_text() == "new"
