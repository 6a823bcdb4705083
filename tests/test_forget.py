from datetime import timedelta
from pathlib import Path

import pytest

from evertune.database import closing_log
from evertune.monitoring.prediction_log import (
    LoggedPrediction,
    append_predictions,
    apply_retention,
    known_ids,
)
from tests import production

IDS = ("old", "new")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a project that logged a prediction on day 0 and one on day 20."""
    root = production.project(tmp_path, target="left", time="day", identifier="null")
    rows = [
        LoggedPrediction(name, name, None, production.day(day), "{}", 1.0, (0.2, 0.8))
        for name, day in zip(IDS, (0, 20), strict=True)
    ]
    with closing_log(root / "state", model="churn", variable=None) as log:
        append_predictions(log, rows, version="1", received=production.day(20))
    return root


@pytest.mark.parametrize(("days", "left"), [("10", {"new"}), ("null", {"old", "new"})])
def test_what_is_older_than_its_retention_goes(root: Path, days: str, left: set[str]) -> None:
    params = root / "params.yaml"
    params.write_text(params.read_text().replace("retention_days: 730", f"retention_days: {days}"))
    removed = apply_retention(root, now=production.day(20) + timedelta(hours=1))
    with closing_log(root / "state", model="churn", variable=None) as log:
        assert (removed, known_ids(log, IDS)) == (len(IDS) - len(left), left)
