"""The report of a comparison of searchers: a page in Markdown, and lines for a terminal."""

from collections.abc import Iterator, Mapping

from evertune.evaluation.formatting import format_two_digits, metric_name
from evertune.search.comparison import Comparison, MethodResult

PICTURES = {
    "over_trials": "Best score so far over trials",
    "over_seconds": "Best score so far over seconds",
    "best_scores": "Best score of each run",
    "ranks": "Mean ranks with the critical difference",
    "suggestion_time": "Time inside the searcher for one suggestion",
}


def comparison_report(found: Comparison, pictures: Mapping[str, bytes]) -> str:
    """Return the page of a comparison; it links to `NAME.png` for each picture."""
    settings, better = found.settings, "Greater" if found.greater_is_better else "Smaller"
    interval = f"{100 * found.confidence:g} % interval"
    lines = [
        "# Comparison of searchers",
        "",
        f"**{found.sentence}**",
        "",
        f"Each of {len(found.methods)} methods ran {settings.n_seeds} times (seeds 0 to"
        f" {settings.n_seeds - 1}), {settings.budget_text()} a run, on the same"
        f" {found.n_folds} folds of {found.n_rows:,} training rows. The score is"
        f" {metric_name(found.metric)}, the mean over the folds. {better} is better.",
        "",
        f"Scheduler: {', '.join(settings.schedulers)}. Families: {', '.join(found.families)}.",
        "",
        f"| method | best score, mean | {interval} | mean rank | trials | on all folds | seconds |"
        " ms a suggestion, median | 90 % below |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
        *(_method_row(found, each) for each in found.methods),
        "",
        "Trials and seconds are means over the runs.",
        "",
    ]
    for name, title in PICTURES.items():
        if name in pictures:
            lines += [f"## {title}", "", f"![{title}]({name}.png)", ""]
    lines += [
        "## Every run",
        "",
        f"| seed | {' | '.join(each.label for each in found.methods)} |",
        f"|---:|{'---:|' * len(found.methods)}",
        *(
            f"| {seed} | {' | '.join(_score(each.best[seed]) for each in found.methods)} |"
            for seed in range(settings.n_seeds)
        ),
        "",
        "## What this shows, and what it does not",
        "",
        *(f"- {text}" for text in _limits(found)),
    ]
    return "\n".join(lines) + "\n"


def comparison_lines(found: Comparison) -> list[str]:
    """Return the table of a comparison and its result, for a terminal."""
    header = ("method", f"best {metric_name(found.metric)}", "interval", "rank", "ms", "90 % below")
    rows = [
        (
            each.label,
            _score(each.mean),
            _interval(each),
            f"{rank:.2f}",
            format_two_digits(each.median_milliseconds),
            format_two_digits(each.slow_milliseconds),
        )
        for each, rank in zip(found.methods, found.ranks.mean_ranks, strict=True)
    ]
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    table = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (header, *rows)
    ]
    return [*table, found.sentence]


def _method_row(found: Comparison, each: MethodResult) -> str:
    rank = dict(zip(found.ranks.names, found.ranks.mean_ranks, strict=True))[each.label]
    cells = (
        each.label,
        _score(each.mean),
        _interval(each),
        f"{rank:.2f}",
        f"{each.trials:.3g}",
        f"{each.complete:.3g}",
        f"{each.seconds:.3g}",
        format_two_digits(each.median_milliseconds),
        format_two_digits(each.slow_milliseconds),
    )
    return f"| {' | '.join(cells)} |"


def _limits(found: Comparison) -> Iterator[str]:
    ranks, settings = found.ranks, found.settings
    yield (
        f"The {ranks.n_blocks} blocks of the test are {ranks.n_blocks} seeds on one table with the"
        " same folds. They show what chance within a search does. Whether one searcher is better"
        " on other tables, only other tables can show."
    )
    yield (
        "The best score of a search is the best of many on the folds that it was chosen on, so it"
        " is higher than what the model reaches on new rows; and it is that of a single trial,"
        " where training may use an ensemble. The hold-out was not used."
        if found.greater_is_better
        else "The best score of a search is the best of many on the folds that it was chosen on, so"
        " it is lower than what the model reaches on new rows; and it is that of a single trial,"
        " where training may use an ensemble. The hold-out was not used."
    )
    yield (
        f"Friedman's test asks whether all methods are alike (statistic {ranks.chi_square:.3g},"
        f" p = {ranks.p_value:.3g} by shuffled ranks). Only if it says no are pairs told apart, by"
        f" Nemenyi's critical difference of {ranks.critical_difference:.2f} ranks."
    )
    if settings.n_seeds < 10:
        yield (
            f"Intervals over {settings.n_seeds} seeds are rough, and rather too narrow: use 10"
            " seeds or more where it matters."
        )
    if settings.budget_seconds is not None:
        yield (
            "Runs with a budget in seconds depend on the machine and on what else runs on it; the"
            " same seeds give other scores elsewhere. A budget in trials gives the same again."
        )
    if any(score is None for each in found.methods for score in each.best):
        yield "Runs in which no trial ran on all folds have no score and the last rank."


def _score(score: float | None) -> str:
    return "-" if score is None else f"{score:.5g}"


def _interval(each: MethodResult) -> str:
    if each.low is None or each.high is None:
        return "-"
    return f"{each.low:.5g} to {each.high:.5g}"
