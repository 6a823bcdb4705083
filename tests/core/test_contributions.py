import numpy as np
import pandas as pd
import pytest

from evertune.data.schema import Column, TableSchema, encode_target
from evertune.evaluation.explain import encoded_column_sources, shap_contributions
from evertune.models.families import fit_configuration
from evertune.models.model import Ensemble, EnsembleMember
from evertune.preprocessing.encoders import feature_frame, make_encoder
from evertune.trials import Configuration

SCHEMA = TableSchema(
    (Column("usage", "number"), Column("noise", "number"), Column("plan", "category", ("a", "b"))),
    "y",
    "regression",
)


def table(n_rows=400):
    random = np.random.default_rng(0)
    usage, noise = random.normal(size=n_rows), random.normal(size=n_rows)
    plans = pd.Series(random.choice(["a", "b"], n_rows), dtype="str")
    return pd.DataFrame({"usage": usage, "noise": noise, "plan": plans, "y": 3 * usage})


def fitted(family):
    rows = table()
    truth = encode_target(rows, SCHEMA)
    return fit_configuration(Configuration(family), rows, truth, schema=SCHEMA, seed=0, n_jobs=1)


@pytest.mark.parametrize("family", ["lightgbm", "xgboost", "catboost"])
def test_the_column_that_makes_the_target_adds_most(family):
    found = shap_contributions(fitted(family), table(50), SCHEMA)
    assert found.columns[0].column == "usage"
    assert found.columns[0].share > 0.8
    assert sum(row.share for row in found.columns) == pytest.approx(1.0)


def test_members_that_are_no_boosters_are_left_out_of_the_weight():
    members = [
        EnsembleMember(Configuration(family), weight, (fitted(family),))
        for family, weight in [("lightgbm", 0.7), ("linear", 0.3)]
    ]
    found = shap_contributions(Ensemble(tuple(members)), table(50), SCHEMA)
    assert (found.weight, found.rows) == (0.7, 50)


def test_without_a_booster_there_is_nothing_to_tell():
    assert shap_contributions(fitted("linear"), table(50), SCHEMA).columns == ()


def test_one_hot_columns_are_traced_back_to_their_column():
    form = make_encoder("plain", SCHEMA).fit(feature_frame(table(), SCHEMA), table()["y"])
    assert encoded_column_sources(form) == ("plan", "plan", "usage", "noise")


def test_columns_that_cannot_be_traced_are_not_guessed():
    form = make_encoder("spline", SCHEMA).fit(feature_frame(table(), SCHEMA), table()["y"])
    assert encoded_column_sources(form) is None
