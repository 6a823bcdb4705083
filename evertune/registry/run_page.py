"""Records of what a run and a registered version show in MLflow, and the names of their tags.

`mlflow_pages` makes them from a result, `mlflow_registry` logs them.

A version carries a few short tags, for a person who looks at the list: `score`, `model`, `mode`,
`data`, `decision`, and `evertune.rolled_back` where that happened. All else stands in its run: the
md5s of its data as parameters (`dvc.source`), scores as metrics (`holdout/roc_auc`), `metric`, the
commit and what Evertune looks it up by as tags, the verdict as `verdict.json`. Earlier releases
wrote it all as tags of the version, with the former names below.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

DATA_PREFIX = "dvc."
METRIC_TAG = "metric"
MODEL_TAG = "model"
MODE_TAG = "mode"
HOLDOUT_PREFIX, LOW_PREFIX, HIGH_PREFIX = "holdout/", "holdout_low/", "holdout_high/"
NOTE_TAG = "mlflow.note.content"  # MLflow shows it as the description of a run
FORMER_METRIC_PREFIX = "figure."
FORMER_MODE_TAG = "evertune.mode"
ASSESSMENT_TAG = "evertune.assessment"
COMPARISON_TAG = "evertune.comparison"
VERSION_TAG = "evertune.version"
MAX_KEY_LENGTH = 250  # MLflow's


def mlflow_key(name: str) -> str:
    """Return the name under which MLflow keeps a metric or a tag: the same if it allows that.

    MLflow refuses most signs, names above 250 characters, and names that are no plain path, such as
    ``a/../b``. Such a name gets `_` for each refused sign and an ending by which it differs from
    all others.

    Examples
    --------
    >>> mlflow_key("holdout/roc_auc"), mlflow_key("figure.gain (€)")
    ('holdout/roc_auc', 'figure.gain ____6ff43f61')
    """
    plain = re.sub(r"[^A-Za-z0-9_.\-/ ]", "_", name)
    is_path = all(part.strip(".") for part in plain.split("/"))
    if plain == name and is_path and len(name) <= MAX_KEY_LENGTH:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    flat = plain if is_path else re.sub(r"[./]", "_", plain)
    return f"{flat[: MAX_KEY_LENGTH - len(digest) - 1]}_{digest}"


@dataclass(frozen=True)
class MetricPoint:
    """One value of a metric; without a time it is that of logging."""

    name: str
    value: float
    step: int = 0
    milliseconds: int | None = None


@dataclass(frozen=True)
class LoggedDataset:
    """A table that was used: its version (md5), where it lies, and its context.

    The MLflow UI groups datasets by `context`, such as `training`.
    """

    name: str
    path: Path
    md5: str
    context: str


@dataclass(frozen=True)
class RunPage:
    """What a run shows.

    Attributes
    ----------
    title, note : str
        The run's name, and its description in Markdown.
    files : tuple of (Path, str)
        Files and folders, each with the folder of the run's artifacts that it goes to.
    leaderboard : DataFrame, optional
        All trials; readable as a table in the UI.
    status : str
        In MLflow's words: FINISHED, KILLED or FAILED.
    """

    title: str
    note: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    files: tuple[tuple[Path, str], ...] = ()
    leaderboard: "pd.DataFrame | None" = None
    tables: tuple[LoggedDataset, ...] = ()
    status: str = "FINISHED"


@dataclass(frozen=True)
class ModelDescription:
    """What the registry shows of a model.

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
    """

    identity: str
    description: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    example: "pd.DataFrame"
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
