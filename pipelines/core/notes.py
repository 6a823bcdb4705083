"""What a reader has to know to read an evaluation rightly."""

from collections.abc import Callable, Iterator

from pipelines.core.evaluation import Evaluation, simplest_chosen
from pipelines.core.names import metric_name, words
from pipelines.core.schema import Schema

FEW_ROWS = 200
FEW_OF_A_CLASS = 20


def notes(evaluation: Evaluation, schema: Schema) -> tuple[str, ...]:
    """Return the notes that hold for an evaluation, the gravest first.

    Parameters
    ----------
    evaluation : Evaluation
        Its own notes are not looked at.
    schema : Schema
        Of the rows that it was made on.
    """
    return tuple(note for write in WRITERS for note in write(evaluation, schema))


def _beaten(evaluation: Evaluation, _: Schema) -> Iterator[str]:
    for row in evaluation.baselines:
        if row.kind == "none" and row.low is not None and row.low <= 0:
            yield (
                f"The model is not clearly better than {words(row.name)}, which needs no model "
                f"({metric_name(evaluation.metric)}): do not deploy it on this evidence."
            )


def _nothing_searched(evaluation: Evaluation, _: Schema) -> Iterator[str]:
    if not evaluation.search.complete:
        yield (
            "No trial was finished on all folds within the budget, so the folds chose nothing; "
            "give the search more time."
        )


def _guards(evaluation: Evaluation, _: Schema) -> Iterator[str]:
    for guard in evaluation.guards:
        if not guard.kept:
            yield f"The guard on {metric_name(guard.metric)} is broken on the hold-out."


def _overfit(evaluation: Evaluation, _: Schema) -> Iterator[str]:
    row = evaluation.metrics[0]
    if row.gap is None or row.low is None or row.high is None or row.gap <= row.high - row.low:
        return
    yield (
        f"In {metric_name(row.name)} the model does {row.gap:.3g} better on the rows it learned "
        "from, which is more than chance explains: it has learned some of them by heart. The "
        "hold-out is the figure to trust."
    )


def _few_rows(evaluation: Evaluation, _: Schema) -> Iterator[str]:
    if evaluation.n_holdout < FEW_ROWS:
        yield f"The hold-out has only {evaluation.n_holdout} rows: its intervals are wide."
    counts = [sum(row) for row in evaluation.confusion]
    for name, count in zip(evaluation.classes, counts, strict=bool(counts)):
        if count < FEW_OF_A_CLASS:
            yield f"Class '{name}' has only {count} rows in the hold-out: its figures are rough."


def _folds(evaluation: Evaluation, _: Schema) -> Iterator[str]:
    if evaluation.search.complete > 1:
        yield (
            f"The folds chose this configuration among {evaluation.search.trials}, so its figures "
            "on them flatter it. The hold-out took no part in that choice."
        )


def _simplest(evaluation: Evaluation, _: Schema) -> Iterator[str]:
    chosen = simplest_chosen(evaluation)
    if chosen is not None:
        yield (
            "All figures of 'the model' are those of the model that was searched for; those of "
            f"the chosen one stand in the row '{words(chosen)}'. The hold-out took part in this "
            "choice between two."
        )


def _random_baselines(evaluation: Evaluation, _: Schema) -> Iterator[str]:
    if any(row.name == "uniform_random" for row in evaluation.baselines):
        yield "Baselines that guess at random are given by their expectation, not by one draw."


def _partial_baselines(evaluation: Evaluation, _: Schema) -> Iterator[str]:
    for row in evaluation.baselines:
        if row.n_rows < evaluation.n_holdout:
            yield (
                f"{words(row.name).capitalize()} says nothing about "
                f"{evaluation.n_holdout - row.n_rows} rows of the hold-out; both are compared on "
                f"the other {row.n_rows}."
            )


def _related_rows(_: Evaluation, schema: Schema) -> Iterator[str]:
    if schema.time is not None:
        yield (
            f"The hold-out is the latest part by '{schema.time}'. Later rows may differ more than "
            "the intervals say."
        )
    if schema.group is not None:
        yield (
            f"Rows of one '{schema.group}' resemble each other; the intervals take rows as "
            "independent and are too narrow."
        )


Writer = Callable[[Evaluation, Schema], Iterator[str]]
WRITERS: tuple[Writer, ...] = (
    _beaten,
    _nothing_searched,
    _guards,
    _overfit,
    _few_rows,
    _simplest,
    _folds,
    _partial_baselines,
    _random_baselines,
    _related_rows,
)
