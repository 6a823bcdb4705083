"""What a model must beat: the records of the baselines and their figures on new rows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from pipelines.core.guesses import GUESSES, guess_figures, zero_rule
from pipelines.core.metrics import Metric
from pipelines.core.predictions import Floats, Predictions
from pipelines.core.rules import Rule, rule_predictions
from pipelines.core.schema import Schema
from pipelines.core.trials import Figures, FoldResult
from pipelines.core.truths import given_predictions

Kind = Literal["none", "model", "given"]
SIMPLEST_FAMILIES = {"logistic_regression": "linear", "ridge": "linear", "small_tree": "tree"}


@dataclass(frozen=True)
class BaselineFigures:
    """One baseline on the folds of the training rows.

    Attributes
    ----------
    name : str
        uniform_random, label_distribution, zero_rule, heuristic, human, human_stated, existing,
        logistic_regression or ridge, small_tree.
    kind : str
        `none` (without a model), `model` (the simplest models) or `given` (by people or by the
        system in use).
    description : str
        What it does, in words.
    folds : tuple of FoldResult
        Empty for `human_stated`, of which only one figure is known.
    mean : dict from metric to float or None
        Over the folds in which the metric is defined.
    fit_seconds, predict_seconds : float
        Over all folds.
    """

    name: str
    kind: Kind
    description: str
    folds: tuple[FoldResult, ...]
    mean: Figures
    fit_seconds: float
    predict_seconds: float


def mean_figures(folds: Iterable[FoldResult]) -> Figures:
    """Return the mean of every metric over the folds in which it is defined, else None.

    Examples
    --------
    >>> mean_figures([FoldResult(0, {"f1": 0.5}, 1.0, 0.1), FoldResult(1, {"f1": None}, 1.0, 0.1)])
    {'f1': 0.5}
    """
    table = pd.DataFrame([fold.figures for fold in folds], dtype=np.float64)
    means = table.mean(axis=0)
    return {str(name): float(mean) if pd.notna(mean) else None for name, mean in means.items()}


def baseline_holdout_figures(
    metrics: Sequence[Metric], truth: Floats, *, training_truth: Floats, n_classes: int
) -> dict[str, Figures]:
    """Return the expected figures of the baselines that guess at random.

    Parameters
    ----------
    metrics : sequence of Metric
    truth : array of shape (n,)
        Of the rows to be figured on, such as the hold-out.
    training_truth : array of shape (m,)
        What the guesses know.
    n_classes : int
        0 in regression.

    Returns
    -------
    dict
        From `uniform_random` and `label_distribution` to the figure of every metric.

    Examples
    --------
    >>> from pipelines.core.metrics import METRICS
    >>> truth = np.array([1.0] + [0.0] * 9)
    >>> found = baseline_holdout_figures(
    ...     [METRICS["accuracy"]], truth, training_truth=truth, n_classes=2
    ... )
    >>> round(found["label_distribution"]["accuracy"], 2)
    0.82
    """
    return {
        name: guess_figures(
            name, metrics, truth, training_truth=training_truth, n_classes=n_classes
        )
        for name in GUESSES
    }


def baseline_predictions(  # noqa: PLR0913
    table: pd.DataFrame,
    schema: Schema,
    *,
    training_truth: Floats,
    optimised: str,
    rule: Rule | None,
    models: Mapping[str, Predictions],
) -> dict[str, Predictions]:
    """Return the predictions of every baseline that predicts row by row.

    Parameters
    ----------
    table : DataFrame, n rows
        Clean rows, such as the hold-out.
    schema : Schema
    training_truth : array of shape (m,)
        What the zero rule knows.
    optimised : str
        Name of the metric that is optimised: the zero rule's constant suits it.
    rule : Rule, optional
        The heuristic, learned on training rows. None leaves it out.
    models : mapping from name to Predictions
        Of the simplest models, for the same rows.

    Returns
    -------
    dict
        From the baseline's name to Predictions; NaN where people or the system in use say
        nothing.
    """
    n_classes = len(schema.classes)
    constant = zero_rule(
        training_truth, n_rows=len(table), optimised=optimised, n_classes=n_classes
    )
    ruled = {} if rule is None else {"heuristic": rule_predictions(rule, table, schema)}
    columns = {"human": schema.human, "existing": schema.existing}
    given = {
        name: given_predictions(table[column], schema)
        for name, column in columns.items()
        if column is not None
    }
    return {"zero_rule": constant, **ruled, **given, **models}
