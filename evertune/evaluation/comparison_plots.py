"""The plots of a comparison of searchers, as PNG bytes by name."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from evertune.evaluation.formatting import metric_name
from evertune.evaluation.plots import GREY, figure_to_png
from evertune.search.comparison import Comparison, CurvePoint, MethodResult
from evertune.stats.repetitions import RankComparison

# told apart also by those who do not see all colours (Okabe and Ito, 2008)
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#999999")
LINES = ("-", "--", "-.", ":")  # so that a curve on top of another hides only part of it
START_SHARE = 0.1  # of the runs' length: worse scores from before it do not set the scale


def comparison_plots(found: Comparison) -> dict[str, bytes]:
    """Return the plots: `over_trials`, `over_seconds`, `best_scores`, `ranks`, `suggestion_time`.

    A plot for which there is nothing to show is left out.
    """
    figures: dict[str, Figure] = {}
    if any(each.over_trials for each in found.methods):
        figures["over_trials"] = plot_curves(found, over="trials")
    if any(each.over_seconds for each in found.methods):
        figures["over_seconds"] = plot_curves(found, over="seconds")
    figures["best_scores"] = plot_best_scores(found)
    figures["ranks"] = plot_ranks(found.ranks)
    if any(each.suggestions for each in found.methods):
        figures["suggestion_time"] = plot_suggestion_time(found.methods)
    return {name: figure_to_png(figure) for name, figure in figures.items()}


def plot_curves(found: Comparison, *, over: str) -> Figure:
    """Plot the best score so far, the mean over seeds with its interval.

    Parameters
    ----------
    over : str
        `trials` or `seconds`.
    """
    figure, axes = _axes(
        (7.6, 4.4),
        title=f"Best score so far, mean of {found.settings.n_seeds} seeds"
        f" with {100 * found.confidence:g} % intervals",
        x="Trials that ended" if over == "trials" else "Seconds since the search began",
        y=f"{metric_name(found.metric)}, mean over folds\n({_better(found)} is better)",
    )
    curves = {
        each.label: each.over_trials if over == "trials" else each.over_seconds
        for each in found.methods
    }
    for place, (label, curve) in enumerate(curves.items()):
        if not curve:
            continue
        colour = COLOURS[place % len(COLOURS)]
        at = [point.at for point in curve]
        axes.fill_between(
            at,
            [point.low for point in curve],
            [point.high for point in curve],
            step="post",
            alpha=0.15,
            linewidth=0,
            color=colour,
        )
        axes.step(
            at, [point.mean for point in curve], where="post", color=colour, label=label,
            linestyle=LINES[place % len(LINES)], linewidth=1.8,
        )  # fmt: skip
    axes.set_ylim(*_score_limits(list(curves.values()), greater=found.greater_is_better))
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=min(4, len(labels)), fontsize=9,
        frameon=False,
    )  # fmt: skip
    return figure


def plot_best_scores(found: Comparison) -> Figure:
    """Plot the best score of each run, with the mean over seeds and its interval."""
    methods = found.methods
    figure, axes = _axes(
        (7.6, 1.5 + 0.42 * len(methods)),
        title="Best score of each run",
        x=f"{metric_name(found.metric)}, mean over folds ({_better(found)} is better)",
    )
    for y, each in enumerate(methods):
        colour = COLOURS[y % len(COLOURS)]
        known = [score for score in each.best if score is not None]
        axes.plot(known, [y] * len(known), "o", color=colour, alpha=0.45, markersize=6)
        if each.mean is not None and each.low is not None and each.high is not None:
            axes.plot([each.low, each.high], [y + 0.22] * 2, color=colour, linewidth=2)
            axes.plot([each.mean], [y + 0.22], "D", color=colour, markersize=5)
        if not known:
            axes.annotate(
                "no trial ran on all folds", (0.02, y), xycoords=axes.get_yaxis_transform(),
                va="center", fontsize=9,
            )  # fmt: skip
    axes.set_yticks(range(len(methods)), [each.label for each in methods])
    axes.set_ylim(len(methods) - 0.4, -0.6)
    axes.ticklabel_format(axis="x", useOffset=False)
    return figure


def plot_ranks(ranks: RankComparison) -> Figure:
    """Plot a critical-difference diagram (Demsar, 2006).

    Each method stands at its mean rank, the best at the left. A thick line joins methods that are
    not told apart; the bar above is as long as the critical difference, or ends at the edge.
    """
    n, unit = len(ranks.names), (len(ranks.names) - 1) / 100  # a hundredth of the scale
    n_left = math.ceil(n / 2)
    depth = max(n_left, n - n_left)
    bars = tuple(group for group in ranks.groups if len(group) > 1)
    top = 0.6 + 0.24 * len(bars)
    bottom = top + 0.55 * (depth - 1) + 0.5
    figure = Figure(figsize=(7.6, 0.42 * (bottom + 2.6)), dpi=110)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    left, right = 1 - 70 * unit, n + 70 * unit  # room for the names
    axes.set_xlim(left, right)
    axes.set_ylim(-bottom, 2.6)
    axes.axis("off")
    axes.text(
        left + 3 * unit, 2.2, "Mean rank over the seeds, the best at the left",
        fontsize=11, va="center",
    )  # fmt: skip
    axes.plot([1, n], [0, 0], color="black", linewidth=1)
    for tick in range(1, n + 1):
        axes.plot([tick, tick], [0, 0.12], color="black", linewidth=1)
        axes.text(tick, 0.2, str(tick), ha="center", va="bottom", fontsize=9)
    length = ranks.critical_difference
    axes.plot([1, 1 + length], [1.05, 1.05], color="black", linewidth=1.5, marker="|", markersize=8)
    axes.text(1, 1.2, f"critical difference {length:.2f}", va="bottom", fontsize=9)
    for place, (name, rank) in enumerate(zip(ranks.names, ranks.mean_ranks, strict=True)):
        is_left = place < n_left
        y = -(top + 0.55 * (place if is_left else n - 1 - place))
        end, shift = (1 - 6 * unit, -2 * unit) if is_left else (n + 6 * unit, 2 * unit)
        axes.plot([rank, rank, end], [0, y, y], color=GREY, linewidth=1)
        axes.plot([rank], [0], "o", color="black", markersize=4)
        text = f"{name}  {rank:.2f}" if is_left else f"{rank:.2f}  {name}"
        axes.text(end + shift, y, text, ha="right" if is_left else "left", va="center", fontsize=10)
    by_name = dict(zip(ranks.names, ranks.mean_ranks, strict=True))
    for level, group in enumerate(bars):
        height = -0.3 - 0.24 * level
        ends = by_name[group[0]] - 1.5 * unit, by_name[group[-1]] + 1.5 * unit
        axes.plot(ends, [height, height], color="black", linewidth=4, solid_capstyle="butt")
    return figure


def plot_suggestion_time(methods: Sequence[MethodResult]) -> Figure:
    """Plot the time inside the searcher for one suggestion, on a logarithmic scale."""
    shown = [each for each in methods if each.median_milliseconds is not None]
    figure, axes = _axes(
        (7.6, 1.5 + 0.38 * len(shown)),
        title="Time inside the searcher for one suggestion",
        x="Milliseconds: the median (circle), and what 90 % stay below (line)",
    )
    for y, each in enumerate(shown):
        colour = COLOURS[methods.index(each) % len(COLOURS)]
        median, slow = each.median_milliseconds or 0.0, each.slow_milliseconds or 0.0
        axes.plot([median, slow], [y, y], color=colour, linewidth=2, marker="|", markersize=9)
        axes.plot([median], [y], "o", color=colour, markersize=7)
        axes.annotate(
            f"{median:.3g} ms, 90 %: {slow:.3g} ms", (slow, y), xytext=(8, 0),
            textcoords="offset points", va="center", fontsize=9,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    times = [t for each in shown for t in (each.median_milliseconds, each.slow_milliseconds) if t]
    low, high = min(times, default=0.1), max(times, default=1.0)
    low, high = 10 ** math.floor(math.log10(low)), 10 ** math.ceil(math.log10(high) + 1e-9)
    axes.set_xlim(low, high * (high / low) ** 0.45)  # room for the texts beside the lines
    axes.set_yticks(range(len(shown)), [each.label for each in shown])
    axes.set_ylim(len(shown) - 0.5, -0.6)
    return figure


def _axes(size: tuple[float, float], *, title: str, x: str, y: str = "") -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=11, loc="left", pad=10)
    axes.set_xlabel(x, fontsize=10)
    axes.set_ylabel(y, fontsize=10)
    axes.tick_params(labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _score_limits(curves: Sequence[Sequence[CurvePoint]], *, greater: bool) -> tuple[float, float]:
    """Return the limits of the scores' axis: the poor first scores do not press all else flat."""
    points = [point for curve in curves for point in curve]
    longest = max(point.at for point in points)
    later = [point for point in points if point.at >= START_SHARE * longest] or points
    ends = np.array([end for point in later for end in (point.low, point.high)])
    worst = np.quantile([p.mean for p in later], 0.02 if greater else 0.98)
    low, high = (min(worst, ends.min()), ends.max()) if greater else (ends.min(), worst)
    high = max(high, low)
    room = 0.06 * (high - low) or max(abs(high), 1e-6) * 1e-3
    return float(low - room), float(high + room)


def _better(found: Comparison) -> str:
    return "greater" if found.greater_is_better else "smaller"
