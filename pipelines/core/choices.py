"""Which model is worth deploying, and whether it keeps the guards."""

from collections.abc import Iterable, Mapping

from pipelines.core.comparing import best_baseline
from pipelines.core.evaluation import MODEL, BaselineRow, Guard
from pipelines.core.metrics import Metric, is_better
from pipelines.core.names import metric_name, words
from pipelines.core.trials import Figures


def choice(metric: Metric, baselines: Iterable[BaselineRow]) -> tuple[str, tuple[str, ...]]:
    """Return what to deploy, `model` or `simplest:<name>`, and why.

    The simplest models are cheaper to run, to explain and to keep; what cannot be told from the
    best of them on the hold-out does not pay for itself.

    Parameters
    ----------
    metric : Metric
        The one that is optimised.
    baselines : iterable of BaselineRow

    Examples
    --------
    >>> from pipelines.core.metrics import METRICS
    >>> row = BaselineRow("ridge", "model", "", {"rmse": 2.0}, {}, lift=0.1, low=-0.1, high=0.3)
    >>> choice(METRICS["rmse"], [row])[0]
    'simplest:ridge'
    """
    simplest = best_baseline(metric, [row for row in baselines if row.kind == "model"])
    if simplest is None or simplest.low is None:
        return MODEL, ("There is no simplest model that it could be compared with.",)
    place = f"the best of the simplest models, {words(simplest.name)}"
    if simplest.low > 0:
        better = f"On the same rows it is better than {place}, in {metric_name(metric.name)}."
        return MODEL, (better,)
    return f"simplest:{simplest.name}", (
        f"On the same rows the model that was searched for cannot be told from {place}, in "
        f"{metric_name(metric.name)}: the interval of its lift over it does not lie above zero.",
        "What is simpler is cheaper to run, to explain and to keep.",
    )


def guard_rows(
    bounds: Mapping[str, float], metrics: Iterable[Metric], *, figures: Figures
) -> tuple[Guard, ...]:
    """Return each guard and whether it is kept; an undefined figure keeps none.

    Parameters
    ----------
    bounds : mapping from metric to float
        What a figure must reach where greater is better, and must not pass where smaller is.
    metrics : iterable of Metric
    figures : dict

    Examples
    --------
    >>> from pipelines.core.metrics import METRICS
    >>> rmse = METRICS["rmse"]
    >>> guard_rows({"rmse": 2.0}, [rmse], figures={"rmse": 2.5})[0].kept
    False
    """
    return tuple(
        Guard(
            metric.name,
            bounds[metric.name],
            figures[metric.name],
            kept=_keeps(metric, figures[metric.name], bound=bounds[metric.name]),
        )
        for metric in metrics
        if metric.name in bounds
    )


def _keeps(metric: Metric, figure: float | None, *, bound: float) -> bool:
    return figure is not None and not is_better(metric, bound, figure)
