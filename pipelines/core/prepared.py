"""A clean table and how it came about."""

from dataclasses import dataclass

import pandas as pd

from pipelines.core.schema import Schema


@dataclass(frozen=True, eq=False)
class Prepared:
    """A clean table and how it came about.

    Attributes
    ----------
    clean : DataFrame
        Features, target and columns with a role; only rows with a target.
    schema : Schema
    excluded : dict
        Columns that are no features, each with the reason.
    n_unlabelled : int
        Rows that were dropped because they have no target.
    """

    clean: pd.DataFrame
    schema: Schema
    excluded: dict[str, str]
    n_unlabelled: int
