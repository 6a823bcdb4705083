from dataclasses import replace

import numpy as np
import pytest

from evertune.data.schema import Column
from evertune.errors import ParamsError
from evertune.models.model import Model
from evertune.registry.evidence import ChampionModel, compare_on_holdout, gather_evidence
from evertune.trials import Configuration
from tests.registered import SCHEMA, facts_of, fitted, judged_project, table

GUARDED = "gates: {milliseconds_a_row: 100, megabytes: 1}"


@pytest.fixture
def root(tmp_path):
    return judged_project(tmp_path)


def gathered(facts, theirs, look=1):
    standing = ChampionModel("1", "theirs", theirs)
    scene = compare_on_holdout(facts, standing)
    return gather_evidence(facts, scene, standing, number="2", look=look)


def test_both_models_are_compared_on_rows_that_neither_knows(root):
    known = fitted(table(40, first=1000).head(5))
    rival = gathered(facts_of(root), known).rival
    assert (rival.n_seen, rival.difference.n_rows) == (5, 35)


def test_a_later_look_has_a_wider_interval(root):
    facts, bad = facts_of(root), fitted(table(60).assign(price=0.0))
    first, third = (gathered(facts, bad, look=look).rival.difference for look in (1, 3))
    assert third.low < first.low
    assert third.high > first.high


def test_the_loss_is_tested_at_the_look_after(root):
    facts = facts_of(root, "{optimise: mae}", "{optimise: rmse}")
    rival = gathered(facts, fitted(table(60).assign(price=0.0))).rival
    mae = gathered(facts_of(root, "{optimise: rmse}", "{optimise: mae}"), rival_model(), look=2)
    assert rival.loss == mae.rival.difference


def rival_model():
    return fitted(table(60).assign(price=0.0))


def test_a_champion_that_says_nothing_finite_cannot_be_compared(root):
    wild = fitted(table(60))
    wild.fitted.predictor.coef_ = np.full_like(wild.fitted.predictor.coef_, np.nan)
    rival = gathered(facts_of(root), wild).rival
    assert rival.obstacle == "it gives no finite prediction for 40 of 40 rows"


def test_a_champion_that_cannot_read_the_rows_cannot_be_compared(root):
    needy = replace(SCHEMA, features=(*SCHEMA.features, Column("rooms", "number")))
    known = fitted(table(60))
    rival = gathered(facts_of(root), Model(needy, Configuration("linear"), known.fitted, ())).rival
    assert rival.obstacle.startswith("it cannot read these rows: ")


def test_a_slice_of_no_column_is_refused(root):
    facts = facts_of(root, "{bootstrap_draws: 100}", "{slices: [sex], bootstrap_draws: 100}")
    with pytest.raises(ParamsError, match=r"evaluation.slices and .*columns of the table.*sex"):
        gathered(facts, fitted(table(60)))


def test_declared_and_sensitive_columns_are_compared_by_their_values(root):
    named = "{slices: [plan], sensitive: [plan], slice_rows: 5, bootstrap_draws: 100}"
    found = gathered(facts_of(root, "{bootstrap_draws: 100}", named), rival_model())
    assert {each.value for each in found.falls} == {"a", "b"}
    assert found.rate_gaps is None  # a number is no class


def test_cost_is_measured(root):
    found = gathered(facts_of(root, "nested_trials: 2", GUARDED), rival_model())
    assert found.milliseconds_a_row > 0
    assert 0 < found.megabytes < 1


def test_time_is_not_measured_where_it_is_no_gate(root):
    assert gathered(facts_of(root), rival_model()).milliseconds_a_row is None
