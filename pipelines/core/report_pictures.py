"""The pictures of slices, contributions, thresholds and costs in a report."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipelines.core.canvases import BLUE, GREY, blank, figure_of
from pipelines.core.contributions import Contributions
from pipelines.core.costs import cuts_of, threshold_costs
from pipelines.core.drawing import RED, short_name
from pipelines.core.evaluation import Evaluation, metric_row
from pipelines.core.names import metric_name
from pipelines.core.predictions import Floats
from pipelines.core.slicing import SliceRow

MOST_SLICES = 24
MOST_COLUMNS = 15


def slices_picture(evaluation: Evaluation) -> Figure:
    """Return the figure on each slice with its interval, beside that of all rows.

    Raises
    ------
    ValueError
        If no slice has a figure.
    """
    rows = drawn_slices(evaluation)[::-1]
    if not rows:
        raise ValueError("Expected at least one slice with a figure, but got none.")
    name = metric_name(evaluation.metric)
    side = "greater" if evaluation.greater_is_better else "smaller"
    axes = blank((7.2, 1.6 + 0.3 * len(rows)), title="Slices", x=f"{name} ({side} is better)")
    for place, row in enumerate(rows):
        _slice(axes, place, row)
    whole = metric_row(evaluation, evaluation.metric).holdout
    if whole is not None:
        axes.axvline(whole, color=GREY, linestyle="--", linewidth=1, label="all rows")
        axes.legend(fontsize=9, frameon=False, loc="best")
    names = [short_name(f"{row.column}: {row.value}", 40) for row in rows]
    axes.set_yticks(range(len(rows)), names)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    return figure_of(axes)


def drawn_slices(evaluation: Evaluation) -> list[SliceRow]:
    """Return the slices that have a figure and enough rows, as many as a picture holds."""
    rows = [row for row in evaluation.slices if row.figure is not None and not row.small]
    return rows[:MOST_SLICES]


def contributions_picture(contributions: Contributions) -> Figure:
    """Return what columns add to what the boosters say, as bars.

    Examples
    --------
    >>> from pipelines.core.contributions import Contribution
    >>> drawn = contributions_picture(Contributions((Contribution("age", 1.0),), 0.5, 10))
    >>> drawn.axes[0].get_xlabel()
    'Share of the sum of |SHAP value|, %'
    """
    rows = contributions.columns[:MOST_COLUMNS][::-1]
    axes = blank(
        (6.4, 1.4 + 0.3 * len(rows)),
        title=f"Contributions in the boosters ({100 * contributions.weight:.0f} % of the model)",
        x="Share of the sum of |SHAP value|, %",
    )
    axes.barh(range(len(rows)), [100 * row.share for row in rows], color=BLUE, height=0.65)
    axes.set_yticks(range(len(rows)), [short_name(row.column) for row in rows])
    return figure_of(axes)


def thresholds_picture(truth: Floats, chances: Floats, *, in_use: float) -> Figure:
    """Return precision, recall and the share that is said positive over thresholds.

    Parameters
    ----------
    truth : array of shape (n,)
        1 for the positive class.
    chances : array of shape (n,)
        Its probability.
    in_use : float
        The model's threshold.

    Examples
    --------
    >>> drawn = thresholds_picture(np.array([0.0, 1.0]), np.array([0.2, 0.9]), in_use=0.5)
    >>> [line.get_label() for line in drawn.axes[0].lines]
    ['precision', 'recall', 'share said positive', 'threshold in use']
    """
    axes = blank(
        (4.6, 4.4), title="Thresholds", x="Threshold of the probability", y="Share of rows"
    )
    cuts = np.linspace(0, 0.995, 200)
    said = chances[None, :] > cuts[:, None]
    hits, count = (said & (truth == 1)).sum(axis=1), said.sum(axis=1)
    positives = max(float((truth == 1).sum()), 1.0)
    precision = np.divide(hits, count, out=np.full(len(cuts), np.nan), where=count > 0)
    axes.plot(cuts, precision, color=BLUE, label="precision")
    axes.plot(cuts, hits / positives, color=RED, label="recall")
    axes.plot(cuts, count / len(truth), color=GREY, label="share said positive")
    axes.axvline(in_use, color="black", linewidth=0.8, linestyle=":", label="threshold in use")
    axes.set_ylim(-0.01, 1.01)
    axes.legend(fontsize=9, frameon=False)
    return figure_of(axes)


def costs_picture(
    truth: Floats, chances: Floats, matrix: Floats, *, in_use: float, chosen: float | None
) -> Figure:
    """Return the expected cost of a row over thresholds on the rows that judge.

    Parameters
    ----------
    truth : array of shape (n,)
    chances : array of shape (n,)
        The probability of the positive class.
    matrix : array of shape (2, 2)
        From `pipelines.core.costs.cost_matrix`.
    in_use : float
        The model's threshold.
    chosen : float, optional
        The cheapest one, chosen on other rows.
    """
    axes = blank(
        (4.6, 4.4), title="What thresholds cost", x="Threshold of the probability", y="Cost a row"
    )
    cuts = cuts_of(chances)
    axes.plot(cuts, threshold_costs(truth, chances, matrix, cuts), color=BLUE, label="hold-out")
    axes.axvline(in_use, color="black", linewidth=0.8, linestyle=":", label="in use")
    if chosen is not None:
        axes.axvline(chosen, color=RED, linewidth=1, linestyle="--", label="cheapest out of fold")
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=9, frameon=False)
    return figure_of(axes)


def _slice(axes: Axes, place: int, row: SliceRow) -> None:
    colour = RED if row.found else BLUE
    axes.plot([row.figure or 0.0], [place], "o", color=colour, markersize=5)
    if row.low is not None and row.high is not None:
        axes.plot([row.low, row.high], [place, place], color=colour, linewidth=1.5)
