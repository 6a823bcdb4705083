import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from evertune.metrics.metrics import METRICS, custom_metric
from evertune.stats.bootstrap import (
    BootstrapDistribution,
    bootstrap_interval,
    paired_difference,
    rule_of_three_bound,
)
from evertune.types import Predictions

HOW = {"draws": 1000, "confidence": 0.95, "seed": 0}
EVEN = np.linspace(-1.0, 1.0, 999)
JACKKNIFE = np.array([0.9, 1.0, 1.2])


def scored(n_rows, seed=0):
    rng = np.random.default_rng(seed)
    y_true = (rng.random(n_rows) < 0.3).astype(float)
    score = np.clip(0.3 * y_true + 0.7 * rng.random(n_rows), 0, 1)
    return y_true, Predictions((score > 0.5).astype(float), np.column_stack([1 - score, score]))


def right_but(n_wrong, n_rows=400):
    return Predictions((np.arange(n_rows) >= n_wrong).astype(float))


def interval(name, y_true, pred, **changed):
    return bootstrap_interval(METRICS[name], y_true, pred, **HOW | changed)


def difference(name, y_true, left, right, **changed):
    return paired_difference(METRICS[name], y_true, left, right, **HOW | changed)


# Against known intervals


@pytest.mark.parametrize("n_rows", [1000, 20_000], ids=["few", "in blocks and groups"])
def test_the_interval_of_a_share_is_the_binomial_one(n_rows):
    y_true = (np.arange(n_rows) < 0.3 * n_rows).astype(float)
    found = interval("accuracy", y_true, Predictions(np.ones(n_rows)))
    low, high = stats.norm.interval(0.95, 0.3, np.sqrt(0.3 * 0.7 / n_rows))
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.1 * (high - low))


def test_the_interval_of_a_difference_is_that_of_scipy():
    rng = np.random.default_rng(0)
    errors, others = rng.exponential(size=180), rng.exponential(1.2, size=180)
    pair = Predictions(errors), Predictions(others)
    found = difference("mae", np.zeros(180), *pair, draws=9999)
    theirs = stats.bootstrap((others - errors,), np.mean, method="BCa", rng=0).confidence_interval
    near = 0.08 * (theirs.high - theirs.low)  # theirs has no t
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=near)


@pytest.mark.parametrize("statistic", [np.mean, np.std, np.median])
def test_the_limits_of_a_distribution_are_those_of_scipy(statistic):
    rows = np.random.default_rng(0).exponential(size=80)
    theirs = stats.bootstrap((rows,), statistic, method="BCa", n_resamples=9999, rng=1)
    left_out = np.array([statistic(np.delete(rows, i)) for i in range(rows.size)])
    draws = np.sort(theirs.bootstrap_distribution)
    ours, z = BootstrapDistribution(statistic(rows), draws, left_out), stats.norm.ppf(0.025)
    low, high = theirs.confidence_interval
    near = 0.02 * (high - low)  # an order statistic beside an interpolated one
    assert (ours.lower_limit(z), ours.upper_limit(z)) == pytest.approx((low, high), abs=near)


def test_intervals_of_an_area_hold_the_true_area_as_often_as_they_say():
    true_area = METRICS["roc_auc"].score(*scored(200_000, seed=99))
    held = 0
    for seed in range(100):
        found = interval("roc_auc", *scored(200, seed=seed), draws=500, confidence=0.9)
        held += found.low <= true_area <= found.high
    assert 82 <= held <= 97


def test_the_p_value_is_that_of_a_t_test_if_errors_are_normal():
    gaps = np.random.default_rng(0).normal(0.15, 1, size=300)
    pair = Predictions(np.full(300, 9.0)), Predictions(9.0 + gaps)
    found = difference("mae", np.zeros(300), *pair, draws=9999)
    assert found.p_value == pytest.approx(stats.ttest_1samp(gaps, 0).pvalue / 2, rel=0.2)


@settings(max_examples=25)
@given(st.floats(0.3, 0.999), st.integers(0, 50))
def test_the_p_value_is_below_the_tail_just_if_the_low_end_is_above_zero(confidence, seed):
    rng = np.random.default_rng(seed)
    y_true, left = rng.normal(size=60), rng.normal(size=60)
    right = left + np.sign(left - y_true) * rng.normal(0.05, 0.2, 60)
    pair = Predictions(left), Predictions(right)
    found = difference("rmse", y_true, *pair, confidence=confidence, draws=300)
    assert (found.low > 0) == (found.p_value < (1 - confidence) / 2)


@pytest.mark.parametrize("shift", [-1.5, -0.5, 0.0, 0.7, 0.95, 1.2, 3.0])
@pytest.mark.parametrize("left_out", [JACKKNIFE, 3 - JACKKNIFE], ids=["skew", "skew back"])
def test_the_low_end_is_above_zero_just_if_z_is_above_that_at_zero(shift, left_out):
    found = BootstrapDistribution(shift + 0.05, EVEN + shift, left_out)
    zs = stats.norm.ppf(np.geomspace(1e-7, 0.5, 300))
    assert [found.lower_limit(z) > 0 for z in zs] == [z > found.z_at_zero() for z in zs]


# Pairs


def test_left_is_better_if_it_errs_less():
    y_true = np.random.default_rng(0).normal(size=300)
    left, right = Predictions(y_true + 0.5), Predictions(y_true - np.tile([0.8, 1.0], 150))
    found = difference("mae", y_true, left, right)
    assert (found.mean, found.share_better) == pytest.approx((0.4, 1.0))
    assert (found.low, found.high) == pytest.approx((0.39, 0.41), abs=0.003)


def test_a_pair_turned_round_has_the_opposite_difference_and_p_value():
    y_true, pred = scored(400)
    worse = Predictions(pred.values, 0.7 * pred.probabilities + 0.15)
    forth, back = difference("brier", y_true, pred, worse), difference("brier", y_true, worse, pred)
    assert forth.mean == -back.mean
    assert forth.p_value < 0.05
    assert back.p_value == pytest.approx(1 - forth.p_value, abs=0.01)


def test_a_pair_is_narrower_than_one_interval():
    y_true, pred = scored(400)
    mixed = 0.1 * np.roll(pred.probabilities, 1, axis=0) + 0.9 * pred.probabilities
    pair = difference("log_loss", y_true, pred, Predictions(pred.values, mixed))
    alone = interval("log_loss", y_true, pred)
    assert pair.high - pair.low < alone.high - alone.low


def test_rows_that_either_does_not_predict_are_left_out_of_a_pair():
    left, right = np.array([1.0, np.nan, 1.0, 0.0]), np.array([1.0, 1.0, np.nan, 1.0])
    found = difference("accuracy", np.ones(4), Predictions(left), Predictions(right))
    assert (found.n_rows, found.mean) == (2, -0.5)


@pytest.mark.parametrize(("n_wrong", "shown"), [(3, False), (4, False), (8, True), (12, True)])
def test_a_few_rows_alone_do_not_show_that_left_is_better(n_wrong, shown):
    found = difference("accuracy", np.ones(400), right_but(0), right_but(n_wrong))
    assert (found.low > 0, found.p_value < 0.025) == (shown, shown)


# Samples in which no draw differs


def test_a_perfect_accuracy_has_the_exact_binomial_low_end():
    found = interval("accuracy", np.ones(50), Predictions(np.ones(50)))
    low = stats.binomtest(50, 50).proportion_ci(0.95, method="exact").low
    assert (found.low, found.high) == pytest.approx((low, 1.0))
    assert found.method == "no draw differs; what 50 rows cannot rule out"


def test_a_perfect_area_is_as_sure_as_the_rarer_class_has_rows():
    y_true = (np.arange(100) < 5).astype(float)
    pred = Predictions(y_true, np.column_stack([1 - y_true, y_true]))
    found = interval("roc_auc", y_true, pred)
    assert (found.low, found.high) == pytest.approx((1 - rule_of_three_bound(5, 0.025), 1.0))


def test_a_perfect_loss_has_no_interval_since_what_is_unseen_has_no_bound():
    found = interval("rmse", np.zeros(50), Predictions(np.zeros(50)))
    assert (found.value, found.low, found.p_value) == (0.0, None, None)
    assert found.method == "no draw differs from another"


def test_equal_predictions_differ_by_nothing():
    pred = Predictions(np.array([1.0, 2.0, 4.0]))
    found = difference("mae", np.zeros(3), pred, pred)
    assert (found.mean, found.low, found.high, found.p_value) == (0, 0, 0, 1.0)
    assert found.method == "both predict the same for every row"


def test_models_that_are_right_on_the_same_rows_may_differ_on_others():
    proba = [np.column_stack([np.full(40, p), np.full(40, 1 - p)]) for p in (0.1, 0.2)]
    left, right = (Predictions(np.ones(40), each) for each in proba)
    found = difference("accuracy", np.ones(40), left, right)
    share = rule_of_three_bound(40, 0.025)
    assert (found.low, found.high, found.p_value) == pytest.approx((-share, share, 1.0))


def test_a_model_always_right_beside_one_never_right_passes_the_sign_test():
    found = difference("accuracy", np.ones(40), right_but(0, 40), right_but(40, 40))
    assert found.low == pytest.approx(1 - 2 * rule_of_three_bound(40, 0.025))
    assert found.p_value == pytest.approx(stats.binomtest(40, 40, alternative="greater").pvalue)


# Samples that cannot tell


@pytest.mark.parametrize("name", ["roc_auc", "log_loss"])
def test_an_undefined_metric_has_no_interval(name):
    proba = np.full((4, 2), 0.5) if name == "roc_auc" else None
    found = interval(name, np.zeros(4), Predictions(np.zeros(4), proba))
    assert (found.low, found.high, found.method) == (None, None, "undefined")


def test_a_pair_without_probabilities_has_no_difference():
    y_true, pred = scored(10)
    found = difference("log_loss", y_true, pred, Predictions(pred.values))
    assert (found.mean, found.low, found.share_better) == (None, None, None)


@pytest.mark.parametrize(("n_rows", "value"), [(0, None), (1, 1.0)])
def test_no_row_and_a_single_row_have_no_interval(n_rows, value):
    found = interval("mae", np.zeros(n_rows), Predictions(np.ones(n_rows)))
    assert (found.value, found.low, found.high) == (value, None, None)


def test_a_metric_that_is_undefined_in_most_draws_has_no_interval():
    def undefined(_, values, __):
        return float("nan") if (values > 0).sum() != 1 else 1.0

    metric = custom_metric("own", undefined, greater_is_better=True, task="binary")
    found = bootstrap_interval(metric, np.zeros(20), right_but(19, 20), **HOW)
    assert (found.value, found.low, found.method) == (1.0, None, "undefined")


# Methods


def test_the_same_seed_gives_the_same_interval():
    y_true, pred = scored(100)
    assert interval("f1", y_true, pred) == interval("f1", y_true, pred)


def test_a_limit_that_too_few_draws_show_is_called_rough():
    rng = np.random.default_rng(0)
    pred = Predictions(rng.normal(size=300))
    assert interval("mae", np.zeros(300), pred, confidence=1 - 2e-4).method == (
        "BCa bootstrap, 10000 draws; fewer than 10 of them beyond an end, which is rough"
    )


def test_a_metric_whose_draws_are_biased_has_normal_limits_in_its_range():
    rng = np.random.default_rng(0)
    p = rng.random(200)
    pred = Predictions((p > 0.5).astype(float), np.column_stack([1 - p, p]))
    found = interval("calibration_error", (rng.random(200) < p).astype(float), pred)
    assert found.method == "normal bootstrap interval, since draws are biased, 1000 draws"
    assert 0.0 <= found.low < found.high <= 1.0


def test_a_metric_of_the_users_own_is_drawn_like_any_other():
    share = custom_metric(
        "share", lambda y, v, _: (y == v).mean(), greater_is_better=True, task="binary"
    )
    pair = right_but(30, 100), right_but(60, 100)
    own = paired_difference(share, np.ones(100), *pair, **HOW)
    built_in = difference("accuracy", np.ones(100), *pair)
    assert (own.low, own.high) == (built_in.low, built_in.high)


# Parts of BCa


def test_groups_of_rows_show_the_acceleration_that_single_rows_do():
    rows = np.random.default_rng(0).exponential(size=40_000)
    left_out = (rows.sum() - rows.reshape(200, 200).sum(axis=1)) / 39_800
    found = BootstrapDistribution(0.0, EVEN, left_out).acceleration
    assert found == pytest.approx(stats.skew(rows) / (6 * 200), abs=0.003)


def test_biased_draws_give_normal_limits_about_the_value_less_its_bias():
    found, spread = BootstrapDistribution(-5.0, EVEN, JACKKNIFE), EVEN.std(ddof=1)
    assert found.lower_limit(-2.0) == pytest.approx(-10 - 2 * spread)
    assert found.upper_limit(-2.0) == pytest.approx(-10 + 2 * spread)


def test_a_limit_beyond_all_draws_is_the_normal_one_or_the_last_draw():
    found = BootstrapDistribution(0.0, EVEN, np.array([1.0, 2.0]))
    assert found.lower_limit(-6.0) == pytest.approx(-6 * EVEN.std(ddof=1))
    skewed = np.sort(np.append(np.linspace(-0.1, 0.1, 998), -9.0))
    assert BootstrapDistribution(0.0, skewed, JACKKNIFE).lower_limit(-6.0) == -9.0
