from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from pipelines.core.losses import LossDay
from pipelines.core.metrics import METRICS
from pipelines.core.model import Fitted, Model
from pipelines.core.references import capped, reference_of
from pipelines.core.schema import Column, Schema
from pipelines.core.trials import Configuration

FIRST = datetime(2024, 5, 1, tzinfo=UTC)
SCHEMA = Schema((Column("age", "number"),), "left", "binary", ("no", "yes"), time="day")


class Half:
    """Says that everything is as likely as not."""

    classes_ = np.array([0.0, 1.0])

    def transform(self, X):
        return X

    def predict_proba(self, X):
        return np.full((len(X), 2), 0.5)


@pytest.fixture
def reference():
    days = pd.date_range("2024-05-01", periods=40, freq="6h")
    table = pd.DataFrame({"age": np.arange(40.0), "left": ["no", "yes"] * 20, "day": days})
    return reference_of(
        Model(SCHEMA, Configuration("linear"), Fitted(Half(), Half()), ()),
        training=table.head(20),
        holdout=table.tail(20),
        metrics=[METRICS["accuracy"]],
        importance={"age": 0.1},
    )


def test_performance_is_that_of_the_holdout_alone(reference):
    assert (reference.performance.n, reference.performance.loss) == (20, 0.25)
    assert reference.performance.figures["accuracy"] == 0.5


def with_loss(reference, loss):
    days = (LossDay(FIRST, 100, 100 * loss),)
    performance = replace(reference.performance, loss=loss, days=days)
    return replace(reference, performance=performance)


@pytest.mark.parametrize(("loss", "kept"), [(0.1, 0.1), (0.22, 0.22), (0.4, 0.23)])
def test_the_base_loss_rises_by_three_points_at_most(reference, loss, kept):
    found = capped(with_loss(reference, loss), with_loss(reference, 0.2)).performance
    assert found.loss == pytest.approx(kept)
    assert found.days[0].total == pytest.approx(100 * kept)


def test_the_first_champion_is_held_against_itself(reference):
    assert capped(reference, None) is reference
