import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evertune.data.schema import Column, TableSchema
from evertune.evaluation.baselines import (
    RANDOM_BASELINES,
    baseline_predictions,
    expected_baseline_metrics,
    expected_guess_metrics,
    zero_rule,
)
from evertune.evaluation.heuristics import Rule
from evertune.metrics.metrics import (
    METRICS,
    compute_metrics,
    custom_metric,
    get_metric,
    metrics_for,
)
from evertune.types import Predictions

TEN_PERCENT = np.array([1.0] * 10 + [0.0] * 90)
NINETY_PERCENT = 1 - TEN_PERCENT
LABELS = ("accuracy", "balanced_accuracy", "precision", "recall", "f1")


def guess(name, metric, y_true, y_training=None, n_classes=2):
    known = y_true if y_training is None else y_training
    metrics = [METRICS[metric]] if isinstance(metric, str) else [metric]
    [score] = expected_guess_metrics(
        name, metrics, y_true, y_training=known, n_classes=n_classes
    ).values()
    return score


def score_of_zero_rule(metric, y_true):
    pred = zero_rule(y_true, n_rows=y_true.size, optimised=metric, n_classes=2)
    return METRICS[metric].score(y_true, pred)


# The table of Huyen's book: F1 and accuracy where one class is rare, and where it is common.
@pytest.mark.parametrize(
    ("name", "y_true", "metric", "expected"),
    [
        ("uniform_random", TEN_PERCENT, "f1", 0.167),
        ("uniform_random", TEN_PERCENT, "accuracy", 0.5),
        ("label_distribution", TEN_PERCENT, "f1", 0.1),
        ("label_distribution", TEN_PERCENT, "accuracy", 0.82),
        ("label_distribution", NINETY_PERCENT, "f1", 0.9),
        ("uniform_random", TEN_PERCENT, "log_loss", np.log(2)),
        ("uniform_random", TEN_PERCENT, "brier", 0.25),
        ("uniform_random", TEN_PERCENT, "calibration_error", 0.4),
        ("label_distribution", TEN_PERCENT, "log_loss", 0.3251),
        ("label_distribution", TEN_PERCENT, "brier", 0.09),
        ("label_distribution", TEN_PERCENT, "roc_auc", 0.5),
        ("label_distribution", TEN_PERCENT, "pr_auc", 0.1),
        ("label_distribution", TEN_PERCENT, "calibration_error", 0.0),
    ],
)
def test_a_random_guess_has_its_expected_score(name, y_true, metric, expected):
    assert guess(name, metric, y_true) == pytest.approx(expected, abs=5e-4)


def test_guessing_lies_below_the_zero_rule_if_nine_in_ten_are_positive():
    assert score_of_zero_rule("f1", NINETY_PERCENT) == pytest.approx(0.947, abs=5e-4)
    assert guess("label_distribution", "f1", NINETY_PERCENT) < 0.947
    assert score_of_zero_rule("f1", TEN_PERCENT) == 0.0


@pytest.mark.parametrize("name", RANDOM_BASELINES)
@pytest.mark.parametrize("shares", [(0.7, 0.3), (0.6, 0.3, 0.1)], ids=["binary", "multiclass"])
def test_expected_scores_of_classes_agree_with_simulation(name, shares):
    rng, n_classes = np.random.default_rng(0), len(shares)
    y_true = rng.choice(n_classes, 200_000, p=shares).astype(float)
    proba = np.bincount(y_true.astype(int)) / y_true.size
    proba = np.full(n_classes, 1 / n_classes) if name == "uniform_random" else proba
    drawn = Predictions(rng.choice(n_classes, y_true.size, p=proba).astype(float))
    task = "binary" if n_classes == 2 else "multiclass"
    metrics = [get_metric(label, task, {}) for label in LABELS]
    expected = expected_guess_metrics(name, metrics, y_true, y_training=y_true, n_classes=n_classes)
    assert expected == pytest.approx(compute_metrics(metrics, y_true, drawn), abs=0.005)


@pytest.mark.parametrize("name", RANDOM_BASELINES)
def test_expected_errors_of_values_agree_with_simulation(name):
    rng = np.random.default_rng(0)
    y_true, known = rng.normal(10, 2, 50), rng.gamma(3, 3, 400)
    if name == "uniform_random":
        draws = rng.uniform(known.min(), known.max(), (20_000, 50))
    else:
        draws = rng.choice(known, (20_000, 50))
    metrics = metrics_for("regression")
    simulated = compute_metrics(metrics, np.tile(y_true, 20_000), Predictions(draws.ravel()))
    simulated["r2"] = 1 - simulated["rmse"] ** 2 / y_true.var()
    found = expected_guess_metrics(name, metrics, y_true, y_training=known, n_classes=0)
    assert found == pytest.approx(simulated, rel=0.01)


# truth 1 and 3; training 1, 1, 3, 5: uniform between 1 and 5, E|1 - g| = 2, E|3 - g| = 1
@pytest.mark.parametrize(
    ("name", "metric", "expected"),
    [
        ("uniform_random", "mae", 1.5),
        ("uniform_random", "rmse", np.sqrt(2 + 16 / 12)),
        ("label_distribution", "mae", 1.5),
        ("label_distribution", "mape", (1.5 / 1 + 1.5 / 3) / 2),
        ("label_distribution", "pinball", 0.75),
        ("label_distribution", "rmse", np.sqrt((20 / 4 + 12 / 4) / 2)),
    ],
)
def test_errors_of_random_values_are_those_worked_out_by_hand(name, metric, expected):
    y_true, known = np.array([1.0, 3.0]), np.array([1.0, 1.0, 3.0, 5.0])
    assert guess(name, metric, y_true, known, n_classes=0) == pytest.approx(expected)


@pytest.mark.parametrize("name", RANDOM_BASELINES)
def test_a_guess_of_a_constant_target_is_that_constant(name):
    assert guess(name, "mae", np.full(4, 3.0), np.full(4, 2.0), n_classes=0) == 1.0


@given(st.lists(st.integers(0, 2), min_size=3, max_size=40), st.permutations(range(3)))
def test_guesses_do_not_depend_on_the_order_of_rows_or_the_names_of_classes(codes, names):
    y_true = np.array([0, 1, 2, *codes], dtype=float)
    renamed = np.array(names, dtype=float)[y_true.astype(int)][::-1]
    metric = get_metric("f1", "multiclass", {})
    for name in RANDOM_BASELINES:
        assert guess(name, metric, y_true, n_classes=3) == pytest.approx(
            guess(name, metric, renamed, n_classes=3)
        )


def test_a_metric_of_the_users_own_is_computed_on_expected_counts_or_quantiles():
    share = custom_metric(
        "share", lambda y, v, _: (y == v).mean(), greater_is_better=True, task="binary"
    )
    assert guess("label_distribution", share, TEN_PERCENT) == pytest.approx(0.82, abs=1e-3)
    mean = custom_metric("m", lambda _, v, __: v.mean(), greater_is_better=True, task="regression")
    known = np.array([0.0, 1.0, 5.0])
    found = [guess(name, mean, np.ones(3), known, n_classes=0) for name in RANDOM_BASELINES]
    assert found == pytest.approx([2.5, 1.75], abs=0.01)


def test_an_unknown_guess_is_refused():
    with pytest.raises(ValueError, match="must be one of uniform_random, label_distribution"):
        guess("dice", "f1", TEN_PERCENT)


def test_guesses_know_the_training_rows_and_are_scored_on_the_others():
    found = expected_baseline_metrics(
        metrics_for("binary"),
        np.array([1.0, 1.0, 1.0, 0.0]),
        y_training=np.array([0.0, 0.0, 0.0, 1.0]),
        n_classes=2,
    )
    assert list(found) == ["uniform_random", "label_distribution"]
    assert found["label_distribution"]["accuracy"] == pytest.approx(0.75 * 0.25 + 0.25 * 0.75)
    assert all(None not in scores.values() for scores in found.values())


@pytest.mark.parametrize(
    ("optimised", "expected"),
    [("rmse", 4.0), ("r2", 4.0), ("mae", 2.0), ("mape", 2.0), ("pinball", 2.0)],
)
def test_the_zero_rule_of_values_suits_the_metric(optimised, expected):
    pred = zero_rule(np.array([1.0, 2.0, 9.0]), n_rows=2, optimised=optimised, n_classes=0)
    assert pred.values.tolist() == [expected, expected]


def test_the_zero_rule_states_the_shares_of_the_classes():
    pred = zero_rule(np.array([0.0, 1.0, 1.0, 2.0]), n_rows=1, optimised="f1", n_classes=3)
    assert pred.probabilities.tolist() == [[0.25, 0.5, 0.25]]


@pytest.mark.parametrize("with_rule", [True, False])
def test_every_baseline_with_answers_predicts_row_by_row(with_rule):
    schema = TableSchema(
        (Column("x", "number"),), "y", "binary", ("no", "yes"), human="judged", existing="old"
    )
    table = pd.DataFrame({"x": [1.0, 5.0], "judged": ["yes", None], "old": ["no", "no"]})
    rule = Rule("x", 3.0, (), None, (0.0, 1.0, 0.0), ((0.5, 0.5),) * 3)
    found = baseline_predictions(
        table,
        schema,
        y_training=np.array([0.0, 0.0, 1.0]),
        optimised="f1",
        rule=rule if with_rule else None,
        models={"small_tree": Predictions(np.array([1.0, 1.0]))},
    )
    values = {name: pred.values.tolist() for name, pred in found.items()}
    assert values.pop("human") == pytest.approx([1.0, np.nan], nan_ok=True)
    assert values == {
        "zero_rule": [0.0, 0.0],
        **({"heuristic": [1.0, 0.0]} if with_rule else {}),
        "existing": [0.0, 0.0],
        "small_tree": [1.0, 1.0],
    }
