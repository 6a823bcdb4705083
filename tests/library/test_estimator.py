import pickle
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris, make_regression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from evertune import TunedClassifier, TunedRegressor
from evertune.metrics.metrics import METRICS

pytestmark = pytest.mark.slow  # seconds each, or processes of its own

QUICK = {"budget_seconds": None, "budget_trials": 1, "workers": 1, "n_folds": 2}
LINEAR = QUICK | {"families": ["linear"]}
TREE = QUICK | {"families": ["tree"]}  # the quickest to fit: its numbers are not transformed
N_ROWS = 60


NOT_EQUAL = {
    "check_sample_weight_equivalence_on_dense_data": (
        "rows are dealt to folds, and scores count all of them alike: a row of weight 0 is no row"
        " that is missing, and one of weight 2 none that stands there twice"
    )
}


@parametrize_with_checks(
    [TunedClassifier(**TREE), TunedRegressor(**TREE)],
    expected_failed_checks=lambda _: NOT_EQUAL,
)
def test_scikit_learns_contract_is_kept(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def mixed():
    draws = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "age": draws.integers(18, 80, N_ROWS).astype(float),
            "plan": draws.choice(["basic", "plus", None], N_ROWS),
            "tariff": pd.Categorical(draws.choice(["a", "b"], N_ROWS)),
            "signed": pd.date_range("2024-01-01", periods=N_ROWS).astype("str"),
            "remark": [f"call number {n} was {'very ' * 20} long" for n in range(N_ROWS)],
            "active": draws.integers(0, 2, N_ROWS).astype(bool),
            "constant": 1,
        }
    )
    table.loc[::7, "age"] = np.nan
    return table


@pytest.fixture(scope="module")
def answers(mixed):
    return np.where(mixed["plan"] == "plus", "leaves", "stays")


@pytest.fixture(scope="module")
def fitted(mixed, answers):
    return TunedClassifier(**LINEAR).fit(mixed, answers)


def test_columns_are_understood_as_in_a_source_table(fitted):
    kinds = {column.name: column.kind for column in fitted.schema_.features}
    assert list(kinds.values()) == ["number", "category", "category", "date", "text", "boolean"]
    assert fitted.excluded_ == {"constant": "all cells are alike"}


def test_a_mixed_table_is_learned_from(fitted, mixed, answers):
    assert fitted.score(mixed.assign(remark=mixed["remark"] + "!"), answers) > 0.9
    assert fitted.predict_proba(mixed).sum(axis=1) == pytest.approx(1)


def test_categories_that_were_never_seen_are_harmless(fitted, mixed):
    new = mixed.assign(plan="gold", tariff="z", remark=None, signed=None)
    assert set(fitted.predict(new)) <= {"leaves", "stays"}


def test_cells_that_cannot_be_read_count_as_missing_and_are_told(fitted, mixed):
    gap = mixed.head(2).assign(age=[np.nan, 30.0])
    with pytest.warns(UserWarning, match="age: 1 of 2 cells are not numbers"):
        said = fitted.predict_proba(mixed.head(2).assign(age=["old", "30"]))
    assert said == pytest.approx(fitted.predict_proba(gap))


def test_a_few_rows_are_answered_as_among_many(fitted, mixed):
    many = fitted.predict_proba(mixed)
    assert fitted.predict_proba(mixed.head(3)) == pytest.approx(many[:3])


TARGETS = [
    ["no", "yes"],
    [3, 7],
    [False, True],
    [1.0, 2.0],
    pd.Categorical(["b", "a"]),
    ["x", "y", "z"],
]


@pytest.mark.parametrize("labels", TARGETS, ids=str)
def test_classes_come_back_as_they_were_given(labels, mixed):
    y = pd.Series(np.resize(np.asarray(labels), N_ROWS))
    model = TunedClassifier(**LINEAR).fit(mixed, y)
    assert model.classes_.tolist() == sorted(set(y))
    assert set(model.predict(mixed)) <= set(y)


def test_the_leaderboard_has_every_trial_and_the_model_names_its_own(mixed, answers):
    families = ["linear", "tree"]
    model = TunedClassifier(**QUICK | {"budget_trials": 2}, families=families).fit(mixed, answers)
    assert set(model.leaderboard_["family"]) <= set(families)
    assert sorted(model.leaderboard_["trial"]) == [0, 1]
    assert set(model.weights_) <= {0, 1}


def test_the_model_says_how_it_was_built(mixed, answers):
    families = ["linear", "lightgbm"]
    model = TunedClassifier(
        **QUICK | {"budget_trials": 2}, families=families, prefer="simplest", mode="bag"
    ).fit(mixed, answers)
    assert model.origin_.made_of == "simplest"
    assert model.origin_.notes[0].startswith("fit.prefer is simplest: trial")
    assert model.model_.configuration.family == "linear"


@pytest.mark.parametrize(("mode", "n_models"), [("bag", 2), ("refit", 1)])
def test_a_member_has_a_model_for_each_fold_or_one_fitted_on_all_rows(mode, n_models):
    X, y = make_regression(60, 3, random_state=0)
    model = TunedRegressor(**LINEAR, mode=mode).fit(X, y)
    assert {len(member.fitted) for member in model.model_.fitted.members} == {n_models}
    assert model.score(X, y) > 0.9


def test_importing_the_package_imports_no_library():
    code = (
        "import sys, evertune; print([m for m in sys.modules if m in ('numpy', 'sklearn', 'ray')])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_the_same_seed_gives_the_same_model():
    X, y = make_regression(80, 4, noise=5, random_state=0)
    models = [
        TunedRegressor(**QUICK | {"budget_trials": 3}, families=["linear", "lightgbm"]).fit(X, y)
        for _ in range(2)
    ]
    assert np.array_equal(models[0].predict(X), models[1].predict(X))


@pytest.mark.parametrize("metric", ["mae", METRICS["mae"]], ids=["name", "record"])
def test_a_metric_is_named_or_given(metric):
    X, y = make_regression(60, 3, random_state=0)
    assert TunedRegressor(metric, **LINEAR).fit(X, y).metric_ == "mae"


def test_a_search_without_a_finished_trial_ends_in_the_zero_rule(mixed, answers):
    model = TunedClassifier(budget_seconds=0.01).fit(mixed, answers)
    assert model.ended_in_baseline_
    assert model.predict_proba(mixed)[0, 0] == pytest.approx((answers == "leaves").mean())


def test_a_table_too_small_to_part_ends_in_the_zero_rule():
    assert TunedRegressor(**LINEAR).fit([[1.0], [2.0]], [1.0, 3.0]).predict([[5.0]]) == [2.0]


def test_it_stands_in_a_pipeline_and_in_cross_validation(mixed, answers):
    line = make_pipeline(FunctionTransformer(), TunedClassifier(**LINEAR))
    assert cross_val_score(line, mixed, answers, cv=2, scoring="roc_auc").min() > 0.9


def test_it_can_be_searched_over():
    X, y = load_iris(return_X_y=True, as_frame=True)
    grid = GridSearchCV(TunedClassifier(**LINEAR), {"mode": ["bag", "single"]}, cv=2)
    assert grid.fit(X, y).best_score_ > 0.9


def test_a_fitted_model_is_copied_by_pickle_and_a_clone_is_not_fitted(fitted, mixed):
    again = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(again.predict_proba(mixed), fitted.predict_proba(mixed))
    assert not hasattr(clone(fitted), "classes_")


BAD = [
    ({"budget_seconds": None, "budget_trials": None}, "One of 'budget_seconds' and 'budget_trial"),
    ({"budget_seconds": -1}, "'budget_seconds' parameter of TunedClassifier must be a number abov"),
    ({"budget_trials": 0}, "must be a whole number from 1 or None. Got 0 instead"),
    ({"families": ["boosting"]}, "must be some of linear"),
    ({"families": "linear"}, "must be some of linear"),
    ({"n_folds": "many"}, "'n_folds' parameter of TunedClassifier must be a whole number from 1"),
    ({"prefer": "fast"}, "must be one of best, simplest. Got 'fast'"),
    ({"mode": "stack"}, "must be one of auto, bag, refit, single. Got 'stack'"),
    ({"workers": 0.5}, "'workers' parameter"),
    ({"workers": 4096}, "processors or 'auto'. Got 4096"),
    ({"metric": "rmse"}, "The metric of a binary task must be one of"),
    ({"columns": {"ages": "number"}}, "it has no ['ages']"),
]


@pytest.mark.parametrize(("given", "words"), BAD)
def test_a_bad_parameter_is_named(given, words, mixed, answers):
    with pytest.raises(ValueError, match=re.escape(words)):
        TunedClassifier(**LINEAR | given).fit(mixed, answers)


def test_all_bad_parameters_are_named_at_once(mixed, answers):
    with pytest.raises(ValueError, match=r"'n_folds'[^\n]*\n[^\n]*'mode'"):
        TunedClassifier(n_folds=0, mode="stack").fit(mixed, answers)


def broken(table):
    age = table["age"]
    return {
        "infinite": table.assign(age=age.mask(age > 40, np.inf)),
        "nested": table.assign(plan=[[1, n] for n in range(len(table))]),
        "empty": table.assign(**dict.fromkeys(table, None)),
        "twice": pd.concat([table, table[["age"]]], axis="columns"),
        "complex": table.assign(age=age + 1j),
        "no rows": table.head(0),
    }


WORDS = {
    "infinite": "cells are infinite or beyond",
    "nested": "cells hold lists or JSON",
    "empty": "all cells of the table are missing",
    "twice": "Expected unique column names",
    "complex": "Complex data not supported",
    "no rows": r"0 sample\(s\)",
}


@pytest.mark.parametrize("fault", WORDS)
def test_a_bad_table_is_refused(fault, mixed, answers):
    table = broken(mixed)[fault]
    with pytest.raises(ValueError, match=WORDS[fault]):
        TunedClassifier(**LINEAR).fit(table, answers[: len(table)])


BAD_TARGETS = [
    (["a"] * N_ROWS, "Expected at least two classes, but got one class: 'a'"),
    ([None, "a", "b"] * (N_ROWS // 3), "the input y contains NaN 20 times"),
    (np.linspace(0, 1, N_ROWS), "Unknown label type"),
    (["a", "b"], "inconsistent numbers of samples"),
]


@pytest.mark.parametrize(("y", "words"), BAD_TARGETS)
def test_a_bad_target_is_refused(y, words, mixed):
    with pytest.raises(ValueError, match=words):
        TunedClassifier(**LINEAR).fit(mixed, y)


def test_words_are_no_targets_of_a_regression(mixed, answers):
    with pytest.raises(ValueError, match="could not convert string to float"):
        TunedRegressor(**LINEAR).fit(mixed, answers)


def test_a_table_without_a_column_is_refused_at_prediction(fitted, mixed):
    with pytest.raises(
        ValueError, match="Feature names seen at fit time, yet now missing:\n- plan"
    ):
        fitted.predict(mixed.drop(columns="plan"))


def test_a_column_of_which_nothing_can_be_read_is_refused(fitted, mixed):
    with pytest.raises(ValueError, match="column 'age': 60 of 60 cells are not numbers"):
        fitted.predict(mixed.assign(age="old"))


@pytest.mark.slow
def test_a_budget_in_seconds_is_used_by_several_workers(mixed, answers):
    model = TunedClassifier(budget_seconds=21, families=["linear", "lightgbm"], n_folds=2)
    model.fit(mixed, answers)
    assert not model.ended_in_baseline_
    assert model.leaderboard_["elapsed_seconds"].max() > 5
