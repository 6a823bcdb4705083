"""Bootstrap confidence intervals of a metric, and of the difference of two models.

`bootstrap_interval` gives the interval of one model, `paired_difference` that of the difference of
two models on the same rows. Both are Efron's BCa (1987), with a t quantile for few rows and a
normal interval if the draws are too biased to correct. If no draw differs from another (a perfect
model on few rows), the interval says what as many rows cannot rule out.

Why not `scipy.stats.bootstrap`: its jackknife over n rows costs n^2, it evaluates a metric draw by
draw, and it has no p-value that agrees with the interval. Here resamples are weights, so that a
metric sorts its rows once for all draws, and the jackknife leaves out at most 200 groups of rows.
The tests compare with scipy's.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from scipy import stats

from evertune.metrics.metrics import Metric, prediction_mask
from evertune.metrics.weighted import WeightedMetric
from evertune.stats.results import Estimate, PairedDifference
from evertune.types import FloatArray, Predictions, probabilities_or_values, take_rows

MAX_DRAWS, MAX_DRAW_CELLS = 10_000, 1_000_000_000
BLOCK_CELLS = 250_000  # 2 megabytes of weights stay in the processor's cache
MAX_JACKKNIFE_GROUPS = 200
MIN_DEFINED_SHARE = 0.5
MIN_DRAWS_BEYOND_LIMIT = 10
MIN_RELATIVE_RANGE = 1e-12  # of draws, relative to the largest; less is rounding
MAX_BIAS = 1.0  # in standard deviations; beyond it BCa's levels leave the draws
ROW_SHARE_METRICS = frozenset({"accuracy", "calibration_error"})
CLASS_RATE_METRICS = frozenset(
    {"roc_auc", "pr_auc", "balanced_accuracy", "precision", "recall", "f1"}
)


@dataclass(frozen=True)
class BootstrapConfig:
    """The settings of intervals over rows."""

    draws: int
    confidence: float
    seed: int


def bootstrap_interval(
    metric: Metric,
    y_true: FloatArray,
    pred: Predictions,
    *,
    draws: int,
    confidence: float,
    seed: int,
) -> Estimate:
    """Return a metric with its BCa bootstrap interval over rows.

    If no draw differs from another (a perfect model on few rows), the rows show no spread, but
    that is not certainty: rows of a rare kind may be missing. A metric from 0 to 1 then gets what
    as many rows can rule out (`rule_of_three_bound`); any other metric gets no interval.

    Parameters
    ----------
    pred : Predictions
        Rows without a prediction are left out.
    draws : int
        Resamples of n rows, at least; more if the confidence needs them, up to 10,000. Draws in
        which the metric is undefined are left out.
    confidence : float
        Such as 0.95.

    Returns
    -------
    Estimate
        Without an interval if the metric is undefined in more than half of the draws.

    References
    ----------
    Efron (1987), Better Bootstrap Confidence Intervals. Hesterberg (2015), What Teachers Should
    Know About the Bootstrap, 5.3: the tails are those of a t with n - 1 degrees of freedom.

    Examples
    --------
    >>> from evertune.metrics.metrics import METRICS
    >>> pred = Predictions(np.array([1.0, 0.0] * 50))
    >>> found = bootstrap_interval(
    ...     METRICS["accuracy"], np.ones(100), pred, draws=1000, confidence=0.95, seed=0
    ... )
    >>> round(found.low, 1), found.value, round(found.high, 1), found.method
    (0.4, 0.5, 0.6, 'BCa bootstrap, 1000 draws')
    """
    mask = prediction_mask(pred)
    sample = _Sample(metric, y_true[mask], (take_rows(pred, mask),))
    return _bootstrap(sample, draws=draws, confidence=confidence, seed=seed)[0]


def paired_difference(
    metric: Metric,
    y_true: FloatArray,
    left: Predictions,
    right: Predictions,
    *,
    draws: int,
    confidence: float,
    seed: int,
) -> PairedDifference:
    """Return by how much `left` is better than `right` on the same rows, with its interval.

    Both are evaluated on the same resamples, so that what makes a row hard for both cancels.
    Parameters are those of `bootstrap_interval`; rows that either does not predict are left out.

    Examples
    --------
    >>> from evertune.metrics.metrics import METRICS
    >>> y_true = np.array([1.0, 0.0, 1.0, 1.0] * 25)
    >>> found = paired_difference(
    ...     METRICS["accuracy"], y_true, Predictions(y_true), Predictions(np.ones(100)),
    ...     draws=100, confidence=0.9, seed=0,
    ... )
    >>> found.mean, found.n_rows, found.low > 0.15
    (0.25, 100, True)
    """
    mask = prediction_mask(left) & prediction_mask(right)
    sample = _Sample(metric, y_true[mask], (take_rows(left, mask), take_rows(right, mask)))
    found, gaps = _bootstrap(sample, draws=draws, confidence=confidence, seed=seed)
    return PairedDifference(
        mean=found.value,
        low=found.low,
        high=found.high,
        share_better=float(((gaps > 0) + 0.5 * (gaps == 0)).mean()) if gaps.size else None,
        n_rows=found.n,
        method=found.method,
        p_value=found.p_value,
    )


def rule_of_three_bound(n_rows: int, tail: float) -> float:
    """Return the largest share that a kind of rows may have if none of n rows is of it.

    1 - tail^(1 / n): a larger share would show in n rows with a probability above 1 - tail. For a
    tail of 0.05 it is about 3 / n, the rule of three (Hanley and Lippman-Hand, 1983).
    """
    return 1 - float(tail ** (1 / n_rows))


# BCa


@dataclass(frozen=True, eq=False)
class BootstrapDistribution:
    """A score of n rows, and what it is on resamples of them; the BCa interval.

    Methods that take `z` expect the standard normal quantile at the wanted tail: -1.96 is the low
    end of an interval of 95 %.

    Attributes
    ----------
    value : float
        Of all rows.
    draws : array of shape (n_draws,)
        Of resamples, ascending; at least two that are not equal.
    left_out : array of shape (n_groups,)
        With each group of rows left out (the jackknife).
    """

    value: float
    draws: FloatArray
    left_out: FloatArray

    @cached_property
    def bias(self) -> float:
        """The quantile of the standard normal at the share of draws below the value."""
        below, upto = (np.searchsorted(self.draws, self.value, side) for side in ("left", "right"))
        return float(stats.norm.ppf((below + upto) / (2 * self.draws.size)))

    @cached_property
    def acceleration(self) -> float:
        """How the spread of the score changes with the score itself.

        sum (m - x_j)^3 / (6 (sum (m - x_j)^2)^1.5), x_j being the score without the j-th group of
        rows and m their mean. Groups of equal size give what single rows give, up to chance: a sum
        over a group is less skew by just the factor by which there are fewer groups (Efron, 1987).
        0 if the score is undefined without most groups, or the same without any.
        """
        valid = self.left_out[np.isfinite(self.left_out)]
        if valid.size < max(2, MIN_DEFINED_SHARE * self.left_out.size):
            return 0.0
        gaps = valid.mean() - valid
        spread = float((gaps**2).sum()) ** 1.5
        return float((gaps**3).sum()) / (6 * spread) if spread > 0 else 0.0

    @property
    def is_biased(self) -> bool:
        """Whether the draws lie so far to one side of the value that BCa cannot correct it."""
        return not abs(self.bias) <= MAX_BIAS

    def lower_limit(self, z: float) -> float:
        """Return the low end of the interval for z < 0.

        The k-th smallest of B draws, k being the whole part of level (B + 1) with BCa's level
        Phi(b + (b + z) / (1 - a (b + z))), bias b and acceleration a (Efron, 1987, formula 2.3;
        Davison and Hinkley, 1997, 5.3.2). If k is 0 no draw lies that far out: then the smallest
        draw, or the end of the normal interval if that is lower. The normal end,
        value - bias + z deviation, is also used if the draws are biased.
        """
        if self.is_biased:
            return self._normal_limit(z)
        moved = self.bias + z
        shrunk = 1 - self.acceleration * moved
        level = stats.norm.cdf(self.bias + moved / shrunk) if shrunk > 0 else float(moved > 0)
        k = math.floor(float(level) * (self.draws.size + 1))
        if k == 0:
            return min(float(self.draws[0]), self._normal_limit(z))
        return float(self.draws[min(k, self.draws.size) - 1])

    def upper_limit(self, z: float) -> float:
        """Return the high end for z < 0, the low end of the negated score."""
        flipped = BootstrapDistribution(-self.value, -self.draws[::-1], -self.left_out)
        return -flipped.lower_limit(z)

    def z_at_zero(self) -> float:
        """Return the z at which the low end comes to lie above 0; for every larger z it does."""
        normal = self._normal_z_at_zero()
        if self.is_biased:
            return normal
        n_upto = int(np.searchsorted(self.draws, 0.0, "right"))
        if n_upto == self.draws.size:
            return math.inf
        quantile = float(stats.norm.ppf((n_upto + 1) / (self.draws.size + 1))) - self.bias
        shrunk = 1 + self.acceleration * quantile
        if shrunk <= 0:
            return math.copysign(math.inf, quantile)
        z = quantile / shrunk - self.bias
        return z if n_upto else min(z, normal)

    def _normal_limit(self, z: float) -> float:
        return 2 * self.value - float(self.draws.mean()) + z * float(self.draws.std(ddof=1))

    def _normal_z_at_zero(self) -> float:
        return -(2 * self.value - float(self.draws.mean())) / float(self.draws.std(ddof=1))


def _effective_sample_size(left_out: FloatArray, n_rows: int) -> float:
    """Return how many rows of normal influence show as much of the spread as the n rows do.

    n / (1 + e), e being the excess over 3 of the kurtosis of the rows' influences on the score: n
    if these are normal, and about d if two models differ on d rows only, however many others
    there are. The excess of groups is smaller than that of rows by the size of a group. From 1 to
    n.
    """
    valid = left_out[np.isfinite(left_out)]
    gaps = valid - valid.mean()
    variance = float((gaps**2).mean())
    if variance == 0.0:
        return 1.0
    excess = float((gaps**4).mean()) / variance**2 - 3.0
    return max(n_rows / (1 + max(excess, 0.0) * n_rows / left_out.size), 1.0)


# Resampling


def _bootstrap_replicates(
    metrics: Sequence[WeightedMetric], n_rows: int, *, draws: int, seed: int
) -> list[FloatArray]:
    """Return each metric on the same resamples of the rows, each of shape (draws,)."""
    rng = np.random.default_rng(seed)

    def counts(n_draws: int) -> FloatArray:
        rows = rng.integers(0, n_rows, size=(n_draws, n_rows))
        rows += n_rows * np.arange(n_draws)[:, None]
        table = np.bincount(rows.ravel(), minlength=n_draws * n_rows)
        return table.reshape(n_draws, n_rows).astype(np.float64)

    return _evaluate_blocks(metrics, (counts(size) for size in _block_sizes(draws, n_rows)))


def _grouped_jackknife(
    metrics: Sequence[WeightedMetric], n_rows: int, *, seed: int
) -> list[FloatArray]:
    """Return each metric without each of at most 200 random groups of rows, shape (n_groups,)."""
    n_groups = min(n_rows, MAX_JACKKNIFE_GROUPS)
    groups = np.random.default_rng(seed).permutation(n_rows) % n_groups
    starts = np.cumsum([0, *_block_sizes(n_groups, n_rows)])
    return _evaluate_blocks(
        metrics,
        ((groups != np.arange(a, b)[:, None]).astype(np.float64) for a, b in pairwise(starts)),
    )


def _required_draws(draws: int, n_rows: int, *, tail: float) -> int:
    """Return how many draws show a limit with the given tail: the given number, or more.

    As many draws lie beyond it as beyond the limit of a 95 % interval among `draws`, up to 10,000
    draws and a billion cells (draws x rows). Not more if even these would not come near the limit.
    """
    if tail >= 0.02 or tail < 1e-6:
        return draws
    most = min(MAX_DRAWS, MAX_DRAW_CELLS // max(n_rows, 1))
    return max(draws, min(most, int(np.ceil(draws * 0.025 / tail))))


def _evaluate_blocks(
    metrics: Sequence[WeightedMetric], tables: Iterator[FloatArray]
) -> list[FloatArray]:
    blocks = [[evaluate(weights) for evaluate in metrics] for weights in tables]
    return [np.concatenate(parts) for parts in zip(*blocks, strict=True)]


def _block_sizes(n_draws: int, n_rows: int) -> list[int]:
    size = max(1, BLOCK_CELLS // n_rows)
    return [min(size, n_draws - start) for start in range(0, n_draws, size)]


# From rows to an estimate


@dataclass(frozen=True, eq=False)
class _Sample:
    """Rows that every prediction covers: of one model, or of two whose difference counts."""

    metric: Metric
    y_true: FloatArray
    preds: tuple[Predictions, ...]

    @property
    def lacks_probabilities(self) -> bool:
        return self.metric.needs_probabilities and any(
            pred.probabilities is None for pred in self.preds
        )

    @property
    def are_identical(self) -> bool:
        if len(self.preds) == 1:
            return False
        left, right = self.preds
        return np.array_equal(left.values, right.values) and np.array_equal(
            probabilities_or_values(left), probabilities_or_values(right)
        )

    @property
    def range(self) -> tuple[float, float]:
        if self.metric.name not in ROW_SHARE_METRICS | CLASS_RATE_METRICS:
            return -np.inf, np.inf
        return (0.0, 1.0) if len(self.preds) == 1 else (-1.0, 1.0)

    @property
    def n_informative_rows(self) -> int | None:
        """Rows whose share a metric from 0 to 1 measures: all, or those of the rarest class."""
        if self.metric.name in ROW_SHARE_METRICS:
            return int(self.y_true.size)
        if self.metric.name in CLASS_RATE_METRICS:
            return int(np.unique_counts(self.y_true).counts.min())
        return None

    def difference(self, scores: Sequence[FloatArray]) -> FloatArray:
        if len(scores) == 1:
            return scores[0]
        left, right = scores
        return left - right if self.metric.greater_is_better else right - left


def _bootstrap(
    sample: _Sample, *, draws: int, confidence: float, seed: int
) -> tuple[Estimate, FloatArray]:
    """Return the estimate, and the score of the draws in which it is defined, ascending."""
    n, tail = int(sample.y_true.size), (1 - confidence) / 2
    if not n or sample.lacks_probabilities:
        return Estimate(method="undefined", n=n), np.empty(0)
    weighted = [sample.metric.kernel(sample.y_true, pred) for pred in sample.preds]
    [score] = sample.difference([evaluate(np.ones((1, n))) for evaluate in weighted])
    value = float(score) if np.isfinite(score) else None
    left_out = sample.difference(_grouped_jackknife(weighted, n, seed=seed))
    free = 1.0
    if np.isfinite(left_out).sum() >= MIN_DEFINED_SHARE * left_out.size:
        free = max(_effective_sample_size(left_out, n) - 1, 1.0)
    # The spread of draws is too narrow by sqrt((n - 1) / n), and itself uncertain: hence the t.
    z = float(stats.t.ppf(tail, free) * np.sqrt((free + 1) / free))
    n_draws = _required_draws(draws, n, tail=float(stats.norm.cdf(z)))
    drawn = sample.difference(_bootstrap_replicates(weighted, n, draws=n_draws, seed=seed))
    valid = np.sort(drawn[np.isfinite(drawn)])
    if valid.size < MIN_DEFINED_SHARE * n_draws or value is None:
        return Estimate(value, method="undefined", n=n), valid
    if np.ptp(valid) <= MIN_RELATIVE_RANGE * max(np.abs(valid).max(), 1e-300):
        return _estimate_without_spread(sample, value, tail), valid
    found, (least, most) = BootstrapDistribution(value, valid, left_out), sample.range
    estimate = Estimate(
        value,
        max(found.lower_limit(z), least),
        min(found.upper_limit(z), most),
        _describe_method(found, z),
        float(stats.t.cdf(found.z_at_zero() * np.sqrt(free / (free + 1)), free)),
        n,
    )
    return estimate, valid


def _describe_method(found: BootstrapDistribution, z: float) -> str:
    n_draws = found.draws.size
    if found.is_biased:
        return f"normal bootstrap interval, since draws are biased, {n_draws} draws"
    name = f"BCa bootstrap, {n_draws} draws"
    if stats.norm.cdf(z) * n_draws < MIN_DRAWS_BEYOND_LIMIT:
        return f"{name}; fewer than {MIN_DRAWS_BEYOND_LIMIT} of them beyond an end, which is rough"
    return name


def _estimate_without_spread(sample: _Sample, value: float, tail: float) -> Estimate:
    n = int(sample.y_true.size)
    if sample.are_identical:
        return Estimate(value, value, value, "both predict the same for every row", 1.0, n)
    n_rows = sample.n_informative_rows
    if n_rows is None:
        return Estimate(value, method="no draw differs from another", n=n)
    share, (least, most) = rule_of_three_bound(n_rows, tail), sample.range
    return Estimate(
        value,
        value - share * (value - least),
        value + share * (most - value),
        f"no draw differs; what {n_rows} rows cannot rule out",
        (1 + max(value, 0.0)) ** -n_rows,
        n,
    )
