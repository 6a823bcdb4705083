"""The report of what mattered in a search: a page in Markdown, and lines for a terminal."""

from collections.abc import Iterator, Mapping

from evertune.evaluation.formatting import count_noun, family_name, metric_name
from evertune.messages import format_percent
from evertune.search.explanation import FAMILY, Importances, SearchExplanation
from evertune.search.summary import MIN_EXPLAINED_TRIALS

MAX_ROWS = 8  # of a family on a terminal
FEW_TRIALS = 50
KINDS = {
    "slices": "Score by each parameter",
    "parallel": "Parallel coordinates",
    "contours": "Score by pairs of parameters",
}


def explanation_report(found: SearchExplanation, pictures: Mapping[str, bytes]) -> str:
    """Return the page; it links to `NAME.png` for each picture."""
    better = "Greater" if found.greater_is_better else "Smaller"
    lines = [
        "# What mattered in the search",
        "",
        f"The score is {metric_name(found.metric)}, the mean over the folds. {better} is better."
        " Importance (PED-ANOVA) is how differently a parameter is distributed in the best trials"
        " and in all trials on all folds; the shares of a table add up to 1. `Chance` is what the"
        " importance stays below in 95 % of shuffles of the scores: a share that is not above it"
        " shows nothing.",
        "",
    ]
    if "importance" in pictures:
        lines += ["![Importance](importance.png)", ""]
    for part in filter(None, (found.overall, *found.families)):
        lines += [
            f"## {_part_name(part)}",
            "",
            f"{count_noun(part.trials, 'trial')} on all folds, of which the best"
            f" {part.best_trials} are compared with all.",
            "",
            "| parameter | share | chance | above chance |",
            "|---|---:|---:|---|",
            *(
                f"| {each.name} | {format_percent(each.share)} | {format_percent(each.chance)} |"
                f" {'yes' if each.is_above_chance else 'no' if each.chance is not None else '-'} |"
                for each in part.parameters
            ),
            "",
        ]
        for kind, title in KINDS.items():
            name = f"{kind}_{part.family}"
            if name in pictures:
                lines += [f"### {title}", "", f"![{title}]({name}.png)", ""]
    lines += ["## What this does not show", "", *(f"- {text}" for text in _limits(found))]
    return "\n".join(lines) + "\n"


def explanation_lines(found: SearchExplanation) -> list[str]:
    """Return the most important parameters as a table, for a terminal."""
    lines = []
    for part in filter(None, (found.overall, *found.families)):
        rows = part.parameters[:MAX_ROWS]
        lines.append(f"{_part_name(part)} ({count_noun(part.trials, 'trial')}):")
        width = max((len(each.name) for each in rows), default=0)
        lines += [
            f"  {each.name.ljust(width)}  {format_percent(each.share).rjust(7)}"
            f"  chance {format_percent(each.chance).rjust(7)}"
            f"{'  *' if each.is_above_chance else ''}"
            for each in rows
        ]
    lines += [*(_too_few(found)), "* above what shuffled scores give"]
    return lines


def _part_name(part: Importances) -> str:
    if part.family is None:
        return f"All families: the choice of the {FAMILY} and of all parameters"
    return family_name(part.family)


def _too_few(found: SearchExplanation) -> Iterator[str]:
    if found.too_few:
        counts = ", ".join(f"{name} {count}" for name, count in sorted(found.too_few.items()))
        few = f"fewer than {MIN_EXPLAINED_TRIALS} on all folds"
        yield f"too few trials to explain ({few}): {counts}"


def _limits(found: SearchExplanation) -> Iterator[str]:
    yield (
        "The searcher chose the points. Where it tried little, nothing is known, and parameters"
        " that it moved together share their importance."
    )
    yield (
        "Importance is about being among the best trials of this search, in the ranges that were"
        " searched: a parameter whose range is all good has none. A wider range may give it some."
    )
    if any(part.trials < FEW_TRIALS for part in found.families):
        yield (
            f"Families with fewer than {FEW_TRIALS} trials are explained roughly; Optuna advises at"
            " least five trials among the best tenth."
        )
    yield "Trials that were stopped early have no score over all folds and are left out."
    for text in _too_few(found):
        yield f"{text[0].upper()}{text[1:]}."
