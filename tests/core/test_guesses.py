import numpy as np
import pytest

from evertune.evaluation.baselines import RANDOM_BASELINES, expected_guess_metrics, zero_rule
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
TASKS = {2: "binary", 3: "multiclass"}


def guess(name, metric, truth, training_truth=None, n_classes=2):
    known = truth if training_truth is None else training_truth
    metrics = [METRICS[metric]] if isinstance(metric, str) else [metric]
    (found,) = expected_guess_metrics(
        name, metrics, truth, training_truth=known, n_classes=n_classes
    ).values()
    return found


@pytest.mark.parametrize(
    ("name", "truth", "metric", "expected"),
    [
        ("uniform_random", TEN_PERCENT, "f1", 1 / 6),
        ("uniform_random", TEN_PERCENT, "accuracy", 0.5),
        ("label_distribution", TEN_PERCENT, "f1", 0.1),
        ("label_distribution", TEN_PERCENT, "accuracy", 0.82),
        ("label_distribution", NINETY_PERCENT, "f1", 0.9),
        ("uniform_random", TEN_PERCENT, "log_loss", np.log(2)),
        ("uniform_random", TEN_PERCENT, "brier", 0.25),
        ("label_distribution", TEN_PERCENT, "log_loss", -0.1 * np.log(0.1) - 0.9 * np.log(0.9)),
        ("label_distribution", TEN_PERCENT, "brier", 0.09),
        ("label_distribution", TEN_PERCENT, "roc_auc", 0.5),
        ("label_distribution", TEN_PERCENT, "pr_auc", 0.1),
        ("uniform_random", TEN_PERCENT, "calibration_error", 0.4),
        ("label_distribution", TEN_PERCENT, "calibration_error", 0.0),
    ],
)
def test_a_random_guess_has_its_expected_figure(name, truth, metric, expected):
    assert guess(name, metric, truth) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("truth", "expected"), [(TEN_PERCENT, 0.0), (NINETY_PERCENT, 18 / 19)])
def test_f1_of_the_zero_rule_is_0_or_0_947(truth, expected):
    said = zero_rule(truth, n_rows=100, optimised="f1", n_classes=2)
    assert METRICS["f1"].score(truth, said) == pytest.approx(expected)


@pytest.mark.parametrize("name", RANDOM_BASELINES)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_expected_figures_of_classes_agree_with_simulation(name, n_classes):
    random, shares = np.random.default_rng(0), {2: [0.7, 0.3], 3: [0.6, 0.3, 0.1]}[n_classes]
    truth = random.choice(n_classes, 200_000, p=shares).astype(float)
    chances = np.bincount(truth.astype(int)) / truth.size
    chances = np.full(n_classes, 1 / n_classes) if name == "uniform_random" else chances
    drawn = Predictions(random.choice(n_classes, truth.size, p=chances).astype(float))
    metrics = [get_metric(label, TASKS[n_classes], {}) for label in LABELS]
    expected = expected_guess_metrics(
        name, metrics, truth, training_truth=truth, n_classes=n_classes
    )
    assert expected == pytest.approx(compute_metrics(metrics, truth, drawn), abs=0.005)


@pytest.mark.parametrize("name", RANDOM_BASELINES)
def test_expected_errors_of_values_agree_with_simulation(name):
    random = np.random.default_rng(0)
    truth, known = random.normal(10, 2, 50), random.gamma(3, 3, 400)
    draws = {
        "uniform_random": random.uniform(known.min(), known.max(), (20_000, 50)),
        "label_distribution": random.choice(known, (20_000, 50)),
    }[name]
    metrics = metrics_for("regression")
    simulated = compute_metrics(metrics, np.tile(truth, 20_000), Predictions(draws.ravel()))
    simulated["r2"] = 1 - simulated["rmse"] ** 2 / truth.var()
    found = expected_guess_metrics(name, metrics, truth, training_truth=known, n_classes=0)
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
    truth, known = np.array([1.0, 3.0]), np.array([1.0, 1.0, 3.0, 5.0])
    assert guess(name, metric, truth, known, n_classes=0) == pytest.approx(expected)


def test_a_guess_of_a_constant_target_is_that_constant():
    truth = np.full(4, 2.0)
    assert [guess(name, "mae", truth + 1, truth, n_classes=0) for name in RANDOM_BASELINES] == [
        1.0,
        1.0,
    ]


def test_a_metric_of_the_users_own_is_figured_on_expected_counts():
    share = custom_metric("share", lambda truth, said, _: (truth == said).mean(),
                          greater_is_better=True, task="binary")  # fmt: skip
    found = guess("label_distribution", share, TEN_PERCENT)
    assert found == pytest.approx(0.82, abs=1e-3)


def test_a_metric_of_the_users_own_is_figured_on_quantiles_of_values():
    mean = custom_metric("mean", lambda _, said, __: said.mean(),
                         greater_is_better=True, task="regression")  # fmt: skip
    found = [
        guess(name, mean, np.ones(3), np.array([0.0, 1.0, 5.0]), 0) for name in RANDOM_BASELINES
    ]
    assert found == pytest.approx([2.5, 1.75], abs=0.01)


def test_an_unknown_guess_is_refused():
    with pytest.raises(ValueError, match="must be one of uniform_random, label_distribution"):
        expected_guess_metrics("dice", [], TEN_PERCENT, training_truth=TEN_PERCENT, n_classes=2)


@pytest.mark.parametrize(
    ("optimised", "expected"),
    [("rmse", 4.0), ("r2", 4.0), ("mae", 2.0), ("mape", 2.0), ("pinball", 2.0)],
)
def test_the_zero_rule_of_values_suits_the_metric(optimised, expected):
    said = zero_rule(np.array([1.0, 2.0, 9.0]), n_rows=2, optimised=optimised, n_classes=0)
    assert said.values.tolist() == [expected, expected]


def test_the_zero_rule_states_the_shares_of_the_classes():
    said = zero_rule(np.array([0.0, 1.0, 1.0, 2.0]), n_rows=1, optimised="f1", n_classes=3)
    assert said.probabilities.tolist() == [[0.25, 0.5, 0.25]]
