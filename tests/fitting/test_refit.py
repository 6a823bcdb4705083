import math
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from evertune.data.folds import Fold, make_folds
from evertune.data.schema import Column, TableSchema
from evertune.ensemble.oof import TrialArtifacts
from evertune.fitting.refit import (
    TrainingSet,
    fit_on_training_set,
    fold_model_members,
    iterations_for,
    refit_member,
    resolve_mode,
)
from evertune.metrics.metrics import metrics_for
from evertune.models.fitted_model import predict
from evertune.search.objective import Objective, evaluate_fold
from evertune.trials import Configuration, FoldResult

N_ROWS = 90
SCHEMA = TableSchema((Column("a", "number"),), "y", "regression")
TABLE = pd.DataFrame({"a": np.random.default_rng(0).normal(size=N_ROWS)})
TRUTH = TABLE["a"].to_numpy() * 2
TRAINING = TrainingSet(TABLE, TRUTH, SCHEMA, 0)
FOLDS = make_folds("kfold", TRUTH, n_folds=3, task="regression")
FAMILIES = ("linear", "lightgbm")
NEVER = math.inf


def entry(number, family):
    objective = Objective(TABLE, TRUTH, SCHEMA, FOLDS, metrics_for("regression"), 0)
    one = Configuration(family)
    models = [evaluate_fold(objective, one, fold, encodings={}).model for fold in range(3)]
    return TrialArtifacts(number, one, tuple(models))


@pytest.fixture(scope="module")
def entries():
    return [entry(number, family) for number, family in enumerate(FAMILIES)]


def refit(family, *, seconds=0.0, iterations=None, end=NEVER):
    folds = [FoldResult(0, {}, seconds, 0.0, iterations)]
    return refit_member(Configuration(family), 0.5, TRAINING, folds=folds, fold_rows=60, end=end)


def test_fold_models_predict_for_a_folds_rows_what_they_did_in_the_search(entries):
    members = fold_model_members([(1, 0.7), (0, 0.3)], entries, TRAINING, folds=FOLDS, end=NEVER)
    assert {number: member.weight for number, member in members.items()} == {1: 0.7, 0: 0.3}
    for model, fitted in zip(entries[1].folds, members[1].fitted, strict=True):
        predictions = predict(fitted, TABLE.iloc[model.rows], SCHEMA)
        assert predictions.values == pytest.approx(model.predictions.values)


def test_trials_of_one_encoding_share_their_encoders(entries):
    twice = [entries[0], replace(entries[0], number=7)]
    members = fold_model_members([(0, 0.7), (7, 0.3)], twice, TRAINING, folds=FOLDS, end=NEVER)
    pairs = zip(members[0].fitted, members[7].fitted, strict=True)
    assert all(left.encoder is right.encoder for left, right in pairs)


def test_without_time_the_heaviest_member_is_kept_alone(entries):
    past = time.monotonic() - 1
    members = fold_model_members([(1, 0.7), (0, 0.3)], entries, TRAINING, folds=FOLDS, end=past)
    assert list(members) == [1]


def test_a_member_is_fitted_on_all_rows():
    member = refit("tree")
    assert (len(member.fitted), member.iterations) == (1, (None,))
    assert member.fitted[0].predictor.tree_.n_node_samples[0] == N_ROWS


def test_a_fit_for_which_there_is_no_time_is_not_started():
    assert refit("linear", seconds=60.0, end=time.monotonic() + 30) is None


def test_a_member_has_the_rounds_of_its_folds_and_a_few_more():
    member = refit("lightgbm", iterations=40)
    assert member.iterations == (49,)
    assert member.fitted[0].predictor.num_trees() == 49


@pytest.mark.parametrize("family", ["lightgbm", "xgboost", "catboost", "mlp"])
def test_a_fit_that_was_cut_short_before_half_of_its_rounds_is_no_member(family):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(20_000, 10)), columns=[f"x{n}" for n in range(10)])
    schema = TableSchema(tuple(Column(name, "number") for name in table), "y", "regression")
    many = TrainingSet(table, table.sum(axis="columns").to_numpy(), schema, 0)
    folds = [FoldResult(0, {}, 0.0, 0.0, 100_000)]  # rounds that no machine has time for
    end = time.monotonic() + 1.0
    configuration = Configuration(family, {"epochs": 100_000} if family == "mlp" else {})
    assert refit_member(configuration, 1.0, many, folds=folds, fold_rows=20_000, end=end) is None
    assert time.monotonic() < end + 10


THIRDS = [Fold(np.delete(np.arange(9), slice(k, k + 3)), np.arange(k, k + 3)) for k in (0, 3, 6)]
TIME_FOLDS = [Fold(np.arange(3), np.arange(3, 6)), Fold(np.arange(6), np.arange(6, 9))]


@pytest.mark.parametrize(
    ("mode", "folds", "windows", "expected"),
    [
        ("auto", THIRDS, False, "bag"),
        ("auto", TIME_FOLDS, False, "refit"),
        ("auto", THIRDS[:1], False, "refit"),
        ("auto", THIRDS * 9, False, "refit"),
        ("auto", THIRDS, True, "refit"),
        ("bag", TIME_FOLDS, False, "bag"),
        ("bag", THIRDS, True, "refit"),
        ("single", THIRDS, False, "single"),
    ],
)
def test_fold_models_are_kept_where_they_leave_no_rows_out(mode, folds, windows, expected):
    assert resolve_mode(mode, folds, n_rows=9, has_windows=windows) == expected


def test_where_no_fold_counted_rounds_the_family_decides():
    assert iterations_for((), fold_rows=60, n_rows=90) is None


def test_weights_of_rows_count():
    weights = np.where(np.arange(N_ROWS) < 45, 1.0, 1e-9)
    flat = TrainingSet(TABLE, np.where(np.arange(N_ROWS) < 45, 1.0, 9.0), SCHEMA, 0, weights)
    fitted, _ = fit_on_training_set(Configuration("zero_rule"), flat, iterations=None, end=NEVER)
    assert predict(fitted, TABLE, SCHEMA).values[0] == pytest.approx(1.0)
