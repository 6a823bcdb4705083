"""Who should not rely on a model, as far as its own figures say it."""

from collections.abc import Iterator

from pipelines.core.evaluation import Evaluation
from pipelines.core.names import figure_text, metric_name, words

FEW_OF_A_CLASS = 20
HALF = 0.5


def cautions(evaluation: Evaluation) -> tuple[str, ...]:
    """Return who should not rely on a model, a sentence each, beside what people have written."""
    return (
        *_of_baselines(evaluation),
        *_of_found_slices(evaluation),
        *_of_gaps(evaluation),
        *_of_classes(evaluation),
    )


def _of_baselines(evaluation: Evaluation) -> Iterator[str]:
    for row in evaluation.baselines:
        if row.kind == "none" and row.low is not None and row.low <= 0:
            yield f"Anybody, on this evidence: it is not clearly better than {words(row.name)}."
            return


def _of_found_slices(evaluation: Evaluation) -> Iterator[str]:
    found = [row for row in evaluation.slices if row.found and row.figure is not None]
    if found:
        shown = "; ".join(f"{row.column} {row.value}: {figure_text(row.figure)}" for row in found)
        yield (
            "Whoever decides about single rows of the slices that do worst"
            f" ({metric_name(evaluation.metric)}: {shown}), without a look at the rows themselves."
        )


def _of_gaps(evaluation: Evaluation) -> Iterator[str]:
    gaps: dict[str, float] = {}
    for row in evaluation.slices:
        if row.sensitive and row.rate_gap is not None:
            gaps[row.column] = max(row.rate_gap, gaps.get(row.column, 0.0))
    for column, gap in gaps.items():
        yield (
            f"Whoever must treat values of '{column}' alike: the shares that are said to be"
            f" '{evaluation.classes[1]}' differ by up to {100 * gap:.1f} points."
        )


def _of_classes(evaluation: Evaluation) -> Iterator[str]:
    for code, counts in enumerate(evaluation.confusion):
        name, n_rows = evaluation.classes[code], sum(counts)
        if n_rows < FEW_OF_A_CLASS:
            yield f"Whoever needs class '{name}': only {n_rows} rows of it judged the model."
        elif counts[code] < HALF * n_rows:
            yield (
                f"Whoever needs every '{name}': {n_rows - counts[code]:,} of {n_rows:,} such rows"
                " were said to be something else, as the model decides now."
            )
