"""Prepare a refit or a retune: snapshot the labelled production rows and write the plan.

`snapshot_labels` writes the labelled rows of the prediction log to paths.production_labels and
versions them with DVC. The same rows give the same version. Rows that retention removed from the
log stay; rows of windows that broke the data contract are left out.

`write_plan` writes paths.plan: the start of the hold-out (`choose_holdout_start`), the training
windows to try and the first configurations. Only rows that the champion has not learned from
can judge a new model. The same decision about the same rows gives the same plan, so that a run
that was killed can be continued.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype

from evertune.config.loader import load_params
from evertune.config.schema import Params, RetuneSection
from evertune.data.feedback import clean_production_rows
from evertune.data.holdout import ROW_KEY, add_row_keys
from evertune.data.schema import MOMENT_COLUMN, TableSchema
from evertune.data.training_windows import TrainingWindow
from evertune.decisions import MonitoringDecision
from evertune.errors import StageError
from evertune.files import read_table, write_record, write_table_if_changed
from evertune.models.fitted_model import Model, model_configurations
from evertune.monitoring.log_frames import read_inputs
from evertune.monitoring.prediction_log import open_prediction_log
from evertune.plan import Plan
from evertune.registry.decision_log import DecisionLog
from evertune.registry.model_registry import ModelRegistry, ModelVersion, open_registry
from evertune.search.leaderboard import top_trials
from evertune.search.trial_log import read_header, read_trials
from evertune.times import TimeWindow, to_naive_timestamp, to_utc_datetime
from evertune.trials import Configuration
from evertune.versioning import dvc

MIN_HOLDOUT_ROWS = 100
ENOUGH_HOLDOUT_ROWS = 200


def plan_retraining(
    decision: MonitoringDecision,
    *,
    moments: pd.Series,
    rule: RetuneSection,
    champion: Sequence[Configuration],
    tops: Sequence[Configuration] = (),
) -> Plan:
    """Return what a refit or a retune is to do."""
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

    Without a change it is of the rows of the last `latest_days`. At least 100 rows judge; where
    200 are enough, only those of the last `holdout_days`, so that the others can teach. Rows of one
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


def _training_windows(
    change: datetime | None, cut: datetime, rule: RetuneSection
) -> Iterator[TrainingWindow]:
    latest = cut - timedelta(days=rule.latest_days)
    for name in rule.windows:
        if name == "since_change" and change is not None and change < cut:
            yield TrainingWindow(name, change.isoformat())
        elif name == "latest":
            yield TrainingWindow(name, latest.isoformat())
        elif name == "all":
            yield TrainingWindow(name)
        elif name == "decayed":
            yield TrainingWindow(name, half_life_days=rule.half_life_days)


MIXED_TYPES = ("mixed", "mixed-integer")


def feedback_rows(
    frame: pd.DataFrame, inputs: pd.DataFrame, schema: TableSchema, *, columns: Collection[str]
) -> pd.DataFrame:
    """Return the labelled rows of a logged frame as raw rows, the newest label last."""
    known = frame[frame["truth"].notna()].sort_values(["labelled", MOMENT_COLUMN, "id"])
    wanted = [name for name in inputs.columns if name in columns and name != schema.target]
    rows = inputs.loc[known.index, wanted].apply(to_single_type)
    if schema.identifier is not None:
        given = rows.get(schema.identifier, known["identifier"]).astype("str")
        rows[schema.identifier] = given.where(given.notna(), known["id"])
    rows = rows.assign(
        **{
            schema.target: _label_values(known["truth"], schema),
            MOMENT_COLUMN: known[MOMENT_COLUMN],
        }
    )
    return rows.reset_index(drop=True)


def blocked_windows(decisions: Iterable[MonitoringDecision]) -> tuple[TimeWindow, ...]:
    """Return the windows whose data broke its contract: nothing is learned from them."""
    alarms = [
        alarm
        for decision in decisions
        if decision.action == "block"
        for alarm in decision.alarms
        if alarm.action == "block"
    ]
    return tuple(each.window for alarm in alarms for each in alarm.findings)


def rows_outside_windows(frame: pd.DataFrame, windows: Iterable[TimeWindow]) -> pd.DataFrame:
    """Return the rows of a logged frame that lie in none of the windows."""
    kept = np.ones(len(frame), dtype=bool)
    for window in windows:
        within = frame[MOMENT_COLUMN].ge(to_naive_timestamp(window.start)) & frame[
            MOMENT_COLUMN
        ].lt(to_naive_timestamp(window.end))
        kept &= ~within.to_numpy()
    return frame[kept]


def to_single_type(column: pd.Series) -> pd.Series:
    """Return a column as it is, or as text where its values are of several types."""
    if column.dtype != object or infer_dtype(column, skipna=True) not in MIXED_TYPES:
        return column.infer_objects()
    return column.map(str, na_action="ignore").astype("str")


def _label_values(truth: pd.Series, schema: TableSchema) -> pd.Series:
    if not schema.classes:
        return truth
    names = np.array(schema.classes)[truth.astype(int)]
    return pd.Series(names, index=truth.index, dtype="str")


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
    store = open_registry(params)
    judged = store.version(str(decision.champion))
    champion = store.load_model(judged)
    absorbed = read_table(params.paths.production_labels)
    try:
        plan = plan_retraining(
            decision,
            moments=absorbed[MOMENT_COLUMN][_unseen_by_champion(absorbed, champion)],
            rule=params.monitoring.retune,
            champion=model_configurations(champion),
            tops=_best_configurations(store, judged, name=params.paths.trials.name),
        )
    except ValueError as error:
        raise StageError(f"Decision {decision.id} cannot be followed. {error}") from error
    write_record(params.paths.plan, plan)
    return plan


def _unseen_by_champion(absorbed: pd.DataFrame, champion: Model) -> list[bool]:
    clean, _ = clean_production_rows(absorbed, champion.schema)
    keys = add_row_keys(clean, champion.schema)[ROW_KEY]
    fresh: list[bool] = (~keys.isin(champion.row_keys)).tolist()
    return fresh


def _best_configurations(
    store: ModelRegistry, judged: ModelVersion, *, name: str
) -> tuple[Configuration, ...]:
    with TemporaryDirectory() as beside:
        kept = store.download_artifact(judged.run_id, name=name, folder=Path(beside))
        if kept is None:
            return ()
        header, trials = read_header(kept), read_trials(kept)
    better, most = header.greater_is_better, len(trials)
    ranked = top_trials(trials, greater_is_better=better, most=most)
    return tuple(trial.configuration for trial in ranked if trial.status == "complete")


@dataclass(frozen=True)
class LabelSnapshot:
    """A version of the labelled rows of production.

    Attributes
    ----------
    version : str
        The md5 that DVC keeps it under.
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
        There is no champion, or it predicts something else than params.yaml says.
    BusyError
        MLflow or the log's database does not answer.
    """
    params = load_params(root)
    schema = open_registry(params).champion_schema()
    if schema.target != params.data.target:
        raise StageError(
            f"expected the champion to predict '{params.data.target}', as data.target says, but it"
            f" predicts '{schema.target}': its labels cannot be learned from; run `evertune train`"
        )
    columns = list(read_table(params.paths.source).columns)
    rows = _labelled_rows(params, schema, columns=columns, now=now)
    changed = write_table_if_changed(params.paths.production_labels, rows)
    version = dvc.add_file(root, params.paths.production_labels)
    dvc.push_to_remote(root)
    return LabelSnapshot(version, changed, len(rows))


def _labelled_rows(
    params: Params, schema: TableSchema, *, columns: Collection[str], now: datetime
) -> pd.DataFrame:
    with open_prediction_log(params) as log:
        frame = log.read(classes=schema.classes, with_inputs=True, known_at=now)
        blocked = blocked_windows(DecisionLog(log).decisions())
        oldest = log.oldest_event()
    frame = rows_outside_windows(frame, blocked).reset_index(drop=True)
    rows = feedback_rows(frame, read_inputs(frame), schema, columns=columns)
    return _with_expired_rows(rows, params.paths.production_labels, oldest=oldest)


def _with_expired_rows(rows: pd.DataFrame, path: Path, *, oldest: datetime | None) -> pd.DataFrame:
    if not path.is_file():
        return rows
    before = read_table(path)
    removed = (
        before if oldest is None else before[before[MOMENT_COLUMN] < to_naive_timestamp(oldest)]
    )
    return pd.concat([removed, rows], ignore_index=True) if len(removed) else rows
