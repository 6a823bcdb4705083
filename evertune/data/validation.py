"""Data issues: what is wrong with a table, written so that a person can fix it.

A `DataIssue` names the column, the problem, how many cells have it, the first such row with an
example, and the remedy. `issue_for_cells` builds one from a mask; `format_issues` prints them.
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
        None where the fault is the whole table's.
    problem : str
        What was expected and what was found.
    count : int
        How many cells or rows have the fault; 0 where counting means nothing.
    first_row : int, optional
        The first such row; the first row below the header is 1.
    example : str, optional
        The cell found there.
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
    """Return one breach for the faulty cells of a column, or none where no cell is.

    Parameters
    ----------
    cells : series of n cells
    faulty : boolean series of n
    problem, remedy : str
        The problem follows the count: "cells are not numbers".

    Examples
    --------
    >>> cells = pd.Series(["4", "x"], name="age")
    >>> issue_for_cells(cells, cells == "x", problem="cells are not numbers", remedy="Mend it.")
    (DataIssue(column='age', problem='1 of 2 cells are not numbers', count=1, first_row=2, \
example='x', remedy='Mend it.'),)
    """
    count = int(faulty.sum())
    if not count:
        return ()
    place = int(faulty.to_numpy().argmax())
    return (
        DataIssue(
            column=str(cells.name),
            problem=f"{count} of {len(cells)} {problem}",
            count=count,
            first_row=place + 1,
            example=truncate_cell(cells.iloc[place]),
            remedy=remedy,
        ),
    )


def truncate_cell(cell: object) -> str:
    """Return a cell as text of at most 40 characters.

    Examples
    --------
    >>> len(truncate_cell("x" * 1000))
    40
    """
    text = str(cell)
    return text if len(text) <= MAX_EXAMPLE_LENGTH else text[: MAX_EXAMPLE_LENGTH - 3] + "..."


def format_issues(breaches: Sequence[DataIssue]) -> str:
    """Return the breaches as lines of text, at most 20 of them.

    Examples
    --------
    >>> print(format_issues([DataIssue("age", "1 of 2 cells are not numbers", 1, 2, "x", "Mend it.")]))
    - column 'age': 1 of 2 cells are not numbers, the first in row 2: 'x'. Mend it.
    """
    lines = [_format_issue(breach) for breach in breaches[:MAX_ISSUES_SHOWN]]
    if len(breaches) > MAX_ISSUES_SHOWN:
        lines.append(f"- and {len(breaches) - MAX_ISSUES_SHOWN} more")
    return "\n".join(lines)


def _format_issue(breach: DataIssue) -> str:
    where = "" if breach.column is None else f"column {breach.column!r}: "
    row = "" if breach.first_row is None else f", the first in row {breach.first_row}"
    example = "" if breach.example is None else f": {breach.example!r}"
    return f"- {where}{breach.problem}{row}{example}. {breach.remedy}".rstrip()


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
