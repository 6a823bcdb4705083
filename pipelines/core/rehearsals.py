"""A project in which a table is played in the order of its time: the record of it."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pandas as pd

NAME = "replay_row"  # of the column that names a played row, by which its label finds it


@dataclass(frozen=True)
class Roles:
    """The columns of time and target, where they are not those of params.yaml."""

    time: str | None = None
    target: str | None = None


@dataclass(frozen=True, eq=False)
class Rehearsal:
    """A project in which a table is played.

    Attributes
    ----------
    root : Path
        Of the project.
    played : DataFrame of n rows
        Raw rows in the order of time, with a column that names each.
    moments : Series of datetime64, n rows
        When each was.
    learned : DataFrame
        Raw rows of before.
    learned_moments : Series of datetime64
    start, end : datetime
        Of what is played.
    """

    root: Path
    played: pd.DataFrame
    moments: pd.Series
    learned: pd.DataFrame
    learned_moments: pd.Series
    start: datetime
    end: datetime
