"""The heuristic baseline: one rule on one column (OneR), or an expression that the user writes.

`best_rule` finds the column and threshold that do best in the metric (Holte, 1993),
`expression_rule` learns the class shares of an expression such as `tenure < 3 and plan ==
'basic'`. A decision stump of scikit-learn would not do: it has no groups for missing values,
categories and dates, and it does not choose its answers by the metric.
"""

import ast
import re
from dataclasses import dataclass, replace
from difflib import get_close_matches

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evertune.data.schema import Column, TableSchema
from evertune.messages import format_percent
from evertune.metrics.metrics import MEDIAN_METRICS, Metric, compute_metrics, is_better
from evertune.times import times_to_numbers
from evertune.types import FloatArray, Predictions, encode_classes

ALLOWED_NODES = (
    ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.Invert,
    ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.BitAnd, ast.BitOr,
    ast.Compare, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn,
    ast.Name, ast.Load, ast.Constant, ast.List, ast.Tuple,
)  # fmt: skip
BACKQUOTED_NAME = re.compile(r"`([^`]+)`")
MIN_GROUP_ROWS, MIN_GROUP_SHARE = 5, 0.02
MAX_CUTS = 10
MAX_ANSWERS_SHOWN = 6
GroupCodes = NDArray[np.int64]


@dataclass(frozen=True)
class Rule:
    """Rows fall into groups by a column or an expression; every group has its answer.

    Attributes
    ----------
    column : str, optional
        None for an expression, and for a rule with all rows in one group.
    threshold : float, optional
        The groups of a column of numbers: missing, below it, at least it. For dates it is in
        microseconds since 1970.
    levels : tuple of str
        The groups of a column of categories: any other, then one for each of these.
    expression : str, optional
        The groups are false and true; or, if it names classes, one for each class, then anything
        else. In regression it is the prediction, and the only group holds what stands in for a
        missing one.
    values : tuple of float
        The answer of every group: a class code or a value.
    probabilities : tuple of tuple of float
        The shares of the classes in every group, drawn towards those of all rows by the weight of
        one row; empty in regression.
    """

    column: str | None
    threshold: float | None
    levels: tuple[str, ...]
    expression: str | None
    values: tuple[float, ...]
    probabilities: tuple[tuple[float, ...], ...]


CONSTANT_RULE = Rule(None, None, (), None, (), ())


def rule_predictions(rule: Rule, table: pd.DataFrame, schema: TableSchema) -> Predictions:
    """Return the predictions of a rule for the n rows of a clean table.

    Raises
    ------
    ValueError
        If the rule is an expression that does not suit the table.

    Examples
    --------
    >>> schema = TableSchema((), "churned", "binary", ("no", "yes"))
    >>> rule = Rule("tenure", 3.0, (), None, (0.0, 1.0, 0.0), ((0.8, 0.2), (0.4, 0.6), (0.9, 0.1)))
    >>> rule_predictions(rule, pd.DataFrame({"tenure": [1.0, 3.0]}), schema).values
    array([1., 0.])
    """
    if rule.expression is not None and schema.task == "regression":
        numbers = _expression_numbers(rule.expression, table, schema)
        return Predictions(np.where(np.isfinite(numbers), numbers, rule.values[0]))
    if rule.expression is not None:
        groups = _expression_groups(rule.expression, table, schema)
    elif rule.column is None:
        groups = np.zeros(len(table), dtype=np.int64)
    else:
        groups = _column_groups(table[rule.column], rule)
    proba = np.array(rule.probabilities)[groups] if rule.probabilities else None
    return Predictions(np.array(rule.values)[groups], proba)


def describe_rule(rule: Rule, schema: TableSchema) -> str:
    """Return a rule in words.

    Examples
    --------
    >>> schema = TableSchema((), "churned", "binary", ("no", "yes"))
    >>> rule = Rule("tenure", 3.0, (), None, (0.0, 1.0, 0.0), ((0.8, 0.2), (0.4, 0.6), (0.9, 0.1)))
    >>> describe_rule(rule, schema)
    'tenure: missing -> no (20 % yes); below 3 -> yes (60 % yes); at least 3 -> no (10 % yes)'
    """
    if rule.expression is not None:
        return rule.expression
    answers = []
    for value, shares in zip(rule.values, rule.probabilities or rule.values, strict=True):
        if isinstance(shares, tuple):
            shown = 1 if schema.task == "binary" else int(value)
            share = f"{format_percent(shares[shown], 0)} {schema.classes[shown]}"
            answers.append(f"{schema.classes[int(value)]} ({share})")
        else:
            answers.append(f"{value:.4g}")
    if rule.column is None:
        return f"no column separates the rows: {answers[0]}"
    if rule.threshold is None:
        groups = ["any other", *(f"{level!r}" for level in rule.levels)]
    else:
        bound = f"{rule.threshold:.6g}"
        if any(c.name == rule.column and c.kind == "date" for c in schema.features):
            bound = str(pd.Timestamp(int(rule.threshold), unit="us")).removesuffix(" 00:00:00")
        groups = ["missing", f"below {bound}", f"at least {bound}"]
    parts = [f"{group} -> {answer}" for group, answer in zip(groups, answers, strict=False)]
    more = len(parts) - MAX_ANSWERS_SHOWN
    return f"{rule.column}: " + "; ".join(
        parts[:MAX_ANSWERS_SHOWN] + ([f"and {more} more"] if more > 0 else [])
    )


def best_constant(targets: FloatArray, optimised: str) -> float:
    """Return the one value that suits the optimised metric: the median or the mean."""
    return float(np.median(targets) if optimised in MEDIAN_METRICS else np.mean(targets))


# Learning a rule


def best_rule(
    table: pd.DataFrame, y_true: FloatArray, *, schema: TableSchema, metric: Metric
) -> Rule:
    """Return the rule on one column that does best on these rows.

    A column of numbers or dates is cut in two where squared error (of values, or of class
    membership: Gini) falls most; a column of text has one group for every category with 2 % of
    the rows. Missing values and rare categories are groups of their own. In a binary task the
    groups that predict "positive" are chosen so that a metric of classes is best. The column is
    the one whose rule is best in the metric; of equal ones, the one that reduces squared error
    most.

    Parameters
    ----------
    table : DataFrame, n rows
        Clean training rows.

    Returns
    -------
    Rule
        With the same answer for every row if no column separates them.

    References
    ----------
    Holte (1993), Very Simple Classification Rules Perform Well on Most Commonly Used Datasets.

    Examples
    --------
    >>> from evertune.metrics.metrics import METRICS
    >>> schema = TableSchema((Column("tenure", "number"),), "churned", "binary", ("no", "yes"))
    >>> table = pd.DataFrame({"tenure": np.arange(20.0)})
    >>> y_true = (np.arange(20) < 7).astype(float)
    >>> best_rule(table, y_true, schema=schema, metric=METRICS["accuracy"]).threshold
    7.0
    """
    min_rows = max(MIN_GROUP_ROWS, int(np.ceil(MIN_GROUP_SHARE * y_true.size)))
    target = np.eye(len(schema.classes))[y_true.astype(int)] if schema.classes else y_true[:, None]
    target = target - target.mean(axis=0)
    candidates = []
    for column in schema.features:
        values = table[column.name]
        rule = _split_column(values, column, target, min_rows)
        groups = None if rule is None else _column_groups(values, rule)
        if (
            rule is not None
            and groups is not None
            and (rule.threshold is not None or np.ptp(groups))
        ):
            sums = np.column_stack([np.bincount(groups, weights=y) for y in target.T])
            counts = np.maximum(np.bincount(groups), 1)[:, None]
            candidates.append((float((sums**2 / counts).sum()), rule, groups))
    candidates.sort(key=lambda each: each[0], reverse=True)
    if not candidates:
        candidates = [(0.0, CONSTANT_RULE, np.zeros(y_true.size, dtype=np.int64))]
    best, best_score = None, None
    for _, rule, groups in candidates:
        learned, score = _fit_answers(rule, groups, y_true, schema=schema, metric=metric)
        if best is None or is_better(metric, score, best_score):
            best, best_score = learned, score
    assert best is not None
    return best


def expression_rule(
    expression: str, table: pd.DataFrame, y_true: FloatArray, *, schema: TableSchema, metric: Metric
) -> Rule:
    """Return the rule of an expression, with the class shares of its groups on these rows.

    Its answers are its own; only the probabilities are learned.

    Raises
    ------
    ValueError
        If the expression does not suit the table or the task.
    """
    rule = replace(CONSTANT_RULE, expression=expression)
    if schema.task == "regression":
        _expression_numbers(expression, table, schema)
        return replace(rule, values=(best_constant(y_true, metric.name),))
    n_classes = len(schema.classes)
    groups = _expression_groups(expression, table, schema)
    counts = _class_counts(groups, y_true, n_groups=n_classes + 1, n_classes=n_classes)
    answers = (*range(n_classes), int(counts.sum(axis=0).argmax()))
    return replace(
        rule, values=tuple(map(float, answers)), probabilities=_as_tuples(_smoothed_shares(counts))
    )


def _column_groups(values: pd.Series, rule: Rule) -> GroupCodes:
    if rule.threshold is not None:
        numbers = times_to_numbers(values.to_numpy())
        return np.where(np.isnan(numbers), 0, np.where(numbers < rule.threshold, 1, 2))
    codes = encode_classes(values, rule.levels)
    return (np.nan_to_num(codes, nan=-1.0) + 1).astype(np.int64)


def _split_column(
    values: pd.Series, column: Column, target: FloatArray, min_rows: int
) -> Rule | None:
    rule = replace(CONSTANT_RULE, column=column.name)
    if column.kind in {"category", "text"}:
        counts = values.value_counts()
        return replace(rule, levels=tuple(sorted(counts[counts >= min_rows].index)))
    numbers = times_to_numbers(values.to_numpy())
    known = ~np.isnan(numbers)
    order = np.argsort(numbers[known], kind="stable")
    ordered, sums = numbers[known][order], np.cumsum(target[known][order], axis=0)
    cuts = np.flatnonzero(ordered[1:] > ordered[:-1]) + 1
    cuts = cuts[(cuts >= min_rows) & (cuts <= ordered.size - min_rows)]
    if not cuts.size:
        return None
    # Squared error is least where the sums S of both sides, added up as S^2 / n, are greatest.
    below, above = sums[cuts - 1], sums[-1] - sums[cuts - 1]
    gain = (below**2).sum(axis=1) / cuts + (above**2).sum(axis=1) / (ordered.size - cuts)
    return replace(rule, threshold=float(ordered[cuts[gain.argmax()]]))


def _fit_answers(
    rule: Rule, groups: GroupCodes, y_true: FloatArray, *, schema: TableSchema, metric: Metric
) -> tuple[Rule, float | None]:
    n_groups = 3 if rule.threshold is not None else len(rule.levels) + 1
    if not schema.classes:
        constants: FloatArray = np.asarray(
            pd.Series(y_true)
            .groupby(groups)
            .agg(lambda part: best_constant(part.to_numpy(), metric.name))
            .reindex(range(n_groups), fill_value=best_constant(y_true, metric.name)),
            dtype=np.float64,
        )
        score = compute_metrics([metric], y_true, Predictions(constants[groups]))[metric.name]
        return replace(rule, values=tuple(constants.tolist())), score
    n_classes = len(schema.classes)
    counts = _class_counts(groups, y_true, n_groups=n_groups, n_classes=n_classes)
    shares = _smoothed_shares(counts)
    best, best_score = None, None
    for answers in _candidate_answers(shares, metric):
        # One row for each group and class, with its count as weight, scores all rows.
        classes = np.tile(np.arange(n_classes, dtype=np.float64), n_groups)
        pred = Predictions(np.repeat(answers, n_classes), np.repeat(shares, n_classes, axis=0))
        score = compute_metrics([metric], classes, pred, counts.ravel())[metric.name]
        if best is None or is_better(metric, score, best_score):
            best, best_score = answers, score
    assert best is not None
    learned = replace(rule, values=tuple(best.tolist()), probabilities=_as_tuples(shares))
    return learned, best_score


def _candidate_answers(shares: FloatArray, metric: Metric) -> list[FloatArray]:
    """Return the commonest class of each group; and, binary, "positive" from a share on."""
    commonest = [shares.argmax(axis=1).astype(np.float64)]
    if metric.needs_probabilities or shares.shape[1] != 2:
        return commonest
    positive = np.unique(shares[:, 1])
    cuts = positive[np.unique(np.linspace(0, positive.size - 1, MAX_CUTS).astype(int))]
    return commonest + [(shares[:, 1] >= cut).astype(np.float64) for cut in cuts]


def _class_counts(
    groups: GroupCodes, y_true: FloatArray, *, n_groups: int, n_classes: int
) -> FloatArray:
    cells = groups * n_classes + y_true.astype(np.int64)
    counts = np.bincount(cells, minlength=n_groups * n_classes)
    return counts.reshape(n_groups, n_classes).astype(np.float64)


def _smoothed_shares(counts: FloatArray) -> FloatArray:
    whole = counts.sum(axis=0) / counts.sum()
    shares: FloatArray = (counts + whole) / (counts.sum(axis=1, keepdims=True) + 1)
    return shares


def _as_tuples(table: FloatArray) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in table.tolist())


# Expressions


def evaluate_expression(expression: str, table: pd.DataFrame) -> pd.Series:
    """Return the value of an expression for every row of a table.

    Columns are named as they are, or in backticks; there are comparisons, `and`, `or`, `not`,
    `in`, arithmetic, numbers and quoted text. Calls and attributes are refused, which pandas'
    `eval` would run.
    """
    names = {column: f"column_{i}" for i, column in enumerate(table.columns)}

    def plain_name(name: str) -> str:
        if name in names:
            return names[name]
        near = get_close_matches(name, names, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"An expression may name the columns {', '.join(names)}. Got {name!r} in "
            f"{expression!r} instead.{hint}"
        )

    quoted = {plain_name(name) for name in BACKQUOTED_NAME.findall(expression)}
    text = BACKQUOTED_NAME.sub(lambda match: names[match[1]], expression)
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"The expression {expression!r} cannot be read: {error}") from error
    for node in ast.walk(tree):
        if not isinstance(node, ALLOWED_NODES):
            raise ValueError(
                f"An expression may hold columns, numbers, text, comparisons, and, or, not, in, "
                f"and arithmetic. Got {type(node).__name__} in {expression!r} instead."
            )
        if isinstance(node, ast.Name) and node.id not in quoted:
            node.id = plain_name(node.id)
    try:
        values = table.rename(columns=names).eval(ast.unparse(tree), engine="python")
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ValueError(
            f"The expression {expression!r} does not fit the kinds of its columns: {error}"
        ) from error
    return values if isinstance(values, pd.Series) else pd.Series(values, index=table.index)


def _expression_groups(expression: str, table: pd.DataFrame, schema: TableSchema) -> GroupCodes:
    """Return 1 where a binary expression is true; of one that names classes, the class."""
    values = evaluate_expression(expression, table[[column.name for column in schema.features]])
    is_boolean = pd.api.types.is_numeric_dtype(values) and values.dropna().isin([0, 1]).all()
    if is_boolean and schema.task == "binary":
        return np.asarray(values == 1).astype(np.int64)
    if not pd.api.types.is_string_dtype(values):
        raise ValueError(
            f"The heuristic of a {schema.task} task must give true or false (binary) or name "
            f"classes. Got values such as {values.iloc[0]!r} from {expression!r} instead."
        )
    codes = encode_classes(values, schema.classes)
    return np.where(np.isnan(codes), len(schema.classes), codes).astype(np.int64)


def _expression_numbers(expression: str, table: pd.DataFrame, schema: TableSchema) -> FloatArray:
    values = evaluate_expression(expression, table[[column.name for column in schema.features]])
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        raise ValueError(
            f"The heuristic of a regression task must give numbers. Got values such as "
            f"{values.iloc[0]!r} from {expression!r} instead."
        )
    return np.asarray(values, dtype=np.float64)
