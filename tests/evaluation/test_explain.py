import numpy as np
import pandas as pd
import pytest

from evertune.data.schema import Column, TableSchema, encode_target
from evertune.evaluation.explain import (
    Contribution,
    Contributions,
    encoded_column_sources,
    permutation_importance,
    rank_columns,
    shap_contributions,
)
from evertune.metrics.metrics import METRICS
from evertune.models.families import fit_configuration
from evertune.models.fitted_model import Ensemble, EnsembleMember
from evertune.preprocessing.encoders import Encoding, feature_frame, make_encoder
from evertune.stats.bootstrap import BootstrapConfig
from evertune.trials import Configuration
from evertune.types import Predictions

TABLE = pd.DataFrame({"a": [0.0, 1.0, 0.0, 1.0], "b": [1.0, 1.0, 0.0, 0.0], "c": [0.0] * 4})


def copy_of_a(table):
    return Predictions(table["a"].to_numpy())


def importance(metric="accuracy", repeats=4, seed=0, table=TABLE, columns=None):
    return permutation_importance(
        copy_of_a,
        table,
        table["a"].to_numpy(),
        copy_of_a(table),
        metric=METRICS[metric],
        repeats=repeats,
        bootstrap=BootstrapConfig(100, 0.9, seed),
        columns=columns,
    )


def test_only_the_column_that_is_used_costs_something_and_the_table_is_not_changed():
    before = TABLE.copy()
    rows = importance()
    assert rows[0].column == "a"
    assert [(row.loss, row.low, row.high) for row in rows[1:]] == [(0, 0, 0), (0, 0, 0)]
    pd.testing.assert_frame_equal(TABLE, before)


def test_the_loss_is_positive_if_smaller_is_better():
    assert importance("rmse")[0].loss > 0


def test_equal_seeds_give_equal_losses():
    assert importance(seed=3) == importance(seed=3)


def test_the_loss_lies_in_its_interval_which_gets_narrower_with_rows():
    few, many = (
        importance(table=pd.DataFrame({"a": np.tile([0.0, 1.0], n)}), repeats=1)[0]
        for n in (20, 500)
    )
    assert few.low < few.loss < few.high
    assert many.high - many.low < (few.high - few.low) / 2


def test_a_metric_that_is_undefined_gives_no_importance():
    assert importance("log_loss") == ()


def test_only_the_columns_that_are_named_are_shuffled():
    assert [row.column for row in importance(columns=["c", "a"])] == ["a", "c"]


def test_columns_are_ranked_by_the_boosters_or_by_what_they_tell_about_the_predictions():
    shares = (Contribution("c", 0.7), Contribution("b", 0.3))
    assert rank_columns(TABLE, copy_of_a(TABLE), Contributions(shares, 1.0, 4)) == ["c", "b", "a"]
    rng, proba = np.random.default_rng(0), np.array([[0.5, 0.4, 0.1], [0.5, 0.1, 0.4]] * 20)
    table = pd.DataFrame(
        {
            "number": rng.normal(size=40),
            "word": [["low", "high"][n % 2] for n in range(40)],
            "gaps": [float("nan")] * 40,
        }
    )
    ranked = rank_columns(table, Predictions(np.zeros(40), proba), Contributions())
    assert ranked == ["word", "number", "gaps"]
    constant = rank_columns(table, Predictions(np.zeros(40)), Contributions())
    assert constant == ["number", "word", "gaps"]


def test_at_least_one_shuffle_is_needed():
    with pytest.raises(ValueError, match=r"'repeats' .* must be positive. Got 0"):
        importance(repeats=0)


SCHEMA = TableSchema(
    (Column("usage", "number"), Column("noise", "number"), Column("plan", "category", ("a", "b"))),
    "y",
    "regression",
)


def table(n_rows=400):
    rng = np.random.default_rng(0)
    usage, noise = rng.normal(size=n_rows), rng.normal(size=n_rows)
    plans = pd.Series(rng.choice(["a", "b"], n_rows), dtype="str")
    return pd.DataFrame({"usage": usage, "noise": noise, "plan": plans, "y": 3 * usage})


@pytest.fixture(scope="module")
def fitted():
    """Fitted pipelines by family."""
    rows = table()
    y_true = encode_target(rows, SCHEMA)
    return {
        family: fit_configuration(
            Configuration(family), rows, y_true, schema=SCHEMA, seed=0, n_jobs=1
        )
        for family in ("lightgbm", "xgboost", "catboost", "linear")
    }


@pytest.mark.parametrize("family", ["lightgbm", "xgboost", "catboost"])
def test_the_column_that_makes_the_target_contributes_most(fitted, family):
    found = shap_contributions(fitted[family], table(50), SCHEMA)
    assert found.columns[0].column == "usage"
    assert found.columns[0].share > 0.8
    assert sum(row.share for row in found.columns) == pytest.approx(1.0)


def test_members_that_are_no_boosters_are_left_out_of_the_weight(fitted):
    members = [
        EnsembleMember(Configuration(family), weight, (fitted[family],))
        for family, weight in [("lightgbm", 0.7), ("linear", 0.3)]
    ]
    found = shap_contributions(Ensemble(tuple(members)), table(50), SCHEMA)
    assert (found.weight, found.rows) == (0.7, 50)


def test_without_a_booster_or_rows_there_are_no_contributions(fitted):
    assert shap_contributions(fitted["linear"], table(50), SCHEMA).columns == ()
    assert shap_contributions(fitted["lightgbm"], table(50).head(0), SCHEMA).columns == ()


@pytest.mark.parametrize(
    ("transform", "expected"), [("plain", ("plan", "plan", "usage", "noise")), ("spline", None)]
)
def test_encoded_columns_are_traced_back_or_not_guessed(transform, expected):
    encoder = make_encoder(Encoding(transform), SCHEMA)
    encoder.fit(feature_frame(table(), SCHEMA), table()["y"])
    assert encoded_column_sources(encoder) == expected
