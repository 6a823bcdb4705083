import numpy as np
import pytest

from evertune.config.custom_metrics import load_metrics
from evertune.config.schema import CustomMetric, MetricSection
from evertune.errors import ParamsError
from evertune.types import Predictions


def test_the_metric_that_is_optimised_comes_first(tmp_path):
    found = load_metrics(MetricSection(primary="mae"), "regression", tmp_path)
    assert [metric.name for metric in found] == ["mae", "rmse", "mape", "r2", "pinball"]


def test_a_function_of_the_project_is_a_metric(tmp_path):
    code = "def worst(truth, values, probabilities):\n    return abs(truth - values).max()\n"
    (tmp_path / "own_metrics_of_a_test.py").write_text(code)
    own = CustomMetric(function="own_metrics_of_a_test:worst", greater_is_better=False)
    section = MetricSection(primary="worst", custom={"worst": own})
    worst = load_metrics(section, "regression", tmp_path)[0]
    assert worst.score(np.array([1.0, 5.0]), Predictions(np.array([0.0, 0.0]))) == 5.0


def test_a_metric_of_another_task_is_refused(tmp_path):
    with pytest.raises(ParamsError, match=r"metric.primary: The metric of a binary task must be"):
        load_metrics(MetricSection(primary="rmse"), "binary", tmp_path)
