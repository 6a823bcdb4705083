"""The text of a model card: notes on the evaluation, cautions for users, and known limitations.

`evaluation_notes` says what a reader must know to read the scores rightly, the gravest first;
`usage_cautions` who should not rely on the model; `model_limitations` which values it never
met, which slices are too small to judge, and how far in time its data reach. Each is a list of
sentences.
"""

from collections.abc import Callable, Iterable, Iterator

import pandas as pd

from evertune.data.schema import Column, TableSchema
from evertune.data.validation import quote_list
from evertune.evaluation.formatting import format_score, humanize, metric_name
from evertune.evaluation.records import Evaluation, chosen_simple_model
from evertune.evaluation.slices import SliceRow

MIN_HOLDOUT_ROWS = 200
MIN_CLASS_ROWS = 20


def evaluation_notes(evaluation: Evaluation, schema: TableSchema) -> tuple[str, ...]:
    """Return the notes that hold for an evaluation, the gravest first.

    Parameters
    ----------
    evaluation : Evaluation
        Its own notes are not looked at.
    schema : TableSchema
        Of the rows that it was made on.
    """
    return tuple(note for write in NOTE_WRITERS for note in write(evaluation, schema))


def _note_baseline_wins(evaluation: Evaluation, _: TableSchema) -> Iterator[str]:
    for row in evaluation.baselines:
        if row.kind == "none" and row.low is not None and row.low <= 0:
            yield (
                f"The model is not clearly better than {humanize(row.name)}, which needs no model "
                f"({metric_name(evaluation.metric)}): do not deploy it on this evidence."
            )


def _note_no_search(evaluation: Evaluation, _: TableSchema) -> Iterator[str]:
    if not evaluation.search.complete:
        yield (
            "No trial was finished on all folds within the budget, so the folds chose nothing; "
            "give the search more time."
        )


def _note_guards(evaluation: Evaluation, _: TableSchema) -> Iterator[str]:
    for guard in evaluation.guards:
        if not guard.kept:
            yield f"The guard on {metric_name(guard.metric)} is broken on the hold-out."


def _note_overfitting(evaluation: Evaluation, _: TableSchema) -> Iterator[str]:
    row = evaluation.metrics[0]
    if row.gap is None or row.low is None or row.high is None or row.gap <= row.high - row.low:
        return
    yield (
        f"In {metric_name(row.name)} the model does {row.gap:.3g} better on the rows it learned "
        "from, which is more than chance explains: it has learned some of them by heart. The "
        "hold-out is the figure to trust."
    )


def _note_few_rows(evaluation: Evaluation, _: TableSchema) -> Iterator[str]:
    if evaluation.n_holdout < MIN_HOLDOUT_ROWS:
        yield f"The hold-out has only {evaluation.n_holdout} rows: its intervals are wide."
    counts = [sum(row) for row in evaluation.confusion]
    for name, count in zip(evaluation.classes, counts, strict=bool(counts)):
        if count < MIN_CLASS_ROWS:
            yield f"Class '{name}' has only {count} rows in the hold-out: its figures are rough."


def _note_folds(evaluation: Evaluation, _: TableSchema) -> Iterator[str]:
    if evaluation.search.complete > 1:
        yield (
            f"The folds chose this configuration among {evaluation.search.trials}, so its figures "
            "on them flatter it. The hold-out took no part in that choice."
        )


def _note_simplest_model(evaluation: Evaluation, _: TableSchema) -> Iterator[str]:
    chosen = chosen_simple_model(evaluation)
    if chosen is not None:
        yield (
            "All figures of 'the model' are those of the model that was searched for; those of "
            f"the chosen one stand in the row '{humanize(chosen)}'. The hold-out took part in this "
            "choice between two."
        )


def _note_random_baselines(evaluation: Evaluation, _: TableSchema) -> Iterator[str]:
    if any(row.name == "uniform_random" for row in evaluation.baselines):
        yield "Baselines that guess at random are given by their expectation, not by one draw."


def _note_partial_baselines(evaluation: Evaluation, _: TableSchema) -> Iterator[str]:
    for row in evaluation.baselines:
        if row.n_rows < evaluation.n_holdout:
            yield (
                f"{humanize(row.name).capitalize()} says nothing about "
                f"{evaluation.n_holdout - row.n_rows} rows of the hold-out; both are compared on "
                f"the other {row.n_rows}."
            )


def _note_related_rows(_: Evaluation, schema: TableSchema) -> Iterator[str]:
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


NoteWriter = Callable[[Evaluation, TableSchema], Iterator[str]]
NOTE_WRITERS: tuple[NoteWriter, ...] = (
    _note_baseline_wins,
    _note_no_search,
    _note_guards,
    _note_overfitting,
    _note_few_rows,
    _note_simplest_model,
    _note_folds,
    _note_partial_baselines,
    _note_random_baselines,
    _note_related_rows,
)
LOW_RECALL = 0.5


def usage_cautions(evaluation: Evaluation) -> tuple[str, ...]:
    """Return who should not rely on a model, a sentence each, beside what people have written."""
    return (
        *_caution_baselines(evaluation),
        *_caution_worst_slices(evaluation),
        *_caution_rate_gaps(evaluation),
        *_caution_classes(evaluation),
    )


def _caution_baselines(evaluation: Evaluation) -> Iterator[str]:
    for row in evaluation.baselines:
        if row.kind == "none" and row.low is not None and row.low <= 0:
            yield f"Anybody, on this evidence: it is not clearly better than {humanize(row.name)}."
            return


def _caution_worst_slices(evaluation: Evaluation) -> Iterator[str]:
    found = [row for row in evaluation.slices if row.found and row.figure is not None]
    if found:
        shown = "; ".join(f"{row.column} {row.value}: {format_score(row.figure)}" for row in found)
        yield (
            "Whoever decides about single rows of the slices that do worst"
            f" ({metric_name(evaluation.metric)}: {shown}), without a look at the rows themselves."
        )


def _caution_rate_gaps(evaluation: Evaluation) -> Iterator[str]:
    gaps: dict[str, float] = {}
    for row in evaluation.slices:
        if row.sensitive and row.rate_gap is not None:
            gaps[row.column] = max(row.rate_gap, gaps.get(row.column, 0.0))
    for column, gap in gaps.items():
        yield (
            f"Whoever must treat values of '{column}' alike: the shares that are said to be"
            f" '{evaluation.classes[1]}' differ by up to {100 * gap:.1f} points."
        )


def _caution_classes(evaluation: Evaluation) -> Iterator[str]:
    for code, counts in enumerate(evaluation.confusion):
        name, n_rows = evaluation.classes[code], sum(counts)
        if n_rows < MIN_CLASS_ROWS:
            yield f"Whoever needs class '{name}': only {n_rows} rows of it judged the model."
        elif counts[code] < LOW_RECALL * n_rows:
            yield (
                f"Whoever needs every '{name}': {n_rows - counts[code]:,} of {n_rows:,} such rows"
                " were said to be something else, as the model decides now."
            )


MAX_COLUMNS_LISTED = 5


def model_limitations(
    training: pd.DataFrame,
    holdout: pd.DataFrame,
    schema: TableSchema,
    *,
    slices: Iterable[SliceRow],
) -> tuple[str, ...]:
    """Return what a model does not know, a sentence each.

    Parameters
    ----------
    training, holdout : DataFrame
        Clean rows: those that it learned from, and those that judge it.
    schema : TableSchema
    slices : iterable of SliceRow

    Examples
    --------
    >>> schema = TableSchema((Column("age", "number"),), "y", "regression")
    >>> old, new = pd.DataFrame({"age": [18.0, 60.0]}), pd.DataFrame({"age": [30.0, 70.0]})
    >>> model_limitations(old, new, schema, slices=())[0]
    'age goes beyond what was learned from (18 to 60) in 1 of 2 rows that judged: there it guesses.'
    """
    return (
        *_limitation_unseen_values(training, holdout, schema),
        *_limitation_small_slices(slices),
        *_limitation_time(training, holdout, schema),
        "It knows what came with what, not what causes what: a person who changes an input does"
        f" not change '{schema.target}' by as much as a prediction moves.",
    )


def _limitation_unseen_values(
    training: pd.DataFrame, holdout: pd.DataFrame, schema: TableSchema
) -> Iterator[str]:
    found = [_unseen_values(column, training, holdout) for column in schema.features]
    counted = sorted((each for each in found if each[0]), key=lambda each: -each[0])
    for count, sentence in counted[:MAX_COLUMNS_LISTED]:
        yield sentence.format(rows=f"{count:,} of {len(holdout):,} rows")
    if len(counted) > MAX_COLUMNS_LISTED:
        yield f"{len(counted) - MAX_COLUMNS_LISTED} more columns have values that it never met."
    if not counted:
        yield "No row that judged it had a category or a range of numbers that it never met."


def _unseen_values(
    column: Column, training: pd.DataFrame, holdout: pd.DataFrame
) -> tuple[int, str]:
    """Return in how many rows a column has what training never had, and a sentence about it."""
    if column.name not in training or column.name not in holdout or column.kind == "text":
        return 0, ""
    known, asked = training[column.name].dropna(), holdout[column.name].dropna()
    name = column.name.replace("{", "{{").replace("}", "}}")
    if known.empty:
        return len(asked), f"{name} was always missing in what it learned from, not in {{rows}}."
    if column.kind == "category":
        new = asked[~asked.isin(known.unique())]
        shown = (
            quote_list(sorted(map(str, new.unique())), most=3).replace("{", "{{").replace("}", "}}")
        )
        return len(new), f"{name} has values that it never met ({shown}) in {{rows}} that judged."
    low, high = known.min(), known.max()
    sentence = (
        f"{name} goes beyond what was learned from ({_format_bound(low)} to {_format_bound(high)}) in {{rows}}"
        " that judged: there it guesses."
    )
    return int(((asked < low) | (asked > high)).sum()), sentence


def _limitation_small_slices(slices: Iterable[SliceRow]) -> Iterator[str]:
    small = [f"{row.column} {row.value} ({row.n_rows})" for row in slices if row.small]
    if small:
        more = (
            f" and {len(small) - MAX_COLUMNS_LISTED} more"
            if len(small) > MAX_COLUMNS_LISTED
            else ""
        )
        shown = ", ".join(small[:MAX_COLUMNS_LISTED])
        yield f"Slices with too few rows to be judged: {shown}{more}."


def _limitation_time(
    training: pd.DataFrame, holdout: pd.DataFrame, schema: TableSchema
) -> Iterator[str]:
    if schema.time is None or schema.time not in training or schema.time not in holdout:
        yield "No column orders the rows in time: whether the past is like the future is not known."
        return
    last = max(training[schema.time].max(), holdout[schema.time].max())
    yield f"Nothing later than {_format_bound(last)} was looked at; monitoring tells how it does since."


def _format_bound(value: object) -> str:
    return f"{value:%Y-%m-%d}" if isinstance(value, pd.Timestamp) else f"{value:.6g}"
