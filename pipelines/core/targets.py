"""The column to predict: its task, its classes, and what makes it unusable."""

from collections.abc import Collection, Sequence
from typing import get_args

import pandas as pd
from pandas.api.types import infer_dtype

from pipelines.core.breaches import Breach, listed
from pipelines.core.cells import MISSING_WORDS, as_number, as_text, plain, without_words
from pipelines.core.declared import Declared
from pipelines.core.kinds import kind_of, number_share
from pipelines.core.predictions import Task
from pipelines.core.readings import read_number
from pipelines.core.wording import did_you_mean

MOST_NUMBER_CLASSES = 20
ROWS_PER_CLASS = 10
TRUTH = {"true": "1", "false": "0"}
TWO = 2


def labels(column: pd.Series, missing: Collection[str] = ()) -> pd.Series:
    """Return a target's cells as class labels: text, NaN where missing.

    Words such as NA are missing among numbers and labels among words.

    Examples
    --------
    >>> labels(pd.Series(["1.0", "0", "NA"])).tolist(), labels(pd.Series(["no", "NA"])).tolist()
    (['1', '0', nan], ['no', 'NA'])
    """
    cells = as_text(column, missing=missing)
    return without_words(cells) if number_share(column, missing) == 1 else cells


def task_of(column: pd.Series, missing: Collection[str] = (), *, decimal: str = ".") -> Task:
    """Return the task that a look at a target suggests.

    Two values: binary. Other words: multiclass. Whole numbers with at most 20 values and ten rows
    for each: multiclass. Other numbers: regression.

    Examples
    --------
    >>> task_of(pd.Series(["-1", "1"])), task_of(pd.Series(["1.5", "2.5", "3"]))
    ('binary', 'regression')
    """
    cells = labels(column, missing).dropna()
    n_values = cells.nunique()
    if n_values <= TWO:
        return "binary"
    if kind_of(column, missing, decimal=decimal) != "number":
        return "multiclass"
    values = as_number(column, missing=missing, decimal=decimal)[0].dropna()
    few = n_values <= min(MOST_NUMBER_CLASSES, len(cells) / ROWS_PER_CLASS)
    return "multiclass" if few and bool((values % 1 == 0).all()) else "regression"


def known_task(column: pd.Series, declared: Declared) -> Task:
    """Return the task that is declared, or that a look at the target suggests.

    Raises
    ------
    ValueError
        Where another task is declared than binary, multiclass, regression or auto.

    Examples
    --------
    >>> known_task(pd.Series(["a", "b"], name="y"), Declared("y"))
    'binary'
    """
    for task in get_args(Task):
        if declared.task == task:
            return task  # type: ignore[no-any-return]
    if declared.task != "auto":
        raise ValueError(f"Expected one of {get_args(Task)}, but got {declared.task=}.")
    return task_of(column, declared.missing_values, decimal=declared.decimal)


def classes_of(column: pd.Series, task: Task, declared: Declared) -> tuple[str, ...]:
    """Return the classes in the order of their codes; in a binary task the positive is the second.

    Numbers stand in the order of numbers. Where the positive class is `auto` it is the rarer one,
    and of two equally rare ones the later in order.

    Examples
    --------
    >>> classes_of(pd.Series(["yes", "no", "no"]), "binary", Declared("y"))
    ('no', 'yes')
    >>> classes_of(pd.Series([10, 9, -1]), "multiclass", Declared("y"))
    ('-1', '9', '10')
    """
    if task == "regression":
        return ()
    counts = labels(column, declared.missing_values).value_counts()
    classes = _ordered(list(counts.index))
    if task != "binary" or len(classes) != TWO:
        return tuple(classes)
    chosen = named_class(declared.positive, classes)
    if chosen is None:
        chosen = min(reversed(classes), key=lambda label: counts[label])
    return (*[label for label in classes if label != chosen], chosen)


def _ordered(classes: list[str]) -> list[str]:
    numbers = number_share(pd.Series(classes, dtype="str")) == 1
    return sorted(classes, key=float) if numbers else sorted(classes)


def named_class(name: str | float | bool, classes: Sequence[str]) -> str | None:
    """Return the class that params.yaml means, None where it names none.

    Examples
    --------
    >>> named_class(1.0, ("-1", "1")), named_class(True, ("false", "true"))
    ('1', 'true')
    """
    text = as_text(pd.Series([str(name)], dtype="str")).iloc[0]
    if text in classes:
        return str(text)
    return next((label for label in classes if label.lower() == str(text).lower()), None)


def target_values(column: pd.Series, task: Task, declared: Declared) -> pd.Series:
    """Return a target's clean cells: class text, or float64 in regression; NaN where missing.

    Examples
    --------
    >>> target_values(pd.Series([1.0, None]), "binary", Declared("y")).tolist()
    ['1', nan]
    """
    if task == "regression":
        return as_number(column, missing=declared.missing_values, decimal=declared.decimal)[0]
    return labels(column, declared.missing_values)


def target_breaches(column: pd.Series, declared: Declared) -> tuple[Breach, ...]:
    """Return what makes a target unusable for its task.

    Examples
    --------
    >>> target_breaches(pd.Series(["a", "a"], name="y"), Declared("y"))[0].problem
    "all rows have the value 'a'"
    """
    missing, decimal = declared.missing_values, declared.decimal
    cells = labels(column, missing)
    unusable = _emptiness(column, cells)
    if unusable:
        return unusable
    task = known_task(column, declared)
    if task == "regression":
        return read_number(column, missing=missing, decimal=decimal)[1]
    return (
        *_mixture(column, cells),
        *(_continuity(column, cells, declared) or _class_breaches(cells, task, declared.positive)),
    )


def _emptiness(column: pd.Series, cells: pd.Series) -> tuple[Breach, ...]:
    name, values = str(column.name), cells.dropna().unique()
    if len(values) == 0:
        return (Breach(name, "the target is missing in all rows", remedy="Give labelled rows."),)
    if len(values) == 1:
        remedy = "Nothing can be learned; choose another target."
        return (Breach(name, f"all rows have the value {values[0]!r}", remedy=remedy),)
    if plain(column).dtype.kind == "M" or kind_of(column) == "date":
        return (Breach(name, "the target holds dates", remedy="Choose a number or a class."),)
    return ()


def _mixture(column: pd.Series, cells: pd.Series) -> tuple[Breach, ...]:
    name = str(column.name)
    if column.dtype == object and infer_dtype(column, skipna=True).startswith("mixed"):
        problem = f"labels of several types: {listed(sorted({type(v).__name__ for v in column}))}"
        return (Breach(name, problem, remedy="Write all labels as one type."),)
    meanings: dict[str, list[str]] = {}
    for label in cells.dropna().unique():
        meanings.setdefault(TRUTH.get(label.lower(), label.lower()), []).append(label)
    remedy = "Write them alike."
    return tuple(
        Breach(name, f"labels that seem to mean the same: {listed(sorted(alike))}", remedy=remedy)
        for alike in meanings.values()
        if len(alike) > 1
    )


def _continuity(column: pd.Series, cells: pd.Series, declared: Declared) -> tuple[Breach, ...]:
    name, n_values = str(column.name), cells.nunique()
    missing, decimal = declared.missing_values, declared.decimal
    kind = kind_of(column, missing, decimal=decimal)
    if kind == "number" and n_values > MOST_NUMBER_CLASSES:
        values = as_number(column, missing=missing, decimal=decimal)[0].dropna()
        if (values % 1 != 0).any():
            remedy = "Set data.task: regression in params.yaml."
            return (Breach(name, f"a number with {n_values} values is no class", remedy=remedy),)
    if kind == "text" and n_values * TWO > cells.notna().sum():
        problem = f"{n_values} labels in {cells.notna().sum()} rows look like free text"
        return (Breach(name, problem, remedy="Choose a target with classes or numbers."),)
    return ()


def _class_breaches(
    cells: pd.Series, task: str, positive: str | float | bool
) -> tuple[Breach, ...]:
    name, counts = str(cells.name), cells.value_counts()
    classes, breaches = [str(label) for label in counts.index], []
    if task == "binary" and len(classes) != TWO:
        problem = f"expected 2 classes, found {len(classes)}: {listed(classes)}"
        breaches.append(Breach(name, problem, remedy="Set data.task: multiclass or regression."))
    if task == "binary" and positive != "auto" and named_class(positive, classes) is None:
        problem = f"no row has the positive class {positive!r}; classes are {listed(classes)}"
        remedy = f"{did_you_mean(str(positive), classes).strip()} Set data.positive.".strip()
        breaches.append(Breach(name, problem, remedy=remedy))
    rare = [label for label in classes if counts[label] == 1]
    if rare:
        problem = f"{len(rare)} of {len(classes)} classes have a single row: {listed(rare)}"
        breaches.append(Breach(name, problem, remedy="Add rows, merge classes or drop them."))
    return tuple(breaches)


def words_kept(column: pd.Series) -> list[str]:
    """Return words such as NA that stay ordinary values of a column of words.

    Examples
    --------
    >>> words_kept(pd.Series(["red", "NA", "None"]))
    ['NA', 'None']
    """
    values = as_text(column).dropna().unique()
    return sorted(value for value in values if value.lower() in MISSING_WORDS)
