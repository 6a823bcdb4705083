"""The simple heuristic: one rule on one column, or an expression of the user's."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.core.clocks import clock
from pipelines.core.expressions import expression_values
from pipelines.core.predictions import Floats, Predictions
from pipelines.core.schema import Schema
from pipelines.core.truths import class_codes

Groups = NDArray[np.int64]
MOST_ANSWERS_SHOWN = 6


@dataclass(frozen=True)
class Rule:
    """Rows fall into groups by a column or an expression; every group has its answer.

    Attributes
    ----------
    column : str, optional
        None for an expression, and for a rule whose only group is all rows.
    threshold : float, optional
        The groups of a column of numbers: missing, below it, at least it. Of a date it is
        microseconds since 1970.
    levels : tuple of str
        The groups of a column of text: any other, then one a level.
    expression : str, optional
        The groups where it is true or false: false, true. Where it names classes: one a class,
        then anything else. In regression it is the prediction and the only group holds what
        stands in for a missing one.
    values : tuple of float
        The answer of every group: a class code or a value.
    probabilities : tuple of tuple of float
        The shares of the classes in every group, drawn towards those of the whole by the weight
        of one row; empty in regression.
    """

    column: str | None
    threshold: float | None
    levels: tuple[str, ...]
    expression: str | None
    values: tuple[float, ...]
    probabilities: tuple[tuple[float, ...], ...]


def rule_predictions(rule: Rule, table: pd.DataFrame, schema: Schema) -> Predictions:
    """Return what a rule says of the n rows of a clean table.

    Parameters
    ----------
    rule : Rule
    table : DataFrame, n rows
    schema : Schema

    Raises
    ------
    ValueError
        If the rule is an expression that does not suit the table.

    Examples
    --------
    >>> schema = Schema((), "churned", "binary", ("no", "yes"))
    >>> rule = Rule("tenure", 3.0, (), None, (0.0, 1.0, 0.0), ((0.8, 0.2), (0.4, 0.6), (0.9, 0.1)))
    >>> rule_predictions(rule, pd.DataFrame({"tenure": [1.0, 3.0]}), schema).values
    array([1., 0.])
    """
    if rule.expression is not None and schema.task == "regression":
        said = expression_numbers(rule.expression, table, schema)
        return Predictions(np.where(np.isfinite(said), said, rule.values[0]))
    groups = _groups(rule, table, schema)
    values = np.array(rule.values)[groups]
    return Predictions(values, np.array(rule.probabilities)[groups] if rule.probabilities else None)


def column_groups(column: pd.Series, threshold: float) -> Groups:
    """Return the group of every number or date: 0 missing, 1 below the threshold, 2 at least it.

    Examples
    --------
    >>> column_groups(pd.Series([np.nan, 1.0, 3.0]), 3.0)
    array([0, 1, 2])
    """
    numbers = clock(column.to_numpy())
    return np.where(np.isnan(numbers), 0, np.where(numbers < threshold, 1, 2))


def level_groups(column: pd.Series, levels: tuple[str, ...]) -> Groups:
    """Return the group of every text: 0 for any other, else 1 + the place among the levels.

    Examples
    --------
    >>> level_groups(pd.Series(["pro", "basic", None]), ("basic", "pro"))
    array([2, 1, 0])
    """
    codes = class_codes(column, levels)
    return (np.nan_to_num(codes, nan=-1.0) + 1).astype(np.int64)


def expression_groups(expression: str, table: pd.DataFrame, schema: Schema) -> Groups:
    """Return the group of every row by an expression over the features of a clean table.

    Parameters
    ----------
    expression : str
        True or false (also as 1 and 0) in a binary task, or text that names classes.
    table : DataFrame, n rows
    schema : Schema

    Raises
    ------
    ValueError
        If it gives anything else.

    Examples
    --------
    >>> from pipelines.core.schema import Column
    >>> schema = Schema((Column("tenure", "number"),), "churned", "binary", ("no", "yes"))
    >>> expression_groups("tenure < 3", pd.DataFrame({"tenure": [1.0, 3.0]}), schema)
    array([1, 0])
    """
    said = _said(expression, table, schema)
    truths = pd.api.types.is_numeric_dtype(said) and said.dropna().isin([0, 1]).all()
    if truths and schema.task == "binary":
        return np.asarray(said == 1).astype(np.int64)
    if not pd.api.types.is_string_dtype(said):
        raise ValueError(
            f"The heuristic of a {schema.task} task must say true or false (binary) or name "
            f"classes. Got values such as {said.iloc[0]!r} from {expression!r} instead."
        )
    codes = class_codes(said, schema.classes)
    return np.where(np.isnan(codes), len(schema.classes), codes).astype(np.int64)


def expression_numbers(expression: str, table: pd.DataFrame, schema: Schema) -> Floats:
    """Return the number that an expression gives for every row.

    Raises
    ------
    ValueError
        If it gives anything but numbers.

    Examples
    --------
    >>> from pipelines.core.schema import Column
    >>> schema = Schema((Column("rooms", "number"),), "price", "regression")
    >>> expression_numbers("rooms * 50", pd.DataFrame({"rooms": [2.0, 3.0]}), schema)
    array([100., 150.])
    """
    said = _said(expression, table, schema)
    if not pd.api.types.is_numeric_dtype(said) or pd.api.types.is_bool_dtype(said):
        raise ValueError(
            f"The heuristic of a regression task must give numbers. Got values such as "
            f"{said.iloc[0]!r} from {expression!r} instead."
        )
    return np.asarray(said, dtype=np.float64)


def rule_sentence(rule: Rule, schema: Schema) -> str:
    """Return a rule in words.

    Examples
    --------
    >>> schema = Schema((), "churned", "binary", ("no", "yes"))
    >>> rule = Rule("tenure", 3.0, (), None, (0.0, 1.0, 0.0), ((0.8, 0.2), (0.4, 0.6), (0.9, 0.1)))
    >>> rule_sentence(rule, schema)
    'tenure: missing -> no (20 % yes); below 3 -> yes (60 % yes); at least 3 -> no (10 % yes)'
    """
    if rule.expression is not None:
        return rule.expression
    if rule.column is None:
        return f"no column parts the rows: {_answer(rule, schema, 0)}"
    names = [f"{level!r}" for level in rule.levels]
    groups = ["any other", *names] if names else _threshold_groups(rule, schema)
    answers = [f"{group} -> {_answer(rule, schema, place)}" for place, group in enumerate(groups)]
    more = len(answers) - MOST_ANSWERS_SHOWN
    shown = answers[:MOST_ANSWERS_SHOWN] + ([f"and {more} more"] if more > 0 else [])
    return f"{rule.column}: {'; '.join(shown)}"


def _groups(rule: Rule, table: pd.DataFrame, schema: Schema) -> Groups:
    if rule.expression is not None:
        return expression_groups(rule.expression, table, schema)
    if rule.column is None:
        return np.zeros(len(table), dtype=np.int64)
    if rule.threshold is not None:
        return column_groups(table[rule.column], rule.threshold)
    return level_groups(table[rule.column], rule.levels)


def _said(expression: str, table: pd.DataFrame, schema: Schema) -> pd.Series:
    return expression_values(expression, table[[column.name for column in schema.features]])


def _threshold_groups(rule: Rule, schema: Schema) -> list[str]:
    kinds = {column.name: column.kind for column in schema.features}
    bound = f"{rule.threshold:.6g}"
    if kinds.get(rule.column or "") == "date" and rule.threshold is not None:
        bound = str(pd.Timestamp(int(rule.threshold), unit="us")).removesuffix(" 00:00:00")
    return ["missing", f"below {bound}", f"at least {bound}"]


def _answer(rule: Rule, schema: Schema, place: int) -> str:
    value = rule.values[place]
    if not schema.classes:
        return f"{value:.4g}"
    told = 1 if schema.task == "binary" else int(value)
    share = rule.probabilities[place][told]
    return f"{schema.classes[int(value)]} ({share:.0%} {schema.classes[told]})".replace("%", " %")
