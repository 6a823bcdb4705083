"""Finding the best rule on one column, and what an expression's answers are worth."""

from dataclasses import replace

import numpy as np
import pandas as pd

from pipelines.core.clocks import clock
from pipelines.core.guesses import typical
from pipelines.core.metrics import Metric, figures, is_better
from pipelines.core.predictions import Floats, Predictions
from pipelines.core.rules import (
    Groups,
    Rule,
    column_groups,
    expression_groups,
    expression_numbers,
    level_groups,
)
from pipelines.core.schema import Column, Schema

FEWEST_ROWS = 5
SMALLEST_SHARE = 0.02
MOST_CUTS = 10
N_PARTS = 3  # missing, below, at least
POSITIVE = 1
CONSTANT = Rule(None, None, (), None, (), ())
Candidate = tuple[Rule, Groups]


def best_rule(table: pd.DataFrame, truth: Floats, *, schema: Schema, metric: Metric) -> Rule:
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
    schema : Schema
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
    >>> from pipelines.core.metrics import METRICS
    >>> schema = Schema((Column("tenure", "number"),), "churned", "binary", ("no", "yes"))
    >>> table = pd.DataFrame({"tenure": np.arange(20.0)})
    >>> truth = (np.arange(20) < 7).astype(float)
    >>> best_rule(table, truth, schema=schema, metric=METRICS["accuracy"]).threshold
    7.0
    """
    best, best_figure = CONSTANT, None
    for rule, groups in _candidates(table, truth, schema) or [(CONSTANT, _no_groups(truth))]:
        learned, figure = _learned(rule, groups, truth, schema=schema, metric=metric)
        if best is CONSTANT or is_better(metric, figure, best_figure):
            best, best_figure = learned, figure
    return best


def expression_rule(
    expression: str, table: pd.DataFrame, truth: Floats, *, schema: Schema, metric: Metric
) -> Rule:
    """Return the rule of an expression, with the shares of classes that it found on these rows.

    Its answers are its own; only the probabilities are learned.

    Raises
    ------
    ValueError
        If the expression does not suit the table or the task.

    Examples
    --------
    >>> from pipelines.core.metrics import METRICS
    >>> schema = Schema((Column("tenure", "number"),), "churned", "binary", ("no", "yes"))
    >>> table, truth = pd.DataFrame({"tenure": [1.0, 9.0]}), np.array([1.0, 0.0])
    >>> rule = expression_rule(
    ...     "tenure < 3", table, truth, schema=schema, metric=METRICS["accuracy"]
    ... )
    >>> rule.probabilities[:2]
    ((0.75, 0.25), (0.25, 0.75))
    """
    bare = replace(CONSTANT, expression=expression)
    if schema.task == "regression":
        expression_numbers(expression, table, schema)
        return replace(bare, values=(typical(truth, metric.name),))
    groups = expression_groups(expression, table, schema)
    n_classes = len(schema.classes)
    counts = _counts(groups, truth, n_groups=n_classes + 1, n_classes=n_classes)
    answers = (*range(n_classes), int(counts.sum(axis=0).argmax()))
    return replace(bare, values=tuple(map(float, answers)), probabilities=_rows(_shares(counts)))


def _candidates(table: pd.DataFrame, truth: Floats, schema: Schema) -> list[Candidate]:
    """Return one rule a column that parts the rows, the one that parts the target most first."""
    fewest = max(FEWEST_ROWS, int(np.ceil(SMALLEST_SHARE * truth.size)))
    said = np.eye(len(schema.classes))[truth.astype(int)] if schema.classes else truth[:, None]
    said = said - said.mean(axis=0)
    parts = [
        _parted(table[column.name], column, said=said, fewest=fewest) for column in schema.features
    ]
    found = [part for part in parts if part is not None]
    return sorted(found, key=lambda part: _gain(part[1], said), reverse=True)


def _gain(groups: Groups, said: Floats) -> float:
    """Return by how much squared error falls when groups have their own means."""
    sums = np.column_stack([np.bincount(groups, weights=column) for column in said.T])
    counts = np.maximum(np.bincount(groups), 1)[:, None]
    return float((sums**2 / counts).sum())


def _no_groups(truth: Floats) -> Groups:
    return np.zeros(truth.size, dtype=np.int64)


def _parted(values: pd.Series, column: Column, *, said: Floats, fewest: int) -> Candidate | None:
    bare = replace(CONSTANT, column=column.name)
    if column.kind in {"category", "text"}:
        counts = values.value_counts()
        levels = tuple(sorted(counts[counts >= fewest].index))
        groups = level_groups(values, levels)
        return (replace(bare, levels=levels), groups) if np.ptp(groups) else None
    threshold = _best_cut(clock(values.to_numpy()), said, fewest)
    if threshold is None:
        return None
    return replace(bare, threshold=threshold), column_groups(values, threshold)


def _best_cut(numbers: Floats, said: Floats, fewest: int) -> float | None:
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


def _learned(
    rule: Rule, groups: Groups, truth: Floats, *, schema: Schema, metric: Metric
) -> tuple[Rule, float | None]:
    n_groups = N_PARTS if rule.threshold is not None else len(rule.levels) + 1
    if not schema.classes:
        answers = _typical_of_groups(groups, truth, n_groups=n_groups, optimised=metric.name)
        figure = figures([metric], truth, Predictions(answers[groups]))[metric.name]
        return replace(rule, values=tuple(answers.tolist())), figure
    counts = _counts(groups, truth, n_groups=n_groups, n_classes=len(schema.classes))
    shares = _shares(counts)
    answers, figure = _best_answers(counts, shares, metric)
    return replace(rule, values=tuple(answers.tolist()), probabilities=_rows(shares)), figure


def _best_answers(counts: Floats, shares: Floats, metric: Metric) -> tuple[Floats, float | None]:
    commonest = shares.argmax(axis=1).astype(np.float64)
    best, best_figure = commonest, _figure_of_counts(counts, shares, commonest, metric=metric)
    for cut in _cuts(shares, metric):
        answers = (shares[:, POSITIVE] >= cut).astype(np.float64)
        figure = _figure_of_counts(counts, shares, answers, metric=metric)
        if is_better(metric, figure, best_figure):
            best, best_figure = answers, figure
    return best, best_figure


def _cuts(shares: Floats, metric: Metric) -> Floats:
    """Return the positive shares from which on a group may say "positive"."""
    binary = shares.shape[1] == POSITIVE + 1
    if metric.needs_probabilities or not binary:
        return np.empty(0)
    found = np.unique(shares[:, POSITIVE])
    some: Floats = found[np.unique(np.linspace(0, found.size - 1, MOST_CUTS).astype(int))]
    return some


def _figure_of_counts(
    counts: Floats, shares: Floats, answers: Floats, *, metric: Metric
) -> float | None:
    """Return the figure of all rows, of which those of one group and class count as one."""
    n_groups, n_classes = counts.shape
    truth = np.tile(np.arange(n_classes, dtype=np.float64), n_groups)
    said = Predictions(np.repeat(answers, n_classes), np.repeat(shares, n_classes, axis=0))
    return figures([metric], truth, said, counts.ravel())[metric.name]


def _typical_of_groups(groups: Groups, truth: Floats, *, n_groups: int, optimised: str) -> Floats:
    found = pd.Series(truth).groupby(groups).agg(lambda part: typical(part.to_numpy(), optimised))
    filled = found.reindex(range(n_groups), fill_value=typical(truth, optimised))
    return np.asarray(filled, dtype=np.float64)


def _counts(groups: Groups, truth: Floats, *, n_groups: int, n_classes: int) -> Floats:
    places = groups * n_classes + truth.astype(np.int64)
    counts = np.bincount(places, minlength=n_groups * n_classes)
    return counts.reshape(n_groups, n_classes).astype(np.float64)


def _shares(counts: Floats) -> Floats:
    whole = counts.sum(axis=0) / counts.sum()
    shares: Floats = (counts + whole) / (counts.sum(axis=1, keepdims=True) + 1)
    return shares


def _rows(table: Floats) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in table.tolist())
