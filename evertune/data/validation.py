"""Data issues: what is wrong with a table, written so that a person can fix it.

`issue_for_cells` builds a `DataIssue` from a mask of faulty cells; `format_issues` prints them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

MAX_ISSUES_SHOWN = 20
MAX_EXAMPLE_LENGTH = 40


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
        What to do, a sentence.
    """

    column: str | None
    problem: str
    count: int = 0
    first_row: int | None = None
    example: str | None = None
    remedy: str = ""


def issue_for_cells(
    cells: pd.Series, faulty: pd.Series, *, problem: str, remedy: str
) -> tuple[DataIssue, ...]:
    """Return one issue for the faulty cells of a column, or none if no cell is faulty.

    `problem` follows the count: "cells are not numbers".
    """
    count = int(faulty.sum())
    if not count:
        return ()
    index = int(faulty.to_numpy().argmax())
    return (
        DataIssue(
            column=str(cells.name),
            problem=f"{count} of {len(cells)} {problem}",
            count=count,
            first_row=index + 1,
            example=truncate_cell(cells.iloc[index]),
            remedy=remedy,
        ),
    )


def format_issues(issues: Sequence[DataIssue]) -> str:
    """Return the issues as lines of text, at most 20 of them.

    Examples
    --------
    >>> issue = DataIssue("age", "1 of 2 cells are not numbers", 1, 2, "x", "Fix it.")
    >>> print(format_issues([issue]))
    - column 'age': 1 of 2 cells are not numbers, the first in row 2: 'x'. Fix it.
    """
    lines = []
    for issue in issues[:MAX_ISSUES_SHOWN]:
        where = "" if issue.column is None else f"column {issue.column!r}: "
        row = "" if issue.first_row is None else f", the first in row {issue.first_row}"
        example = "" if issue.example is None else f": {issue.example!r}"
        lines.append(f"- {where}{issue.problem}{row}{example}. {issue.remedy}".rstrip())
    if len(issues) > MAX_ISSUES_SHOWN:
        lines.append(f"- and {len(issues) - MAX_ISSUES_SHOWN} more")
    return "\n".join(lines)


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
    shown = [repr(truncate_cell(name)) for name in names]
    more = f" and {len(shown) - most} more" if len(shown) > most else ""
    return ", ".join(shown[:most]) + more
