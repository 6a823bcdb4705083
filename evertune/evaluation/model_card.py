"""The text of a model card: notes on the evaluation, cautions for users, and known limitations.

`evaluation_notes` tells what a reader must know to read the scores rightly, the gravest first;
`usage_cautions` who should not rely on the model; `model_limitations` which values it never met,
which slices are too small, and how far in time its data reach. Each is a list of sentences.
"""

from collections.abc import Iterable, Iterator

import pandas as pd

from evertune.data.schema import Column, TableSchema
from evertune.data.validation import quote_list
from evertune.evaluation.evaluation_record import BaselineRow, Evaluation, chosen_simple_model
from evertune.evaluation.formatting import format_score, humanize, metric_name
from evertune.evaluation.slices import SliceRow, rate_gaps

MIN_HOLDOUT_ROWS = 200
MIN_CLASS_ROWS = 20
LOW_RECALL = 0.5
MAX_COLUMNS_LISTED = 5


def evaluation_notes(evaluation: Evaluation, schema: TableSchema) -> tuple[str, ...]:
    """Return the notes that hold for an evaluation, the gravest first.

    Parameters
    ----------
    evaluation : Evaluation
        Its own notes are ignored.
    schema : TableSchema
        Of the rows that it was made on.
    """
    return (
        *_notes_on_the_verdict(evaluation),
        *_notes_on_the_scores(evaluation),
        *_notes_on_related_rows(schema),
    )


def usage_cautions(evaluation: Evaluation) -> tuple[str, ...]:
    """Return who should not rely on a model by its scores, a sentence each."""
    cautions = [
        f"Anybody, on this evidence: it is not clearly better than {humanize(row.name)}."
        for row in _unbeaten_guesses(evaluation)[:1]
    ]
    worst = [row for row in evaluation.slices if row.found and row.figure is not None]
    if worst:
        shown = "; ".join(f"{row.column} {row.value}: {format_score(row.figure)}" for row in worst)
        cautions.append(
            "Whoever decides about single rows of the slices that do worst"
            f" ({metric_name(evaluation.metric)}: {shown}), without a look at the rows themselves."
        )
    cautions += [
        f"Whoever must treat values of '{column}' alike: the shares that are predicted to be"
        f" '{evaluation.classes[1]}' differ by up to {100 * gap:.1f} points."
        for column, gap in rate_gaps(evaluation.slices).items()
    ]
    for code, counts in enumerate(evaluation.confusion):
        name, n_rows = evaluation.classes[code], sum(counts)
        if n_rows < MIN_CLASS_ROWS:
            cautions.append(f"Whoever needs class '{name}': only {n_rows} rows of it were scored.")
        elif counts[code] < LOW_RECALL * n_rows:
            cautions.append(
                f"Whoever needs every '{name}': {n_rows - counts[code]:,} of {n_rows:,} such rows"
                " were predicted to be something else, as the model decides now."
            )
    return tuple(cautions)


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
        Clean rows: those that it learned from, and those that evaluate it.

    Examples
    --------
    >>> schema = TableSchema((Column("age", "number"),), "y", "regression")
    >>> old, new = pd.DataFrame({"age": [18.0, 60.0]}), pd.DataFrame({"age": [30.0, 70.0]})
    >>> model_limitations(old, new, schema, slices=())[0]
    'age goes beyond what was learned from (18 to 60) in 1 of 2 evaluated rows: there it guesses.'
    """
    found = [_unseen_values(column, training, holdout) for column in schema.features]
    unseen = sorted((each for each in found if each[0]), key=lambda each: -each[0])
    texts = [text for _, text in unseen[:MAX_COLUMNS_LISTED]]
    if len(unseen) > MAX_COLUMNS_LISTED:
        n_more = len(unseen) - MAX_COLUMNS_LISTED
        texts.append(f"{n_more} more columns have values that it never met.")
    if not unseen:
        texts.append("No evaluated row had a category or a range of numbers that it never met.")
    small = [f"{row.column} {row.value} ({row.n_rows})" for row in slices if row.small]
    if small:
        n_more = len(small) - MAX_COLUMNS_LISTED
        more = f" and {n_more} more" if n_more > 0 else ""
        shown = ", ".join(small[:MAX_COLUMNS_LISTED])
        texts.append(f"Slices with too few rows to be evaluated: {shown}{more}.")
    if schema.time is None or schema.time not in training or schema.time not in holdout:
        texts.append(
            "No column orders the rows in time: it is not known if the future is like the past."
        )
    else:
        last = max(training[schema.time].max(), holdout[schema.time].max())
        texts.append(
            f"Nothing later than {_format_bound(last)} was evaluated; monitoring shows what comes"
            " after."
        )
    texts.append(
        "It knows what occurs together, not what causes what: to change an input does not change"
        f" '{schema.target}' by as much as the prediction moves."
    )
    return tuple(texts)


def _unbeaten_guesses(evaluation: Evaluation) -> list[BaselineRow]:
    return [
        row
        for row in evaluation.baselines
        if row.kind == "none" and row.low is not None and row.low <= 0
    ]


def _notes_on_the_verdict(evaluation: Evaluation) -> Iterator[str]:
    metric = metric_name(evaluation.metric)
    for row in _unbeaten_guesses(evaluation):
        yield (
            f"The model is not clearly better than {humanize(row.name)}, which needs no model "
            f"({metric}): do not deploy it on this evidence."
        )
    if not evaluation.search.complete:
        yield (
            "No trial was finished on all folds within the budget, so the folds chose nothing; "
            "give the search more time."
        )
    for guard in evaluation.guards:
        if not guard.kept:
            yield f"The guard on {metric_name(guard.metric)} is broken on the hold-out."
    main = evaluation.metrics[0]
    if None not in (main.gap, main.low, main.high) and main.gap > main.high - main.low:  # type: ignore[operator]
        yield (
            f"In {metric_name(main.name)} the model does {main.gap:.3g} better on the rows it "
            "learned from, which is more than chance explains: it has overfitted some of them. "
            "Trust the score on the hold-out."
        )


def _notes_on_the_scores(evaluation: Evaluation) -> Iterator[str]:
    if evaluation.n_holdout < MIN_HOLDOUT_ROWS:
        yield f"The hold-out has only {evaluation.n_holdout} rows: its intervals are wide."
    for name, row in zip(evaluation.classes, evaluation.confusion, strict=False):
        if sum(row) < MIN_CLASS_ROWS:
            yield f"Class '{name}' has only {sum(row)} rows in the hold-out: its scores are rough."
    chosen = chosen_simple_model(evaluation)
    if chosen is not None:
        yield (
            "All scores of 'the model' are those of the tuned model; those of the chosen one stand "
            f"in the row '{humanize(chosen)}'. The hold-out took part in this choice between two."
        )
    if evaluation.search.complete > 1:
        yield (
            f"The folds chose this configuration among {evaluation.search.trials}, so its scores "
            "on them flatter it. The hold-out took no part in that choice."
        )
    for baseline in evaluation.baselines:
        if baseline.n_rows < evaluation.n_holdout:
            yield (
                f"{humanize(baseline.name).capitalize()} has no prediction for "
                f"{evaluation.n_holdout - baseline.n_rows} rows of the hold-out; both are compared"
                f" on the other {baseline.n_rows}."
            )
    if any(row.name == "uniform_random" for row in evaluation.baselines):
        yield "Baselines that guess at random are given by their expectation, not by one draw."


def _notes_on_related_rows(schema: TableSchema) -> Iterator[str]:
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


def _unseen_values(
    column: Column, training: pd.DataFrame, holdout: pd.DataFrame
) -> tuple[int, str]:
    """Return in how many rows a column has what training never had, and a sentence about it."""
    name = column.name
    if name not in training or name not in holdout or column.kind == "text":
        return 0, ""
    known, asked = training[name].dropna(), holdout[name].dropna()

    def rows(count: int) -> str:
        return f"{count:,} of {len(holdout):,} evaluated rows"

    if known.empty:
        text = f"{name} was always missing in what it learned from, not in {rows(len(asked))}."
        return len(asked), text
    if column.kind == "category":
        new = asked[~asked.isin(known.unique())]
        shown = quote_list(sorted(map(str, new.unique())), most=3)
        return len(new), f"{name} has values that it never met ({shown}) in {rows(len(new))}."
    low, high = known.min(), known.max()
    count = int(((asked < low) | (asked > high)).sum())
    return count, (
        f"{name} goes beyond what was learned from ({_format_bound(low)} to"
        f" {_format_bound(high)}) in {rows(count)}: there it guesses."
    )


def _format_bound(value: object) -> str:
    return f"{value:%Y-%m-%d}" if isinstance(value, pd.Timestamp) else f"{value:.6g}"
