"""What the page of a run shows: records that the tracking server is given."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd


@dataclass(frozen=True)
class Point:
    """One value of a metric; without a time it is that of logging."""

    name: str
    value: float
    step: int = 0
    milliseconds: int | None = None


@dataclass(frozen=True)
class Table:
    """A table that was used: its version (md5), where it lies, and what it was used for.

    `context` is what the MLflow UI groups datasets by, such as `training`.
    """

    name: str
    path: Path
    md5: str
    context: str


@dataclass(frozen=True)
class Page:
    """What a run shows.

    Attributes
    ----------
    title, note : str
        The run's name, and its description in Markdown.
    parameters, tags : mapping of str to str
    metrics : mapping of str to float
    files : tuple of (Path, str)
        Files and folders, each with the folder of the run's artifacts that it goes to.
    leaderboard : DataFrame, optional
        All trials; readable as a table in the UI.
    tables : tuple of Table
    status : str
        In MLflow's words: FINISHED, KILLED or FAILED.
    """

    title: str
    note: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    files: tuple[tuple[Path, str], ...] = ()
    leaderboard: pd.DataFrame | None = None
    tables: tuple[Table, ...] = ()
    status: str = "FINISHED"


@dataclass(frozen=True)
class ServedPage:
    """What the registry says about a model.

    Attributes
    ----------
    identity : str
        Hash of the model's files.
    description : str
        In Markdown.
    inputs, outputs : mapping of str to str
        Columns with their types in MLflow's words: double, string or any.
    example : DataFrame
        A few rows as the model takes them.
    requirements : tuple of str
        What has to be installed to load it, such as `numpy==2.4.6`.
    metrics : mapping of str to float
    tags : mapping of str to str
    """

    identity: str
    description: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    example: pd.DataFrame
    requirements: tuple[str, ...]
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
