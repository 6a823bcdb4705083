"""Prepare a refit or a retune that was decided: snapshot the labelled rows, and write the plan.

The decision itself is made by `policy.decide`.

`snapshot_labels` writes the labelled rows of the prediction log to paths.production_labels and
versions them with DVC. The same rows give the same version. Rows that retention removed from the
log stay; rows of windows that broke the data contract are left out.

`write_plan` writes paths.plan: the start of the hold-out (`choose_holdout_start`), the training
windows to try and the first configurations. Only rows that the champion has not learned from
can judge a new model. The same decision about the same rows gives the same plan, so that a run
that was killed can be continued.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype

from evertune.config.loader import load_params
from evertune.config.schema import RetuneSection
from evertune.data.feedback import clean_production_rows
from evertune.data.holdout import ROW_KEY, add_row_keys
from evertune.data.schema import MOMENT_COLUMN, TableSchema
from evertune.data.training_windows import TrainingWindow
from evertune.decisions import MonitoringDecision
from evertune.errors import StageError
from evertune.files import read_table, write_record, write_table_if_changed
from evertune.models.fitted_model import model_configurations
from evertune.monitoring.log_frames import read_inputs
from evertune.monitoring.prediction_log import open_prediction_log
from evertune.plan import Plan
from evertune.registry.decision_log import DecisionLog
from evertune.registry.mlflow_registry import ModelRegistry, ModelVersion, open_registry
from evertune.search.leaderboard import top_trials
from evertune.search.trial_log import read_header, read_trials
from evertune.times import to_naive_timestamp, to_utc_datetime
from evertune.trials import Configuration
from evertune.versioning import dvc

MIN_HOLDOUT_ROWS = 100
ENOUGH_HOLDOUT_ROWS = 200
MIXED_TYPES = ("mixed", "mixed-integer")


@dataclass(frozen=True)
class LabelSnapshot:
    """A version of the labelled rows of production.

    Attributes
    ----------
    version : str
        The md5 by which DVC knows it.
    changed : bool
        Whether it differs from the last one.
    """

    version: str
    changed: bool
    rows: int


def snapshot_labels(root: Path, *, now: datetime) -> LabelSnapshot:
    """Take a version of the labelled rows of production.

    Parameters
    ----------
    root : Path
        The project's folder, of which a snapshot was taken; the caller holds its lock.
    now : datetime
        Later labels are not known yet.

    Raises
    ------
    StageError
        There is no champion, or it predicts another target than params.yaml names.
    BusyError
        MLflow or the log's database does not answer.
    """
    params = load_params(root)
    path = params.paths.production_labels
    schema = open_registry(params).champion_schema()
    if schema.target != params.data.target:
        raise StageError(
            f"expected the champion to predict '{params.data.target}', as data.target says, but it"
            f" predicts '{schema.target}': its labels cannot be learned from; run `evertune train`"
        )
    with open_prediction_log(params) as log:
        frame = log.read(classes=schema.classes, with_inputs=True, known_at=now)
        decisions = DecisionLog(log).decisions()
        oldest = log.oldest_event()
    frame = _without_blocked_windows(frame, decisions)
    columns = list(read_table(params.paths.source).columns)
    rows = feedback_rows(frame, read_inputs(frame), schema, columns=columns)
    if path.is_file():
        expired = read_table(path)
        if oldest is not None:
            expired = expired[expired[MOMENT_COLUMN] < to_naive_timestamp(oldest)]
        if len(expired):
            rows = pd.concat([expired, rows], ignore_index=True)
    changed = write_table_if_changed(path, rows)
    version = dvc.add_file(root, path)
    dvc.push_to_remote(root)
    return LabelSnapshot(version, changed, len(rows))


def write_plan(root: Path, decision: MonitoringDecision) -> Plan:
    """Return the plan of a decision, which the next run of the stages follows.

    Parameters
    ----------
    root : Path
        The project's folder; the caller holds its lock.
    decision : MonitoringDecision
        To refit or to retune.

    Raises
    ------
    StageError
        There are too few labelled rows that the champion has not learned from.
    """
    params = load_params(root)
    registry = open_registry(params)
    version = registry.version(str(decision.champion))
    champion = registry.load_model(version)
    labelled = read_table(params.paths.production_labels)
    clean, _ = clean_production_rows(labelled, champion.schema)
    keys = add_row_keys(clean, champion.schema)[ROW_KEY]
    try:
        plan = plan_retraining(
            decision,
            moments=labelled[MOMENT_COLUMN][(~keys.isin(champion.row_keys)).to_numpy()],
            rule=params.monitoring.retune,
            champion=model_configurations(champion),
            tops=_best_configurations(registry, version, name=params.paths.trials.name),
        )
    except ValueError as error:
        raise StageError(f"Decision {decision.id} cannot be followed. {error}") from error
    write_record(params.paths.plan, plan)
    return plan


def plan_retraining(
    decision: MonitoringDecision,
    *,
    moments: pd.Series,
    rule: RetuneSection,
    champion: Sequence[Configuration],
    tops: Sequence[Configuration] = (),
) -> Plan:
    """Return the plan of a refit or a retune.

    Parameters
    ----------
    moments : Series of datetime64
        Of the labelled rows that the champion has not learned from.
    champion, tops : sequence of Configuration
        Of the champion's members, and of the best trials of its search.
    """
    cut = choose_holdout_start(moments, change_from=decision.change_from, rule=rule)
    refit = decision.action == "refit"
    starts = list({str(each): each for each in (*champion, *tops)}.values())
    return Plan(
        mode="refit" if refit else "retune",
        warm_starts=tuple(champion) if refit else tuple(starts[: rule.warm_starts]),
        judge_from=cut.isoformat(),
        windows=tuple(_training_windows(decision.change_from, cut, rule)),
        budget_seconds=None if refit else rule.budget_seconds,
        budget_trials=len(champion) if refit else rule.budget_trials,
    )


def choose_holdout_start(
    moments: pd.Series, *, change_from: datetime | None, rule: RetuneSection
) -> datetime:
    """Return the moment from which rows judge: `holdout_fraction` of the rows since the change do.

    Without a change it is of the rows of the last `latest_days`. At least 100 rows judge; if 200
    are enough, only those of the last `holdout_days`, so that the others can teach. Rows of one
    moment stay together, so that the share is met as nearly as they allow.
    """
    if len(moments) < MIN_HOLDOUT_ROWS:
        raise ValueError(
            f"At least {MIN_HOLDOUT_ROWS} labelled rows that the champion has not learned from must"
            f" judge a new model. Got {len(moments)} instead; wait for more labels."
        )
    since = moments.max() - timedelta(days=rule.latest_days)
    since = since if change_from is None else to_naive_timestamp(change_from)
    wanted = max(rule.holdout_fraction * float((moments >= since).sum()), MIN_HOLDOUT_ROWS)
    if rule.holdout_days is not None:
        newest = moments > moments.max() - timedelta(days=rule.holdout_days)
        wanted = min(wanted, max(float(newest.sum()), ENOUGH_HOLDOUT_ROWS))
    starts, counts = np.unique(moments.to_numpy(), return_counts=True)
    rows_from = np.cumsum(counts[::-1])[::-1]
    enough = rows_from >= MIN_HOLDOUT_ROWS
    nearest = np.abs(rows_from[enough] - wanted).argmin()
    return to_utc_datetime(pd.Timestamp(starts[enough][nearest]))


def feedback_rows(
    frame: pd.DataFrame, inputs: pd.DataFrame, schema: TableSchema, *, columns: Collection[str]
) -> pd.DataFrame:
    """Return the labelled rows of a logged frame as raw rows, the newest label last."""
    known = frame[frame["truth"].notna()].sort_values(["labelled", MOMENT_COLUMN, "id"])
    wanted = [name for name in inputs.columns if name in columns and name != schema.target]
    rows = inputs.loc[known.index, wanted].apply(_to_single_type)
    if schema.identifier is not None:
        given = rows.get(schema.identifier, known["identifier"]).astype("str")
        rows[schema.identifier] = given.where(given.notna(), known["id"])
    labels = known["truth"]
    if schema.classes:
        names = np.array(schema.classes)[labels.astype(int)]
        labels = pd.Series(names, index=known.index, dtype="str")
    rows = rows.assign(**{schema.target: labels, MOMENT_COLUMN: known[MOMENT_COLUMN]})
    return rows.reset_index(drop=True)


def _training_windows(
    change: datetime | None, cut: datetime, rule: RetuneSection
) -> Iterator[TrainingWindow]:
    for name in rule.windows:
        if name == "since_change" and change is not None and change < cut:
            yield TrainingWindow(name, change.isoformat())
        elif name == "latest":
            yield TrainingWindow(name, (cut - timedelta(days=rule.latest_days)).isoformat())
        elif name == "all":
            yield TrainingWindow(name)
        elif name == "decayed":
            yield TrainingWindow(name, half_life_days=rule.half_life_days)


def _without_blocked_windows(
    frame: pd.DataFrame, decisions: Sequence[MonitoringDecision]
) -> pd.DataFrame:
    """Return the rows of a logged frame that lie in no window whose data broke its contract."""
    windows = [
        finding.window
        for decision in decisions
        for alarm in decision.alarms
        for finding in alarm.findings
        if decision.action == alarm.action == "block"
    ]
    moments, blocked = frame[MOMENT_COLUMN], np.zeros(len(frame), dtype=bool)
    for window in windows:
        start, end = to_naive_timestamp(window.start), to_naive_timestamp(window.end)
        blocked |= ((moments >= start) & (moments < end)).to_numpy()
    return frame[~blocked].reset_index(drop=True)


def _to_single_type(column: pd.Series) -> pd.Series:
    """Return a column as it is, or as text if its values are of several types."""
    if column.dtype != object or infer_dtype(column, skipna=True) not in MIXED_TYPES:
        return column.infer_objects()
    return column.map(str, na_action="ignore").astype("str")


def _best_configurations(
    registry: ModelRegistry, version: ModelVersion, *, name: str
) -> tuple[Configuration, ...]:
    """Return the configurations of the search that made a version, best first."""
    with TemporaryDirectory() as folder:
        path = registry.download_artifact(version.run_id, name=name, folder=Path(folder))
        if path is None:
            return ()
        header, trials = read_header(path), read_trials(path)
    ranked = top_trials(trials, greater_is_better=header.greater_is_better, most=len(trials))
    return tuple(trial.configuration for trial in ranked if trial.status == "complete")
