"""The sentences of a model card: notes on the scores, cautions for users, known limitations."""

import re
from collections.abc import Iterable, Iterator

import pandas as pd

from evertune.data.schema import Column, TableSchema
from evertune.data.validation import quote_list
from evertune.evaluation.evaluation_record import Evaluation, chosen_simple_model
from evertune.evaluation.formatting import (
    count_noun,
    format_score,
    humanize,
    metric_name,
)
from evertune.evaluation.slices import SliceRow, rate_gaps
from evertune.evaluation.sufficiency import unbeaten_rules

RANGE = re.compile(r"-?\d\S* to -?\d\S*")  # of a slice of a number or a date
MIN_HOLDOUT_ROWS = 200
MIN_CLASS_ROWS = 20
LOW_RECALL = 0.5
MAX_COLUMNS_LISTED = 5


def evaluation_notes(evaluation: Evaluation, schema: TableSchema) -> tuple[str, ...]:
    """Return what a reader must know to read the scores rightly, the gravest first.

    Notes that the evaluation already has are ignored.
    """
    notes = [*_notes_on_the_model(evaluation), *_notes_on_the_scores(evaluation)]
    if schema.time is not None:
        notes.append(
            f"The hold-out is the latest part by '{schema.time}'. Later rows may differ by more"
            " than the intervals suggest."
        )
    if schema.group is not None:
        notes.append(
            f"Rows of the same '{schema.group}' resemble each other, but the intervals treat rows"
            " as independent: they are too narrow."
        )
    n_shuffled, n_columns = len(evaluation.importance), len(schema.features)
    if 0 < n_shuffled < n_columns:
        notes.append(
            f"The importance of {n_shuffled} columns was measured, those that the model seems to"
            f" rely on most. The other {n_columns - n_shuffled} were left out: the table has too"
            " many columns to shuffle each."
        )
    return tuple(notes)


def _notes_on_the_model(evaluation: Evaluation) -> Iterator[str]:
    metric = metric_name(evaluation.metric)
    yield from _unbeaten_rule_cautions(evaluation)
    if not evaluation.search.complete:
        yield (
            "No trial of the search finished all folds, so cross-validation chose nothing. Give the"
            " search more time."
        )
    for guard in evaluation.guards:
        if not guard.kept:
            yield f"The guard on {metric_name(guard.metric)} is broken on the hold-out."
    main = evaluation.metrics[0]
    if main.gap is None or main.low is None or main.high is None:
        return
    if main.gap > main.high - main.low:
        yield (
            f"In {metric} the model is {main.gap:.3g} better on the rows it was trained on, more"
            " than chance explains: it overfits. Trust the score on the hold-out."
        )


def _notes_on_the_scores(evaluation: Evaluation) -> Iterator[str]:
    if evaluation.n_holdout < MIN_HOLDOUT_ROWS:
        n_rows = count_noun(evaluation.n_holdout, "row")
        yield f"The hold-out has only {n_rows}: its intervals are wide."
    for name, row in zip(evaluation.classes, evaluation.confusion, strict=False):
        if sum(row) < MIN_CLASS_ROWS:
            yield (
                f"Class '{name}' has only {count_noun(sum(row), 'row')} in the hold-out: its scores"
                " are imprecise."
            )
    chosen = chosen_simple_model(evaluation)
    if chosen is not None:
        yield (
            f"All scores are those of {humanize(chosen)}, the model in use. The hold-out was used"
            " to choose between it and the search's model, which flatters it a little."
        )
    elif evaluation.search.complete > 1:
        yield (
            f"The folds chose this configuration among {evaluation.search.trials}, so its scores "
            "on them are optimistic. The hold-out was not used for that choice."
        )
    for baseline in evaluation.baselines:
        if baseline.n_rows < evaluation.n_holdout:
            yield (
                f"{humanize(baseline.name).capitalize()} has no prediction for "
                f"{count_noun(evaluation.n_holdout - baseline.n_rows, 'row')} of the hold-out, so"
                f" it is compared with the model on the other {baseline.n_rows:,}."
            )
    if any(row.name == "uniform_random" for row in evaluation.baselines):
        yield "Random baselines are given by their expected score, not by one draw."


def usage_cautions(evaluation: Evaluation) -> tuple[str, ...]:
    """Return where the scores tell not to rely on a model, a sentence each."""
    metric, cautions = metric_name(evaluation.metric), [*_unbeaten_rule_cautions(evaluation)]
    for row in evaluation.slices:
        if row.found and row.figure is not None:
            only = "only " if evaluation.greater_is_better else ""
            cautions.append(
                f"Rows with {_slice_text(row)}: {metric} is {only}{format_score(row.figure)}. Check"
                " such rows by hand."
            )
    cautions += [
        f"It does not treat all values of '{column}' alike: the share predicted"
        f" '{evaluation.classes[1]}' differs by up to {100 * gap:.1f} percentage points."
        for column, gap in rate_gaps(evaluation.slices).items()
    ]
    for code, counts in enumerate(evaluation.confusion):
        name, n_rows = evaluation.classes[code], sum(counts)
        if n_rows < MIN_CLASS_ROWS:
            cautions.append(f"Class '{name}' was evaluated on only {count_noun(n_rows, 'row')}.")
        elif counts[code] < LOW_RECALL * n_rows:
            cautions.append(
                f"It misses most rows of class '{name}': {n_rows - counts[code]:,} of {n_rows:,}"
                " are predicted as another class, with the threshold in use."
            )
    return tuple(cautions)


def _unbeaten_rule_cautions(evaluation: Evaluation) -> Iterator[str]:
    """Yield why the hold-out does not show that the model beats the rules that need no model.

    There is a sentence exactly where the promotion gate against these rules does not pass.
    """
    found = unbeaten_rules(evaluation)
    for reason in dict.fromkeys(each.reason for each in found if each.outcome == "fail"):
        yield f"It does not beat every rule that needs no model: {reason}."
    for reason in dict.fromkeys(each.reason for each in found if each.outcome == "unknown"):
        yield (
            f"There is not enough evidence that it beats every rule that needs no model: {reason}."
        )


def _slice_text(row: SliceRow) -> str:
    if RANGE.fullmatch(row.value):
        low, _, high = row.value.partition(" to ")
        return f"{row.column} between {low} and {high}"
    return f"{row.column} '{row.value}'"


def model_limitations(
    training: pd.DataFrame,
    holdout: pd.DataFrame,
    schema: TableSchema,
    *,
    slices: Iterable[SliceRow],
) -> tuple[str, ...]:
    """Return what a model does not know, a sentence each; both tables are clean.

    Examples
    --------
    >>> schema = TableSchema((Column("age", "number"),), "y", "regression")
    >>> old, new = pd.DataFrame({"age": [18.0, 60.0]}), pd.DataFrame({"age": [30.0, 70.0]})
    >>> model_limitations(old, new, schema, slices=())[0]
    'age: 1 of 2 evaluated rows lie outside the range of training (18 to 60).'
    """
    found = [_unseen_values(column, training, holdout) for column in schema.features]
    unseen = sorted((each for each in found if each[0]), key=lambda each: -each[0])
    texts = [text for _, text in unseen[:MAX_COLUMNS_LISTED]]
    if len(unseen) > MAX_COLUMNS_LISTED:
        n_more = len(unseen) - MAX_COLUMNS_LISTED
        texts.append(f"{n_more} more columns have values that training did not contain.")
    if not unseen:
        texts.append("Training contained the categories and ranges of all evaluated rows.")
    small = [f"{row.column} {row.value} ({row.n_rows})" for row in slices if row.small]
    if small:
        n_more = len(small) - MAX_COLUMNS_LISTED
        more = f" and {n_more} more" if n_more > 0 else ""
        shown = ", ".join(small[:MAX_COLUMNS_LISTED])
        texts.append(f"Slices with too few rows to be evaluated: {shown}{more}.")
    if schema.time is None or schema.time not in training or schema.time not in holdout:
        texts.append(
            "No time column orders the rows, so the evaluation cannot show whether the model holds"
            " up over time."
        )
    else:
        last = max(training[schema.time].max(), holdout[schema.time].max())
        texts.append(
            f"Nothing later than {_format_bound(last)} was evaluated. Monitoring covers what comes"
            " after."
        )
    texts.append(
        "The model predicts, it does not explain causes: changing an input need not change"
        f" '{schema.target}' as the prediction suggests."
    )
    return tuple(texts)


def _unseen_values(
    column: Column, training: pd.DataFrame, holdout: pd.DataFrame
) -> tuple[int, str]:
    """Return how many rows have a value that training did not contain, and a sentence about it."""
    name = column.name
    if name not in training or name not in holdout or column.kind == "text":
        return 0, ""
    known, evaluated = training[name].dropna(), holdout[name].dropna()
    if known.empty:
        new = evaluated
        text = "have a value, but in training the column was always missing"
    elif column.kind == "category":
        new = evaluated[~evaluated.isin(known.unique())]
        shown = quote_list(sorted(map(str, new.unique())), most=3)
        text = f"have categories that training did not contain ({shown})"
    else:
        low, high = known.min(), known.max()
        new = evaluated[(evaluated < low) | (evaluated > high)]
        bounds = f"{_format_bound(low)} to {_format_bound(high)}"
        text = f"lie outside the range of training ({bounds})"
    return len(new), f"{name}: {len(new):,} of {len(holdout):,} evaluated rows {text}."


def _format_bound(value: object) -> str:
    return f"{value:%Y-%m-%d}" if isinstance(value, pd.Timestamp) else f"{value:.6g}"
