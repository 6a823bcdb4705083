"""The plots of an evaluation and of a search, as matplotlib figures and PNG files.

`evaluation_plots` draws all that an evaluation can show, as PNG bytes by name. Each `plot_...`
function returns one figure and leaves no state behind.
"""

import math
from collections.abc import Sequence
from io import BytesIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.calibration import calibration_curve
from sklearn.metrics import precision_recall_curve, roc_curve

from evertune.evaluation.evaluation_record import (
    BaselineRow,
    Evaluation,
    chosen_simple_model,
    metric_row,
)
from evertune.evaluation.explain import Contributions
from evertune.evaluation.formatting import format_lift, humanize, metric_name
from evertune.evaluation.monotone import MonotoneCheck
from evertune.evaluation.slices import SliceRow
from evertune.evaluation.thresholds import (
    CHEAPEST_THRESHOLD,
    candidate_thresholds,
    threshold_costs,
)
from evertune.messages import format_percent
from evertune.models.provenance import TrialWeight
from evertune.search.summary import OVERHEAD, SearchReport, TimeSpent
from evertune.types import FloatArray, Predictions

RED, BLUE, GREY = "#a3271b", "#1f5fa8", "#9aa3ad"
SQUARE = (4.6, 4.4)
BAR_INCHES = 0.32
MAX_CURVES = 10
N_CALIBRATION_POINTS = 10
MAX_CLASSES_PLOTTED = 12
MAX_COLUMNS_PLOTTED = 15
MAX_POINTS_PLOTTED = 5000
MAX_SLICES_PLOTTED = 24
MAX_WEIGHTS_PLOTTED = 20
DARK_CELL_SHARE = 0.55


def evaluation_plots(
    evaluation: Evaluation,
    y_true: FloatArray,
    pred: Predictions,
    *,
    costs: FloatArray | None = None,
) -> dict[str, bytes]:
    """Return the PNG plots of an evaluation and of the model's predictions for the hold-out.

    They are `baselines`, `importance`, `contributions`, `slices` and `monotone` if there are any;
    for classes `confusion`, `roc`, `precision_recall`, `calibration`, `thresholds` and `costs`; for
    values `predicted` and `residuals`; and those of `search_plots`.
    """
    figures: dict[str, Figure] = {}
    if evaluation.baselines:
        figures["baselines"] = plot_baselines(evaluation)
    if evaluation.importance:
        figures["importance"] = plot_importance(evaluation)
    for contributions in evaluation.contributions:
        figures["contributions"] = plot_contributions(contributions)
    if slices_to_plot(evaluation):
        figures["slices"] = plot_slices(evaluation)
    if evaluation.monotone:
        figures["monotone"] = plot_monotone(evaluation.monotone)
    if evaluation.task == "regression":
        figures["predicted"] = plot_predicted_vs_true(y_true, pred.values)
        figures["residuals"] = plot_residuals(y_true, pred.values)
    else:
        figures["confusion"] = plot_confusion(evaluation.confusion, classes=evaluation.classes)
        if pred.probabilities is not None:
            figures |= _probability_plots(evaluation, y_true, pred.probabilities, costs)
    for story in evaluation.story:
        figures |= search_plots(story, metric=evaluation.metric)
    return {name: figure_to_png(figure) for name, figure in figures.items()}


def _probability_plots(
    evaluation: Evaluation, y_true: FloatArray, proba: FloatArray, costs: FloatArray | None
) -> dict[str, Figure]:
    figures = {"calibration": plot_reliability(y_true, proba)}
    if _classes_to_draw(y_true, evaluation.classes):
        figures["roc"] = plot_roc(y_true, proba, classes=evaluation.classes)
        figures["precision_recall"] = plot_precision_recall(
            y_true, proba, classes=evaluation.classes
        )
    if proba.shape[1] == 2 and evaluation.decisions:
        in_use = evaluation.decisions[0].threshold or 0.0
        figures["thresholds"] = plot_thresholds(y_true, proba[:, 1], in_use=in_use)
        if costs is not None:
            thresholds = {rule.name: rule.threshold for rule in evaluation.decisions}
            figures["costs"] = plot_costs(
                y_true, proba[:, 1], costs, in_use=in_use, chosen=thresholds.get(CHEAPEST_THRESHOLD)
            )
    return figures


# Predictions


def plot_confusion(confusion: tuple[tuple[int, ...], ...], *, classes: tuple[str, ...]) -> Figure:
    """Plot the confusion matrix: shares of each true class as colour, counts as text.

    Of many classes only the most frequent are drawn.
    """
    counts = np.array(confusion, dtype=float)
    codes = np.sort(np.argsort(-counts.sum(axis=1), kind="stable")[:MAX_CLASSES_PLOTTED])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    part = f" ({len(codes)} most frequent classes)" if len(codes) < len(classes) else ""
    side = 2.6 + 0.62 * len(codes)
    axes = _new_axes((side + 0.8, side), title=f"Confusion matrix{part}", x="Predicted", y="True")
    axes.spines[:].set_visible(False)
    axes.imshow(shares[np.ix_(codes, codes)], cmap="Blues", vmin=0, vmax=1)
    names = [_shorten(classes[code]) for code in codes]
    axes.set_xticks(range(len(codes)), names, rotation=45 if len(codes) > 3 else 0)
    axes.set_yticks(range(len(codes)), names)
    for row, true in enumerate(codes):
        for column, predicted in enumerate(codes):
            share = shares[true, predicted]
            text = f"{counts[true, predicted]:,.0f}\n{format_percent(share, 0)}"
            colour = "white" if share > DARK_CELL_SHARE else "black"
            axes.text(column, row, text, color=colour, ha="center", va="center", size=9)
    return _figure(axes)


def plot_roc(y_true: FloatArray, proba: FloatArray, *, classes: tuple[str, ...]) -> Figure:
    """Plot one ROC curve a class, each against the rest; binary: of the positive class only."""
    axes = _new_axes(SQUARE, title="ROC", x="False positive rate", y="True positive rate")
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="guessing")
    codes = _classes_to_draw(y_true, classes)
    for code in codes:
        x, y, _ = roc_curve(y_true == code, proba[:, code])
        colour = BLUE if len(codes) == 1 else None
        axes.plot(x, y, color=colour, linewidth=1.6, label=_shorten(classes[code]))
    return _unit_square(axes)


def plot_precision_recall(
    y_true: FloatArray, proba: FloatArray, *, classes: tuple[str, ...]
) -> Figure:
    """Plot precision over recall, one curve a class; binary: of the positive class only."""
    axes = _new_axes(SQUARE, title="Precision and recall", x="Recall", y="Precision")
    codes = _classes_to_draw(y_true, classes)
    for code in codes:
        y, x, _ = precision_recall_curve(y_true == code, proba[:, code])
        if len(codes) == 1:
            axes.axhline(y[0], color=GREY, linestyle="--", linewidth=1, label="guessing")
        colour = BLUE if len(codes) == 1 else None
        axes.plot(x, y, color=colour, linewidth=1.6, label=_shorten(classes[code]))
    return _unit_square(axes)


def plot_reliability(y_true: FloatArray, proba: FloatArray) -> Figure:
    """Plot the observed share over the stated probability, in ten bins of about as many rows.

    Binary: of the positive class; more classes: of right predictions over the highest probability.
    """
    if proba.shape[1] == 2:
        stated, right = proba[:, 1], y_true == 1
    else:
        stated, right = proba.max(axis=1), y_true == proba.argmax(axis=1)
    y, x = calibration_curve(
        right.astype(int), stated, pos_label=1, n_bins=N_CALIBRATION_POINTS, strategy="quantile"
    )
    axes = _new_axes(SQUARE, title="Calibration", x="Predicted probability", y="Observed share")
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="perfect")
    axes.plot(x, y, color=BLUE, marker="o", markersize=4, label="model")
    return _unit_square(axes)


def plot_thresholds(y_true: FloatArray, proba: FloatArray, *, in_use: float) -> Figure:
    """Plot precision, recall and the share predicted positive over thresholds."""
    axes = _new_axes(
        SQUARE, title="Thresholds", x="Threshold of the probability", y="Share of rows"
    )
    thresholds = np.linspace(0, 0.995, 200)
    positive = proba[None, :] > thresholds[:, None]
    hits, count = (positive & (y_true == 1)).sum(axis=1), positive.sum(axis=1)
    n_true = max(float((y_true == 1).sum()), 1.0)
    precision = np.divide(hits, count, out=np.full(len(thresholds), np.nan), where=count > 0)
    axes.plot(thresholds, precision, color=BLUE, label="precision")
    axes.plot(thresholds, hits / n_true, color=RED, label="recall")
    axes.plot(thresholds, count / len(y_true), color=GREY, label="share predicted positive")
    axes.axvline(in_use, color="black", linewidth=0.8, linestyle=":", label="threshold in use")
    axes.set_ylim(-0.01, 1.01)
    axes.legend(fontsize=9, frameon=False)
    return _figure(axes)


def plot_costs(
    y_true: FloatArray,
    proba: FloatArray,
    costs: FloatArray,
    *,
    in_use: float,
    chosen: float | None,
) -> Figure:
    """Plot the mean cost per row over thresholds of the positive class's probability."""
    axes = _new_axes(
        SQUARE, title="Cost by threshold", x="Threshold of the probability", y="Cost per row"
    )
    thresholds = candidate_thresholds(proba)
    means = threshold_costs(y_true, proba, costs, thresholds)
    axes.plot(thresholds, means, color=BLUE, label="hold-out")
    axes.axvline(in_use, color="black", linewidth=0.8, linestyle=":", label="in use")
    if chosen is not None:
        axes.axvline(chosen, color=RED, linewidth=1, linestyle="--", label="cheapest (out-of-fold)")
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=9, frameon=False)
    return _figure(axes)


def plot_predicted_vs_true(y_true: FloatArray, values: FloatArray) -> Figure:
    """Plot predicted over true values of at most 5,000 evenly picked rows."""
    axes = _new_axes(SQUARE, title="Predicted and true", x="True value", y="Predicted value")
    rows = _evenly_picked_rows(len(y_true))
    axes.scatter(y_true[rows], values[rows], s=8, alpha=0.35, color=BLUE, linewidths=0)
    low, high = min(y_true.min(), values.min()), max(y_true.max(), values.max())
    axes.plot([low, high], [low, high], color=GREY, linestyle="--", linewidth=1)
    return _figure(axes)


def plot_residuals(y_true: FloatArray, values: FloatArray) -> Figure:
    """Plot errors (true minus predicted) over predicted values."""
    axes = _new_axes(SQUARE, title="Errors", x="Predicted value", y="True minus predicted")
    rows = _evenly_picked_rows(len(y_true))
    axes.scatter(values[rows], (y_true - values)[rows], s=8, alpha=0.35, color=BLUE, linewidths=0)
    axes.axhline(0, color=GREY, linestyle="--", linewidth=1)
    return _figure(axes)


# Summaries


def plot_baselines(evaluation: Evaluation) -> Figure:
    """Plot the model in use with its interval above the baselines, with its lift over each.

    The best baseline comes first. The search's model is among them if it is not the one in use;
    its lift is that of the model in use over it. What has no score in the optimised metric is left
    out.
    """
    metric, main = evaluation.metric, metric_row(evaluation, evaluation.metric)
    ranked = ranked_baselines(evaluation)[::-1]
    rows = [
        (humanize(row.name), score, row.lift)
        for row in ranked
        if (score := row.holdout.get(metric)) is not None
    ]
    for searched in evaluation.searched:
        score = searched.holdout.get(metric)
        if score is not None:
            lift = None if searched.difference is None else -searched.difference
            rows.append(("the search's model", score, lift))
    axes = _new_axes(
        (7.2, 1.5 + 0.34 * (len(rows) + 1)),
        title="The model in use and its baselines",
        x=f"{metric_name(metric)} on the hold-out ({_better_side(evaluation)})",
    )
    for y, (_, score, lift) in enumerate(rows):
        axes.plot([score], [y], "o", color=GREY, markersize=7)
        if lift is not None:
            beside, text = axes.get_yaxis_transform(), f"lift {format_lift(lift)}"
            axes.annotate(text, (1.02, y), xycoords=beside, va="center", fontsize=9)
    if main.holdout is not None:
        axes.plot([main.holdout], [len(rows)], "D", color=BLUE, markersize=7)
        axes.axvline(main.holdout, color=BLUE, linewidth=0.8, linestyle=":")
        if main.low is not None and main.high is not None:
            axes.plot([main.low, main.high], [len(rows)] * 2, color=BLUE, linewidth=2)
    names = [*(name for name, _, _ in rows), model_in_use(evaluation)]
    axes.set_yticks(range(len(names)), names)
    return _figure(axes)


def model_in_use(evaluation: Evaluation) -> str:
    """Return what a figure or a table calls the model in use."""
    simplest = chosen_simple_model(evaluation)
    return "model" if simplest is None else humanize(simplest)


def ranked_baselines(evaluation: Evaluation) -> list[BaselineRow]:
    """Return the baselines, best first in the optimised metric, those without a score last.

    The one that is the model in use is not among them.
    """
    sign = -1.0 if evaluation.greater_is_better else 1.0

    def rank(row: BaselineRow) -> float:
        score = row.holdout.get(evaluation.metric)
        return math.inf if score is None else sign * score

    in_use = chosen_simple_model(evaluation)
    return sorted((row for row in evaluation.baselines if row.name != in_use), key=rank)


def plot_importance(evaluation: Evaluation) -> Figure:
    """Plot what the model loses when a column is shuffled, with its interval."""
    rows = evaluation.importance[:MAX_COLUMNS_PLOTTED][::-1]
    axes = _column_bars(
        [row.column for row in rows],
        [row.loss for row in rows],
        title="Importance: the effect of shuffling a column",
        x=f"How much worse {metric_name(evaluation.metric)} gets on the hold-out",
    )
    for y, row in enumerate(rows):
        axes.plot([row.low, row.high], [y, y], color="black", linewidth=1)
    axes.axvline(0, color=GREY, linewidth=0.8)
    return _figure(axes)


def plot_contributions(contributions: Contributions) -> Figure:
    """Plot the columns' shares in the boosters' SHAP values."""
    rows = contributions.columns[:MAX_COLUMNS_PLOTTED][::-1]
    weight = f"{100 * contributions.weight:.0f} % of the model"
    axes = _column_bars(
        [row.column for row in rows],
        [100 * row.share for row in rows],
        title=f"Contributions in the boosted trees ({weight})",
        x="Share of the sum of |SHAP value|, %",
    )
    return _figure(axes)


def _column_bars(names: Sequence[str], lengths: Sequence[float], *, title: str, x: str) -> Axes:
    axes = _new_axes((6.4, 1.4 + 0.3 * len(names)), title=title, x=x)
    axes.barh(range(len(names)), lengths, color=BLUE, height=0.65)
    axes.set_yticks(range(len(names)), [_shorten(name) for name in names])
    return axes


def plot_slices(evaluation: Evaluation) -> Figure:
    """Plot the score on each slice with its interval, beside that of all rows."""
    rows = slices_to_plot(evaluation)[::-1]
    name = metric_name(evaluation.metric)
    axes = _new_axes(
        (7.2, 1.6 + 0.3 * len(rows)), title="Slices", x=f"{name} ({_better_side(evaluation)})"
    )
    for y, row in enumerate(rows):
        colour = RED if row.found else BLUE
        axes.plot([row.figure or 0.0], [y], "o", color=colour, markersize=5)
        if row.low is not None and row.high is not None:
            axes.plot([row.low, row.high], [y, y], color=colour, linewidth=1.5)
    whole = metric_row(evaluation, evaluation.metric).holdout
    if whole is not None:
        axes.axvline(whole, color=GREY, linestyle="--", linewidth=1, label="all rows")
        axes.legend(fontsize=9, frameon=False, loc="best")
    names = [_shorten(f"{row.column}: {row.value}", 40) for row in rows]
    axes.set_yticks(range(len(rows)), names)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    return _figure(axes)


def plot_monotone(checks: Sequence[MonotoneCheck]) -> Figure:
    """Plot the mean prediction by the value of each monotone column, one panel a column."""
    shown = checks[:MAX_COLUMNS_PLOTTED]
    n_columns = min(3, len(shown))
    n_lines = math.ceil(len(shown) / n_columns)
    figure = Figure(figsize=(3.2 * n_columns, 2.6 * n_lines), dpi=110, layout="constrained")
    for number, check in enumerate(shown, start=1):
        axes = figure.add_subplot(n_lines, n_columns, number)
        title = f"{_shorten(check.column, 24)}: {check.trend}"
        _style_axes(axes, title=title, x="", y="Mean prediction")
        axes.plot(check.values, check.means, color=BLUE if check.kept else RED, marker=".")
    return figure


def slices_to_plot(evaluation: Evaluation) -> list[SliceRow]:
    """Return the slices that have a score and enough rows, as many as a plot holds."""
    rows = [row for row in evaluation.slices if row.figure is not None and not row.small]
    return rows[:MAX_SLICES_PLOTTED]


# The search


def search_plots(story: SearchReport, *, metric: str) -> dict[str, Figure]:
    """Return the figures that a search can be shown with, by name.

    `search_best` (the best score over time), `search_weights` (of the ensemble's trials) and
    `search_budget` (where the time went), each only if there is something to show.
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
    """Plot the best mean score over all folds that was known at each second of a search."""
    axes = _new_axes(
        (7.2, 3.6),
        title="The best trial so far",
        x="Seconds since the search began",
        y=f"{metric_name(metric)}, mean over folds",
    )
    seconds, scores = zip(*story.curve, strict=True)
    end = max(story.seconds, seconds[-1])
    axes.step([*seconds, end], [*scores, scores[-1]], where="post", color=BLUE, linewidth=1.6)
    better = [i for i in range(len(scores)) if i == 0 or scores[i] != scores[i - 1]]
    axes.plot([seconds[i] for i in better], [scores[i] for i in better], "o", color=BLUE)
    axes.set_xlim(0, end * 1.02)
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.annotate(
        f"{scores[-1]:.4g}", (end, scores[-1]), xytext=(-4, -12), textcoords="offset points",
        ha="right", fontsize=9,
    )  # fmt: skip
    return _figure(axes)


def plot_ensemble_weights(weights: Sequence[TrialWeight]) -> Figure:
    """Plot the weight of each trial of an ensemble, the heaviest first."""
    shown = weights[:MAX_WEIGHTS_PLOTTED]
    more = f" ({len(shown)} of {len(weights)})" if len(shown) < len(weights) else ""
    axes = _new_axes(
        (6.4, 1.4 + BAR_INCHES * len(shown)),
        title=f"Trials that make the ensemble{more}",
        x="Weight in percent",
    )
    names = [f"{humanize(each.family)}, trial {each.number}" for each in shown]
    percents = [100 * each.weight for each in shown]
    _draw_labelled_bars(axes, names, percents, [f"{weight:.0f} %" for weight in percents])
    return _figure(axes)


def plot_time_spent(story: SearchReport) -> Figure:
    """Plot where the workers' time went: by its purpose, and by family."""
    n_bars = len(story.spent), max(len(story.families), 1)
    figure = Figure(figsize=(6.8, 2.0 + BAR_INCHES * sum(n_bars)), dpi=110, layout="constrained")
    upper, lower = figure.subplots(2, 1, gridspec_kw={"height_ratios": n_bars})
    seconds = "Seconds of all workers together"
    _draw_time_spent(_style_axes(upper, title="Where the budget went", x=seconds), story.spent)
    _draw_time_spent(_style_axes(lower, title="Fits by family", x=seconds), story.families)
    return figure


def _draw_time_spent(axes: Axes, spent: Sequence[TimeSpent]) -> None:
    texts = []
    for each in spent:
        noun = "trial" if each.trials == 1 else "trials"
        trials = f", {each.trials} {noun}" if each.trials else ""
        texts.append(f"{each.seconds:.1f} s{trials}")
    names = [humanize(each.name) for each in spent]
    colours = [GREY if each.name == OVERHEAD else BLUE for each in spent]
    _draw_labelled_bars(axes, names, [each.seconds for each in spent], texts, colours)


# Matplotlib


def figure_to_png(figure: Figure) -> bytes:
    """Return a figure as PNG: the same bytes for the same figure, without a time stamp."""
    buffer = BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _new_axes(size: tuple[float, float], *, title: str, x: str, y: str = "") -> Axes:
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    return _style_axes(figure.add_subplot(), title=title, x=x, y=y)


def _style_axes(axes: Axes, *, title: str, x: str, y: str = "") -> Axes:
    axes.set_title(title, fontsize=11, loc="left", pad=10)
    axes.set_xlabel(x, fontsize=10)
    axes.set_ylabel(y, fontsize=10)
    axes.tick_params(labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _figure(axes: Axes) -> Figure:
    figure = axes.get_figure(root=True)
    assert figure is not None
    return figure


def _unit_square(axes: Axes) -> Figure:
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    axes.set_aspect("equal")
    axes.legend(fontsize=9, frameon=False)
    return _figure(axes)


def _draw_labelled_bars(
    axes: Axes,
    names: Sequence[str],
    lengths: Sequence[float],
    texts: Sequence[str],
    colours: Sequence[str] | str = BLUE,
) -> None:
    axes.barh(range(len(names)), lengths, color=colours, height=0.65)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlim(0, max([*lengths, 1e-9]) * 1.3)  # room for the texts beside the bars
    for y, (length, text) in enumerate(zip(lengths, texts, strict=True)):
        axes.annotate(
            text, (length, y), xytext=(4, 0), textcoords="offset points", va="center", fontsize=9
        )


def _classes_to_draw(y_true: FloatArray, classes: tuple[str, ...]) -> list[int]:
    """Return the classes with a curve: the most frequent ones that some but not all rows have."""
    counts = np.bincount(y_true.astype(int), minlength=len(classes))
    frequent = np.argsort(-counts, kind="stable")[:MAX_CURVES]
    codes = [1] if len(classes) == 2 else np.sort(frequent).tolist()
    return [code for code in codes if 0 < counts[code] < len(y_true)]


def _evenly_picked_rows(n_rows: int) -> slice:
    return slice(None, None, max(1, -(-n_rows // MAX_POINTS_PLOTTED)))


def _better_side(evaluation: Evaluation) -> str:
    return "greater is better" if evaluation.greater_is_better else "smaller is better"


def _shorten(name: str, length: int = 24) -> str:
    """Return a name as plain text that fits; dollar signs would start a formula."""
    cut = name if len(name) <= length else name[: length - 1] + "…"
    return cut.replace("$", r"\$")
