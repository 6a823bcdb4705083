"""How long labels take to arrive, and which windows have enough of them to be judged.

`fit_arrival_curve` estimates the share of labels by age (Kaplan and Meier, 1958), so that
predictions that still wait for a label are counted correctly. `is_mature` asks for two things:
the window is old enough, and no fewer labels came than chance allows. Labels that stopped
coming make no window mature.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from evertune.times import TimeWindow, to_naive_timestamp
from evertune.types import FloatArray

MAX_POINTS = 200
MIN_ROWS_AT_AGE = 30
MIN_OBSERVATION_FACTOR = 1.5
N_STANDARD_DEVIATIONS = 3.0
SECONDS_PER_DAY = 86_400.0


@dataclass(frozen=True)
class ArrivalCurve:
    """The share of predictions whose label has come, by age.

    Attributes
    ----------
    ages : tuple of float
        In days, rising; one where labels came.
    shares : tuple of float
        Share of all predictions whose label came by this age.
    observed : float
        Age in days of the oldest prediction that it was learned from.
    """

    ages: tuple[float, ...] = ()
    shares: tuple[float, ...] = ()
    observed: float = 0.0

    @property
    def final(self) -> float:
        """The share of predictions that ever get a label, as far as is known."""
        return self.shares[-1] if self.shares else 0.0


def fit_arrival_curve(moments: pd.Series, labelled: pd.Series, *, now: datetime) -> ArrivalCurve:
    """Return the share of labels that come by age, from predictions of all ages.

    Predictions without a label may still get one; up to their age they count among those that had
    none (Kaplan and Meier, 1958). Ages that fewer than thirty predictions have reached show
    nothing yet.

    Parameters
    ----------
    moments : Series of datetime64, n rows
        When each prediction was made.
    labelled : Series of datetime64, n rows
        When its label became known; missing if it is not known yet.
    now : datetime
        Later predictions and labels are ignored.

    Examples
    --------
    >>> from datetime import UTC
    >>> moments = pd.Series(pd.to_datetime(["2024-05-01", "2024-05-01", "2024-05-09"] * 30))
    >>> labelled = pd.Series(pd.to_datetime(["2024-05-04", None, None] * 30))
    >>> fit_arrival_curve(moments, labelled, now=datetime(2024, 5, 11, tzinfo=UTC))
    ArrivalCurve(ages=(3.0,), shares=(0.5,), observed=10.0)
    """
    from scipy import stats

    end = to_naive_timestamp(now)
    seen = (moments <= end).to_numpy()
    ages = _days_between(moments[seen], end)
    observed = float(ages.max(initial=0.0))
    if ages.size < MIN_ROWS_AT_AGE:
        return ArrivalCurve(observed=observed)
    waits = _days_between(moments[seen], labelled[seen])
    came = np.isfinite(waits) & (waits <= ages)
    lasted = np.maximum(np.where(came, waits, ages), 0.0)
    came &= lasted <= np.sort(ages)[-MIN_ROWS_AT_AGE]
    if not came.any():
        return ArrivalCurve(observed=observed)
    curve = stats.ecdf(stats.CensoredData(lasted[came], right=lasted[~came])).cdf
    at = np.flatnonzero(np.diff(curve.probabilities, prepend=0.0) > 0)
    at = at[np.unique(np.linspace(0, at.size - 1, MAX_POINTS).round().astype(int))]
    return ArrivalCurve(
        ages=tuple(curve.quantiles[at].tolist()),
        shares=tuple(curve.probabilities[at].tolist()),
        observed=observed,
    )


def is_mature(
    curve: ArrivalCurve, window: TimeWindow, *, n_labelled: int, now: datetime, coverage: float
) -> bool:
    """Return whether a window has so large a share of its expected labels that it can be judged.

    Its predictions have to be old enough, and no fewer labels may have come than chance allows
    (three standard deviations): labels that stopped coming make no window mature.

    Parameters
    ----------
    window : TimeWindow
        With its number of rows.
    n_labelled : int
        Rows of it that have a label.
    coverage : float
        Share of the expected labels, such as 0.9.

    Examples
    --------
    >>> from datetime import UTC
    >>> curve = ArrivalCurve((7.0,), (0.5,), observed=30.0)
    >>> day = TimeWindow(datetime(2024, 5, 1, tzinfo=UTC), datetime(2024, 5, 2, tzinfo=UTC), 100)
    >>> later = datetime(2024, 5, 9, tzinfo=UTC)
    >>> [is_mature(curve, day, n_labelled=n, now=later, coverage=0.9) for n in (45, 20)]
    [True, False]
    """
    end = maturity_cutoff(curve, now=now, coverage=coverage)
    if end is None or window.end > end:
        return False
    return has_expected_labels(
        curve, n_rows=window.n_rows, n_labelled=n_labelled, coverage=coverage
    )


def has_expected_labels(
    curve: ArrivalCurve, *, n_rows: int, n_labelled: int, coverage: float
) -> bool:
    """Return whether so large a share of the expected labels of old rows came, but for chance."""
    expected = coverage * curve.final
    chance = N_STANDARD_DEVIATIONS * math.sqrt(n_rows * expected * (1 - expected))
    return n_labelled >= n_rows * expected - chance


def maturity_cutoff(curve: ArrivalCurve, *, now: datetime, coverage: float) -> datetime | None:
    """Return the moment before which predictions are old enough to be judged.

    They are as old as it takes for this share of the labels that ever come to come. None if no
    label came yet, or if predictions were not observed for half as long again: then nobody knows
    whether more will come.
    """
    for age, share in zip(curve.ages, curve.shares, strict=True):
        if share >= coverage * curve.final:
            was_observed = curve.observed >= MIN_OBSERVATION_FACTOR * age
            return now - timedelta(days=age) if was_observed else None
    return None


def _days_between(start: pd.Series, end: pd.Series | pd.Timestamp) -> FloatArray:
    waited = pd.to_timedelta(end - start).dt.total_seconds() / SECONDS_PER_DAY
    return np.asarray(waited, dtype=np.float64)
