import math
import time

import numpy as np
import pandas as pd
import pytest

from evertune.data.folds import make_folds
from evertune.data.schema import Column, TableSchema
from evertune.ensemble.oof import TrialArtifacts
from evertune.fitting.refit import (
    RefitSpec,
    TrainingSet,
    bag_fold_models,
    fit_on_training_set,
    iterations_for,
    refit_members,
)
from evertune.metrics.metrics import metrics_for
from evertune.models.families import configuration_encoding
from evertune.models.model import predict
from evertune.search.objective import Objective, evaluate_fold
from evertune.trials import Configuration, FoldResult

N_ROWS = 90
SCHEMA = TableSchema((Column("a", "number"),), "y", "regression")
TABLE = pd.DataFrame({"a": np.random.default_rng(0).normal(size=N_ROWS)})
TRUTH = TABLE["a"].to_numpy() * 2
LESSON = TrainingSet(TABLE, TRUTH, SCHEMA, 0)
FOLDS = make_folds(
    "kfold", n_rows=N_ROWS, truth=TRUTH, groups=None, times=None, n_folds=3, n_repeats=1,
    gap_days=0, seed=0, task="regression",
)  # fmt: skip
FAMILIES = ("linear", "lightgbm")
NEVER = math.inf


def entry(number, family):
    work = Objective(TABLE, TRUTH, SCHEMA, FOLDS, metrics_for("regression"), 0)
    one = Configuration(family)
    models = [evaluate_fold(work, one, fold, encodings={}).model for fold in range(3)]
    return TrialArtifacts(number, one, configuration_encoding(one), tuple(models))


@pytest.fixture(scope="module")
def entries():
    return [entry(number, family) for number, family in enumerate(FAMILIES)]


def wanted(*families, seconds=0.0):
    folds = (FoldResult(0, {}, seconds, 0.0, None),)
    return [RefitSpec(Configuration(family), 0.5, folds, 60) for family in families]


def test_a_bag_says_of_a_folds_rows_what_its_model_said(entries):
    ensemble = bag_fold_models([(1, 0.7), (0, 0.3)], entries, LESSON, folds=FOLDS, end=NEVER)
    assert [member.weight for member in ensemble.members] == pytest.approx([0.7, 0.3])
    for model, fitted in zip(entries[1].folds, ensemble.members[0].fitted, strict=True):
        said = predict(fitted, TABLE.iloc[model.rows], SCHEMA)
        assert said.values == pytest.approx(model.predictions.values)


def test_without_time_the_heaviest_member_is_kept_alone(entries):
    past = time.monotonic() - 1
    ensemble = bag_fold_models([(1, 0.7), (0, 0.3)], entries, LESSON, folds=FOLDS, end=past)
    assert [each.configuration.family for each in ensemble.members] == ["lightgbm"]
    assert ensemble.members[0].weight == 1


def test_members_are_fitted_on_all_rows():
    first, second = refit_members(wanted("linear", "tree"), LESSON, end=NEVER)
    assert (len(first.fitted), first.iterations) == (1, (None,))
    assert second.fitted[0].predictor.tree_.n_node_samples[0] == N_ROWS


def test_a_fit_that_does_not_fit_into_the_time_is_left_out():
    given = [*wanted("linear", seconds=60.0), *wanted("tree")]
    (member,) = refit_members(given, LESSON, end=time.monotonic() + 30)
    assert member.configuration.family == "tree"


def test_a_member_has_the_rounds_of_its_folds_and_a_few_more():
    folds = tuple(FoldResult(fold, {}, 0.0, 0.0, 40) for fold in range(3))
    given = [RefitSpec(Configuration("lightgbm"), 1.0, folds, 60)]
    (member,) = refit_members(given, LESSON, end=NEVER)
    assert member.iterations == (49,)
    assert member.fitted[0].predictor.num_trees() == 49


def test_where_no_fold_counted_rounds_the_family_decides():
    assert iterations_for((), fold_rows=60, n_rows=90) is None


def test_weights_of_rows_count():
    weights = np.where(np.arange(N_ROWS) < 45, 1.0, 1e-9)
    flat = TrainingSet(TABLE, np.where(np.arange(N_ROWS) < 45, 1.0, 9.0), SCHEMA, 0, weights)
    fitted = fit_on_training_set(Configuration("zero_rule"), flat, iterations=None, end=NEVER)
    assert predict(fitted, TABLE, SCHEMA).values[0] == pytest.approx(1.0)
