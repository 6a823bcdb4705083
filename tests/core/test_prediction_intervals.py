import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from evertune.data.schema import Column, TableSchema
from evertune.ensemble.calibration import OOFPredictions, prediction_intervals
from evertune.fitting.refit import calibrate_on_oof
from evertune.metrics.metrics import METRICS
from evertune.models.model import Ensemble, EnsembleMember, FittedPipeline, predict
from evertune.preprocessing.encoders import feature_frame, make_encoder
from evertune.trials import Configuration
from evertune.types import Predictions
from tests.core.pooled import folds_of_rows

N_ROWS = 1_000
SCHEMA = TableSchema((Column("a", "number"),), "y", "regression")
DRAWS = np.random.default_rng(0)
TABLE = pd.DataFrame({"a": DRAWS.normal(size=2 * N_ROWS)})
TRUTH = TABLE["a"].to_numpy() * 3 + DRAWS.normal(size=2 * N_ROWS)
TRAINING, NEW = TABLE[:N_ROWS], TABLE[N_ROWS:]


def fitted(rows):
    columns = make_encoder("scaled", SCHEMA)
    X = columns.fit_transform(feature_frame(TABLE.iloc[rows], SCHEMA), TRUTH[rows])
    return FittedPipeline(columns, LinearRegression().fit(X, TRUTH[rows]))


@pytest.fixture(scope="module")
def bag():
    folds = folds_of_rows(N_ROWS)
    models = tuple(fitted(fold.training) for fold in folds)
    said = np.concatenate(
        [
            predict(m, TABLE.iloc[f.validation], SCHEMA).values
            for m, f in zip(models, folds, strict=True)
        ]
    )
    places = np.repeat(np.arange(4), N_ROWS // 4)
    unseen = OOFPredictions(np.arange(N_ROWS), places, TRUTH[:N_ROWS], Predictions(said))
    ensemble = Ensemble((EnsembleMember(Configuration("linear"), 1.0, models),))
    return calibrate_on_oof(ensemble, unseen, METRICS["rmse"])


@pytest.mark.parametrize("coverage", [0.5, 0.9])
def test_intervals_hold_about_as_many_new_rows_as_they_promise(bag, coverage):
    low, high = prediction_intervals(bag, NEW, SCHEMA, coverage=coverage)
    inside = (low <= TRUTH[N_ROWS:]) & (TRUTH[N_ROWS:] <= high)
    assert inside.mean() == pytest.approx(coverage, abs=0.04)


def test_the_prediction_is_inside_its_interval(bag):
    low, high = prediction_intervals(bag, NEW, SCHEMA)
    values = predict(bag, NEW, SCHEMA).values
    assert ((low < values) & (values < high)).all()


def test_members_that_were_fitted_on_all_rows_have_intervals(bag):
    whole = EnsembleMember(Configuration("linear"), 1.0, (fitted(np.arange(N_ROWS)),))
    low, high = prediction_intervals(Ensemble((whole,), errors=bag.errors), NEW, SCHEMA)
    inside = (low <= TRUTH[N_ROWS:]) & (TRUTH[N_ROWS:] <= high)
    assert inside.mean() == pytest.approx(0.9, abs=0.04)


def test_a_model_without_errors_has_no_intervals(bag):
    with pytest.raises(ValueError, match="keeps its out-of-fold errors"):
        prediction_intervals(bag.members[0].fitted[0], NEW, SCHEMA)
