"""The bootstrap of a metric over rows, of one model or of the difference of two."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from pipelines.core.judging.bca import Bootstrapped, effective_rows, high_end, low_end, z_of_zero
from pipelines.core.judging.draws import drawn, draws_needed, without_groups
from pipelines.core.metrics import Metric
from pipelines.core.predictions import Floats, Predictions, figures_of

FEWEST_DEFINED = 0.5
FEWEST_BEYOND = 10
LEAST_VARIATION = 1e-12  # of draws, relative to the largest; less is rounding
OF_ROWS = frozenset({"accuracy", "calibration_error"})
OF_CLASSES = frozenset({"roc_auc", "pr_auc", "balanced_accuracy", "precision", "recall", "f1"})


@dataclass(frozen=True, eq=False)
class Sample:
    """Rows by which one model, or two beside each other, are judged.

    Attributes
    ----------
    metric : Metric
    truth : array of shape (n,)
    said : tuple of one or two Predictions
        Of these rows, with two the difference counts, positive where the first is better.
    """

    metric: Metric
    truth: Floats
    said: tuple[Predictions, ...]


@dataclass(frozen=True, eq=False)
class Found:
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
    draws: Floats


def bootstrapped(sample: Sample, *, draws: int, confidence: float, seed: int) -> Found:
    """Return the interval of a sample's figure, and the chance that it is not above 0.

    Parameters
    ----------
    sample : Sample
    draws : int
        At least; more are drawn where the confidence asks for it.
    confidence : float
    seed : int

    Examples
    --------
    >>> from pipelines.core.metrics import METRICS
    >>> sample = Sample(METRICS["mae"], np.zeros(50), (Predictions(np.arange(50.0)),))
    >>> found = bootstrapped(sample, draws=1000, confidence=0.95, seed=0)
    >>> 20 < found.low < 21 < 28 < found.high < 29, found.method
    (True, 'BCa bootstrap, 1000 draws')
    """
    n_rows, tail = sample.truth.size, (1 - confidence) / 2
    if not n_rows or _lacks_chances(sample):
        return _missing("undefined", None)
    weighed = [sample.metric.kernel(sample.truth, said) for said in sample.said]
    whole = _gap(sample, [figures(np.ones((1, n_rows))) for figures in weighed])
    every = float(whole[0]) if np.isfinite(whole[0]) else None
    left_out = _gap(sample, without_groups(weighed, n_rows, seed=seed))
    free = _freedom(left_out, n_rows)
    n_draws = draws_needed(draws, n_rows, tail=float(stats.norm.cdf(_z_of(tail, free))))
    found = _gap(sample, drawn(weighed, n_rows, draws=n_draws, seed=seed))
    known = np.sort(found[np.isfinite(found)])
    if known.size < FEWEST_DEFINED * n_draws or every is None:
        return _missing("undefined", every, known)
    if np.ptp(known) <= LEAST_VARIATION * max(np.abs(known).max(), 1e-300):
        return _without_variation(sample, every, tail, known)
    return _ends(sample, Bootstrapped(every, known, left_out), tail, free)


def unseen_share(n_rows: int, tail: float) -> float:
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
    >>> round(unseen_share(100, 0.05), 4)
    0.0295
    """
    return 1 - float(tail ** (1 / n_rows))


def _ends(sample: Sample, found: Bootstrapped, tail: float, free: float) -> Found:
    z, (least, most) = _z_of(tail, free), _range(sample)
    return Found(
        found.figure,
        max(low_end(found, z), least),
        min(high_end(found, z), most),
        _method(found, z),
        _tail_of(z_of_zero(found), free),
        found.draws,
    )


def _method(found: Bootstrapped, z: float) -> str:
    n_draws = found.draws.size
    if found.is_far_off:
        return f"normal bootstrap interval, since draws are biased, {n_draws} draws"
    name = f"BCa bootstrap, {n_draws} draws"
    if stats.norm.cdf(z) * n_draws < FEWEST_BEYOND:
        return f"{name}; fewer than {FEWEST_BEYOND} of them beyond an end, which is rough"
    return name


def _without_variation(sample: Sample, every: float, tail: float, draws: Floats) -> Found:
    if _says_the_same(sample.said):
        return Found(every, every, every, "both say the same of every row", 1.0, draws)
    n_judging = _n_judging(sample)
    if n_judging is None:
        return _missing("no draw differs from another", every, draws)
    share, (least, most) = unseen_share(n_judging, tail), _range(sample)
    return Found(
        every,
        every - share * (every - least),
        every + share * (most - every),
        f"no draw differs; what {n_judging} rows may not show",
        (1 + max(every, 0.0)) ** -n_judging,
        draws,
    )


def _n_judging(sample: Sample) -> int | None:
    if sample.metric.name in OF_ROWS:
        return int(sample.truth.size)
    if sample.metric.name in OF_CLASSES:
        return int(np.unique_counts(sample.truth).counts.min())
    return None


def _range(sample: Sample) -> tuple[float, float]:
    if sample.metric.name not in OF_ROWS | OF_CLASSES:
        return -np.inf, np.inf
    return (0.0, 1.0) if len(sample.said) == 1 else (-1.0, 1.0)


def _says_the_same(said: Sequence[Predictions]) -> bool:
    if len(said) == 1:
        return False
    left, right = said
    same = np.array_equal(left.values, right.values)
    return same and np.array_equal(figures_of(left), figures_of(right))


def _lacks_chances(sample: Sample) -> bool:
    known = all(said.probabilities is not None for said in sample.said)
    return sample.metric.needs_probabilities and not known


def _gap(sample: Sample, figures: Sequence[Floats]) -> Floats:
    if len(figures) == 1:
        return figures[0]
    left, right = figures
    return left - right if sample.metric.greater_is_better else right - left


def _freedom(left_out: Floats, n_rows: int) -> float:
    if np.isfinite(left_out).sum() < FEWEST_DEFINED * left_out.size:
        return 1.0
    return max(effective_rows(left_out, n_rows) - 1, 1.0)


def _z_of(tail: float, free: float) -> float:
    # The spread of draws is by sqrt((n - 1) / n) too narrow, and itself uncertain.
    return float(stats.t.ppf(tail, free) * np.sqrt((free + 1) / free))


def _tail_of(z: float, free: float) -> float:
    return float(stats.t.cdf(z * np.sqrt(free / (free + 1)), free))


def _missing(reason: str, every: float | None, draws: Floats | None = None) -> Found:
    return Found(every, None, None, reason, None, np.empty(0) if draws is None else draws)
