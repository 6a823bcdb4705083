"""The model beside its baselines on the hold-out: the rows of an evaluation."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace

from pipelines.core.baselines import BaselineFigures
from pipelines.core.evaluation import BaselineRow, MetricRow
from pipelines.core.intervals import paired_difference
from pipelines.core.metrics import Metric, answered, figures, is_better, lift
from pipelines.core.model_figures import Bootstrap, Holdout, ModelFigures
from pipelines.core.trials import Figures


@dataclass(frozen=True)
class Lift:
    """By how much the model is better than a baseline, on how many rows, with its interval."""

    value: float | None
    low: float | None
    high: float | None
    n_rows: int
    paired: bool


def baseline_rows(
    known: Iterable[BaselineFigures],
    holdout: Holdout,
    *,
    metrics: Sequence[Metric],
    model: ModelFigures,
    bootstrap: Bootstrap,
) -> tuple[BaselineRow, ...]:
    """Return every baseline with its figures, and the model's lift over it in the first metric.

    Parameters
    ----------
    known : iterable of BaselineFigures
        The baselines on the folds.
    holdout : Holdout
    metrics : sequence of Metric
        The first is the one that is optimised.
    model : ModelFigures
    bootstrap : Bootstrap
    """
    rows = []
    for baseline in known:
        on_holdout = _holdout_figures(baseline, holdout, metrics=metrics)
        row = BaselineRow(
            baseline.name, baseline.kind, baseline.description, on_holdout, baseline.mean
        )
        lifted = _lift(row, holdout, metric=metrics[0], model=model, bootstrap=bootstrap)
        rows.append(
            replace(
                row,
                lift=lifted.value,
                low=lifted.low,
                high=lifted.high,
                paired=lifted.paired,
                n_rows=lifted.n_rows,
            )
        )
    return tuple(rows)


def metric_rows(
    metrics: Iterable[Metric],
    holdout: Holdout,
    *,
    model: ModelFigures,
    baselines: Sequence[BaselineRow],
    bootstrap: Bootstrap,
) -> tuple[MetricRow, ...]:
    """Return the model's figures, each beside the baseline that is best in it.

    Parameters
    ----------
    metrics : iterable of Metric
    holdout : Holdout
    model : ModelFigures
    baselines : sequence of BaselineRow
        From `baseline_rows`. One that leaves rows out is best in nothing, since its figures are
        those of other rows.
    bootstrap : Bootstrap
    """
    rows = []
    whole = [row for row in baselines if row.n_rows == holdout.truth.size]
    for metric in metrics:
        row, best = _metric_row(metric, model), best_baseline(metric, whole)
        if best is not None:
            lifted = _lift(best, holdout, metric=metric, model=model, bootstrap=bootstrap)
            row = replace(
                row,
                baseline=best.name,
                baseline_holdout=best.holdout[metric.name],
                lift=lifted.value,
                lift_low=lifted.low,
                lift_high=lifted.high,
            )
        rows.append(row)
    return tuple(rows)


def best_baseline(metric: Metric, rows: Iterable[BaselineRow]) -> BaselineRow | None:
    """Return the baseline that is best on the hold-out in a metric; None if none has a figure.

    Examples
    --------
    >>> from pipelines.core.metrics import METRICS
    >>> rows = [BaselineRow(name, "none", "", {"f1": f1}, {}) for name, f1 in [("a", 0), ("b", 1)]]
    >>> best_baseline(METRICS["f1"], rows).name
    'b'
    """
    best, best_figure = None, None
    for row in rows:
        figure = row.holdout.get(metric.name)
        if is_better(metric, figure, best_figure):
            best, best_figure = row, figure
    return best


def _holdout_figures(
    baseline: BaselineFigures, holdout: Holdout, *, metrics: Sequence[Metric]
) -> Figures:
    if baseline.name in holdout.baselines:
        return figures(metrics, holdout.truth, holdout.baselines[baseline.name])
    return holdout.expected.get(baseline.name, baseline.mean)


def _lift(
    row: BaselineRow,
    holdout: Holdout,
    *,
    metric: Metric,
    model: ModelFigures,
    bootstrap: Bootstrap,
) -> Lift:
    said = holdout.baselines.get(row.name)
    if said is None:
        return _lift_over_figure(row.holdout.get(metric.name), metric, model=model, holdout=holdout)
    found = paired_difference(metric, holdout.truth, holdout.model, said, **asdict(bootstrap))
    return Lift(found.mean, found.low, found.high, int(answered(said).sum()), paired=True)


def _lift_over_figure(
    figure: float | None, metric: Metric, *, model: ModelFigures, holdout: Holdout
) -> Lift:
    interval = model.intervals[metric.name]
    worst, best = interval.low, interval.high
    if not metric.greater_is_better:
        worst, best = best, worst
    value = lift(metric, model.holdout[metric.name], figure)
    low, high = lift(metric, worst, figure), lift(metric, best, figure)
    return Lift(value, low, high, holdout.truth.size, paired=False)


def _metric_row(metric: Metric, model: ModelFigures) -> MetricRow:
    name = metric.name
    folds, member = model.folds.get(name), model.member.get(name)
    return MetricRow(
        name=name,
        greater_is_better=metric.greater_is_better,
        holdout=model.holdout[name],
        low=model.intervals[name].low,
        high=model.intervals[name].high,
        training=model.training[name],
        gap=lift(metric, model.training[name], model.holdout[name]),
        folds=folds.mean if folds else None,
        folds_low=folds.interval.low if folds else None,
        folds_high=folds.interval.high if folds else None,
        member_folds=member.mean if member else None,
    )
