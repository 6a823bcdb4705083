"""The pictures of an evaluation. Each function returns one figure and leaves no state behind."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipelines.core.canvases import BLUE, GREY, blank, figure_of
from pipelines.core.curves import Curve
from pipelines.core.drawing import short_name
from pipelines.core.evaluation import BaselineRow, Evaluation, MetricRow, metric_row
from pipelines.core.names import lift_text, metric_name, words
from pipelines.core.predictions import Floats

MOST_CLASSES = 12
MOST_COLUMNS = 15
MOST_POINTS = 5000
LEVEL_NAMES = 3
DARK = 0.55


def confusion_picture(
    confusion: tuple[tuple[int, ...], ...], *, classes: tuple[str, ...]
) -> Figure:
    """Return the confusion matrix: shares of each true class as colour, counts as text.

    Only the most frequent classes are drawn where there are many.

    Parameters
    ----------
    confusion : tuple of tuple of int
        Rows by true class (first index) and predicted class.
    classes : tuple of str

    Examples
    --------
    >>> figure = confusion_picture(((3, 1), (0, 2)), classes=("no", "yes"))
    >>> figure.axes[0].get_xlabel()
    'Predicted'
    """
    counts = np.array(confusion, dtype=float)
    kept = np.sort(np.argsort(-counts.sum(axis=1), kind="stable")[:MOST_CLASSES])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes = _square(len(kept), title=_confusion_title(len(kept), len(classes)))
    axes.imshow(shares[np.ix_(kept, kept)], cmap="Blues", vmin=0, vmax=1)
    names = [short_name(classes[code]) for code in kept]
    axes.set_xticks(range(len(kept)), names, rotation=45 if len(kept) > LEVEL_NAMES else 0)
    axes.set_yticks(range(len(kept)), names)
    for row, true in enumerate(kept):
        for column, predicted in enumerate(kept):
            _cell(axes, (column, row), count=counts[true, predicted], share=shares[true, predicted])
    return figure_of(axes)


def roc_picture(curves: tuple[Curve, ...]) -> Figure:
    """Return ROC curves above the diagonal of a guess.

    Examples
    --------
    >>> import numpy as np
    >>> line = Curve("yes", np.array([0.0, 0.2, 1.0]), np.array([0.0, 0.7, 1.0]))
    >>> roc_picture((line,)).axes[0].get_ylabel()
    'True positive rate'
    """
    axes = blank((4.6, 4.4), title="ROC", x="False positive rate", y="True positive rate")
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="guessing")
    return _unit_square(axes, curves)


def precision_recall_picture(curves: tuple[Curve, ...]) -> Figure:
    """Return precision over recall; the dotted line is the precision of a guess.

    Examples
    --------
    >>> import numpy as np
    >>> line = Curve("yes", np.array([1.0, 0.5, 0.0]), np.array([0.2, 0.7, 1.0]))
    >>> precision_recall_picture((line,)).axes[0].get_xlabel()
    'Recall'
    """
    axes = blank((4.6, 4.4), title="Precision and recall", x="Recall", y="Precision")
    if len(curves) == 1:
        share = float(curves[0].y[0])
        axes.axhline(share, color=GREY, linestyle="--", linewidth=1, label="guessing")
    return _unit_square(axes, curves)


def calibration_picture(curve: Curve) -> Figure:
    """Return how often predictions were right over how sure they were.

    Examples
    --------
    >>> import numpy as np
    >>> curve = Curve("", np.array([0.1, 0.8]), np.array([0.15, 0.7]))
    >>> calibration_picture(curve).axes[0].get_title("left")
    'Calibration'
    """
    axes = blank((4.6, 4.4), title="Calibration", x="Stated probability", y="Observed share")
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="perfect")
    axes.plot(curve.x, curve.y, color=BLUE, marker="o", markersize=4, label="model")
    return _unit_square(axes, ())


def predicted_picture(truth: Floats, values: Floats) -> Figure:
    """Return predicted over true values; at most 5,000 rows, evenly picked, are drawn.

    Examples
    --------
    >>> import numpy as np
    >>> predicted_picture(np.array([1.0, 2.0]), np.array([1.5, 2.0])).axes[0].get_xlabel()
    'True value'
    """
    axes = blank((4.6, 4.4), title="Predicted and true", x="True value", y="Predicted value")
    drawn = _spread(len(truth))
    axes.scatter(truth[drawn], values[drawn], s=8, alpha=0.35, color=BLUE, linewidths=0)
    low, high = min(truth.min(), values.min()), max(truth.max(), values.max())
    axes.plot([low, high], [low, high], color=GREY, linestyle="--", linewidth=1)
    return figure_of(axes)


def residuals_picture(truth: Floats, values: Floats) -> Figure:
    """Return errors (true minus predicted) over predicted values.

    Examples
    --------
    >>> import numpy as np
    >>> residuals_picture(np.array([1.0, 2.0]), np.array([1.5, 2.0])).axes[0].get_title("left")
    'Errors'
    """
    axes = blank((4.6, 4.4), title="Errors", x="Predicted value", y="True minus predicted")
    drawn = _spread(len(truth))
    axes.scatter(values[drawn], (truth - values)[drawn], s=8, alpha=0.35, color=BLUE, linewidths=0)
    axes.axhline(0, color=GREY, linestyle="--", linewidth=1)
    return figure_of(axes)


def importance_picture(evaluation: Evaluation) -> Figure:
    """Return what the model loses when a column is shuffled, with its interval.

    Raises
    ------
    ValueError
        If the evaluation has no importance.
    """
    rows = evaluation.importance[:MOST_COLUMNS][::-1]
    if not rows:
        raise ValueError("Expected the importance of at least one column, but got none.")
    axes = blank(
        (6.4, 1.4 + 0.3 * len(rows)),
        title="Importance: what shuffling a column costs",
        x=f"Loss in {metric_name(evaluation.metric)} on the hold-out",
    )
    axes.barh(range(len(rows)), [row.loss for row in rows], color=BLUE, height=0.65)
    for place, row in enumerate(rows):
        axes.plot([row.low, row.high], [place, place], color="black", linewidth=1)
    axes.set_yticks(range(len(rows)), [short_name(row.column) for row in rows])
    axes.axvline(0, color=GREY, linewidth=0.8)
    return figure_of(axes)


def baselines_picture(evaluation: Evaluation) -> Figure:
    """Return the model with its interval above the baselines, best first, with its lift over each.

    Baselines without a figure in the metric that is optimised are left out.
    """
    ranked = ranked_baselines(evaluation)[::-1]
    rows = [row for row in ranked if row.holdout.get(evaluation.metric) is not None]
    axes = blank(
        (7.2, 1.5 + 0.34 * (len(rows) + 1)),
        title="The model beside its baselines",
        x=f"{metric_name(evaluation.metric)} on the hold-out ({_direction(evaluation)})",
    )
    for place, row in enumerate(rows):
        _baseline(axes, place, row=row, metric=evaluation.metric)
    _model(axes, len(rows), row=metric_row(evaluation, evaluation.metric))
    names = [*(words(row.name) for row in rows), "model"]
    axes.set_yticks(range(len(names)), names)
    return figure_of(axes)


def ranked_baselines(evaluation: Evaluation) -> list[BaselineRow]:
    """Return the baselines, best first in the metric that is optimised, those without it last."""
    sign = -1.0 if evaluation.greater_is_better else 1.0

    def rank(row: BaselineRow) -> float:
        figure = row.holdout.get(evaluation.metric)
        return math.inf if figure is None else sign * figure

    return sorted(evaluation.baselines, key=rank)


def _direction(evaluation: Evaluation) -> str:
    return "greater is better" if evaluation.greater_is_better else "smaller is better"


def _baseline(axes: Axes, place: int, *, row: BaselineRow, metric: str) -> None:
    axes.plot([row.holdout[metric] or 0.0], [place], "o", color=GREY, markersize=7)
    if row.lift is not None:
        text = f"lift {lift_text(row.lift)}"
        beside = axes.get_yaxis_transform()
        axes.annotate(text, (1.02, place), xycoords=beside, va="center", fontsize=9)


def _model(axes: Axes, place: int, *, row: MetricRow) -> None:
    if row.holdout is None:
        return
    axes.plot([row.holdout], [place], "D", color=BLUE, markersize=7)
    axes.axvline(row.holdout, color=BLUE, linewidth=0.8, linestyle=":")
    if row.low is not None and row.high is not None:
        axes.plot([row.low, row.high], [place, place], color=BLUE, linewidth=2)


def _square(n_classes: int, *, title: str) -> Axes:
    side = 2.6 + 0.62 * n_classes
    axes = blank((side + 0.8, side), title=title, x="Predicted", y="True")
    axes.spines[:].set_visible(False)
    return axes


def _confusion_title(n_drawn: int, n_classes: int) -> str:
    part = f" ({n_drawn} most frequent classes)" if n_drawn < n_classes else ""
    return f"Confusion matrix{part}"


def _unit_square(axes: Axes, curves: tuple[Curve, ...]) -> Figure:
    for curve in curves:
        colour = BLUE if len(curves) == 1 else None
        axes.plot(curve.x, curve.y, color=colour, linewidth=1.6, label=short_name(curve.name))
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    axes.set_aspect("equal")
    axes.legend(fontsize=9, frameon=False)
    return figure_of(axes)


def _cell(axes: Axes, place: tuple[int, int], *, count: float, share: float) -> None:
    colour = "white" if share > DARK else "black"
    axes.text(*place, f"{count:,.0f}\n{share:.0%}", color=colour, ha="center", va="center", size=9)


def _spread(n_rows: int) -> slice:
    return slice(None, None, max(1, -(-n_rows // MOST_POINTS)))
