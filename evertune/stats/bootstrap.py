"""Confidence intervals of a metric, by bootstrap over rows and by a corrected t over folds.

`bootstrap_interval` gives the interval of one model, `paired_difference` that of the difference
of two models on the same rows, `fold_interval` that of a mean over folds (Nadeau and Bengio,
2003). The row intervals are Efron's BCa (1987), with a t quantile for few rows and a normal
interval where the draws are too biased to correct. Resamples are weights, so every metric is
evaluated on all draws at once; the jackknife leaves out at most 200 groups of rows. Functions
that take `z` expect the standard normal quantile at the wanted tail: -1.96 is the low end of an
interval of 95 %. Where no draw differs, `rule_of_three_bound` says what the rows may not show.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import ClassVar

import numpy as np
from scipy import stats

from evertune.metrics.metrics import Metric, prediction_mask
from evertune.metrics.weighted import WeightedMetric
from evertune.types import FloatArray, Predictions, probabilities_or_values, take_rows

MAX_BIAS = 1.0  # in standard deviations; beyond it BCa's levels leave the draws
MIN_JACKKNIFE_SHARE = 0.5
NORMAL_KURTOSIS = 3.0


@dataclass(frozen=True, eq=False)
class BootstrapDistribution:
    """A figure, and what it is on resamples of its rows.

    Attributes
    ----------
    figure : float
        Of all rows.
    draws : array of shape (n_draws,)
        Of resamples; at least two that are defined and not equal, in ascending order.
    left_out : array of shape (n_groups,)
        With each group of rows left out.
    """

    figure: float
    draws: FloatArray
    left_out: FloatArray

    @cached_property
    def bias(self) -> float:
        """The quantile of the standard normal at the share of draws below the figure."""
        below, upto = (np.searchsorted(self.draws, self.figure, side) for side in ("left", "right"))
        return float(stats.norm.ppf((below + upto) / (2 * self.draws.size)))

    @cached_property
    def pull(self) -> float:
        """The acceleration: how the spread of the figure changes with the figure itself."""
        return acceleration(self.left_out)

    @property
    def is_far_off(self) -> bool:
        """Whether the draws lie so far to one side of the figure that BCa cannot correct it."""
        return not abs(self.bias) <= MAX_BIAS


def acceleration(left_out: FloatArray) -> float:
    """Return the acceleration of a figure from a jackknife.

    sum (m - x_j)^3 / (6 (sum (m - x_j)^2)^1.5), x_j being the figure without the j-th group of
    rows and m their mean. Groups of equal size give what single rows give, up to chance: a sum
    over a group is less skew by just the factor by which there are fewer groups. From -1/6 to
    1/6; 0 where the figure is undefined without most groups, or the same without any.

    Parameters
    ----------
    left_out : array of shape (n_groups,)

    References
    ----------
    Efron (1987), Better Bootstrap Confidence Intervals, and its section on grouping.

    Examples
    --------
    >>> round(acceleration(np.array([1.0, 1.0, 1.0, 0.0])), 4)
    0.0962
    """
    known = left_out[np.isfinite(left_out)]
    if known.size < max(2, MIN_JACKKNIFE_SHARE * left_out.size):
        return 0.0
    gaps = known.mean() - known
    spread = float((gaps**2).sum()) ** 1.5
    return float((gaps**3).sum()) / (6 * spread) if spread > 0 else 0.0


def effective_sample_size(left_out: FloatArray, n_rows: int) -> float:
    """Return how many rows of normal influence tell as much of the spread as those at hand do.

    n / (1 + e), e being the excess over 3 of the kurtosis of the rows' influences on the figure:
    n where these are normal, and about d where two models differ on d rows only, however many
    others there are. The excess of groups is smaller than that of rows by the size of a group.
    From 1 to n.

    Parameters
    ----------
    left_out : array of shape (n_groups,)
        The figure with each group of rows left out.
    n_rows : int

    Examples
    --------
    >>> round(effective_sample_size(np.array([0.0, 1.0] * 2 + [0.5] * 96), 100), 1)
    4.3
    """
    known = left_out[np.isfinite(left_out)]
    gaps = known - known.mean()
    squares = float((gaps**2).mean())
    if squares == 0.0:
        return 1.0
    excess = float((gaps**4).mean()) / squares**2 - NORMAL_KURTOSIS
    return max(n_rows / (1 + max(excess, 0.0) * n_rows / left_out.size), 1.0)


def bca_level(found: BootstrapDistribution, z: float) -> float:
    """Return the share of draws that lies below BCa's end.

    Phi(b + (b + z) / (1 - a (b + z))) with the bias b and the acceleration a.

    Parameters
    ----------
    found : BootstrapDistribution
    z : float
        Quantile of the standard normal distribution at the wanted tail.

    References
    ----------
    Efron (1987), formula 2.3.

    Examples
    --------
    >>> even = BootstrapDistribution(1.5, np.arange(4.0), np.array([1.0, 2.0]))
    >>> round(bca_level(even, -1.96), 3)
    0.025
    """
    moved = found.bias + z
    shrunk = 1 - found.pull * moved
    if shrunk <= 0:
        return float(moved > 0)
    return float(stats.norm.cdf(found.bias + moved / shrunk))


def lower_limit(found: BootstrapDistribution, z: float) -> float:
    """Return the low end of BCa's interval: the draw with a share `bca_level` of draws up to it.

    It is the k-th smallest of B draws, k being the whole part of level (B + 1). Where k is 0 no
    draw lies that far out: then it is the smallest draw, or the normal end if that is lower. The
    normal end, figure - bias + z deviation, is used too where the draws lie far to one side of
    the figure.

    Parameters
    ----------
    found : BootstrapDistribution
    z : float
        Below 0.

    References
    ----------
    Davison and Hinkley (1997), Bootstrap Methods and Their Application, 5.2.1 and 5.3.2.

    Examples
    --------
    >>> even = BootstrapDistribution(49.0, np.arange(99.0), np.array([1.0, 2.0]))
    >>> lower_limit(even, -1.2815)
    9.0
    """
    if found.is_far_off:
        return _normal_lower_limit(found, z)
    place = math.floor(bca_level(found, z) * (found.draws.size + 1))
    if place == 0:
        return min(float(found.draws[0]), _normal_lower_limit(found, z))
    return float(found.draws[min(place, found.draws.size) - 1])


def upper_limit(found: BootstrapDistribution, z: float) -> float:
    """Return the high end of BCa's interval; it is the low end of the figure turned round.

    Parameters
    ----------
    found : BootstrapDistribution
    z : float
        Below 0, as for the low end.

    Examples
    --------
    >>> even = BootstrapDistribution(49.0, np.arange(99.0), np.array([1.0, 2.0]))
    >>> upper_limit(even, -1.2815)
    89.0
    """
    return -lower_limit(
        BootstrapDistribution(-found.figure, -found.draws[::-1], -found.left_out), z
    )


def z_at_zero(found: BootstrapDistribution) -> float:
    """Return the z whose low end comes to lie above 0: for every larger one it does.

    Parameters
    ----------
    found : BootstrapDistribution

    Examples
    --------
    >>> even = BootstrapDistribution(49.0, np.arange(99.0) - 8.5, np.array([1.0, 2.0]))
    >>> round(z_at_zero(BootstrapDistribution(40.5, even.draws, even.left_out)), 2)
    -1.28
    """
    normal = _normal_z_at_zero(found)
    if found.is_far_off:
        return normal
    n_upto = int(np.searchsorted(found.draws, 0.0, "right"))
    if n_upto == found.draws.size:
        return math.inf
    quantile = float(stats.norm.ppf((n_upto + 1) / (found.draws.size + 1))) - found.bias
    shrunk = 1 + found.pull * quantile
    if shrunk <= 0:
        return math.copysign(math.inf, quantile)
    z = quantile / shrunk - found.bias
    return z if n_upto else min(z, normal)


def _normal_lower_limit(found: BootstrapDistribution, z: float) -> float:
    return 2 * found.figure - float(found.draws.mean()) + z * float(found.draws.std(ddof=1))


def _normal_z_at_zero(found: BootstrapDistribution) -> float:
    centre = 2 * found.figure - float(found.draws.mean())
    return -centre / float(found.draws.std(ddof=1))


BLOCK_CELLS = 250_000  # 2 megabytes of weights stay in the processor's cache
MAX_JACKKNIFE_GROUPS = 200
USUAL_TAIL, WIDE_TAIL, MIN_TAIL = 0.025, 0.02, 1e-6
MAX_DRAWS = 10_000
MAX_DRAW_CELLS = 1_000_000_000


def bootstrap_replicates(
    weighed: Sequence[WeightedMetric], n_rows: int, *, draws: int, seed: int
) -> list[FloatArray]:
    """Return what each figure is on resamples of the rows, the same for all figures.

    Parameters
    ----------
    weighed : sequence of callable
        From weights of shape (k, n_rows) to k figures.
    n_rows : int
    draws : int
    seed : int

    Examples
    --------
    >>> [found] = bootstrap_replicates([lambda weights: weights.sum(axis=1)], 5, draws=3, seed=0)
    >>> found
    array([5., 5., 5.])
    """
    rng = np.random.default_rng(seed)
    sizes = _block_sizes(draws, n_rows)
    return _evaluate_blocks(weighed, (_resample_counts(rng, n_rows, size) for size in sizes))


def grouped_jackknife(
    weighed: Sequence[WeightedMetric], n_rows: int, *, seed: int
) -> list[FloatArray]:
    """Return what each figure is without each of at most 200 groups of rows, taken at random.

    Parameters
    ----------
    weighed : sequence of callable
    n_rows : int
    seed : int

    Examples
    --------
    >>> [found] = grouped_jackknife([lambda weights: weights.sum(axis=1)], 1000, seed=0)
    >>> found.shape, float(found[0])
    ((200,), 995.0)
    """
    n_groups = min(n_rows, MAX_JACKKNIFE_GROUPS)
    groups = np.random.default_rng(seed).permutation(n_rows) % n_groups
    starts = np.cumsum([0, *_block_sizes(n_groups, n_rows)])
    spans = pairwise(starts)
    return _evaluate_blocks(
        weighed, ((groups != np.arange(a, b)[:, None]).astype(np.float64) for a, b in spans)
    )


def required_draws(draws: int, n_rows: int, *, tail: float) -> int:
    """Return how many draws show an end with the given tail: those wished, or more.

    Beyond a narrow end as many lie as beyond that of 95 % among those wished, up to 10,000 draws
    and a billion cells of draws x rows. No more than those wished where not even these would come
    near the end.

    Parameters
    ----------
    draws : int
        Those that are wished, at least.
    n_rows : int
    tail : float
        Such as 0.025.

    Examples
    --------
    >>> required_draws(1000, 500, tail=0.025), required_draws(1000, 500, tail=0.005)
    (1000, 5000)
    >>> required_draws(1000, 500, tail=1e-5), required_draws(1000, 500_000, tail=1e-5)
    (10000, 2000)
    """
    if tail >= WIDE_TAIL or tail < MIN_TAIL:
        return draws
    most = min(MAX_DRAWS, MAX_DRAW_CELLS // max(n_rows, 1))
    return max(draws, min(most, int(np.ceil(draws * USUAL_TAIL / tail))))


def _evaluate_blocks(
    weighed: Sequence[WeightedMetric], tables: Iterator[FloatArray]
) -> list[FloatArray]:
    blocks = [[figures(weights) for figures in weighed] for weights in tables]
    return [np.concatenate(parts) for parts in zip(*blocks, strict=True)]


def _block_sizes(n_draws: int, n_rows: int) -> list[int]:
    size = max(1, BLOCK_CELLS // n_rows)
    return [min(size, n_draws - start) for start in range(0, n_draws, size)]


def _resample_counts(rng: np.random.Generator, n_rows: int, n_draws: int) -> FloatArray:
    rows = rng.integers(0, n_rows, size=(n_draws, n_rows))
    rows += n_rows * np.arange(n_draws)[:, None]
    counts = np.bincount(rows.ravel(), minlength=n_draws * n_rows)
    return counts.reshape(n_draws, n_rows).astype(np.float64)


MIN_DEFINED_SHARE = 0.5
MIN_DRAWS_BEYOND_LIMIT = 10
MIN_RELATIVE_RANGE = 1e-12  # of draws, relative to the largest; less is rounding
ROW_SHARE_METRICS = frozenset({"accuracy", "calibration_error"})
CLASS_RATE_METRICS = frozenset(
    {"roc_auc", "pr_auc", "balanced_accuracy", "precision", "recall", "f1"}
)


@dataclass(frozen=True, eq=False)
class PairedSample:
    """Rows by which one model, or two beside each other, are judged.

    Attributes
    ----------
    metric : Metric
    truth : array of shape (n,)
    said : tuple of one or two Predictions
        Of these rows, with two the difference counts, positive where the first is better.
    """

    metric: Metric
    truth: FloatArray
    said: tuple[Predictions, ...]


@dataclass(frozen=True, eq=False)
class BootstrapResult:
    """What a bootstrap found.

    Attributes
    ----------
    figure : float, optional
        Of all rows; None where it is undefined.
    low, high : float, optional
        The interval of the figure.
    method : str
    p_value : float, optional
        One-sided, of "the figure is not above 0".
    draws : array of shape (n_draws,)
        The figure on resamples where it is defined.
    """

    figure: float | None
    low: float | None
    high: float | None
    method: str
    p_value: float | None
    draws: FloatArray


def bootstrap_metric(
    sample: PairedSample, *, draws: int, confidence: float, seed: int
) -> BootstrapResult:
    """Return the interval of a sample's figure, and the chance that it is not above 0.

    Parameters
    ----------
    sample : PairedSample
    draws : int
        At least; more are drawn where the confidence asks for it.
    confidence : float
    seed : int

    Examples
    --------
    >>> from evertune.metrics.metrics import METRICS
    >>> sample = PairedSample(METRICS["mae"], np.zeros(50), (Predictions(np.arange(50.0)),))
    >>> found = bootstrap_metric(sample, draws=1000, confidence=0.95, seed=0)
    >>> 20 < found.low < 21 < 28 < found.high < 29, found.method
    (True, 'BCa bootstrap, 1000 draws')
    """
    n_rows, tail = sample.truth.size, (1 - confidence) / 2
    if not n_rows or _lacks_probabilities(sample):
        return _undefined_result("undefined", None)
    weighed = [sample.metric.kernel(sample.truth, said) for said in sample.said]
    whole = _score_difference(sample, [figures(np.ones((1, n_rows))) for figures in weighed])
    every = float(whole[0]) if np.isfinite(whole[0]) else None
    left_out = _score_difference(sample, grouped_jackknife(weighed, n_rows, seed=seed))
    free = _degrees_of_freedom(left_out, n_rows)
    n_draws = required_draws(draws, n_rows, tail=float(stats.norm.cdf(_z_from_tail(tail, free))))
    found = _score_difference(
        sample, bootstrap_replicates(weighed, n_rows, draws=n_draws, seed=seed)
    )
    known = np.sort(found[np.isfinite(found)])
    if known.size < MIN_DEFINED_SHARE * n_draws or every is None:
        return _undefined_result("undefined", every, known)
    if np.ptp(known) <= MIN_RELATIVE_RANGE * max(np.abs(known).max(), 1e-300):
        return _constant_draws_result(sample, every, tail, known)
    return _bca_result(sample, BootstrapDistribution(every, known, left_out), tail, free)


def rule_of_three_bound(n_rows: int, tail: float) -> float:
    """Return the largest share that rows of a kind may have of which none is among n rows.

    1 - tail^(1 / n): any larger share would show in n rows with a chance above 1 - tail. For a
    tail of 0.05 it is about 3 / n, the rule of three.

    Parameters
    ----------
    n_rows : int
        At least 1.
    tail : float

    References
    ----------
    Hanley and Lippman-Hand (1983), If Nothing Goes Wrong, Is Everything All Right?

    Examples
    --------
    >>> round(rule_of_three_bound(100, 0.05), 4)
    0.0295
    """
    return 1 - float(tail ** (1 / n_rows))


def _bca_result(
    sample: PairedSample, found: BootstrapDistribution, tail: float, free: float
) -> BootstrapResult:
    z, (least, most) = _z_from_tail(tail, free), _metric_range(sample)
    return BootstrapResult(
        found.figure,
        max(lower_limit(found, z), least),
        min(upper_limit(found, z), most),
        _method_description(found, z),
        _tail_from_z(z_at_zero(found), free),
        found.draws,
    )


def _method_description(found: BootstrapDistribution, z: float) -> str:
    n_draws = found.draws.size
    if found.is_far_off:
        return f"normal bootstrap interval, since draws are biased, {n_draws} draws"
    name = f"BCa bootstrap, {n_draws} draws"
    if stats.norm.cdf(z) * n_draws < MIN_DRAWS_BEYOND_LIMIT:
        return f"{name}; fewer than {MIN_DRAWS_BEYOND_LIMIT} of them beyond an end, which is rough"
    return name


def _constant_draws_result(
    sample: PairedSample, every: float, tail: float, draws: FloatArray
) -> BootstrapResult:
    if _are_identical(sample.said):
        return BootstrapResult(every, every, every, "both say the same of every row", 1.0, draws)
    n_judging = _n_informative_rows(sample)
    if n_judging is None:
        return _undefined_result("no draw differs from another", every, draws)
    share, (least, most) = rule_of_three_bound(n_judging, tail), _metric_range(sample)
    return BootstrapResult(
        every,
        every - share * (every - least),
        every + share * (most - every),
        f"no draw differs; what {n_judging} rows may not show",
        (1 + max(every, 0.0)) ** -n_judging,
        draws,
    )


def _n_informative_rows(sample: PairedSample) -> int | None:
    if sample.metric.name in ROW_SHARE_METRICS:
        return int(sample.truth.size)
    if sample.metric.name in CLASS_RATE_METRICS:
        return int(np.unique_counts(sample.truth).counts.min())
    return None


def _metric_range(sample: PairedSample) -> tuple[float, float]:
    if sample.metric.name not in ROW_SHARE_METRICS | CLASS_RATE_METRICS:
        return -np.inf, np.inf
    return (0.0, 1.0) if len(sample.said) == 1 else (-1.0, 1.0)


def _are_identical(said: Sequence[Predictions]) -> bool:
    if len(said) == 1:
        return False
    left, right = said
    same = np.array_equal(left.values, right.values)
    return same and np.array_equal(probabilities_or_values(left), probabilities_or_values(right))


def _lacks_probabilities(sample: PairedSample) -> bool:
    known = all(said.probabilities is not None for said in sample.said)
    return sample.metric.needs_probabilities and not known


def _score_difference(sample: PairedSample, figures: Sequence[FloatArray]) -> FloatArray:
    if len(figures) == 1:
        return figures[0]
    left, right = figures
    return left - right if sample.metric.greater_is_better else right - left


def _degrees_of_freedom(left_out: FloatArray, n_rows: int) -> float:
    if np.isfinite(left_out).sum() < MIN_DEFINED_SHARE * left_out.size:
        return 1.0
    return max(effective_sample_size(left_out, n_rows) - 1, 1.0)


def _z_from_tail(tail: float, free: float) -> float:
    # The spread of draws is by sqrt((n - 1) / n) too narrow, and itself uncertain.
    return float(stats.t.ppf(tail, free) * np.sqrt((free + 1) / free))


def _tail_from_z(z: float, free: float) -> float:
    return float(stats.t.cdf(z * np.sqrt(free / (free + 1)), free))


def _undefined_result(
    reason: str, every: float | None, draws: FloatArray | None = None
) -> BootstrapResult:
    return BootstrapResult(every, None, None, reason, None, np.empty(0) if draws is None else draws)


@dataclass(frozen=True)
class Interval:
    """A confidence interval; both ends are None where there is too little to tell.

    Attributes
    ----------
    low, high : float, optional
    method : str
        How it was made, or why it is missing.
    """

    low: float | None
    high: float | None
    method: str


@dataclass(frozen=True)
class PairedDifference:
    """By how much one prediction is better than another; positive means that left is better.

    Attributes
    ----------
    mean : float, optional
        The difference on all rows, in the metric's own unit.
    low, high : float, optional
        Its confidence interval.
    share_better : float, optional
        The share of draws in which left is better, ties counted half.
    n_rows : int
        Rows that both predict.
    method : str
        How the interval was made, or why it is missing.
    p_value : float, optional
        One-sided, of "left is not better": below (1 - confidence) / 2 where `low` is above 0.
    """

    mean: float | None
    low: float | None
    high: float | None
    share_better: float | None
    n_rows: int
    method: str = ""
    p_value: float | None = None


def bootstrap_interval(
    metric: Metric,
    truth: FloatArray,
    predictions: Predictions,
    *,
    draws: int,
    confidence: float,
    seed: int,
) -> Interval:
    """Return the BCa bootstrap interval of a metric over rows.

    Where no draw differs from another (a perfect model on few rows) rows show no spread, but that
    is no certainty: rows of a kind that is rare may be missing. A metric from 0 to 1 then gets
    what as many rows can rule out, see `unseen_share`; any other metric gets no ends.

    Parameters
    ----------
    metric : Metric
    truth : array of shape (n,)
    predictions : Predictions
        Rows without a prediction are left out.
    draws : int
        Resamples of n rows, at least; more are drawn where the confidence asks for ends that so
        many do not show. Those in which the metric is undefined are left out.
    confidence : float
        Such as 0.95.
    seed : int

    Returns
    -------
    Interval
        Without ends where the metric is undefined in more than half of the draws.

    References
    ----------
    Efron (1987), Better Bootstrap Confidence Intervals. Hesterberg (2015), What Teachers Should
    Know About the Bootstrap, 5.3: the tails are those of a t with n - 1 degrees of freedom.

    Examples
    --------
    >>> from evertune.metrics.metrics import METRICS
    >>> said = Predictions(np.array([1.0, 0.0] * 50))
    >>> found = bootstrap_interval(
    ...     METRICS["accuracy"], np.ones(100), said, draws=1000, confidence=0.95, seed=0
    ... )
    >>> 0.38 < found.low < 0.42 and 0.58 < found.high < 0.62
    True
    """
    kept = prediction_mask(predictions)
    sample = PairedSample(metric, truth[kept], (take_rows(predictions, kept),))
    found = bootstrap_metric(sample, draws=draws, confidence=confidence, seed=seed)
    return Interval(found.low, found.high, found.method)


def paired_difference(
    metric: Metric,
    truth: FloatArray,
    left: Predictions,
    right: Predictions,
    *,
    draws: int,
    confidence: float,
    seed: int,
) -> PairedDifference:
    """Return by how much `left` is better than `right` on the same rows, with its interval.

    Both are figured on the same resamples, so that what makes a row hard for both cancels.

    Parameters
    ----------
    metric : Metric
    truth : array of shape (n,)
    left, right : Predictions
        Of the same n rows; rows that either does not predict are left out.
    draws, confidence, seed
        As for `bootstrap_interval`.

    Examples
    --------
    >>> from evertune.metrics.metrics import METRICS
    >>> truth = np.array([1.0, 0.0, 1.0, 1.0] * 25)
    >>> found = paired_difference(
    ...     METRICS["accuracy"], truth, Predictions(truth), Predictions(np.ones(100)),
    ...     draws=100, confidence=0.9, seed=0,
    ... )
    >>> found.mean, found.n_rows, found.low > 0.15
    (0.25, 100, True)
    """
    kept = prediction_mask(left) & prediction_mask(right)
    sample = PairedSample(metric, truth[kept], (take_rows(left, kept), take_rows(right, kept)))
    found = bootstrap_metric(sample, draws=draws, confidence=confidence, seed=seed)
    return PairedDifference(
        mean=found.figure,
        low=found.low,
        high=found.high,
        share_better=_proportion_better(found.draws),
        n_rows=int(kept.sum()),
        method=found.method,
        p_value=found.p_value,
    )


def fold_interval(
    scores: Iterable[float | None], *, n_training: int, n_validation: int, confidence: float
) -> Interval:
    """Return the corrected resampled t interval of the mean over folds.

    The training sets of folds share rows, so that the plain interval is far too narrow. With J
    scores of variance s^2 it is mean +- t(J - 1) sqrt((1 / J + n_validation / n_training) s^2).

    Parameters
    ----------
    scores : iterable of float or None
        One a fold; folds without a figure are left out.
    n_training, n_validation : int
        Rows of one fold.
    confidence : float

    Raises
    ------
    ValueError
        If there are no training rows.

    References
    ----------
    Nadeau and Bengio (2003), Inference for the Generalization Error.

    Examples
    --------
    >>> found = fold_interval([0.7, 0.8, 0.9], n_training=80, n_validation=20, confidence=0.95)
    >>> round(found.low, 3), round(found.high, 3)
    (0.471, 1.129)
    """
    if n_training < 1:
        raise ValueError(f"'n_training' must be at least 1. Got {n_training} instead.")
    known = np.array([score for score in scores if score is not None], dtype=np.float64)
    if known.size <= 1:
        return Interval(None, None, "too few folds")
    scale = np.sqrt((1 / known.size + n_validation / n_training) * known.var(ddof=1))
    half = float(stats.t.ppf((1 + confidence) / 2, known.size - 1) * scale)
    mean = float(known.mean())
    return Interval(mean - half, mean + half, f"corrected resampled t, {known.size} folds")


def _proportion_better(gaps: FloatArray) -> float | None:
    return float(((gaps > 0) + 0.5 * (gaps == 0)).mean()) if gaps.size else None


@dataclass(frozen=True)
class TestResult:
    """What a test of two models found; positive means that left is better.

    Attributes
    ----------
    name : str
    difference, low, high : float, optional
    p_value : float, optional
        One-sided, of "left is not better".
    n : int
    note : str
    """

    __test__: ClassVar[bool] = False  # pytest takes a class named Test... for a test

    name: str
    difference: float | None
    low: float | None
    high: float | None
    p_value: float | None
    n: int
    note: str = ""


@dataclass(frozen=True)
class BootstrapConfig:
    """How intervals over rows are made."""

    draws: int
    confidence: float
    seed: int
