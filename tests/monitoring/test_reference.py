from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from evertune.data.schema import Column, TableSchema
from evertune.metrics.losses import DailyLoss
from evertune.metrics.metrics import METRICS
from evertune.models.fitted_model import FittedPipeline, Model
from evertune.monitoring.reference import build_reference, cap_reference_loss, load_reference
from evertune.trials import Configuration

FIRST = datetime(2024, 5, 1, tzinfo=UTC)
SCHEMA = TableSchema((Column("age", "number"),), "left", "binary", ("no", "yes"), time="day")


class Half:
    """Predicts both classes with probability one half."""

    classes_ = np.array([0.0, 1.0])

    def transform(self, X):
        return X

    def predict_proba(self, X):
        return np.full((len(X), 2), 0.5)


@pytest.fixture
def reference():
    days = pd.date_range("2024-05-01", periods=40, freq="6h")
    table = pd.DataFrame({"age": np.arange(40.0), "left": ["no", "yes"] * 20, "day": days})
    return build_reference(
        Model(SCHEMA, Configuration("linear"), FittedPipeline(Half(), Half()), ()),
        training=table.head(20),
        holdout=table.tail(20),
        metrics=[METRICS["accuracy"]],
        importance={"age": 0.1},
    )


def test_performance_is_that_of_the_holdout_alone(reference):
    assert (reference.performance.n, reference.performance.loss) == (20, 0.25)
    assert reference.performance.figures["accuracy"] == 0.5


def with_loss(reference, loss):
    days = (DailyLoss(FIRST, 100, 100 * loss),)
    performance = replace(reference.performance, loss=loss, days=days)
    return replace(reference, performance=performance)


@pytest.mark.parametrize(("loss", "capped"), [(0.1, 0.1), (0.22, 0.22), (0.4, 0.23)])
def test_the_base_loss_rises_by_three_points_at_most(reference, loss, capped):
    found = cap_reference_loss(with_loss(reference, loss), with_loss(reference, 0.2)).performance
    assert found.loss == pytest.approx(capped)
    assert found.days[0].total == pytest.approx(100 * capped)


def test_the_first_champion_is_compared_with_itself(reference):
    assert cap_reference_loss(reference, None) is reference


def test_the_reference_that_an_earlier_release_wrote_is_read(golden_project_files):
    found = load_reference(golden_project_files / "state" / "reference" / "orders" / "1").inputs
    assert found.columns[0].histogram.shares
    assert len(found.input_null.statistics) == len(found.input_null.daily.deviations)
    assert found.prediction_null is not None
