import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from evertune.data.folds import Fold
from evertune.data.schema import Column, TableSchema
from evertune.ensemble.calibration import OOFPredictions
from evertune.ensemble.oof import FoldModel, TrialArtifacts
from evertune.fitting.refit import (
    assemble_ensemble,
    calibrate_on_oof,
    fit_fold_encoders,
    resolve_mode,
)
from evertune.metrics.metrics import METRICS
from evertune.models.model import predict
from evertune.models.persistence import dump_predictor
from evertune.preprocessing.encoders import feature_frame, make_encoder
from evertune.trials import Configuration
from evertune.types import Predictions
from tests.core.pooled import folds_of_rows

N_ROWS = 120
SCHEMA = TableSchema(
    (Column("a", "number"), Column("b", "category", ("x", "y"))), "t", "binary", ("n", "p")
)
DRAWS = np.random.default_rng(0)
TABLE = pd.DataFrame({"a": DRAWS.normal(size=N_ROWS), "b": DRAWS.choice(["x", "y"], N_ROWS)})
TRUTH = (TABLE["a"].to_numpy() + DRAWS.normal(size=N_ROWS) > 0).astype(float)
FOLDS = folds_of_rows(N_ROWS, 3)
TIME_FOLDS = [Fold(np.arange(60), np.arange(60, 90)), Fold(np.arange(90), np.arange(90, 120))]


def entry(number, form, strength):
    models = []
    for place, fold in enumerate(FOLDS):
        columns = make_encoder(form, SCHEMA)
        X = columns.fit_transform(
            feature_frame(TABLE.iloc[fold.training], SCHEMA), TRUTH[fold.training]
        )
        model = LogisticRegression(C=strength).fit(X, TRUTH[fold.training])
        V = columns.transform(feature_frame(TABLE.iloc[fold.validation], SCHEMA))
        shares = model.predict_proba(V)
        said = Predictions(shares.argmax(axis=1).astype(float), shares)
        models.append(
            FoldModel(place, fold.validation, said, *dump_predictor(model), iterations=place)
        )
    return TrialArtifacts(
        number, Configuration("linear", {"regularisation": strength}), form, tuple(models)
    )


ENTRIES = [entry(3, "scaled", 1.0), entry(5, "scaled", 0.01), entry(8, "plain", 0.1)]
PLACES = [(each.form, fold) for each in ENTRIES for fold in range(3)]


def encoders():
    return fit_fold_encoders(PLACES, TABLE, TRUTH, folds=FOLDS, schema=SCHEMA)


def test_an_ensemble_says_the_weighted_mean_of_its_members():
    weights = [(5, 0.25), (3, 0.75)]
    said = predict(assemble_ensemble(weights, ENTRIES, encoders()), TABLE, SCHEMA).probabilities
    alone = [
        predict(
            assemble_ensemble([(number, 1.0)], ENTRIES, encoders()), TABLE, SCHEMA
        ).probabilities
        for number, _ in weights
    ]
    assert said == pytest.approx(0.25 * alone[0] + 0.75 * alone[1])


def test_a_fold_model_says_of_its_rows_what_the_pool_kept():
    member = assemble_ensemble([(3, 1.0)], ENTRIES, encoders()).members[0]
    for model, fitted in zip(ENTRIES[0].folds, member.fitted, strict=True):
        said = predict(fitted, TABLE.iloc[model.rows], SCHEMA).probabilities
        assert said == pytest.approx(model.predictions.probabilities, abs=1e-12)


def test_members_of_one_form_share_their_encoders():
    first, second, other = assemble_ensemble([(3, 1), (5, 1), (8, 1)], ENTRIES, encoders()).members
    shared = zip(first.fitted, second.fitted, strict=True)
    assert all(left.encoder is right.encoder for left, right in shared)
    assert first.fitted[0].encoder is not other.fitted[0].encoder


def test_weights_are_made_to_sum_to_one():
    made = assemble_ensemble([(3, 0.3), (8, 0.1)], ENTRIES, encoders())
    assert [member.weight for member in made.members] == pytest.approx([0.75, 0.25])
    assert made.members[0].iterations == (0, 1, 2)


@pytest.mark.parametrize(
    ("mode", "folds", "windows", "expected"),
    [
        ("auto", FOLDS, False, "bag"),
        ("auto", TIME_FOLDS, False, "refit"),
        ("auto", FOLDS[:1], False, "refit"),
        ("auto", FOLDS * 9, False, "refit"),
        ("auto", FOLDS, True, "refit"),
        ("bag", TIME_FOLDS, False, "bag"),
        ("bag", FOLDS, True, "refit"),
        ("single", FOLDS, False, "single"),
    ],
)
def test_fold_models_are_kept_where_they_leave_no_rows_out(mode, folds, windows, expected):
    assert resolve_mode(mode, folds, n_rows=N_ROWS, has_windows=windows) == expected


def test_a_threshold_that_breaks_a_bound_is_not_taken():
    chance = np.linspace(0.0, 0.5, 400)
    truth = (np.arange(400) % 20 < 8 + 12 * (chance > 0.3)).astype(float)
    shares = np.column_stack([1 - chance, chance])
    unseen = OOFPredictions(
        np.arange(400), np.arange(400) % 5, truth, Predictions(np.zeros(400), shares)
    )
    made = assemble_ensemble([(3, 1.0)], ENTRIES, encoders())
    assert calibrate_on_oof(made, unseen, METRICS["f1"]).threshold is not None
    bound = [(METRICS["precision"], 0.999)]
    assert calibrate_on_oof(made, unseen, METRICS["f1"], guards=bound).threshold is None
