"""The target of a table: its task, its classes, its cells, and what makes it unusable."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import get_args

import pandas as pd
from pandas.api.types import infer_dtype

from evertune.data.column_kinds import infer_kind, number_share, open_number_issues, read_number
from evertune.data.number_formats import PLAIN, NumberFormat
from evertune.data.parsing import as_number, as_text, mask_missing_words, normalize_dtype
from evertune.data.schema import TableSpec
from evertune.data.validation import MAX_MISSING_WORDS, DataIssue, option, quote_list
from evertune.messages import did_you_mean
from evertune.types import Task

MAX_NUMERIC_CLASSES = 20
MIN_ROWS_PER_CLASS = 10
BOOLEAN_DIGITS = {"true": "1", "false": "0"}


def resolve_task(column: pd.Series, spec: TableSpec) -> Task:
    """Return the declared task, or the one that `infer_task` suggests.

    Raises
    ------
    ValueError
        The declared task is none of binary, multiclass, regression or auto.
    """
    for task in get_args(Task):
        if spec.task == task:
            return task  # type: ignore[no-any-return]
    if spec.task != "auto":
        raise ValueError(f"The task must be auto or one of {get_args(Task)}. Got {spec.task!r}.")
    return infer_task(column, spec.missing_values, number_format=spec.format_of(column.name))


def infer_task(
    column: pd.Series, missing: Collection[str] = (), *, number_format: NumberFormat = PLAIN
) -> Task:
    """Return the task that the cells of a target suggest.

    Two values: binary. Other words: multiclass. Whole numbers with at most 20 values and ten rows
    for each: multiclass. Other numbers: regression.
    """
    cells = parse_class_labels(column, missing).dropna()
    n_values = cells.nunique()
    if n_values <= 2:
        return "binary"
    if infer_kind(column, missing) != "number":
        return "multiclass"
    values = as_number(column, missing=missing, number_format=number_format)[0].dropna()
    few = n_values <= min(MAX_NUMERIC_CLASSES, len(cells) / MIN_ROWS_PER_CLASS)
    return "multiclass" if few and bool((values % 1 == 0).all()) else "regression"


def infer_classes(column: pd.Series, task: Task, spec: TableSpec) -> tuple[str, ...]:
    """Return the classes in the order of their codes; in a binary task the positive is the second.

    Numbers are sorted as numbers. If the positive class is `auto` it is the rarer one, and of two
    equally frequent ones the later in order.

    Examples
    --------
    >>> infer_classes(pd.Series(["yes", "no", "no"]), "binary", TableSpec("y"))
    ('no', 'yes')
    >>> infer_classes(pd.Series([10, 9, -1]), "multiclass", TableSpec("y"))
    ('-1', '9', '10')
    """
    if task == "regression":
        return ()
    counts = parse_class_labels(column, spec.missing_values).value_counts()
    numeric = number_share(pd.Series(counts.index, dtype="str")) == 1
    classes = sorted(counts.index, key=float) if numeric else sorted(counts.index)
    if task != "binary" or len(classes) != 2:
        return tuple(classes)
    positive = match_class(spec.positive, classes)
    if positive is None:
        positive = min(reversed(classes), key=lambda label: counts[label])
    return (*[label for label in classes if label != positive], positive)


def parse_class_labels(column: pd.Series, missing: Collection[str] = ()) -> pd.Series:
    """Return a target's cells as class labels: text, NaN if missing.

    Words such as NA are missing among numbers and labels among words.

    Examples
    --------
    >>> [parse_class_labels(pd.Series(cells)).tolist() for cells in (["1.0", "NA"], ["no", "NA"])]
    [['1', nan], ['no', 'NA']]
    """
    cells = as_text(column, missing=missing)
    return mask_missing_words(cells) if number_share(column, missing) == 1 else cells


def match_class(name: str | float | bool, classes: Sequence[str]) -> str | None:
    """Return the class that a value of params.yaml or a label means, None if it means none.

    Examples
    --------
    >>> match_class(1.0, ("-1", "1")), match_class(True, ("false", "true"))
    ('1', 'true')
    """
    text = str(as_text(pd.Series([str(name)], dtype="str")).iloc[0])
    if text in classes:
        return text
    return next((label for label in classes if label.lower() == text.lower()), None)


def parse_target(column: pd.Series, task: Task, spec: TableSpec) -> pd.Series:
    """Return a target's clean cells: class text, or float64 in regression; NaN if missing."""
    if task == "regression":
        written = spec.format_of(column.name)
        return as_number(column, missing=spec.missing_values, number_format=written)[0]
    return parse_class_labels(column, spec.missing_values)


def target_issues(column: pd.Series, spec: TableSpec) -> tuple[DataIssue, ...]:
    """Return what makes a target unusable for its task."""
    name, cells = str(column.name), parse_class_labels(column, spec.missing_values)
    values = cells.dropna().unique()
    if len(values) == 0:
        return (DataIssue(name, "the target is missing in all rows", remedy="Give labelled rows."),)
    if len(values) == 1:
        remedy = "Nothing can be learned; choose another target."
        return (DataIssue(name, f"all rows have the value {values[0]!r}", remedy=remedy),)
    if normalize_dtype(column).dtype.kind == "M" or infer_kind(column) == "date":
        return (DataIssue(name, "the target holds dates", remedy="Choose a number or a class."),)
    task = resolve_task(column, spec)
    if task == "regression":
        written = spec.format_of(column.name)
        unread = read_number(column, missing=spec.missing_values, number_format=written)[1]
        return (
            *open_number_issues(column, spec),
            *(replace(issue, kind=None) for issue in unread),
        )
    continuous = _continuous_issues(column, cells, spec)
    return *_mixed_label_issues(column, cells, spec), *(
        continuous or _class_issues(cells, task, spec)
    )


def _mixed_label_issues(column: pd.Series, cells: pd.Series, spec: TableSpec) -> list[DataIssue]:
    name = str(column.name)
    if column.dtype == object and infer_dtype(column, skipna=True).startswith("mixed"):
        types = quote_list(sorted({type(value).__name__ for value in column}))
        remedy = "Write all labels as one type."
        return [DataIssue(name, f"labels of several types: {types}", remedy=remedy)]
    if spec.labels == "exact":
        return []
    by_meaning: dict[str, list[str]] = {}
    for label in cells.dropna().unique():
        by_meaning.setdefault(BOOLEAN_DIGITS.get(label.lower(), label.lower()), []).append(label)
    return [
        DataIssue(
            name,
            f"labels that seem to mean the same: {quote_list(sorted(labels))}",
            remedy="Write them alike.",
            options="If they are different classes, add `--labels exact`.",
        )
        for labels in by_meaning.values()
        if len(labels) > 1
    ]


def _continuous_issues(column: pd.Series, cells: pd.Series, spec: TableSpec) -> list[DataIssue]:
    name, n_values, n_rows = str(column.name), cells.nunique(), cells.notna().sum()
    missing, written = spec.missing_values, spec.format_of(column.name)
    kind = infer_kind(column, missing)
    if kind == "number" and n_values > MAX_NUMERIC_CLASSES:
        values = as_number(column, missing=missing, number_format=written)[0].dropna()
        if (values % 1 != 0).any():
            problem = f"a number with {n_values} values is not a class"
            return [DataIssue(name, problem, options=f"To predict a number, add {_task()}.")]
    if kind == "text" and n_values * 2 > n_rows:
        problem = f"{n_values} labels in {n_rows} rows look like free text"
        return [DataIssue(name, problem, remedy="Choose a target with classes or numbers.")]
    return []


def _class_issues(cells: pd.Series, task: str, spec: TableSpec) -> list[DataIssue]:
    name, counts, positive = str(cells.name), cells.value_counts(), spec.positive
    classes, issues = [str(label) for label in counts.index], []
    if task == "binary" and len(classes) != 2:
        problem = f"expected 2 classes, found {len(classes)}: {quote_list(classes)}"
        options = f"For more than two classes, add {_task('multiclass')}."
        if number_share(pd.Series(classes, dtype="str")) == 1:
            options += f" To predict a number, add {_task()}."
        issues.append(DataIssue(name, problem, options=options))
    if task == "binary" and positive != "auto" and match_class(positive, classes) is None:
        problem = f"no row has the positive class {positive!r}; classes are {quote_list(classes)}"
        hint = did_you_mean(str(positive), classes).strip()
        choice = " or ".join(f"`{option('positive', label)}`" for label in classes[:2])
        issues.append(DataIssue(name, problem, remedy=hint, options=f"Add {choice}."))
    rare = [label for label in classes if counts[label] == 1]
    if rare:
        problem = f"{len(rare)} of {len(classes)} classes have a single row: {quote_list(rare)}"
        few = tuple(rare) if len(rare) <= MAX_MISSING_WORDS else ()
        remedy = "Add rows, merge classes or drop them."
        issues.append(DataIssue(name, problem, remedy=remedy, words=few))
    return issues


def _task(task: Task = "regression") -> str:
    return f"`{option('task', task)}`"
