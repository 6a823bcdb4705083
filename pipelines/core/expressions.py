"""Expressions over columns, such as `tenure < 3 and plan == 'basic'`, that can run nothing else."""

import ast
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

import pandas as pd

ALLOWED = (
    ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.Invert,
    ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.BitAnd, ast.BitOr,
    ast.Compare, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn,
    ast.Name, ast.Load, ast.Constant, ast.List, ast.Tuple,
)  # fmt: skip
QUOTED = re.compile(r"`([^`]+)`")


def expression_values(expression: str, table: pd.DataFrame) -> pd.Series:
    """Return what an expression says for every row.

    Columns are named as they are, or in backticks; there are comparisons, `and`, `or`, `not`,
    `in`, arithmetic, numbers and quoted text. Calls and attributes are refused, so that nothing
    but the columns is reached.

    Parameters
    ----------
    expression : str
    table : DataFrame, n rows
        The columns that it may name.

    Raises
    ------
    ValueError
        If it cannot be read, names an unknown column, holds anything else, or does not fit the
        kinds of the columns.

    Examples
    --------
    >>> expression_values("tenure < 3", pd.DataFrame({"tenure": [1.0, 5.0]})).tolist()
    [True, False]
    """
    names = {column: f"column_{place}" for place, column in enumerate(table.columns)}
    plain = _with_plain_names(expression, names)
    renamed = table.rename(columns=names)
    try:
        values = renamed.eval(plain, engine="python")
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ValueError(
            f"The expression {expression!r} does not fit the kinds of its columns: {error}"
        ) from error
    return values if isinstance(values, pd.Series) else pd.Series(values, index=table.index)


def _with_plain_names(expression: str, names: Mapping[str, str]) -> str:
    quoted = QUOTED.findall(expression)
    _check_known(quoted, names, expression)
    tree = _parsed(QUOTED.sub(lambda found: names[found[1]], expression), expression)
    for node in ast.walk(tree):
        if not isinstance(node, ALLOWED):
            raise ValueError(
                f"An expression may hold columns, numbers, text, comparisons, and, or, not, in, "
                f"and arithmetic. Got {type(node).__name__} in {expression!r} instead."
            )
        if isinstance(node, ast.Name) and node.id not in {names[name] for name in quoted}:
            _check_known([node.id], names, expression)
            node.id = names[node.id]
    return ast.unparse(tree)


def _parsed(text: str, expression: str) -> ast.Expression:
    try:
        return ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"The expression {expression!r} cannot be read: {error}") from error


def _check_known(found: Iterable[str], names: Mapping[str, str], expression: str) -> None:
    for name in found:
        if name not in names:
            near = get_close_matches(name, names, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"An expression may name the columns {', '.join(names)}. Got {name!r} in "
                f"{expression!r} instead.{hint}"
            )
