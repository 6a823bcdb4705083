"""What can be told of a model by rows that it never saw: slices, importance, contributions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from pipelines.core.contributions import Contributions, contributions
from pipelines.core.costs import decisions
from pipelines.core.evaluation import Evaluation, Importance
from pipelines.core.importance import Beside, permutation_importance
from pipelines.core.losses import bounded_losses, error_scale
from pipelines.core.metrics import REGRESSION, Metric
from pipelines.core.model import Ensemble, Fitted, Model, predict
from pipelines.core.model_figures import Bootstrap
from pipelines.core.predictions import Floats, Predictions
from pipelines.core.schema import Schema
from pipelines.core.slice_figures import slice_row, with_rate_gaps
from pipelines.core.slicing import Slice, SliceRow, slices_of, worst_slices
from pipelines.core.truths import taken
from pipelines.core.unknowns import unknowns

EXPLAINED_ROWS = 300  # the mean sizes of SHAP values need no more
SLICE_DRAWS = 400
MOST_ANSWERS = 300_000  # of single predictors, for an importance: some ten seconds
FEWEST_ROWS = 500  # of an importance, where there are so many
MOST_VALUES = 12  # of a declared column that are shown
NOT_THERE = "was declared a slice or sensitive, but is no column of the clean table: not judged."


@dataclass(frozen=True, eq=False)
class Judged:
    """A model and n rows that it never saw.

    Attributes
    ----------
    model : Model
    table : DataFrame
        Clean rows.
    truth : array of shape (n,)
    said : Predictions
    """

    model: Model
    table: pd.DataFrame
    truth: Floats
    said: Predictions


@dataclass(frozen=True)
class How:
    """How a model is appraised, as params.yaml says.

    Attributes
    ----------
    bootstrap : Bootstrap
    importance_rows, importance_repeats : int
    slices, sensitive : tuple of str
        Columns whose values are judged on their own.
    slice_rows : int
        A slice with fewer is marked as small.
    worst_slices : int
        How many are searched for.
    """

    bootstrap: Bootstrap
    importance_rows: int
    importance_repeats: int
    slices: tuple[str, ...] = ()
    sensitive: tuple[str, ...] = ()
    slice_rows: int = 50
    worst_slices: int = 3


def appraised(  # noqa: PLR0913
    found: Evaluation,
    judged: Judged,
    metric: Metric,
    *,
    how: How,
    training: pd.DataFrame | None = None,
    learned: tuple[Floats, Floats] | None = None,
    costs: Floats | None = None,
) -> Evaluation:
    """Return an evaluation with all that the rows that judge tell beside its figures.

    Parameters
    ----------
    found : Evaluation
    judged : Judged
    metric : Metric
        The one that is optimised.
    how : How
    training : DataFrame, optional
        Clean rows that the model learned from; without them nothing says what it never met.
    learned, costs : optional
        As `learned` and `matrix` of `pipelines.core.costs.decisions`.
    """
    fitted, schema = judged.model.fitted, judged.model.schema
    explained = contributions_of(judged, how)
    found = replace(
        found,
        importance=importance_of(judged, metric, how),
        contributions=(explained,) if explained.columns else (),
        slices=judged_slices(judged, metric, how),
        decisions=decisions(
            judged.truth,
            judged.said,
            classes=schema.classes,
            bootstrap=replace(how.bootstrap, draws=min(how.bootstrap.draws, SLICE_DRAWS)),
            in_use=fitted.threshold if isinstance(fitted, Ensemble) else None,
            matrix=costs,
            learned=learned,
        ),
    )
    if training is None:
        return found
    told = unknowns(training, judged.table, schema, slices=found.slices)
    absent = tuple(f"'{name}' {NOT_THERE}" for name in absent_columns(judged, how))
    return replace(found, unknowns=(*told, *absent))


def judged_slices(judged: Judged, metric: Metric, how: How) -> tuple[SliceRow, ...]:
    """Return the slices of declared columns, then the worst that were found.

    Declared columns that the rows lack are left out; `absent_columns` names them. Of a column with
    many values the most frequent are shown.
    """
    schema = judged.model.schema
    names = [name for name in dict.fromkeys((*how.slices, *how.sensitive)) if name in judged.table]
    declared = [
        part
        for name in names
        for part in slices_of(judged.table, schema, [name], least_rows=1)[:MOST_VALUES]
    ]
    shown = {(part.column, part.value) for part in declared}
    worst = [part for part in _worst(judged, how) if (part.column, part.value) not in shown]
    rows = [
        *(_row(part, judged, metric, how) for part in declared),
        *(replace(_row(part, judged, metric, how), found=True) for part in worst),
    ]
    return (*with_rate_gaps(row for row in rows if not row.found), *(r for r in rows if r.found))


def absent_columns(judged: Judged, how: How) -> tuple[str, ...]:
    """Return the declared columns that the rows lack."""
    names = dict.fromkeys((*how.slices, *how.sensitive))
    return tuple(name for name in names if name not in judged.table)


def importance_of(judged: Judged, metric: Metric, how: How) -> tuple[Importance, ...]:
    """Return what shuffling each column costs, on some of the rows where there are many.

    Many columns and many models take fewer rows: each row is asked once for each of them.
    """
    columns = _columns(judged.model.schema)
    asked = len(columns) * how.importance_repeats * n_predictors(judged.model.fitted)
    most = min(how.importance_rows, max(MOST_ANSWERS // asked, FEWEST_ROWS))
    rows = drawn_rows(len(judged.table), most, seed=how.bootstrap.seed)
    return permutation_importance(
        partial(_said, judged.model),
        judged.table[columns].iloc[rows],
        beside=Beside(metric, judged.truth[rows], taken(judged.said, rows)),
        repeats=how.importance_repeats,
        bootstrap=how.bootstrap,
    )


def contributions_of(judged: Judged, how: How) -> Contributions:
    """Return what columns add to what the boosters say of some of the rows."""
    rows = drawn_rows(len(judged.table), EXPLAINED_ROWS, seed=how.bootstrap.seed)
    return contributions(judged.model.fitted, judged.table.iloc[rows], judged.model.schema)


def drawn_rows(n_rows: int, most: int, *, seed: int) -> Any:
    """Return the positions of at most so many rows, drawn at random, in their order.

    Examples
    --------
    >>> drawn_rows(3, 5, seed=0).tolist()
    [0, 1, 2]
    """
    return np.sort(np.random.default_rng(seed).permutation(n_rows)[:most])


def n_predictors(fitted: Fitted | Ensemble) -> int:
    """Return how many fitted predictors a model is made of."""
    if isinstance(fitted, Fitted):
        return 1
    return sum(len(member.fitted) for member in fitted.members)


def _worst(judged: Judged, how: How) -> Sequence[Slice]:
    task = judged.model.schema.task
    scale = error_scale(judged.truth, judged.said) if task == REGRESSION else None
    losses = bounded_losses(judged.truth, judged.said, task=task, scale=scale)
    schema, rows = judged.model.schema, how.slice_rows
    return worst_slices(judged.table, schema, losses, least_rows=rows, most=how.worst_slices)


def _row(part: Slice, judged: Judged, metric: Metric, how: How) -> SliceRow:
    draws = min(how.bootstrap.draws, SLICE_DRAWS)
    row = slice_row(
        part,
        metric,
        judged.truth,
        judged.said,
        bootstrap=replace(how.bootstrap, draws=draws),
        least_rows=how.slice_rows,
        task=judged.model.schema.task,
    )
    return replace(row, sensitive=part.column in how.sensitive)


def _said(model: Model, table: pd.DataFrame) -> Predictions:
    return predict(model.fitted, table, model.schema)


def _columns(schema: Schema) -> list[str]:
    names = [column.name for column in schema.features]
    return names if schema.time is None else [*names, schema.time]
