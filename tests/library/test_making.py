import time
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest

from evertune.data.folds import default_folds
from evertune.data.schema import Column, TableSchema
from evertune.ensemble.oof import TrialArtifacts
from evertune.fitting.build import SearchResult, build_tuned_model
from evertune.fitting.refit import TrainingSet
from evertune.metrics.metrics import METRICS
from evertune.models.families import configuration_encoding
from evertune.models.model import predict
from evertune.search.objective import Objective, evaluate_fold
from evertune.search.trial_log import drop_entries, read_entries, save_entry
from evertune.trials import Configuration, Trial

FAMILIES = ("linear", "lightgbm")


@pytest.fixture(scope="module")
def work():
    draws = np.random.default_rng(0)
    table = pd.DataFrame(draws.normal(size=(120, 2)), columns=["a", "b"])
    truth = (np.abs(table["a"]) + table["b"] + 0.1 * draws.normal(size=120)).to_numpy()
    schema = TableSchema((Column("a", "number"), Column("b", "number")), "y", "regression")
    folds = default_folds(truth, 2, has_classes=False, seed=0)
    return Objective(table, truth, schema, folds, (METRICS["rmse"],), 0)


def tried(work, number, folds=(0, 1)):
    configuration = Configuration(FAMILIES[number])
    found = [evaluate_fold(work, configuration, fold, encodings={}) for fold in folds]
    models, results = (
        tuple(part) for part in zip(*((x.model, x.result) for x in found), strict=True)
    )
    status = "complete" if len(folds) == len(work.folds) else "stopped"
    score = float(np.mean([each.figures["rmse"] for each in results]))
    trial = Trial(number, configuration, status, results, score, None, 1.0, "portfolio")
    return trial, TrialArtifacts(
        number, configuration, configuration_encoding(configuration), models
    )


@pytest.fixture
def found(work, tmp_path):
    trials, entries = zip(*(tried(work, number) for number in range(len(FAMILIES))), strict=True)
    for entry in entries:
        save_entry(tmp_path, entry)
    return SearchResult(
        lesson=TrainingSet(work.table, work.truth, work.schema, work.seed),
        folds=work.folds,
        trials=trials,
        entries=read_entries(tmp_path, models=False),
        read=partial(read_entries, tmp_path),
        metric=work.metrics[0],
        mode="bag",
    )


def test_a_bag_is_made_of_the_models_of_the_folds(found):
    tuned = build_tuned_model(found)
    assert {len(member.fitted) for member in tuned.fitted.members} == {2}
    assert sum(tuned.weights.values()) == pytest.approx(1)


def test_the_heaviest_member_gives_its_name_to_the_model(found):
    tuned = build_tuned_model(found)
    heaviest = max(tuned.weights, key=tuned.weights.get)
    assert tuned.configuration == found.trial(heaviest).configuration
    assert tuned.fitted.members[0].weight == tuned.weights[heaviest]


def test_the_models_of_the_folds_say_what_they_said_in_the_search(found, work):
    member = build_tuned_model(found).fitted.members[0]
    (trial,) = (each for each in found.trials if each.configuration == member.configuration)
    rows = work.folds[1].validation
    said = predict(member.fitted[1], work.table.iloc[rows], work.schema)
    assert METRICS["rmse"].score(work.truth[rows], said) == pytest.approx(
        trial.folds[1].figures["rmse"]
    )


@pytest.mark.parametrize("mode", ["refit", "single"])
def test_a_refit_has_one_model_a_member(found, mode):
    tuned = build_tuned_model(replace(found, mode=mode))
    assert {len(member.fitted) for member in tuned.fitted.members} == {1}


def test_a_single_model_is_the_best_trial(found):
    tuned = build_tuned_model(replace(found, mode="single"))
    best = min(found.trials, key=lambda trial: trial.score)
    assert tuned.weights == {best.number: 1.0}


def test_members_that_cannot_be_fitted_again_in_time_are_models_of_the_folds(found):
    slow = [replace(fold, fit_seconds=1e6) for fold in found.trials[1].folds]
    trials = (found.trials[0], replace(found.trials[1], folds=tuple(slow)))
    soon = time.monotonic() + 1000
    tuned = build_tuned_model(replace(found, trials=trials, mode="refit", end=soon))
    sizes = {m.configuration.family: len(m.fitted) for m in tuned.fitted.members}
    assert sizes["lightgbm"] == 2


def test_without_any_time_the_heaviest_member_is_kept(found):
    tuned = build_tuned_model(replace(found, end=0.0))
    assert len(tuned.weights) >= 1
    assert sum(tuned.weights.values()) == pytest.approx(1)


def test_a_trial_that_was_cut_off_is_better_than_none(found, work, tmp_path):
    trial, entry = tried(work, 0, folds=(0,))
    drop_entries(tmp_path, {0, 1})
    save_entry(tmp_path, entry)
    tuned = build_tuned_model(replace(found, trials=(trial,), entries=(entry,), end=0.0))
    assert (tuned.weights, tuned.score) == ({0: 1.0}, trial.score)


def test_a_search_that_left_nothing_gives_no_model(found, tmp_path):
    drop_entries(tmp_path, {0, 1})
    assert build_tuned_model(replace(found, trials=(), entries=())) is None
