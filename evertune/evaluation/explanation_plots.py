"""The plots of what mattered in a search, as PNG bytes by name.

Importances are drawn here; parallel coordinates, slices and contours are Optuna's, on studies that
`evertune.search.explanation` rebuilt from the trials.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import optuna
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from evertune.evaluation.formatting import family_name, metric_name
from evertune.evaluation.plots import BLUE, GREY, figure_to_png
from evertune.search.explanation import FAMILY, Importances, SearchExplanation, family_study

MAX_BARS = 12
MAX_PARALLEL, MAX_SLICES, MAX_CONTOUR = 7, 6, 3  # parameters in one picture
LABEL_ANGLE = 25
MANY_DECADES = 30.0


def explanation_plots(
    found: SearchExplanation, study: optuna.Study, *, details: bool = True
) -> dict[str, bytes]:
    """Return the plots: `importance`, and for each family `slices_NAME` and its details.

    Parameters
    ----------
    study : optuna.Study
        Over all families, as `search_study` rebuilds it.
    details : bool
        Whether `parallel_NAME` and `contours_NAME` are drawn, which take seconds.
    """
    pictures: dict[str, bytes] = {}
    parts = [each for each in (found.overall, *found.families) if each and each.parameters]
    if parts:
        pictures["importance"] = figure_to_png(plot_importances(parts))
    for each in found.families:
        if each.family is None or not each.parameters:
            continue
        own = family_study(study, each.family)
        title = family_name(each.family)
        names = [parameter.name for parameter in each.parameters]
        pictures[f"slices_{each.family}"] = plot_slices(own, names, found.metric, title)
        if details:
            pictures[f"parallel_{each.family}"] = plot_parallel(own, names, found.metric, title)
        if details and len(names) > 1:
            pictures[f"contours_{each.family}"] = plot_contours(own, names, found.metric, title)
    return pictures


def plot_importances(parts: Sequence[Importances]) -> Figure:
    """Plot importances as bars, with a mark at what shuffled scores give."""
    counts = [min(len(part.parameters), MAX_BARS) for part in parts]
    height = sum(0.9 + 0.27 * count for count in counts) + 0.5
    figure = Figure(figsize=(7.2, height), dpi=110, layout="constrained")
    panels = figure.subplots(
        len(parts), 1, squeeze=False, gridspec_kw={"height_ratios": [2 + n for n in counts]}
    )[:, 0]
    for axes, part in zip(panels, parts, strict=True):
        rows = part.parameters[:MAX_BARS]
        where = "all families" if part.family is None else family_name(part.family)
        axes.set_title(f"{where}: {part.trials} trials", fontsize=11, loc="left")
        colours = [BLUE if row.is_above_chance else GREY for row in rows]
        axes.barh(range(len(rows)), [row.share for row in rows], color=colours, height=0.65)
        for y, row in enumerate(rows):
            if row.chance is not None:
                axes.plot([row.chance] * 2, [y - 0.4, y + 0.4], color="black", linewidth=1.5)
        names = ["the family" if row.name == FAMILY else row.name for row in rows]
        axes.set_yticks(range(len(rows)), names, fontsize=9)
        axes.invert_yaxis()
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=9)
        axes.set_xlim(left=0)
    figure.supxlabel(
        "Share of the importance; line: what 95 % of shuffles stay below; blue: above it",
        fontsize=9,
    )
    return figure


def plot_parallel(study: optuna.Study, names: Sequence[str], metric: str, title: str) -> bytes:
    """Plot Optuna's parallel coordinates of the most important parameters, as PNG."""
    params = list(names[:MAX_PARALLEL])
    with _optuna_style():
        axes = optuna.visualization.matplotlib.plot_parallel_coordinate(
            study, params=params, target_name=metric_name(metric)
        )
        figure = axes.get_figure()
        figure.set_size_inches(max(7.6, 1.5 * (len(params) + 1)), 4.6)
        axes.set_title(f"{title}: each line is a trial", fontsize=11, loc="left")
        axes.set_title("")  # Optuna's, in the middle
        _plain_ticks(figure)
        axes.tick_params(axis="x", labelsize=9, labelrotation=LABEL_ANGLE)
        for label in axes.get_xticklabels():
            label.set_horizontalalignment("right")
            label.set_rotation_mode("anchor")
        return _to_png(figure)


def plot_slices(study: optuna.Study, names: Sequence[str], metric: str, title: str) -> bytes:
    """Plot Optuna's slices: the score over each of the most important parameters, as PNG."""
    params = list(names[:MAX_SLICES])
    with _optuna_style():
        drawn = optuna.visualization.matplotlib.plot_slice(
            study, params=params, target_name=metric_name(metric)
        )
        panels = [drawn] if len(params) == 1 else list(drawn)
        figure = panels[0].get_figure()
        figure.set_size_inches(max(6.0, 2.6 * len(params)), 3.6)
        figure.suptitle(f"{title}: score by parameter", fontsize=11, x=0.12, ha="left")
        for axes in panels:
            axes.set_title("")
            axes.set_xlabel(axes.get_xlabel(), fontsize=9)
            axes.set_ylabel(axes.get_ylabel(), fontsize=9)
        _plain_ticks(figure)
        for label in (label for axes in panels for label in axes.get_xticklabels()):
            label.set(rotation=2 * LABEL_ANGLE, ha="right", rotation_mode="anchor")
        return _to_png(figure)


def plot_contours(study: optuna.Study, names: Sequence[str], metric: str, title: str) -> bytes:
    """Plot Optuna's contours: the score over pairs of the most important parameters, as PNG."""
    params = list(names[:MAX_CONTOUR])
    with _optuna_style():
        drawn: Any = optuna.visualization.matplotlib.plot_contour(
            study, params=params, target_name=metric_name(metric)
        )
        panels = [drawn] if len(params) == 2 else list(drawn.ravel())
        figure = panels[0].get_figure()
        side = 5.6 if len(params) == 2 else 3.0 * len(params)
        figure.set_size_inches(side + 1.6, side)
        figure.suptitle(
            f"{title}: score by pairs of parameters", fontsize=11, x=0.12, y=0.93, ha="left"
        )
        for axes in panels:
            axes.set_title("")
            axes.set_xlabel(axes.get_xlabel(), fontsize=9)
            axes.set_ylabel(axes.get_ylabel(), fontsize=9)
        _plain_ticks(figure)
        return _to_png(figure)


@contextmanager
def _optuna_style() -> Iterator[None]:
    """Keep what Optuna sets for all of matplotlib, its warnings and its figures to the block."""
    plt.switch_backend("agg")  # no window is ever shown
    before = set(plt.get_fignums())
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            for number in set(plt.get_fignums()) - before:
                plt.close(number)


def _plain_ticks(figure: Figure) -> None:
    """Write small tick labels, and few plain numbers on logarithmic axes."""
    for axes in figure.axes:
        axes.tick_params(which="both", labelsize=8)
        for axis in (axes.xaxis, axes.yaxis):
            if axis.get_scale() != "log":
                continue
            low, high = axis.get_view_interval()
            is_wide = high > MANY_DECADES * low
            axis.set_major_locator(LogLocator(subs=(1.0,) if is_wide else (1.0, 2.0, 5.0)))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_formatter(NullFormatter())


def _to_png(figure: Figure) -> bytes:
    buffer = BytesIO()
    # Optuna's panels are placed by hand, which constrained layout cannot improve
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight", metadata={"Software": None})
    return buffer.getvalue()
