"""The simulated customers: their form, and the scores that the docstring of the example states."""

import hashlib
import re
from functools import cache

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler, TargetEncoder
from threadpoolctl import threadpool_limits

from evertune.data import example

CATEGORIES = ["plan", "contract", "channel"]
BINS = np.linspace(0, 1, 11)
FOLDS = StratifiedKFold(5, shuffle=True, random_state=0)


@cache
def all_customers() -> pd.DataFrame:
    return example.simulate_customers()


def part(first: str, end: str = "2100-01-01") -> pd.DataFrame:
    table = all_customers()
    return table[(table["date"] >= first) & (table["date"] < end)]


TRAINING = part(example.FIRST_DAY, example.PRODUCTION_START)
HOLDOUT_STARTS = TRAINING["date"].iloc[round(0.8 * len(TRAINING))]
LEARNED = TRAINING[TRAINING["date"] < HOLDOUT_STARTS]
HOLDOUT = TRAINING[TRAINING["date"] >= HOLDOUT_STARTS]
BEFORE = part(example.PRODUCTION_START, example.CHANGE_DAY)
AFTER = part(example.CHANGE_DAY)
MIDDLE = AFTER["date"].iloc[len(AFTER) // 2]
FIRST_HALF, LAST_HALF = part(example.CHANGE_DAY, MIDDLE), part(MIDDLE)


def features(table: pd.DataFrame) -> pd.DataFrame:
    days = (table["signed_up"] - pd.Timestamp("2020-01-01")).dt.days
    booleans = table.select_dtypes("bool").astype(float)
    return table.drop(columns=["date", "churned"]).assign(signed_up=days, **booleans)


def left(table: pd.DataFrame) -> np.ndarray:
    return (table["churned"] == "yes").to_numpy()


def fitted(model: Pipeline, table: pd.DataFrame) -> Pipeline:
    with threadpool_limits(1):  # threads that wait for a busy processor make small fits slow
        return model.fit(features(table), left(table))


def score(model: Pipeline, table: pd.DataFrame) -> float:
    return float(roc_auc_score(left(table), model.predict_proba(features(table))[:, 1]))


def boosted_trees() -> Pipeline:
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    encoder = make_column_transformer(
        (one_hot, CATEGORIES), (TargetEncoder(cv=FOLDS), ["city"]), remainder="passthrough"
    )
    model = HistGradientBoostingClassifier(
        learning_rate=0.05, max_iter=250, min_samples_leaf=40, max_leaf_nodes=12,
        l2_regularization=5, early_stopping=False, random_state=0,
    )  # fmt: skip
    return make_pipeline(encoder, model)


def logistic_regression() -> Pipeline:
    numbers = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    encoder = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", min_frequency=5), [*CATEGORIES, "city"]),
        (numbers, make_column_selector(dtype_include="number")),
    )
    return make_pipeline(encoder, LogisticRegression(C=0.3, max_iter=1000))


def levels(column: pd.Series, learned: pd.Series) -> np.ndarray:
    """Return tenths of a column with many numbers, and the values themselves of another."""
    if learned.nunique() <= 12 or not pd.api.types.is_numeric_dtype(learned):
        return column.astype(str).to_numpy()
    edges = learned.quantile(BINS[1:-1]).unique()
    return np.where(column.isna(), -1, np.digitize(column, edges))


def rule_score(name: str) -> float:
    """Return the score of the shares of leavers by level of one column."""
    old, new = features(LEARNED)[name], features(HOLDOUT)[name]
    proba = pd.Series(left(LEARNED)).groupby(levels(old, old)).mean()
    guesses = pd.Series(levels(new, old)).map(proba).fillna(left(LEARNED).mean())
    return float(roc_auc_score(left(HOLDOUT), guesses))


@cache
def challenger() -> Pipeline:
    return fitted(boosted_trees(), LEARNED)


def best_possible(table: pd.DataFrame) -> float:
    return float(roc_auc_score(left(table), example.true_probabilities(table)))


@cache
def measured() -> dict[str, float]:
    standing, new = fitted(boosted_trees(), TRAINING), fitted(boosted_trees(), FIRST_HALF)
    return {
        "hold-out: best rule on one column": max(map(rule_score, features(HOLDOUT).columns)),
        "hold-out: logistic regression": score(fitted(logistic_regression(), LEARNED), HOLDOUT),
        "hold-out: boosted trees": score(challenger(), HOLDOUT),
        "hold-out: best possible": best_possible(HOLDOUT),
        "production before the change: boosted trees, not refitted": score(standing, BEFORE),
        "production after the change: boosted trees, not refitted": score(standing, AFTER),
        "last half after the change: boosted trees, not refitted": score(standing, LAST_HALF),
        "last half after the change: fitted on the first half": score(new, LAST_HALF),
        "last half after the change: best possible": best_possible(LAST_HALF),
    }


@cache
def standard_error() -> float:
    """Return the bootstrap's standard error of the AUC of boosted trees on the hold-out."""
    model, random = challenger(), np.random.default_rng(0)
    guesses, y_true = model.predict_proba(features(HOLDOUT))[:, 1], left(HOLDOUT)
    draws = random.integers(0, len(y_true), (100, len(y_true)))
    return float(np.std([roc_auc_score(y_true[draw], guesses[draw]) for draw in draws]))


@pytest.mark.slow
def test_the_docstring_states_the_scores_that_are_measured():
    stated = re.findall(r"^(\S.*\S) {2,}(0\.\d{3})$", example.__doc__, flags=re.MULTILINE)
    assert {name: float(value) for name, value in stated} == pytest.approx(measured(), abs=0.005)


def test_the_docstring_states_the_standard_error_that_is_measured():
    stated = re.search(r"standard error of (0\.\d{3})", example.__doc__)
    assert stated
    assert standard_error() == pytest.approx(float(stated[1]), abs=0.001)


def test_people_leave_as_often_as_the_true_probabilities_say():
    assert left(all_customers()).mean() == pytest.approx(
        example.true_probabilities(all_customers()).mean(), abs=0.005
    )


def test_the_same_seed_gives_the_same_bytes_on_every_machine():
    text = example.training_table().to_csv(index=False)
    assert hashlib.sha256(text.encode()).hexdigest().startswith("abdd3c94f939f553")


def test_another_seed_gives_other_customers():
    assert not example.training_table(seed=1).head(30).equals(TRAINING.head(30))


def test_training_and_production_share_the_customers_by_time():
    training, production = example.training_table(), example.production_table()
    assert (
        training["date"].max() < pd.Timestamp(example.PRODUCTION_START) <= production["date"].min()
    )
    pd.testing.assert_frame_equal(
        pd.concat([training, production], ignore_index=True), all_customers()
    )


def test_the_table_covers_more_than_two_years_with_thirty_customers_a_day():
    days = all_customers().groupby("date").size()
    assert len(days) == (days.index.max() - days.index.min()).days + 1 > 2 * 366
    assert days.min() >= 30
    assert 28_000 < days.sum() < 32_000


def test_volume_follows_the_weekday_and_the_season():
    days = all_customers().groupby("date").size()
    assert days[days.index.day_of_week == 0].mean() > days[days.index.day_of_week == 6].mean() + 4
    assert days[days.index.month == 1].mean() > days[days.index.month == 7].mean() + 3


@pytest.mark.parametrize("table", [TRAINING, BEFORE, AFTER], ids=["training", "before", "after"])
def test_a_fifth_to_a_quarter_of_the_customers_leave(table):
    assert 0.20 < left(table).mean() < 0.25


def test_the_columns_do_not_shift_at_the_step():
    winter_before = part("2023-11-01", "2024-05-01").describe(include="number").loc["mean"]
    winter_after = part(example.CHANGE_DAY).describe(include="number").loc["mean"]
    assert winter_after.to_dict() == pytest.approx(winter_before.to_dict(), rel=0.05, abs=0.02)


def test_the_columns_are_of_every_kind():
    kinds = {name: str(kind) for name, kind in all_customers().dtypes.items()}
    assert kinds == {
        "date": "datetime64[us]", "signed_up": "datetime64[us]", "tenure_months": "int64",
        "city": "str", "age": "float64", "channel": "str", "family_account": "bool",
        "autopay": "bool", "plan": "str", "contract": "str", "monthly_fee": "float64",
        "usage_hours": "float64", "usage_change": "float64", "support_calls": "int64",
        "satisfaction": "float64", "churned": "str",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["usage_hours", "satisfaction"])
def test_missing_values_depend_on_who_leaves(name):
    missing = all_customers()[name].isna().to_numpy()
    assert left(all_customers())[missing].mean() > left(all_customers())[~missing].mean() + 0.02


def test_a_missing_age_says_nothing():
    missing = all_customers()["age"].isna().to_numpy()
    assert 0.04 < missing.mean() < 0.06
    assert left(all_customers())[missing].mean() == pytest.approx(
        left(all_customers())[~missing].mean(), abs=0.03
    )


def test_what_customers_do_follows_the_weekday_and_the_season():
    table = all_customers()
    weekend = table["date"].dt.day_of_week >= 5
    winter, summer = (table[table["date"].dt.month == month] for month in (1, 7))
    assert table["age"][weekend].mean() < table["age"][~weekend].mean() - 2
    assert winter["usage_hours"].mean() > 1.2 * summer["usage_hours"].mean()
    assert winter["support_calls"].mean() > summer["support_calls"].mean() + 0.3


def test_a_few_of_150_cities_have_most_customers():
    counts = all_customers()["city"].value_counts()
    assert len(counts) == 150
    assert counts.head(30).sum() > 0.4 * counts.sum()
