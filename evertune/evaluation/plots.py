"""The plots of an evaluation and of a search, as matplotlib figures and PNG files.

`evaluation_plots` draws all that an evaluation can show, as PNG bytes by name; `search_plots`
those of a search. Each `plot_...` function returns one figure and leaves no state behind.
`figure_to_png` gives the same bytes for the same figure, without a time stamp, so that files
change only when their content does. `roc_curves`, `precision_recall_curves` and
`reliability_curve` compute the points.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve, roc_curve

from evertune.evaluation.explain import Contributions
from evertune.evaluation.formatting import format_lift, humanize, metric_name
from evertune.evaluation.records import BaselineRow, Evaluation, MetricRow, metric_row
from evertune.evaluation.slices import SliceRow
from evertune.evaluation.thresholds import CHOSEN_OUT_OF_FOLD, candidate_thresholds, threshold_costs
from evertune.metrics.weighted import TWO_CLASSES
from evertune.models.origin import TrialWeight
from evertune.search.summary import OVERHEAD, SearchReport, TimeSpent
from evertune.types import FloatArray, Predictions

N_BINARY_CLASSES = 2
MAX_CURVES = 10


@dataclass(frozen=True, eq=False)
class Curve:
    """Points to be joined by a line: x and y of shape (n_points,), and the line's name."""

    name: str
    x: FloatArray
    y: FloatArray


def roc_curves(
    truth: FloatArray, probabilities: FloatArray, *, classes: tuple[str, ...]
) -> tuple[Curve, ...]:
    """Return one ROC curve a class, each against the rest; binary: of the positive class only.

    A class without rows, or without rows of the rest, has no curve.

    Parameters
    ----------
    truth : array of shape (n,)
        Codes of the true classes.
    probabilities : array of shape (n, n_classes)
    classes : tuple of str
        Names in the order of the codes.

    Examples
    --------
    >>> import numpy as np
    >>> truth = np.array([0.0, 0.0, 1.0, 1.0])
    >>> p = np.array([0.1, 0.6, 0.4, 0.9])
    >>> (curve,) = roc_curves(truth, np.column_stack([1 - p, p]), classes=("no", "yes"))
    >>> curve.name, curve.x.tolist(), curve.y.tolist()
    ('yes', [0.0, 0.0, 0.5, 0.5, 1.0], [0.0, 0.5, 0.5, 1.0, 1.0])
    """
    curves = []
    for code in _classes_to_draw(truth, classes):
        false_rate, true_rate, _ = roc_curve(truth == code, probabilities[:, code])
        curves.append(Curve(classes[code], false_rate, true_rate))
    return tuple(curves)


def precision_recall_curves(
    truth: FloatArray, probabilities: FloatArray, *, classes: tuple[str, ...]
) -> tuple[Curve, ...]:
    """Return precision (y) over recall (x), one curve a class; binary: of the positive class.

    Parameters
    ----------
    truth : array of shape (n,)
        Codes of the true classes.
    probabilities : array of shape (n, n_classes)
    classes : tuple of str
        Names in the order of the codes.

    Examples
    --------
    >>> import numpy as np
    >>> truth = np.array([0.0, 1.0])
    >>> p = np.array([0.1, 0.9])
    >>> (curve,) = precision_recall_curves(truth, np.column_stack([1 - p, p]), classes=("no", "yes"))
    >>> curve.x.tolist(), curve.y.tolist()
    ([1.0, 1.0, 0.0], [0.5, 1.0, 1.0])
    """
    curves = []
    for code in _classes_to_draw(truth, classes):
        precision, recall, _ = precision_recall_curve(truth == code, probabilities[:, code])
        curves.append(Curve(classes[code], recall, precision))
    return tuple(curves)


def reliability_curve(truth: FloatArray, probabilities: FloatArray, *, n_bins: int = 10) -> Curve:
    """Return how often predictions were right (y) over how sure they were (x), in bins.

    Bins hold about the same number of rows each. Binary: the share of the positive class over its
    probability; more classes: the share of right predictions over the highest probability.

    Parameters
    ----------
    truth : array of shape (n,)
        Codes of the true classes.
    probabilities : array of shape (n, n_classes)
    n_bins : int
        At most so many points.

    Raises
    ------
    ValueError
        If there are no rows.

    Examples
    --------
    >>> import numpy as np
    >>> p = np.array([0.2, 0.2, 0.8, 0.8])
    >>> truth = np.array([0.0, 1.0, 1.0, 1.0])
    >>> curve = reliability_curve(truth, np.column_stack([1 - p, p]), n_bins=2)
    >>> curve.x.tolist(), curve.y.tolist()
    ([0.2, 0.8], [0.5, 1.0])
    """
    if not len(truth):
        raise ValueError("Expected rows to bin, but got none.")
    if probabilities.shape[1] == N_BINARY_CLASSES:
        stated, right = probabilities[:, 1], truth == 1
    else:
        stated, right = probabilities.max(axis=1), truth == probabilities.argmax(axis=1)
    edges = np.unique(np.quantile(stated, np.linspace(0, 1, n_bins + 1)[1:-1]))
    bins = np.searchsorted(edges, stated, side="right")
    counts = np.bincount(bins)
    filled = counts > 0
    x = np.bincount(bins, stated)[filled] / counts[filled]
    y = np.bincount(bins, right)[filled] / counts[filled]
    return Curve("", x, y)


def _classes_to_draw(truth: FloatArray, classes: tuple[str, ...]) -> list[int]:
    """Return the codes of the classes that get a line: the most frequent ones, in their order."""
    counts = np.bincount(truth.astype(int), minlength=len(classes))
    frequent = np.argsort(-counts, kind="stable")[:MAX_CURVES]
    codes = [1] if len(classes) == N_BINARY_CLASSES else np.sort(frequent).tolist()
    return [code for code in codes if 0 < counts[code] < len(truth)]


RED = "#a3271b"


def figure_to_png(figure: Figure) -> bytes:
    """Return a figure as PNG: the same bytes for the same figure.

    Examples
    --------
    >>> figure_to_png(Figure(figsize=(1, 1)))[1:4]
    b'PNG'
    """
    buffer = BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def shorten_label(name: str, length: int = 24) -> str:
    """Return a name as plain text that fits; dollar signs would start a formula."""
    cut = name if len(name) <= length else name[: length - 1] + "…"
    return cut.replace("$", r"\$")


BLUE = "#1f5fa8"
GREY = "#9aa3ad"


def new_axes(size: tuple[float, float], *, title: str, x: str, y: str = "") -> Axes:
    """Return the axes of a new figure of so many inches, with a title and the axes' names.

    Examples
    --------
    >>> new_axes((4.0, 3.0), title="Loss", x="Seconds").get_xlabel()
    'Seconds'
    """
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    return style_axes(figure.add_subplot(), title=title, x=x, y=y)


def style_axes(axes: Axes, *, title: str, x: str, y: str = "") -> Axes:
    """Return axes with a title on the left, names with units, and no frame above and right."""
    axes.set_title(title, fontsize=11, loc="left", pad=10)
    axes.set_xlabel(x, fontsize=10)
    axes.set_ylabel(y, fontsize=10)
    axes.tick_params(labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def axes_figure(axes: Axes) -> Figure:
    """Return the figure that axes are part of.

    Examples
    --------
    >>> len(axes_figure(new_axes((4.0, 3.0), title="", x="")).axes)
    1
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    return figure


MAX_CLASSES_PLOTTED = 12
MAX_COLUMNS_PLOTTED = 15
MAX_POINTS_PLOTTED = 5000
MAX_HORIZONTAL_LABELS = 3
DARK_CELL_SHARE = 0.55


def plot_confusion(confusion: tuple[tuple[int, ...], ...], *, classes: tuple[str, ...]) -> Figure:
    """Return the confusion matrix: shares of each true class as colour, counts as text.

    Only the most frequent classes are drawn where there are many.

    Parameters
    ----------
    confusion : tuple of tuple of int
        Rows by true class (first index) and predicted class.
    classes : tuple of str

    Examples
    --------
    >>> figure = plot_confusion(((3, 1), (0, 2)), classes=("no", "yes"))
    >>> figure.axes[0].get_xlabel()
    'Predicted'
    """
    counts = np.array(confusion, dtype=float)
    kept = np.sort(np.argsort(-counts.sum(axis=1), kind="stable")[:MAX_CLASSES_PLOTTED])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes = _square_axes(len(kept), title=_confusion_title(len(kept), len(classes)))
    axes.imshow(shares[np.ix_(kept, kept)], cmap="Blues", vmin=0, vmax=1)
    names = [shorten_label(classes[code]) for code in kept]
    axes.set_xticks(
        range(len(kept)), names, rotation=45 if len(kept) > MAX_HORIZONTAL_LABELS else 0
    )
    axes.set_yticks(range(len(kept)), names)
    for row, true in enumerate(kept):
        for column, predicted in enumerate(kept):
            _draw_cell(
                axes, (column, row), count=counts[true, predicted], share=shares[true, predicted]
            )
    return axes_figure(axes)


def plot_roc(curves: tuple[Curve, ...]) -> Figure:
    """Return ROC curves above the diagonal of a guess.

    Examples
    --------
    >>> import numpy as np
    >>> line = Curve("yes", np.array([0.0, 0.2, 1.0]), np.array([0.0, 0.7, 1.0]))
    >>> plot_roc((line,)).axes[0].get_ylabel()
    'True positive rate'
    """
    axes = new_axes((4.6, 4.4), title="ROC", x="False positive rate", y="True positive rate")
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="guessing")
    return _draw_curves(axes, curves)


def plot_precision_recall(curves: tuple[Curve, ...]) -> Figure:
    """Return precision over recall; the dotted line is the precision of a guess.

    Examples
    --------
    >>> import numpy as np
    >>> line = Curve("yes", np.array([1.0, 0.5, 0.0]), np.array([0.2, 0.7, 1.0]))
    >>> plot_precision_recall((line,)).axes[0].get_xlabel()
    'Recall'
    """
    axes = new_axes((4.6, 4.4), title="Precision and recall", x="Recall", y="Precision")
    if len(curves) == 1:
        share = float(curves[0].y[0])
        axes.axhline(share, color=GREY, linestyle="--", linewidth=1, label="guessing")
    return _draw_curves(axes, curves)


def plot_reliability(curve: Curve) -> Figure:
    """Return how often predictions were right over how sure they were.

    Examples
    --------
    >>> import numpy as np
    >>> curve = Curve("", np.array([0.1, 0.8]), np.array([0.15, 0.7]))
    >>> plot_reliability(curve).axes[0].get_title("left")
    'Calibration'
    """
    axes = new_axes((4.6, 4.4), title="Calibration", x="Stated probability", y="Observed share")
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="perfect")
    axes.plot(curve.x, curve.y, color=BLUE, marker="o", markersize=4, label="model")
    return _draw_curves(axes, ())


def plot_predicted_vs_true(truth: FloatArray, values: FloatArray) -> Figure:
    """Return predicted over true values; at most 5,000 rows, evenly picked, are drawn.

    Examples
    --------
    >>> import numpy as np
    >>> plot_predicted_vs_true(np.array([1.0, 2.0]), np.array([1.5, 2.0])).axes[0].get_xlabel()
    'True value'
    """
    axes = new_axes((4.6, 4.4), title="Predicted and true", x="True value", y="Predicted value")
    drawn = _evenly_picked_rows(len(truth))
    axes.scatter(truth[drawn], values[drawn], s=8, alpha=0.35, color=BLUE, linewidths=0)
    low, high = min(truth.min(), values.min()), max(truth.max(), values.max())
    axes.plot([low, high], [low, high], color=GREY, linestyle="--", linewidth=1)
    return axes_figure(axes)


def plot_residuals(truth: FloatArray, values: FloatArray) -> Figure:
    """Return errors (true minus predicted) over predicted values.

    Examples
    --------
    >>> import numpy as np
    >>> plot_residuals(np.array([1.0, 2.0]), np.array([1.5, 2.0])).axes[0].get_title("left")
    'Errors'
    """
    axes = new_axes((4.6, 4.4), title="Errors", x="Predicted value", y="True minus predicted")
    drawn = _evenly_picked_rows(len(truth))
    axes.scatter(values[drawn], (truth - values)[drawn], s=8, alpha=0.35, color=BLUE, linewidths=0)
    axes.axhline(0, color=GREY, linestyle="--", linewidth=1)
    return axes_figure(axes)


def plot_importance(evaluation: Evaluation) -> Figure:
    """Return what the model loses when a column is shuffled, with its interval.

    Raises
    ------
    ValueError
        If the evaluation has no importance.
    """
    rows = evaluation.importance[:MAX_COLUMNS_PLOTTED][::-1]
    if not rows:
        raise ValueError("Expected the importance of at least one column, but got none.")
    axes = new_axes(
        (6.4, 1.4 + 0.3 * len(rows)),
        title="Importance: what shuffling a column costs",
        x=f"Loss in {metric_name(evaluation.metric)} on the hold-out",
    )
    axes.barh(range(len(rows)), [row.loss for row in rows], color=BLUE, height=0.65)
    for place, row in enumerate(rows):
        axes.plot([row.low, row.high], [place, place], color="black", linewidth=1)
    axes.set_yticks(range(len(rows)), [shorten_label(row.column) for row in rows])
    axes.axvline(0, color=GREY, linewidth=0.8)
    return axes_figure(axes)


def plot_baselines(evaluation: Evaluation) -> Figure:
    """Return the model with its interval above the baselines, best first, with its lift over each.

    Baselines without a figure in the metric that is optimised are left out.
    """
    ranked = ranked_baselines(evaluation)[::-1]
    rows = [row for row in ranked if row.holdout.get(evaluation.metric) is not None]
    axes = new_axes(
        (7.2, 1.5 + 0.34 * (len(rows) + 1)),
        title="The model beside its baselines",
        x=f"{metric_name(evaluation.metric)} on the hold-out ({_better_direction(evaluation)})",
    )
    for place, row in enumerate(rows):
        _draw_baseline(axes, place, row=row, metric=evaluation.metric)
    _draw_model(axes, len(rows), row=metric_row(evaluation, evaluation.metric))
    names = [*(humanize(row.name) for row in rows), "model"]
    axes.set_yticks(range(len(names)), names)
    return axes_figure(axes)


def ranked_baselines(evaluation: Evaluation) -> list[BaselineRow]:
    """Return the baselines, best first in the metric that is optimised, those without it last."""
    sign = -1.0 if evaluation.greater_is_better else 1.0

    def rank(row: BaselineRow) -> float:
        figure = row.holdout.get(evaluation.metric)
        return math.inf if figure is None else sign * figure

    return sorted(evaluation.baselines, key=rank)


def _better_direction(evaluation: Evaluation) -> str:
    return "greater is better" if evaluation.greater_is_better else "smaller is better"


def _draw_baseline(axes: Axes, place: int, *, row: BaselineRow, metric: str) -> None:
    axes.plot([row.holdout[metric] or 0.0], [place], "o", color=GREY, markersize=7)
    if row.lift is not None:
        text = f"lift {format_lift(row.lift)}"
        beside = axes.get_yaxis_transform()
        axes.annotate(text, (1.02, place), xycoords=beside, va="center", fontsize=9)


def _draw_model(axes: Axes, place: int, *, row: MetricRow) -> None:
    if row.holdout is None:
        return
    axes.plot([row.holdout], [place], "D", color=BLUE, markersize=7)
    axes.axvline(row.holdout, color=BLUE, linewidth=0.8, linestyle=":")
    if row.low is not None and row.high is not None:
        axes.plot([row.low, row.high], [place, place], color=BLUE, linewidth=2)


def _square_axes(n_classes: int, *, title: str) -> Axes:
    side = 2.6 + 0.62 * n_classes
    axes = new_axes((side + 0.8, side), title=title, x="Predicted", y="True")
    axes.spines[:].set_visible(False)
    return axes


def _confusion_title(n_drawn: int, n_classes: int) -> str:
    part = f" ({n_drawn} most frequent classes)" if n_drawn < n_classes else ""
    return f"Confusion matrix{part}"


def _draw_curves(axes: Axes, curves: tuple[Curve, ...]) -> Figure:
    for curve in curves:
        colour = BLUE if len(curves) == 1 else None
        axes.plot(curve.x, curve.y, color=colour, linewidth=1.6, label=shorten_label(curve.name))
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    axes.set_aspect("equal")
    axes.legend(fontsize=9, frameon=False)
    return axes_figure(axes)


def _draw_cell(axes: Axes, place: tuple[int, int], *, count: float, share: float) -> None:
    colour = "white" if share > DARK_CELL_SHARE else "black"
    axes.text(*place, f"{count:,.0f}\n{share:.0%}", color=colour, ha="center", va="center", size=9)


def _evenly_picked_rows(n_rows: int) -> slice:
    return slice(None, None, max(1, -(-n_rows // MAX_POINTS_PLOTTED)))


MAX_SLICES_PLOTTED = 24


def plot_slices(evaluation: Evaluation) -> Figure:
    """Return the figure on each slice with its interval, beside that of all rows.

    Raises
    ------
    ValueError
        If no slice has a figure.
    """
    rows = slices_to_plot(evaluation)[::-1]
    if not rows:
        raise ValueError("Expected at least one slice with a figure, but got none.")
    name = metric_name(evaluation.metric)
    side = "greater" if evaluation.greater_is_better else "smaller"
    axes = new_axes((7.2, 1.6 + 0.3 * len(rows)), title="Slices", x=f"{name} ({side} is better)")
    for place, row in enumerate(rows):
        _draw_slice(axes, place, row)
    whole = metric_row(evaluation, evaluation.metric).holdout
    if whole is not None:
        axes.axvline(whole, color=GREY, linestyle="--", linewidth=1, label="all rows")
        axes.legend(fontsize=9, frameon=False, loc="best")
    names = [shorten_label(f"{row.column}: {row.value}", 40) for row in rows]
    axes.set_yticks(range(len(rows)), names)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    return axes_figure(axes)


def slices_to_plot(evaluation: Evaluation) -> list[SliceRow]:
    """Return the slices that have a figure and enough rows, as many as a picture holds."""
    rows = [row for row in evaluation.slices if row.figure is not None and not row.small]
    return rows[:MAX_SLICES_PLOTTED]


def plot_contributions(contributions: Contributions) -> Figure:
    """Return what columns add to what the boosters say, as bars.

    Examples
    --------
    >>> from evertune.evaluation.explain import Contribution
    >>> drawn = plot_contributions(Contributions((Contribution("age", 1.0),), 0.5, 10))
    >>> drawn.axes[0].get_xlabel()
    'Share of the sum of |SHAP value|, %'
    """
    rows = contributions.columns[:MAX_COLUMNS_PLOTTED][::-1]
    axes = new_axes(
        (6.4, 1.4 + 0.3 * len(rows)),
        title=f"Contributions in the boosters ({100 * contributions.weight:.0f} % of the model)",
        x="Share of the sum of |SHAP value|, %",
    )
    axes.barh(range(len(rows)), [100 * row.share for row in rows], color=BLUE, height=0.65)
    axes.set_yticks(range(len(rows)), [shorten_label(row.column) for row in rows])
    return axes_figure(axes)


def plot_thresholds(truth: FloatArray, chances: FloatArray, *, in_use: float) -> Figure:
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
    >>> drawn = plot_thresholds(np.array([0.0, 1.0]), np.array([0.2, 0.9]), in_use=0.5)
    >>> [line.get_label() for line in drawn.axes[0].lines]
    ['precision', 'recall', 'share said positive', 'threshold in use']
    """
    axes = new_axes(
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
    return axes_figure(axes)


def plot_costs(
    truth: FloatArray,
    chances: FloatArray,
    matrix: FloatArray,
    *,
    in_use: float,
    chosen: float | None,
) -> Figure:
    """Return the expected cost of a row over thresholds on the rows that judge.

    Parameters
    ----------
    truth : array of shape (n,)
    chances : array of shape (n,)
        The probability of the positive class.
    matrix : array of shape (2, 2)
        From `evertune.evaluation.thresholds.cost_matrix`.
    in_use : float
        The model's threshold.
    chosen : float, optional
        The cheapest one, chosen on other rows.
    """
    axes = new_axes(
        (4.6, 4.4), title="What thresholds cost", x="Threshold of the probability", y="Cost a row"
    )
    cuts = candidate_thresholds(chances)
    axes.plot(cuts, threshold_costs(truth, chances, matrix, cuts), color=BLUE, label="hold-out")
    axes.axvline(in_use, color="black", linewidth=0.8, linestyle=":", label="in use")
    if chosen is not None:
        axes.axvline(chosen, color=RED, linewidth=1, linestyle="--", label="cheapest out of fold")
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=9, frameon=False)
    return axes_figure(axes)


def _draw_slice(axes: Axes, place: int, row: SliceRow) -> None:
    colour = RED if row.found else BLUE
    axes.plot([row.figure or 0.0], [place], "o", color=colour, markersize=5)
    if row.low is not None and row.high is not None:
        axes.plot([row.low, row.high], [place, place], color=colour, linewidth=1.5)


MAX_WEIGHTS_PLOTTED = 20
BAR_INCHES = 0.32


def search_plots(story: SearchReport, *, metric: str) -> dict[str, Figure]:
    """Return the figures that a search can be shown with, by name.

    Parameters
    ----------
    story : SearchReport
    metric : str
        Name of the metric that is optimised.

    Returns
    -------
    dict
        `search_best` (the best score over time), `search_weights` (of the ensemble's trials) and
        `search_budget` (where the time went), each only where there is something to show.

    Examples
    --------
    >>> sorted(search_plots(SearchReport(curve=((1.0, 0.5),)), metric="roc_auc"))
    ['search_best']
    """
    figures = {}
    if story.curve:
        figures["search_best"] = plot_best_score(story, metric=metric)
    if len(story.weights) > 1:
        figures["search_weights"] = plot_ensemble_weights(story.weights)
    if story.spent:
        figures["search_budget"] = plot_time_spent(story)
    return figures


def plot_best_score(story: SearchReport, *, metric: str) -> Figure:
    """Return the best mean score over all folds that was known at each second of a search.

    Examples
    --------
    >>> story = SearchReport(curve=((1.0, 0.5), (4.0, 0.7)), seconds=5.0)
    >>> plot_best_score(story, metric="roc_auc").axes[0].get_xlabel()
    'Seconds since the search began'
    """
    axes = new_axes(
        (7.2, 3.6),
        title="The best trial so far",
        x="Seconds since the search began",
        y=f"{metric_name(metric)}, mean over folds",
    )
    moments = [moment for moment, _ in story.curve]
    scores = [score for _, score in story.curve]
    end = max(story.seconds, moments[-1])
    axes.step([*moments, end], [*scores, scores[-1]], where="post", color=BLUE, linewidth=1.6)
    better = [
        place for place in range(len(scores)) if place == 0 or scores[place] != scores[place - 1]
    ]
    axes.plot(
        [moments[place] for place in better], [scores[place] for place in better], "o", color=BLUE
    )
    axes.set_xlim(0, end * 1.02)
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.annotate(
        f"{scores[-1]:.4g}", (end, scores[-1]), xytext=(-4, -12), textcoords="offset points",
        ha="right", fontsize=9,
    )  # fmt: skip
    return axes_figure(axes)


def plot_ensemble_weights(weights: Sequence[TrialWeight]) -> Figure:
    """Return what each trial of an ensemble counts, the heaviest first.

    Raises
    ------
    ValueError
        If there are no weights.
    """
    if not weights:
        raise ValueError("Expected the weight of at least one trial, but got none.")
    shown = weights[:MAX_WEIGHTS_PLOTTED]
    more = f" ({len(shown)} of {len(weights)})" if len(shown) < len(weights) else ""
    axes = new_axes(
        (6.4, 1.4 + BAR_INCHES * len(shown)),
        title=f"Trials that make the ensemble{more}",
        x="Weight in percent",
    )
    names = [f"{humanize(each.family)}, trial {each.number}" for each in shown]
    _draw_bars(axes, names, [100 * each.weight for each in shown], [BLUE] * len(shown))
    _label_bars(axes, [f"{100 * each.weight:.0f} %" for each in shown])
    return axes_figure(axes)


def plot_time_spent(story: SearchReport) -> Figure:
    """Return where the workers' time went: by what it was for, and by family.

    Examples
    --------
    >>> spent = (TimeSpent("portfolio", 9.0, 3),)
    >>> figure = plot_time_spent(SearchReport(spent=spent, families=(TimeSpent("linear", 9.0, 3),)))
    >>> figure.axes[0].get_xlabel()
    'Seconds of all workers together'
    """
    n_bars = len(story.spent), max(len(story.families), 1)
    height = 2.0 + BAR_INCHES * sum(n_bars)
    figure = Figure(figsize=(6.8, height), dpi=110, layout="constrained")
    upper, lower = figure.subplots(2, 1, gridspec_kw={"height_ratios": n_bars})
    seconds = "Seconds of all workers together"
    _draw_time_spent(style_axes(upper, title="Where the budget went", x=seconds), story.spent)
    _draw_time_spent(style_axes(lower, title="Fits by family", x=seconds), story.families)
    return figure


def _draw_time_spent(axes: Axes, spent: Sequence[TimeSpent]) -> None:
    colours = [GREY if each.phase == OVERHEAD else BLUE for each in spent]
    _draw_bars(
        axes, [humanize(each.phase) for each in spent], [each.seconds for each in spent], colours
    )
    _label_bars(axes, [_time_spent_label(each) for each in spent])


def _time_spent_label(spent: TimeSpent) -> str:
    noun = "trial" if spent.trials == 1 else "trials"
    trials = f", {spent.trials} {noun}" if spent.trials else ""
    return f"{spent.seconds:.1f} s{trials}"


def _draw_bars(
    axes: Axes, names: Sequence[str], lengths: Sequence[float], colours: Sequence[str]
) -> None:
    axes.barh(range(len(names)), lengths, color=colours, height=0.65)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlim(0, max([*lengths, 1e-9]) * 1.3)  # room for what stands beside the bars


def _label_bars(axes: Axes, texts: Sequence[str]) -> None:
    for bar, text in zip(axes.patches, texts, strict=True):
        width, place = bar.get_width(), bar.get_y() + bar.get_height() / 2  # type: ignore[attr-defined]
        axes.annotate(
            text, (width, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=9
        )


def evaluation_plots(
    evaluation: Evaluation,
    truth: FloatArray,
    *,
    predictions: Predictions,
    costs: FloatArray | None = None,
) -> dict[str, bytes]:
    """Return the PNG pictures that an evaluation can be shown with.

    Parameters
    ----------
    evaluation : Evaluation
    truth : array of shape (n,)
        Of the hold-out.
    predictions : Predictions
        Of the model, for the same rows.
    costs : array of shape (n_classes, n_classes), optional
        What mistakes cost.

    Returns
    -------
    dict
        `baselines`, `importance`, `contributions` and `slices` where there are any; of classes
        `confusion`, `roc_curves`, `precision_recall_curves`, `reliability_curve`, `thresholds` and
        `costs`, of values
        `predicted` and `residuals`; of the search those of `evertune.evaluation.plots`.
    """
    figures = _summary_plots(evaluation)
    if evaluation.task == "regression":
        figures["predicted"] = plot_predicted_vs_true(truth, predictions.values)
        figures["residuals"] = plot_residuals(truth, predictions.values)
    else:
        figures["confusion"] = plot_confusion(evaluation.confusion, classes=evaluation.classes)
        figures |= _curve_plots(evaluation.classes, truth, predictions=predictions)
        figures |= _decision_plots(evaluation, truth, predictions, costs)
    for story in evaluation.story:
        figures |= search_plots(story, metric=evaluation.metric)
    return {name: figure_to_png(figure) for name, figure in figures.items()}


def _summary_plots(evaluation: Evaluation) -> dict[str, Figure]:
    figures = {}
    if evaluation.baselines:
        figures["baselines"] = plot_baselines(evaluation)
    if evaluation.importance:
        figures["importance"] = plot_importance(evaluation)
    for explained in evaluation.contributions:
        figures["contributions"] = plot_contributions(explained)
    if slices_to_plot(evaluation):
        figures["slices"] = plot_slices(evaluation)
    return figures


def _decision_plots(
    evaluation: Evaluation, truth: FloatArray, predictions: Predictions, costs: FloatArray | None
) -> dict[str, Figure]:
    shares = predictions.probabilities
    if shares is None or shares.shape[1] != TWO_CLASSES or not evaluation.decisions:
        return {}
    in_use = evaluation.decisions[0].threshold or 0.0
    figures = {"thresholds": plot_thresholds(truth, shares[:, 1], in_use=in_use)}
    if costs is not None:
        cheapest = [
            each.threshold
            for each in evaluation.decisions
            if each.name == "cheapest threshold" and each.chosen_on == CHOSEN_OUT_OF_FOLD
        ]
        chosen = cheapest[0] if cheapest else None
        figures["costs"] = plot_costs(truth, shares[:, 1], costs, in_use=in_use, chosen=chosen)
    return figures


def _curve_plots(
    classes: tuple[str, ...], truth: FloatArray, *, predictions: Predictions
) -> dict[str, Figure]:
    probabilities = predictions.probabilities
    if probabilities is None:
        return {}
    figures = {"calibration": plot_reliability(reliability_curve(truth, probabilities))}
    lines = roc_curves(truth, probabilities, classes=classes)
    if lines:
        points = precision_recall_curves(truth, probabilities, classes=classes)
        figures |= {"roc": plot_roc(lines), "precision_recall": plot_precision_recall(points)}
    return figures
