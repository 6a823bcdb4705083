import numpy as np
import pytest
from scipy import stats

from evertune.metrics.metrics import METRICS, custom_metric
from evertune.stats.bootstrap import PairedSample, bootstrap_metric, rule_of_three_bound
from evertune.types import Predictions

HOW = {"draws": 1000, "confidence": 0.95, "seed": 0}


def labels(n_rows, n_wrong=0):
    return Predictions((np.arange(n_rows) >= n_wrong).astype(float))


def judged(name, truth, *said, **changed):
    return bootstrap_metric(PairedSample(METRICS[name], truth, said), **(HOW | changed))


def test_a_perfect_accuracy_has_the_exact_binomial_low_end():
    found = judged("accuracy", np.ones(50), labels(50))
    low = stats.binomtest(50, 50).proportion_ci(0.95, method="exact").low
    assert (found.low, found.high) == pytest.approx((low, 1.0))
    assert "no draw differs; what 50 rows may not show" in found.method


def test_a_perfect_area_is_as_sure_as_the_rarer_class_has_rows():
    truth = (np.arange(100) < 5).astype(float)
    found = judged("roc_auc", truth, Predictions(truth, np.column_stack([1 - truth, truth])))
    assert (found.low, found.high) == pytest.approx((1 - rule_of_three_bound(5, 0.025), 1.0))


def test_a_perfect_loss_has_no_ends_since_what_is_unseen_has_no_bound():
    found = judged("rmse", np.zeros(50), Predictions(np.zeros(50)))
    assert (found.figure, found.low, found.p_value) == (0.0, None, None)
    assert found.method == "no draw differs from another"


def test_models_that_say_the_same_differ_by_nothing():
    said = Predictions(np.array([1.0, 2.0, 4.0]))
    found = judged("mae", np.zeros(3), said, said)
    assert (found.low, found.high, found.p_value) == (0.0, 0.0, 1.0)
    assert found.method == "both say the same of every row"


def test_models_that_are_right_on_the_same_rows_may_differ_on_others():
    chances = [np.column_stack([np.full(40, c), np.full(40, 1 - c)]) for c in (0.1, 0.2)]
    left, right = (Predictions(np.ones(40), each) for each in chances)
    found = judged("accuracy", np.ones(40), left, right)
    share = rule_of_three_bound(40, 0.025)
    assert (found.low, found.high, found.p_value) == pytest.approx((-share, share, 1.0))


def test_a_model_that_is_always_right_beside_one_that_never_is_passes_the_sign_test():
    found = judged("accuracy", np.ones(40), labels(40), labels(40, 40))
    assert found.low == pytest.approx(1 - 2 * rule_of_three_bound(40, 0.025))
    assert found.p_value == pytest.approx(stats.binomtest(40, 40, alternative="greater").pvalue)


@pytest.mark.parametrize(("n_wrong", "shown"), [(3, False), (4, False), (8, True), (12, True)])
def test_a_few_rows_alone_do_not_show_that_left_is_better(n_wrong, shown):
    found = judged("accuracy", np.ones(400), labels(400), labels(400, n_wrong))
    assert (found.low > 0, found.p_value < 0.025) == (shown, shown)


def test_the_interval_is_that_of_scipy():
    rng = np.random.default_rng(0)
    errors, others = rng.exponential(size=180), rng.exponential(1.2, size=180)
    found = judged("mae", np.zeros(180), Predictions(errors), Predictions(others), draws=9999)
    theirs = stats.bootstrap((others - errors,), np.mean, method="BCa", rng=0)
    low, high = theirs.confidence_interval
    near = 0.08 * (high - low)  # theirs has no t
    assert (found.low, found.high) == pytest.approx((low, high), abs=near)


def test_the_chance_is_that_of_a_t_test_where_errors_are_normal():
    gaps = np.random.default_rng(0).normal(0.15, 1, size=300)
    found = judged(
        "mae", np.zeros(300), Predictions(np.full(300, 9.0)), Predictions(9.0 + gaps), draws=9999
    )
    assert found.p_value == pytest.approx(stats.ttest_1samp(gaps, 0).pvalue / 2, rel=0.2)


@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.9, 0.95, 0.99, 0.999])
def test_the_chance_is_below_the_tail_right_where_the_low_end_is_above_zero(confidence):
    rng = np.random.default_rng(3)
    truth, left = rng.normal(size=60), rng.normal(size=60)
    right = left + np.sign(left - truth) * rng.normal(0.05, 0.2, 60)
    found = judged("rmse", truth, Predictions(left), Predictions(right), confidence=confidence)
    assert (found.low > 0) == (found.p_value < (1 - confidence) / 2)


def test_ends_that_too_few_draws_show_are_said_to_be_rough():
    rng = np.random.default_rng(0)
    found = judged("mae", np.zeros(300), Predictions(rng.normal(size=300)), confidence=1 - 2e-4)
    assert found.method == (
        "BCa bootstrap, 10000 draws; fewer than 10 of them beyond an end, which is rough"
    )


def test_a_single_row_tells_nothing():
    found = judged("mae", np.zeros(1), Predictions(np.ones(1)))
    assert (found.figure, found.low, found.high) == (1.0, None, None)


def test_a_figure_whose_draws_are_biased_is_said_to_have_normal_ends():
    rng = np.random.default_rng(0)
    chance = rng.random(200)
    said = Predictions((chance > 0.5).astype(float), np.column_stack([1 - chance, chance]))
    found = judged("calibration_error", (rng.random(200) < chance).astype(float), said)
    assert found.method == "normal bootstrap interval, since draws are biased, 1000 draws"
    assert 0.0 <= found.low < found.high <= 1.0


def test_a_metric_of_ones_own_is_drawn_like_any_other():
    def share(truth, values, _):
        return (truth == values).mean()

    own = custom_metric("share", share, greater_is_better=True, task="binary")
    both = labels(100, 30), labels(100, 60)
    found = bootstrap_metric(PairedSample(own, np.ones(100), both), **HOW)
    built_in = judged("accuracy", np.ones(100), *both)
    assert (found.low, found.high) == (built_in.low, built_in.high)


def test_what_is_undefined_in_most_draws_has_no_ends():
    def undefined(_, values, __):
        return float("nan") if (values > 0).sum() != 1 else 1.0

    own = custom_metric("own", undefined, greater_is_better=True, task="binary")
    found = bootstrap_metric(PairedSample(own, np.zeros(20), (labels(20, 19),)), **HOW)
    assert (found.figure, found.low, found.method) == (1.0, None, "undefined")
