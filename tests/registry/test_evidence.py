from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from evertune.config.loader import load_params
from evertune.data.schema import Column, TableSchema
from evertune.errors import ParamsError
from evertune.evaluation.slices import Slice
from evertune.files import write_table
from evertune.metrics.metrics import METRICS
from evertune.models.persistence import save_model
from evertune.registry.evidence import (
    PairedPredictions,
    compare_on_holdout,
    gather_evidence,
    holdout_faults,
    incomparable_reason,
    n_missing_predictions,
    selection_rate_gaps,
    slice_regressions,
    slice_tests,
)
from evertune.registry.registration_inputs import RegistrationInputs
from evertune.stats.bootstrap import BootstrapConfig
from evertune.types import Predictions
from tests.support.registered import EVALUATION, HEADER, PARAMS, fitted, table
from tests.support.registered import SCHEMA as HOUSES

DRAWN = BootstrapConfig(200, 0.95, 0)
SCHEMA = TableSchema((Column("age", "number"), Column("plan", "category")), "y", "regression")
TRUTH = np.tile([1.0, 0.0], 40)
RIGHT = Predictions(TRUTH, np.column_stack([1 - TRUTH, TRUTH]))
HALVES = Predictions(np.ones(80), np.full((80, 2), 0.5))
PAIR = PairedPredictions(TRUTH, RIGHT, HALVES)


def test_a_gain_is_positive_where_the_version_is_better_in_either_direction():
    assert PAIR.improvement(METRICS["accuracy"], DRAWN).mean == 0.5
    assert PAIR.improvement(METRICS["brier"], DRAWN).mean == 0.25


def test_a_slice_falls_by_the_loss_of_the_metric_on_its_rows():
    part = Slice("plan", "a", np.arange(40))
    swapped = PairedPredictions(TRUTH, HALVES, RIGHT)
    (found,) = slice_regressions([METRICS["accuracy"]], swapped, [part], DRAWN)
    assert (found.score, found.drop.mean, found.drop.n_rows) == (1.0, 0.5, 40)


def test_a_slice_of_one_class_is_judged_by_the_next_metric():
    part = Slice("plan", "a", np.flatnonzero(TRUTH))
    (found,) = slice_regressions([METRICS["roc_auc"], METRICS["brier"]], PAIR, [part], DRAWN)
    assert found.metric == "brier"


def test_a_slice_without_any_defined_metric_has_no_figure():
    part = Slice("plan", "a", np.flatnonzero(TRUTH))
    (found,) = slice_regressions([METRICS["roc_auc"]], PAIR, [part], DRAWN)
    assert (found.metric, found.score) == ("roc_auc", None)


def test_the_tests_of_slices_are_corrected_by_holm_and_turned_round():
    parts = [
        Slice("plan", name, np.arange(start, start + 20)) for name, start in [("a", 0), ("b", 20)]
    ]
    falls = slice_regressions(
        [METRICS["accuracy"]], PairedPredictions(TRUTH, HALVES, RIGHT), parts, DRAWN
    )
    first, second = slice_tests(falls)
    assert (first.name, first.difference) == ("slice plan is a, accuracy", -0.5)
    assert first.p_value + second.p_value >= 2 * min(each.drop.p_value for each in falls)


def test_a_prediction_is_missing_if_any_of_its_probabilities_is_not_finite():
    proba = np.array([[0.5, 0.5], [np.nan, 0.5], [0.5, np.inf]])
    assert n_missing_predictions(Predictions(np.zeros(3), proba)) == 2


@pytest.mark.parametrize(
    ("champion", "words"),
    [
        (TableSchema((), "left", "binary", ("no", "yes")), "it predicts 'left', not 'churned'"),
        (TableSchema((), "churned", "regression"), "its task is regression, not binary"),
        (TableSchema((), "churned", "binary", ("0", "1")), "its classes are 0, 1, not no, yes"),
        (TableSchema((), "churned", "binary", ("no", "yes")), None),
    ],
)
def test_models_that_answer_other_questions_are_not_compared(champion, words):
    challenger = TableSchema((), "churned", "binary", ("no", "yes"))
    assert incomparable_reason(challenger, champion) == words


def gaps_of(values, task, classes):
    """Return the gaps of two slices, the first and the last half of the rows."""
    halves = np.array_split(np.arange(len(values)), 2)
    slices = [Slice("sex", *each) for each in zip("fm", halves, strict=True)]
    schema = TableSchema((), "y", task, tuple(classes))
    predictions = Predictions(np.array(values))
    return [selection_rate_gaps(predictions, slices[:n], schema) for n in (2, 1)]


def test_the_class_whose_rates_differ_most_is_named_and_one_slice_has_no_gap():
    (gap,), of_one_slice = gaps_of([0.0, 0.0, 1.0, 2.0], "multiclass", "abc")
    assert (gap.predicted, gap.lowest, gap.highest, gap.gap) == ("a", "m", "f", 1.0)
    assert of_one_slice == ()
    assert gaps_of([0.0, 1.0], "regression", ()) == [None, None]


@pytest.mark.parametrize(
    ("age", "known", "words"),
    [
        ([np.nan, np.nan], [1.0, np.nan, 2.0], "age is missing in every row of the hold-out"),
        ([np.nan, 3.0], [1.0, 2.0, 3.0], None),
        ([np.nan, np.nan], [1.0, np.nan, np.nan], None),
    ],
)
def test_a_column_that_is_gone_from_the_hold_out_is_a_fault(age, known, words):
    holdout = pd.DataFrame({"age": age, "plan": "a", "y": 1.0})
    training = pd.DataFrame({"age": known, "plan": "a", "y": 1.0})
    found = holdout_faults(holdout, training, SCHEMA)
    assert [each.startswith(str(words)) for each in found] == ([True] if words else [])


def test_rows_without_a_known_target_are_a_fault():
    table = pd.DataFrame({"age": [1.0, 2.0], "plan": "a", "y": [1.0, np.nan]})
    assert holdout_faults(table, table, SCHEMA) == ("1 hold-out row has no known target",)


@pytest.fixture
def root(tmp_path):
    """Return a project with all that the evidence is measured from, but for registry and DVC."""
    (tmp_path / "params.yaml").write_text(PARAMS)
    paths = load_params(tmp_path).paths
    write_table(paths.training, table(60))
    write_table(paths.holdout, table(40, first=1000))
    save_model(paths.model, fitted(table(60)))
    return tmp_path


def inputs_of(root, old="", new=""):
    """Return what is registered of that project, once a part of its params.yaml is changed."""
    path = root / "params.yaml"
    path.write_text(path.read_text().replace(old, new))
    params = load_params(root)
    model = params.paths.model
    return RegistrationInputs(
        root, params, EVALUATION, HOUSES, HEADER, (), model, "ours", {}, "result"
    )


def gathered(inputs, champion, holdout_use=1):
    comparison = compare_on_holdout(inputs, champion, champion_version="1")
    return gather_evidence(inputs, comparison, version="2", holdout_use=holdout_use)


@pytest.fixture(scope="module")
def bad():
    """Return a model of another relation."""
    return fitted(table(60).assign(price=0.0))


def test_both_models_are_compared_on_rows_that_neither_knows(root):
    known = fitted(table(40, first=1000).head(5))
    champion = gathered(inputs_of(root), known).champion
    assert (champion.n_left_out, champion.difference.n_rows) == (5, 35)


def test_a_later_use_has_a_wider_interval(root, bad):
    inputs = inputs_of(root)
    first, third = (gathered(inputs, bad, use).champion.difference for use in (1, 3))
    assert third.low < first.low
    assert third.high > first.high


def test_the_loss_is_tested_at_the_next_use_unless_it_is_the_metric(root, bad):
    as_metric = gathered(inputs_of(root), bad, holdout_use=2).champion
    as_loss = gathered(inputs_of(root, "{optimise: mae}", "{optimise: rmse}"), bad).champion
    assert as_metric.loss is None
    assert as_loss.loss == as_metric.difference


def test_a_champion_that_says_nothing_finite_cannot_be_compared(root):
    wild = fitted(table(60))
    wild.fitted.predictor.coef_ = np.full_like(wild.fitted.predictor.coef_, np.nan)
    champion = gathered(inputs_of(root), wild).champion
    assert champion.obstacle == "it gives no finite prediction for 40 of 40 rows"


def test_a_champion_that_cannot_read_the_rows_cannot_be_compared(root, bad):
    needy = replace(HOUSES, features=(*HOUSES.features, Column("rooms", "number")))
    champion = gathered(inputs_of(root), replace(bad, schema=needy)).champion
    assert champion.obstacle.startswith("it cannot read these rows: ")


def test_a_slice_of_no_column_is_refused(root, bad):
    inputs = inputs_of(root, "{bootstrap_draws: 100}", "{slices: [sex], bootstrap_draws: 100}")
    with pytest.raises(ParamsError, match=r"evaluation.slices and .*columns of the table.*sex"):
        gathered(inputs, bad)


def test_declared_and_sensitive_columns_are_compared_by_their_values(root, bad):
    named = "{slices: [plan], sensitive: [plan], slice_rows: 5, bootstrap_draws: 100}"
    found = gathered(inputs_of(root, "{bootstrap_draws: 100}", named), bad)
    assert {each.value for each in found.regressions} == {"a", "b"}
    assert (found.rate_gaps, found.calibration) == (None, None)  # a number is no class


def test_time_is_measured_where_it_has_a_limit(root, bad):
    assert gathered(inputs_of(root), bad).milliseconds_a_row is None
    limits = "gates: {milliseconds_a_row: 100, megabytes: 1}"
    found = gathered(inputs_of(root, "nested_trials: 2", limits), bad)
    assert found.milliseconds_a_row > 0
    assert 0 < found.megabytes < 1
