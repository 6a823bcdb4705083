"""What days have in common: their place in the week, and the days around them."""

from dataclasses import dataclass

import numpy as np

from pipelines.core.phases import Codes
from pipelines.core.predictions import Floats


@dataclass(frozen=True, eq=False)
class PhaseMeans:
    """The means of figures by place in the week.

    Attributes
    ----------
    centres : array of shape (n_phases, n_figures)
    leverage : array of shape (n_phases, n_figures)
        How much a window counts in its own centre.
    freedom : array of shape (n_figures,)
        Windows less what was learned from them.
    """

    centres: Floats
    leverage: Floats
    freedom: Floats


def phase_means(figures: Floats, phases: Codes, n_phases: int) -> PhaseMeans:
    """Return the mean of each place in the week, drawn to the mean of all (Stein, 1956).

    A week without a pattern gives the mean of all, a strong one the mean of each place.

    Parameters
    ----------
    figures : array of shape (n_windows, n_figures)
    phases : array of shape (n_windows,)
    n_phases : int

    Examples
    --------
    >>> figures = np.array([[1.0], [5.0], [1.1], [5.1], [0.9], [4.9]])
    >>> phase_means(figures, np.array([0, 1, 0, 1, 0, 1]), 2).centres.round(1).tolist()
    [[1.0], [5.0]]
    """
    counts = np.bincount(phases, minlength=n_phases).astype(np.float64)[:, None]
    seen, mean = int((counts > 0).sum()), figures.mean(axis=0)
    sums = np.zeros((n_phases, figures.shape[1]))
    np.add.at(sums, phases, figures)
    own = np.where(counts > 0, sums / np.maximum(counts, 1), mean)
    within = ((figures - own[phases]) ** 2).sum(axis=0) / max(len(figures) - seen, 1)
    spread = (counts * (own - mean) ** 2).sum(axis=0) / max(seen - 1, 1)
    between = np.maximum(spread - within, 0) / (len(figures) / seen)
    chance = within / np.maximum(counts, 1)
    weight = np.where(counts > 1, between / np.maximum(between + chance, 1e-12), 0.0)
    return PhaseMeans(
        centres=mean + weight * (own - mean),
        leverage=weight / np.maximum(counts, 1) + (1 - weight) / len(figures),
        freedom=np.maximum(len(figures) - 1 - np.maximum(weight.sum(axis=0) - 1, 0), 1.0),
    )


def lasting(residuals: Floats) -> tuple[Floats, Floats]:
    """Return how many windows last as long as one that its neighbours are not like.

    The sum of all autocorrelations, and of their squares, at least 1: what the variance of a mean
    and of a variance are to be multiplied by. It ends where two neighbouring autocorrelations are
    no longer positive together (Geyer, 1992).

    Parameters
    ----------
    residuals : array of shape (n_windows, n_figures)
        In the order of time.

    Returns
    -------
    two arrays of shape (n_figures,)

    Examples
    --------
    >>> lasting(np.array([[1.0], [-1.0], [1.0], [-1.0], [1.0], [-1.0]]))[0].tolist()
    [1.0]
    """
    n_windows = len(residuals)
    most = max(n_windows // 3, 2)
    size = 2 ** int(np.ceil(np.log2(2 * n_windows)))
    power = np.abs(np.fft.rfft(residuals, size, axis=0)) ** 2
    products = np.fft.irfft(power, size, axis=0)[: most + 1]
    correlations = products / np.maximum(products[0], 1e-12)
    n_pairs = most // 2
    odd, even = correlations[1::2][:n_pairs], correlations[2::2][:n_pairs]
    kept = np.repeat(np.cumprod(odd + even > 0, axis=0), 2, axis=0).astype(bool)
    lags = np.where(kept, correlations[1 : 1 + len(kept)], 0)
    return np.maximum(1 + 2 * lags.sum(axis=0), 1), 1 + 2 * (lags**2).sum(axis=0)
