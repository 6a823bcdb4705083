from datetime import UTC, datetime

import pytest

from evertune.decisions import Finding, MonitoringDecision
from evertune.monitoring.records import MonitoringResult
from evertune.monitoring.report import metric_points
from evertune.times import TimeWindow

DAY = TimeWindow(datetime(1970, 1, 2, tzinfo=UTC), datetime(1970, 1, 3, tzinfo=UTC), 40)
DECISION = MonitoringDecision("d", DAY.end, "churn", "1", "nothing", ())


def shown(*findings):
    found = MonitoringResult(DAY.end, "churn", "1", DECISION, findings)
    return [(point.name, point.value, point.step) for point in metric_points(found)]


def test_a_figure_stands_at_the_end_of_its_window():
    assert shown(Finding("loss", "performance", DAY, 0.1)) == [("loss", 0.1, 48)]


@pytest.mark.parametrize(
    "finding",
    [
        Finding("loss", "performance", DAY, None, state="no data"),
        Finding("loss", "performance", DAY, 0.1, state="immature"),
        Finding("loss", "performance", DAY, 0.1, part="plan=basic"),
        Finding("column_drift", "drift", DAY, 0.1, part="age"),
    ],
)
def test_what_is_not_known_yet_or_only_about_a_part_is_left_out(finding):
    assert shown(finding) == []
