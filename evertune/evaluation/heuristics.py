"""The heuristic baseline: one rule on one column (OneR), or an expression that the user writes.

`best_rule` finds the column and threshold that do best in the metric (Holte, 1993);
`expression_rule` learns the class shares of an expression such as `tenure < 3 and plan ==
'basic'`. `rule_predictions` applies a `Rule`, `describe_rule` puts it into words.
`evaluate_expression` allows comparisons, logic, arithmetic and columns only: calls and
attributes are refused, so that an expression can run nothing else.
"""

import ast
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evertune.data.schema import Column, TableSchema
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


def evaluate_expression(expression: str, table: pd.DataFrame) -> pd.Series:
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
    >>> evaluate_expression("tenure < 3", pd.DataFrame({"tenure": [1.0, 5.0]})).tolist()
    [True, False]
    """
    names = {column: f"column_{place}" for place, column in enumerate(table.columns)}
    plain = _replace_quoted_names(expression, names)
    renamed = table.rename(columns=names)
    try:
        values = renamed.eval(plain, engine="python")
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ValueError(
            f"The expression {expression!r} does not fit the kinds of its columns: {error}"
        ) from error
    return values if isinstance(values, pd.Series) else pd.Series(values, index=table.index)


def _replace_quoted_names(expression: str, names: Mapping[str, str]) -> str:
    quoted = BACKQUOTED_NAME.findall(expression)
    _check_names_exist(quoted, names, expression)
    tree = _parse_expression(
        BACKQUOTED_NAME.sub(lambda found: names[found[1]], expression), expression
    )
    for node in ast.walk(tree):
        if not isinstance(node, ALLOWED_NODES):
            raise ValueError(
                f"An expression may hold columns, numbers, text, comparisons, and, or, not, in, "
                f"and arithmetic. Got {type(node).__name__} in {expression!r} instead."
            )
        if isinstance(node, ast.Name) and node.id not in {names[name] for name in quoted}:
            _check_names_exist([node.id], names, expression)
            node.id = names[node.id]
    return ast.unparse(tree)


def _parse_expression(text: str, expression: str) -> ast.Expression:
    try:
        return ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"The expression {expression!r} cannot be read: {error}") from error


def _check_names_exist(found: Iterable[str], names: Mapping[str, str], expression: str) -> None:
    for name in found:
        if name not in names:
            near = get_close_matches(name, names, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"An expression may name the columns {', '.join(names)}. Got {name!r} in "
                f"{expression!r} instead.{hint}"
            )


GroupCodes = NDArray[np.int64]
MAX_ANSWERS_SHOWN = 6


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


def rule_predictions(rule: Rule, table: pd.DataFrame, schema: TableSchema) -> Predictions:
    """Return what a rule says of the n rows of a clean table.

    Parameters
    ----------
    rule : Rule
    table : DataFrame, n rows
    schema : TableSchema

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
        said = expression_numbers(rule.expression, table, schema)
        return Predictions(np.where(np.isfinite(said), said, rule.values[0]))
    groups = _rule_groups(rule, table, schema)
    values = np.array(rule.values)[groups]
    return Predictions(values, np.array(rule.probabilities)[groups] if rule.probabilities else None)


def threshold_groups(column: pd.Series, threshold: float) -> GroupCodes:
    """Return the group of every number or date: 0 missing, 1 below the threshold, 2 at least it.

    Examples
    --------
    >>> threshold_groups(pd.Series([np.nan, 1.0, 3.0]), 3.0)
    array([0, 1, 2])
    """
    numbers = times_to_numbers(column.to_numpy())
    return np.where(np.isnan(numbers), 0, np.where(numbers < threshold, 1, 2))


def level_groups(column: pd.Series, levels: tuple[str, ...]) -> GroupCodes:
    """Return the group of every text: 0 for any other, else 1 + the place among the levels.

    Examples
    --------
    >>> level_groups(pd.Series(["pro", "basic", None]), ("basic", "pro"))
    array([2, 1, 0])
    """
    codes = encode_classes(column, levels)
    return (np.nan_to_num(codes, nan=-1.0) + 1).astype(np.int64)


def expression_groups(expression: str, table: pd.DataFrame, schema: TableSchema) -> GroupCodes:
    """Return the group of every row by an expression over the features of a clean table.

    Parameters
    ----------
    expression : str
        True or false (also as 1 and 0) in a binary task, or text that names classes.
    table : DataFrame, n rows
    schema : TableSchema

    Raises
    ------
    ValueError
        If it gives anything else.

    Examples
    --------
    >>> from evertune.data.schema import Column
    >>> schema = TableSchema((Column("tenure", "number"),), "churned", "binary", ("no", "yes"))
    >>> expression_groups("tenure < 3", pd.DataFrame({"tenure": [1.0, 3.0]}), schema)
    array([1, 0])
    """
    said = _evaluate_on_features(expression, table, schema)
    truths = pd.api.types.is_numeric_dtype(said) and said.dropna().isin([0, 1]).all()
    if truths and schema.task == "binary":
        return np.asarray(said == 1).astype(np.int64)
    if not pd.api.types.is_string_dtype(said):
        raise ValueError(
            f"The heuristic of a {schema.task} task must say true or false (binary) or name "
            f"classes. Got values such as {said.iloc[0]!r} from {expression!r} instead."
        )
    codes = encode_classes(said, schema.classes)
    return np.where(np.isnan(codes), len(schema.classes), codes).astype(np.int64)


def expression_numbers(expression: str, table: pd.DataFrame, schema: TableSchema) -> FloatArray:
    """Return the number that an expression gives for every row.

    Raises
    ------
    ValueError
        If it gives anything but numbers.

    Examples
    --------
    >>> from evertune.data.schema import Column
    >>> schema = TableSchema((Column("rooms", "number"),), "price", "regression")
    >>> expression_numbers("rooms * 50", pd.DataFrame({"rooms": [2.0, 3.0]}), schema)
    array([100., 150.])
    """
    said = _evaluate_on_features(expression, table, schema)
    if not pd.api.types.is_numeric_dtype(said) or pd.api.types.is_bool_dtype(said):
        raise ValueError(
            f"The heuristic of a regression task must give numbers. Got values such as "
            f"{said.iloc[0]!r} from {expression!r} instead."
        )
    return np.asarray(said, dtype=np.float64)


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
    if rule.column is None:
        return f"no column parts the rows: {_answer_text(rule, schema, 0)}"
    names = [f"{level!r}" for level in rule.levels]
    groups = ["any other", *names] if names else _threshold_group_names(rule, schema)
    answers = [
        f"{group} -> {_answer_text(rule, schema, place)}" for place, group in enumerate(groups)
    ]
    more = len(answers) - MAX_ANSWERS_SHOWN
    shown = answers[:MAX_ANSWERS_SHOWN] + ([f"and {more} more"] if more > 0 else [])
    return f"{rule.column}: {'; '.join(shown)}"


def _rule_groups(rule: Rule, table: pd.DataFrame, schema: TableSchema) -> GroupCodes:
    if rule.expression is not None:
        return expression_groups(rule.expression, table, schema)
    if rule.column is None:
        return np.zeros(len(table), dtype=np.int64)
    if rule.threshold is not None:
        return threshold_groups(table[rule.column], rule.threshold)
    return level_groups(table[rule.column], rule.levels)


def _evaluate_on_features(expression: str, table: pd.DataFrame, schema: TableSchema) -> pd.Series:
    return evaluate_expression(expression, table[[column.name for column in schema.features]])


def _threshold_group_names(rule: Rule, schema: TableSchema) -> list[str]:
    kinds = {column.name: column.kind for column in schema.features}
    bound = f"{rule.threshold:.6g}"
    if kinds.get(rule.column or "") == "date" and rule.threshold is not None:
        bound = str(pd.Timestamp(int(rule.threshold), unit="us")).removesuffix(" 00:00:00")
    return ["missing", f"below {bound}", f"at least {bound}"]


def _answer_text(rule: Rule, schema: TableSchema, place: int) -> str:
    value = rule.values[place]
    if not schema.classes:
        return f"{value:.4g}"
    told = 1 if schema.task == "binary" else int(value)
    share = rule.probabilities[place][told]
    return f"{schema.classes[int(value)]} ({share:.0%} {schema.classes[told]})".replace("%", " %")


MIN_GROUP_ROWS = 5
MIN_GROUP_SHARE = 0.02
MAX_CUTS = 10
N_THRESHOLD_GROUPS = 3  # missing, below, at least
POSITIVE_CODE = 1
CONSTANT_RULE = Rule(None, None, (), None, (), ())
RuleCandidate = tuple[Rule, GroupCodes]


def best_rule(
    table: pd.DataFrame, truth: FloatArray, *, schema: TableSchema, metric: Metric
) -> Rule:
    """Return the rule on one column that does best on these rows.

    A column of numbers or dates is cut in two where squared error (of values, or of class
    membership: Gini) falls most; a column of text has one group for every level with 2 % of the
    rows. Missing values and rare levels are groups of their own. In a binary task the groups
    that say "positive" are chosen so that a metric of classes is best. The column is the one
    whose rule is best in the metric; of equal ones, the one that parts the target most.

    Parameters
    ----------
    table : DataFrame, n rows
        Clean training rows.
    truth : array of shape (n,)
    schema : TableSchema
    metric : Metric

    Returns
    -------
    Rule
        With the same answer for every row where no column parts them.

    References
    ----------
    Holte (1993), Very Simple Classification Rules Perform Well on Most Commonly Used Datasets.

    Examples
    --------
    >>> from evertune.metrics.metrics import METRICS
    >>> schema = TableSchema((Column("tenure", "number"),), "churned", "binary", ("no", "yes"))
    >>> table = pd.DataFrame({"tenure": np.arange(20.0)})
    >>> truth = (np.arange(20) < 7).astype(float)
    >>> best_rule(table, truth, schema=schema, metric=METRICS["accuracy"]).threshold
    7.0
    """
    best, best_figure = CONSTANT_RULE, None
    for rule, groups in _rule_candidates(table, truth, schema) or [
        (CONSTANT_RULE, _single_group(truth))
    ]:
        learned, figure = _fit_answers(rule, groups, truth, schema=schema, metric=metric)
        if best is CONSTANT_RULE or is_better(metric, figure, best_figure):
            best, best_figure = learned, figure
    return best


def expression_rule(
    expression: str, table: pd.DataFrame, truth: FloatArray, *, schema: TableSchema, metric: Metric
) -> Rule:
    """Return the rule of an expression, with the shares of classes that it found on these rows.

    Its answers are its own; only the probabilities are learned.

    Raises
    ------
    ValueError
        If the expression does not suit the table or the task.

    Examples
    --------
    >>> from evertune.metrics.metrics import METRICS
    >>> schema = TableSchema((Column("tenure", "number"),), "churned", "binary", ("no", "yes"))
    >>> table, truth = pd.DataFrame({"tenure": [1.0, 9.0]}), np.array([1.0, 0.0])
    >>> rule = expression_rule(
    ...     "tenure < 3", table, truth, schema=schema, metric=METRICS["accuracy"]
    ... )
    >>> rule.probabilities[:2]
    ((0.75, 0.25), (0.25, 0.75))
    """
    bare = replace(CONSTANT_RULE, expression=expression)
    if schema.task == "regression":
        expression_numbers(expression, table, schema)
        return replace(bare, values=(best_constant(truth, metric.name),))
    groups = expression_groups(expression, table, schema)
    n_classes = len(schema.classes)
    counts = _class_counts_by_group(groups, truth, n_groups=n_classes + 1, n_classes=n_classes)
    answers = (*range(n_classes), int(counts.sum(axis=0).argmax()))
    return replace(
        bare,
        values=tuple(map(float, answers)),
        probabilities=_as_tuples(_smoothed_class_shares(counts)),
    )


def _rule_candidates(
    table: pd.DataFrame, truth: FloatArray, schema: TableSchema
) -> list[RuleCandidate]:
    """Return one rule a column that parts the rows, the one that parts the target most first."""
    fewest = max(MIN_GROUP_ROWS, int(np.ceil(MIN_GROUP_SHARE * truth.size)))
    said = np.eye(len(schema.classes))[truth.astype(int)] if schema.classes else truth[:, None]
    said = said - said.mean(axis=0)
    parts = [
        _column_candidate(table[column.name], column, said=said, fewest=fewest)
        for column in schema.features
    ]
    found = [part for part in parts if part is not None]
    return sorted(found, key=lambda part: _error_reduction(part[1], said), reverse=True)


def _error_reduction(groups: GroupCodes, said: FloatArray) -> float:
    """Return by how much squared error falls when groups have their own means."""
    sums = np.column_stack([np.bincount(groups, weights=column) for column in said.T])
    counts = np.maximum(np.bincount(groups), 1)[:, None]
    return float((sums**2 / counts).sum())


def _single_group(truth: FloatArray) -> GroupCodes:
    return np.zeros(truth.size, dtype=np.int64)


def _column_candidate(
    values: pd.Series, column: Column, *, said: FloatArray, fewest: int
) -> RuleCandidate | None:
    bare = replace(CONSTANT_RULE, column=column.name)
    if column.kind in {"category", "text"}:
        counts = values.value_counts()
        levels = tuple(sorted(counts[counts >= fewest].index))
        groups = level_groups(values, levels)
        return (replace(bare, levels=levels), groups) if np.ptp(groups) else None
    threshold = _best_threshold(times_to_numbers(values.to_numpy()), said, fewest)
    if threshold is None:
        return None
    return replace(bare, threshold=threshold), threshold_groups(values, threshold)


def _best_threshold(numbers: FloatArray, said: FloatArray, fewest: int) -> float | None:
    """Return the number from which on rows differ most from those below it.

    With sums S and counts n on both sides, squared error is least where S^2 / n, added up, is
    greatest.
    """
    known = ~np.isnan(numbers)
    order = np.argsort(numbers[known], kind="stable")
    ordered, sums = numbers[known][order], np.cumsum(said[known][order], axis=0)
    cuts = np.flatnonzero(ordered[1:] > ordered[:-1]) + 1
    cuts = cuts[(cuts >= fewest) & (cuts <= ordered.size - fewest)]
    if not cuts.size:
        return None
    below, above = sums[cuts - 1], sums[-1] - sums[cuts - 1]
    gain = (below**2).sum(axis=1) / cuts + (above**2).sum(axis=1) / (ordered.size - cuts)
    return float(ordered[cuts[gain.argmax()]])


def _fit_answers(
    rule: Rule, groups: GroupCodes, truth: FloatArray, *, schema: TableSchema, metric: Metric
) -> tuple[Rule, float | None]:
    n_groups = N_THRESHOLD_GROUPS if rule.threshold is not None else len(rule.levels) + 1
    if not schema.classes:
        answers = _best_constant_by_group(groups, truth, n_groups=n_groups, optimised=metric.name)
        figure = compute_metrics([metric], truth, Predictions(answers[groups]))[metric.name]
        return replace(rule, values=tuple(answers.tolist())), figure
    counts = _class_counts_by_group(groups, truth, n_groups=n_groups, n_classes=len(schema.classes))
    shares = _smoothed_class_shares(counts)
    answers, figure = _best_answers(counts, shares, metric)
    return replace(rule, values=tuple(answers.tolist()), probabilities=_as_tuples(shares)), figure


def _best_answers(
    counts: FloatArray, shares: FloatArray, metric: Metric
) -> tuple[FloatArray, float | None]:
    commonest = shares.argmax(axis=1).astype(np.float64)
    best, best_figure = commonest, _metric_on_counts(counts, shares, commonest, metric=metric)
    for cut in _candidate_cuts(shares, metric):
        answers = (shares[:, POSITIVE_CODE] >= cut).astype(np.float64)
        figure = _metric_on_counts(counts, shares, answers, metric=metric)
        if is_better(metric, figure, best_figure):
            best, best_figure = answers, figure
    return best, best_figure


def _candidate_cuts(shares: FloatArray, metric: Metric) -> FloatArray:
    """Return the positive shares from which on a group may say "positive"."""
    binary = shares.shape[1] == POSITIVE_CODE + 1
    if metric.needs_probabilities or not binary:
        return np.empty(0)
    found = np.unique(shares[:, POSITIVE_CODE])
    some: FloatArray = found[np.unique(np.linspace(0, found.size - 1, MAX_CUTS).astype(int))]
    return some


def _metric_on_counts(
    counts: FloatArray, shares: FloatArray, answers: FloatArray, *, metric: Metric
) -> float | None:
    """Return the figure of all rows, of which those of one group and class count as one."""
    n_groups, n_classes = counts.shape
    truth = np.tile(np.arange(n_classes, dtype=np.float64), n_groups)
    said = Predictions(np.repeat(answers, n_classes), np.repeat(shares, n_classes, axis=0))
    return compute_metrics([metric], truth, said, counts.ravel())[metric.name]


def _best_constant_by_group(
    groups: GroupCodes, truth: FloatArray, *, n_groups: int, optimised: str
) -> FloatArray:
    found = (
        pd.Series(truth).groupby(groups).agg(lambda part: best_constant(part.to_numpy(), optimised))
    )
    filled = found.reindex(range(n_groups), fill_value=best_constant(truth, optimised))
    return np.asarray(filled, dtype=np.float64)


def _class_counts_by_group(
    groups: GroupCodes, truth: FloatArray, *, n_groups: int, n_classes: int
) -> FloatArray:
    places = groups * n_classes + truth.astype(np.int64)
    counts = np.bincount(places, minlength=n_groups * n_classes)
    return counts.reshape(n_groups, n_classes).astype(np.float64)


def _smoothed_class_shares(counts: FloatArray) -> FloatArray:
    whole = counts.sum(axis=0) / counts.sum()
    shares: FloatArray = (counts + whole) / (counts.sum(axis=1, keepdims=True) + 1)
    return shares


def _as_tuples(table: FloatArray) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in table.tolist())


def best_constant(targets: FloatArray, optimised: str) -> float:
    """Return the one value that suits the optimised metric: the median or the mean.

    Examples
    --------
    >>> best_constant(np.array([1.0, 2.0, 9.0]), "rmse")
    4.0
    """
    return float(np.median(targets) if optimised in MEDIAN_METRICS else np.mean(targets))
