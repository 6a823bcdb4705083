"""Earlier searches of all projects on a project's MLflow, as a new search can learn from them.

Registering records with each run what its table is like (`meta_parameters`). `find_transfer` reads
these of the newest runs, and the trials of those whose tables are alike.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast, get_args

import pandas as pd

from evertune.config.custom_metrics import load_metrics
from evertune.config.schema import Params
from evertune.data.schema import TableSchema
from evertune.errors import InputError, StageError
from evertune.registry.mlflow_registry import FoundRun, ModelRegistry
from evertune.search.configurations import build_space
from evertune.search.transfer import (
    MAX_DISTANCE,
    N_SEARCHES,
    SCALES,
    EarlierSearch,
    Transfer,
    meta_distance,
    meta_features,
    transfer_configurations,
)
from evertune.search.trial_log import read_header, read_trials
from evertune.types import Task

META_PREFIX = "table."  # of the parameters that describe the table of a run
TASK_PARAMETER = f"{META_PREFIX}task"
MAX_RUNS = 300  # the newest, whose tables are compared
MAX_READ = 2 * N_SEARCHES  # of which the trials are read


def meta_parameters(table: pd.DataFrame, schema: TableSchema) -> dict[str, str]:
    """Return what a run records of its training rows, for later searches on similar tables."""
    values = meta_features(table, schema)
    return {
        TASK_PARAMETER: schema.task,
        **{f"{META_PREFIX}{name}": f"{value:.6g}" for name, value in values.items()},
    }


def find_transfer(
    registry: ModelRegistry, params: Params, root: Path, *, table: pd.DataFrame, schema: TableSchema
) -> Transfer:
    """Return the first configurations that earlier searches on similar tables suggest.

    Parameters
    ----------
    table : DataFrame
        Clean rows; only counts and shares of them are compared.

    Raises
    ------
    BusyError
        MLflow does not answer.
    """
    meta = meta_features(table, schema)
    alike = sorted(
        (
            (distance, number, run)
            for number, run in enumerate(registry.finished_runs(TASK_PARAMETER, most=MAX_RUNS))
            if run.parameters[TASK_PARAMETER] == schema.task
            if (distance := meta_distance(meta, _meta_of(run.parameters))) <= MAX_DISTANCE
        ),
        key=lambda each: each[:2],
    )
    runs = [run for _, _, run in alike[:MAX_READ]]
    search = params.search
    return transfer_configurations(
        meta,
        list(_read_searches(registry, runs, name=params.paths.trials.name)),
        task=schema.task,
        metric=load_metrics(params.metric, schema.task, root)[0].name,
        space=build_space(
            search.families,
            {str(family): ranges for family, ranges in search.space.items()},
        ),
    )


def _meta_of(parameters: Mapping[str, str]) -> dict[str, float]:
    """Return the numbers that describe a run's table; what is no number counts as missing."""
    found = {}
    for name in SCALES:
        try:
            found[name] = float(parameters.get(f"{META_PREFIX}{name}", "nan"))
        except ValueError:
            found[name] = math.nan
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _read_searches(
    registry: ModelRegistry, runs: list[FoundRun], *, name: str
) -> Iterator[EarlierSearch]:
    """Yield the searches of runs; those whose trials were removed or cannot be read are left."""
    for run in runs:
        task = run.parameters[TASK_PARAMETER]
        if task not in get_args(Task):
            continue
        with TemporaryDirectory() as folder:
            try:
                path = registry.download_artifact(run.run_id, name=name, folder=Path(folder))
                if path is None:
                    continue
                header, trials = read_header(path), read_trials(path)
            except (InputError, StageError):
                continue
        yield EarlierSearch(
            name=f"{run.model} {run.run_id[:8]}",
            task=cast(Task, task),
            metric=header.metric,
            greater_is_better=header.greater_is_better,
            meta=_meta_of(run.parameters),
            trials=trials,
        )
