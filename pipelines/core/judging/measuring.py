"""The evidence of two models on the same rows: differences, falls of slices, gaps of rates."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from pipelines.core.intervals import Difference, paired_difference
from pipelines.core.judging.evidence import RateGap, SliceFall
from pipelines.core.judging.holm import holm
from pipelines.core.judging.results import TestResult
from pipelines.core.metrics import METRICS, Metric
from pipelines.core.model_figures import Bootstrap
from pipelines.core.predictions import Floats, Predictions
from pipelines.core.schema import Schema
from pipelines.core.slicing import Slice
from pipelines.core.truths import taken

MOSTLY = 0.5
TWO_VALUES = 2


@dataclass(frozen=True, eq=False)
class Pair:
    """The predictions of a version and of the champion for rows that neither was trained on.

    Attributes
    ----------
    truth : array of shape (n,)
    ours, theirs : Predictions
        Of the same n rows.
    """

    truth: Floats
    ours: Predictions
    theirs: Predictions


def gain(metric: Metric, pair: Pair, bootstrap: Bootstrap) -> Difference:
    """Return by how much the version is better than the champion."""
    return paired_difference(metric, pair.truth, pair.ours, pair.theirs, **asdict(bootstrap))


def loss_of(metric: Metric, pair: Pair, bootstrap: Bootstrap) -> Difference:
    """Return by how much the version is worse than the champion."""
    return paired_difference(metric, pair.truth, pair.theirs, pair.ours, **asdict(bootstrap))


def calibration_rise(pair: Pair, bootstrap: Bootstrap) -> Difference | None:
    """Return by how much the expected calibration error is higher; None without probabilities."""
    if pair.ours.probabilities is None or pair.theirs.probabilities is None:
        return None
    return loss_of(METRICS["calibration_error"], pair, bootstrap)


def slice_falls(
    metrics: Sequence[Metric], pair: Pair, slices: Sequence[Slice], bootstrap: Bootstrap
) -> tuple[SliceFall, ...]:
    """Return by how much the version is worse than the champion on each slice.

    Parameters
    ----------
    metrics : sequence of Metric
        The first that is defined on a slice is used there: ROC AUC is not where all are of one
        class.
    pair : Pair
    slices : sequence of Slice
        Of the pair's rows.
    bootstrap : Bootstrap
    """
    return tuple(_fall(metrics, _taken(pair, each), each, bootstrap) for each in slices)


def slice_tests(falls: Sequence[SliceFall]) -> tuple[TestResult, ...]:
    """Return the falls as tests of "the champion is not better there", corrected by Holm."""
    told = [each for each in falls if each.fall.p_value is not None]
    adjusted = holm([each.fall.p_value or 0.0 for each in told])
    return tuple(
        TestResult(
            name=f"slice {each.column} is {each.value}, {each.metric}",
            difference=_negative(each.fall.mean),
            low=_negative(each.fall.high),
            high=_negative(each.fall.low),
            p_value=chance,
            n=each.fall.n_rows,
            note="p of: not worse than the champion; after Holm",
        )
        for each, chance in zip(told, adjusted, strict=True)
    )


def difference_test(name: str, found: Difference) -> TestResult:
    """Return a paired difference as a test."""
    return TestResult(
        name, found.mean, found.low, found.high, found.p_value, found.n_rows, found.method
    )


def rate_gaps(
    said: Predictions, slices: Sequence[Slice], schema: Schema
) -> tuple[RateGap, ...] | None:
    """Return for each column the largest gap between the rates at which a class is predicted.

    Parameters
    ----------
    said : Predictions
    slices : sequence of Slice
        Of sensitive columns.
    schema : Schema
        In a binary task the positive class counts, in others the class whose gap is largest.

    Returns
    -------
    tuple of RateGap, optional
        None in regression, which predicts no class.

    Examples
    --------
    >>> said = Predictions(np.array([1.0, 1.0, 0.0, 1.0]))
    >>> parts = [Slice("sex", "f", np.array([0, 1])), Slice("sex", "m", np.array([2, 3]))]
    >>> schema = Schema((), "y", "binary", ("no", "yes"))
    >>> [(each.predicted, each.highest, each.gap) for each in rate_gaps(said, parts, schema)]
    [('yes', 'f', 0.5)]
    """
    if schema.task == "regression":
        return None
    codes = [1] if schema.task == "binary" else range(len(schema.classes))
    gaps = []
    for column in dict.fromkeys(each.column for each in slices):
        parts = [each for each in slices if each.column == column]
        if len(parts) >= TWO_VALUES:
            found = [_gap(said, parts, code, schema.classes[code]) for code in codes]
            gaps.append(max(found, key=lambda each: each.gap))
    return tuple(gaps)


def row_faults(
    holdout: pd.DataFrame, training: pd.DataFrame, schema: Schema, truth: Floats
) -> tuple[str, ...]:
    """Return what keeps the rows that judge from being judged by.

    Parameters
    ----------
    holdout, training : DataFrame
        Clean rows.
    schema : Schema
    truth : array of shape (n,)
        Of the hold-out.

    Examples
    --------
    >>> from pipelines.core.schema import Column
    >>> schema = Schema((Column("age", "number"),), "y", "regression")
    >>> gone, there = pd.DataFrame({"age": [np.nan]}), pd.DataFrame({"age": [31.0]})
    >>> row_faults(gone, there, schema, np.array([1.0]))[0][:47]
    'age is missing in every row that judges, and in'
    """
    return (*_unlabelled(truth), *_gone(holdout, training, schema))


def _fall(metrics: Sequence[Metric], pair: Pair, part: Slice, bootstrap: Bootstrap) -> SliceFall:
    defined = (each for each in metrics if np.isfinite(each.figure(pair.truth, pair.theirs)))
    metric = next(defined, metrics[0])
    figure = metric.figure(pair.truth, pair.theirs)
    return SliceFall(
        part.column,
        part.value,
        metric.name,
        figure if np.isfinite(figure) else None,
        loss_of(metric, pair, bootstrap),
    )


def _taken(pair: Pair, part: Slice) -> Pair:
    mask = np.zeros(pair.truth.size, dtype=bool)
    mask[part.rows] = True
    return Pair(pair.truth[mask], taken(pair.ours, mask), taken(pair.theirs, mask))


def _negative(figure: float | None) -> float | None:
    return None if figure is None else -figure


def _gap(said: Predictions, parts: Sequence[Slice], code: int, name: str) -> RateGap:
    rates = {each.value: float((said.values[each.rows] == code).mean()) for each in parts}
    lowest, highest = min(rates, key=rates.__getitem__), max(rates, key=rates.__getitem__)
    return RateGap(parts[0].column, name, lowest, highest, rates[highest] - rates[lowest])


def _unlabelled(truth: Floats) -> Iterator[str]:
    n_unknown = int((~np.isfinite(truth)).sum())
    if n_unknown:
        yield f"{n_unknown} rows that judge have no truth that is known"


def _gone(holdout: pd.DataFrame, training: pd.DataFrame, schema: Schema) -> Iterator[str]:
    for name in (column.name for column in schema.features if column.name in holdout):
        share = float(training[name].isna().mean()) if len(training) else 1.0
        if len(holdout) and holdout[name].isna().all() and share < MOSTLY:
            yield (
                f"{name} is missing in every row that judges, and in {share:.0%} of those it"
                " learned from: mend the feed, or add it to data.ignore"
            )
