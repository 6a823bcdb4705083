"""The pictures of a search. Each function returns one figure and leaves no state behind."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipelines.core.canvases import BLUE, GREY, blank, figure_of, styled
from pipelines.core.names import metric_name, words
from pipelines.core.origins import Weight
from pipelines.core.search_story import OVERHEAD, SearchStory, Spent

MOST_WEIGHTS = 20
BAR_INCHES = 0.32


def search_pictures(story: SearchStory, *, metric: str) -> dict[str, Figure]:
    """Return the figures that a search can be shown with, by name.

    Parameters
    ----------
    story : SearchStory
    metric : str
        Name of the metric that is optimised.

    Returns
    -------
    dict
        `search_best` (the best score over time), `search_weights` (of the ensemble's trials) and
        `search_budget` (where the time went), each only where there is something to show.

    Examples
    --------
    >>> sorted(search_pictures(SearchStory(curve=((1.0, 0.5),)), metric="roc_auc"))
    ['search_best']
    """
    figures = {}
    if story.curve:
        figures["search_best"] = best_picture(story, metric=metric)
    if len(story.weights) > 1:
        figures["search_weights"] = weights_picture(story.weights)
    if story.spent:
        figures["search_budget"] = budget_picture(story)
    return figures


def best_picture(story: SearchStory, *, metric: str) -> Figure:
    """Return the best mean score over all folds that was known at each second of a search.

    Examples
    --------
    >>> story = SearchStory(curve=((1.0, 0.5), (4.0, 0.7)), seconds=5.0)
    >>> best_picture(story, metric="roc_auc").axes[0].get_xlabel()
    'Seconds since the search began'
    """
    axes = blank(
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
    return figure_of(axes)


def weights_picture(weights: Sequence[Weight]) -> Figure:
    """Return what each trial of an ensemble counts, the heaviest first.

    Raises
    ------
    ValueError
        If there are no weights.
    """
    if not weights:
        raise ValueError("Expected the weight of at least one trial, but got none.")
    shown = weights[:MOST_WEIGHTS]
    more = f" ({len(shown)} of {len(weights)})" if len(shown) < len(weights) else ""
    axes = blank(
        (6.4, 1.4 + BAR_INCHES * len(shown)),
        title=f"Trials that make the ensemble{more}",
        x="Weight in percent",
    )
    names = [f"{words(each.family)}, trial {each.number}" for each in shown]
    _bars(axes, names, [100 * each.weight for each in shown], [BLUE] * len(shown))
    _labelled(axes, [f"{100 * each.weight:.0f} %" for each in shown])
    return figure_of(axes)


def budget_picture(story: SearchStory) -> Figure:
    """Return where the workers' time went: by what it was for, and by family.

    Examples
    --------
    >>> spent = (Spent("portfolio", 9.0, 3),)
    >>> figure = budget_picture(SearchStory(spent=spent, families=(Spent("linear", 9.0, 3),)))
    >>> figure.axes[0].get_xlabel()
    'Seconds of all workers together'
    """
    n_bars = len(story.spent), max(len(story.families), 1)
    height = 2.0 + BAR_INCHES * sum(n_bars)
    figure = Figure(figsize=(6.8, height), dpi=110, layout="constrained")
    upper, lower = figure.subplots(2, 1, gridspec_kw={"height_ratios": n_bars})
    seconds = "Seconds of all workers together"
    _spent(styled(upper, title="Where the budget went", x=seconds), story.spent)
    _spent(styled(lower, title="Fits by family", x=seconds), story.families)
    return figure


def _spent(axes: Axes, spent: Sequence[Spent]) -> None:
    colours = [GREY if each.phase == OVERHEAD else BLUE for each in spent]
    _bars(axes, [words(each.phase) for each in spent], [each.seconds for each in spent], colours)
    _labelled(axes, [_told(each) for each in spent])


def _told(spent: Spent) -> str:
    noun = "trial" if spent.trials == 1 else "trials"
    trials = f", {spent.trials} {noun}" if spent.trials else ""
    return f"{spent.seconds:.1f} s{trials}"


def _bars(
    axes: Axes, names: Sequence[str], lengths: Sequence[float], colours: Sequence[str]
) -> None:
    axes.barh(range(len(names)), lengths, color=colours, height=0.65)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlim(0, max([*lengths, 1e-9]) * 1.3)  # room for what stands beside the bars


def _labelled(axes: Axes, texts: Sequence[str]) -> None:
    for bar, text in zip(axes.patches, texts, strict=True):
        width, place = bar.get_width(), bar.get_y() + bar.get_height() / 2  # type: ignore[attr-defined]
        axes.annotate(
            text, (width, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=9
        )
