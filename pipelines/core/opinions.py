"""Predictions that a table brings along: those of people, and of the system in use."""

import pandas as pd

from pipelines.core.breaches import cell_breach
from pipelines.core.cells import as_number
from pipelines.core.declared import Declared
from pipelines.core.readings import Reading, read_number
from pipelines.core.schema import Schema
from pipelines.core.targets import labels


def opinion(column: pd.Series, schema: Schema, declared: Declared) -> Reading:
    """Return predictions as a clean column, and a breach for cells that are none.

    Parameters
    ----------
    column : series of n cells
    schema : Schema
    declared : Declared

    Returns
    -------
    series, tuple of Breach
        Class text; or float64 where the task is regression, or where it is binary and the cells
        are numbers from 0 to 1 other than the classes: probabilities of the positive class. NaN
        where a row has no prediction.

    Examples
    --------
    >>> schema = Schema((), "left", "binary", ("no", "yes"))
    >>> opinion(pd.Series(["yes", ""]), schema, Declared("left"))[0].tolist()
    ['yes', nan]
    >>> opinion(pd.Series(["0.9", "0.1"]), schema, Declared("left"))[0].tolist()
    [0.9, 0.1]
    """
    missing, decimal = declared.missing_values, declared.decimal
    if schema.task == "regression":
        return read_number(column, missing=missing, decimal=decimal)
    stated = labels(column, missing)
    unknown = stated.notna() & ~stated.isin(schema.classes)
    values, bad = as_number(column, missing=missing, decimal=decimal)
    shares = schema.task == "binary" and not bad.any() and values.dropna().between(0, 1).all()
    if unknown.any() and shares:
        return values, ()
    remedy = f"Write one of the classes {', '.join(schema.classes)}."
    problem = "cells are no class of the target"
    return stated.mask(unknown), cell_breach(column, unknown, problem=problem, remedy=remedy)
