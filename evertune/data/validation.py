"""Data issues: what is wrong with a table, written so that a person can fix it.

`issue_for_cells` builds a `DataIssue` from a mask of faulty cells; `format_issues` prints them.
What a person can tell `evertune use` about a column is written by `option`, ready to be pasted.
"""

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

MAX_ISSUES_SHOWN = 20
MAX_EXAMPLE_LENGTH = 40
MAX_MISSING_WORDS = 3  # that one issue offers to declare
KIND_MEANING = {"category": "labels", "text": "text", "number": "numbers", "date": "dates"}


@dataclass(frozen=True)
class DataIssue:
    """One fault of a table.

    Attributes
    ----------
    column : str, optional
        None if the whole table has the fault.
    problem : str
        What was expected and what was found.
    count : int
        Faulty cells or rows; 0 if counting means nothing.
    first_row : int, optional
        The first such row; the first row below the header is 1.
    example : str, optional
        The cell in that row.
    remedy : str
        What to do about the table, a sentence.
    words : tuple of str
        Cells that would be no fault if they were declared to mean "missing".
    kind : str, optional
        The kind of column that would take the cells as they are.
    options : str
        What else `evertune use` could be told, a sentence.
    """

    column: str | None
    problem: str
    count: int = 0
    first_row: int | None = None
    example: str | None = None
    remedy: str = ""
    words: tuple[str, ...] = ()
    kind: str | None = None
    options: str = ""


def issue_for_cells(
    cells: pd.Series,
    faulty: pd.Series,
    *,
    problem: str,
    remedy: str,
    may_be_missing: bool = False,
    kind: str | None = None,
    options: str = "",
) -> tuple[DataIssue, ...]:
    """Return one issue for the faulty cells of a column, or none if no cell is faulty.

    `problem` follows the count: "cells are not numbers". `may_be_missing`: the cells may be words
    that mean "missing"; they are offered as such if they are few and short.
    """
    count = int(faulty.sum())
    if not count:
        return ()
    index = int(faulty.to_numpy().argmax())
    words: tuple[str, ...] = ()
    if may_be_missing:
        words = tuple(dict.fromkeys(str(cell).strip() for cell in cells[faulty]))
        few = len(words) <= MAX_MISSING_WORDS
        words = words if few and max(map(len, words)) <= MAX_EXAMPLE_LENGTH else ()
    return (
        DataIssue(
            column=str(cells.name),
            problem=f"{count} of {len(cells)} {problem}",
            count=count,
            first_row=index + 1,
            example=truncate_cell(cells.iloc[index]),
            remedy=remedy,
            words=words,
            kind=kind,
            options=options,
        ),
    )


def format_issues(issues: Sequence[DataIssue], *, with_options: bool = False) -> str:
    """Return the issues as lines of text, at most 20 of them.

    `with_options`: each with what `evertune use` could be told about the column.

    Examples
    --------
    >>> issue = DataIssue("age", "1 of 2 cells are not numbers", 1, 2, "x", "Fix it.")
    >>> print(format_issues([issue]))
    - column 'age': 1 of 2 cells are not numbers, the first in row 2: 'x'. Fix it.
    >>> issue = DataIssue("age", "1 of 2 cells are not numbers", words=("x y",))
    >>> print(format_issues([issue], with_options=True))
    - column 'age': 1 of 2 cells are not numbers. If 'x y' means missing, add `--missing 'x y'`.
    """
    lines = []
    for issue in issues[:MAX_ISSUES_SHOWN]:
        where = "" if issue.column is None else f"column {issue.column!r}: "
        row = "" if issue.first_row is None else f", the first in row {issue.first_row}"
        example = "" if issue.example is None else f": {issue.example!r}"
        advice = " ".join(filter(None, (issue.remedy, *(_options(issue) if with_options else ()))))
        lines.append(f"- {where}{issue.problem}{row}{example}. {advice}".rstrip())
    if len(issues) > MAX_ISSUES_SHOWN:
        lines.append(f"- and {len(issues) - MAX_ISSUES_SHOWN} more")
    return "\n".join(lines)


def _options(issue: DataIssue) -> Iterator[str]:
    if issue.words:
        verb = "means" if len(issue.words) == 1 else "mean"
        options = " ".join(option("missing", word) for word in issue.words)
        yield f"If {quote_list(issue.words)} {verb} missing, add `{options}`."
    if issue.kind and issue.column is not None:
        kind = option("kind", f"{issue.column}={issue.kind}")
        yield f"If the column holds {KIND_MEANING[issue.kind]}, add `{kind}`."
    if issue.options:
        yield issue.options


def option(name: str, value: str) -> str:
    """Return an option of `evertune use` as a shell takes it.

    Examples
    --------
    >>> option("time", "since when"), option("missing", "-999")
    ("--time 'since when'", '--missing=-999')
    """
    sign = "=" if value.startswith("-") else " "
    return f"--{name}{sign}{shlex.quote(value)}"


def quote_name(name: str) -> str:
    """Return a column's name, in quotes unless it can be told apart in a list without them.

    Examples
    --------
    >>> quote_name("age"), quote_name("Price, EUR")
    ('age', "'Price, EUR'")
    """
    return name if re.fullmatch(r"[^\s,;:'\"`]+", name) else repr(name)


def join_names(names: Iterable[str], *, most: int = 20) -> str:
    """Return names with commas, at most so many.

    Examples
    --------
    >>> join_names(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    shown = list(names)
    more = f" and {len(shown) - most} more" if len(shown) > most else ""
    return ", ".join(shown[:most]) + more


def truncate_cell(cell: object) -> str:
    """Return a cell as text of at most 40 characters."""
    text = str(cell)
    return text if len(text) <= MAX_EXAMPLE_LENGTH else text[: MAX_EXAMPLE_LENGTH - 3] + "..."


def quote_list(names: Iterable[str], *, most: int = 10) -> str:
    """Return names in quotes with commas, at most so many.

    Examples
    --------
    >>> quote_list(["a", "b", "c"], most=2)
    "'a', 'b' and 1 more"
    """
    return join_names((repr(truncate_cell(name)) for name in names), most=most)
