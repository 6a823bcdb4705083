"""Run monitoring once: read the log, measure, compare with thresholds, decide, and record.

`monitor` reads the prediction log, the champion and its reference. It writes the findings of each
window, the values for /metrics and the decision to the log's database, and acts on nothing: the
decision is carried out by `evertune.orchestration`. `backtest` returns what each trigger would
have done on the champion's windows.

It runs on the schedule `monitoring.cron` of params.yaml, as a Prefect deployment; `evertune
monitor` runs it once. `current_time` is the real time or, with `monitoring.now: latest_event`,
that of the newest event in the log.

After a rollback only what came since counts, because the reason for which a version went is no
evidence any more when it is back.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from evertune.config.loader import load_params
from evertune.config.schema import Params
from evertune.decisions import Alarm, DecisionOutcome, Finding
from evertune.errors import StageError
from evertune.failpoints import failpoint
from evertune.files import is_project_locked
from evertune.messages import ways_to_a_champion
from evertune.monitoring.backtest import Backtest, backtest_triggers
from evertune.monitoring.drift import rank_causes
from evertune.monitoring.monitoring_run import MonitoringRun, mean_value_since
from evertune.monitoring.performance import paired_loss_days
from evertune.monitoring.policy import decide, notification_kind
from evertune.monitoring.prediction_log import PredictionLog, open_prediction_log
from evertune.monitoring.reference_store import load_version_reference
from evertune.monitoring.results import MonitoringResult, process_points, prometheus_metrics
from evertune.monitoring.state import (
    MAX_RUN_TIME,
    MonitoringState,
    change_point,
    with_claimed_requests,
)
from evertune.monitoring.triggers import evaluate_triggers
from evertune.registry.decision_log import DecisionLog
from evertune.registry.mlflow_registry import ModelRegistry, open_registry
from evertune.stats.sequential import paired_sequential_test
from evertune.times import (
    EPOCH,
    TimeWindow,
    in_zone,
    to_naive_timestamp,
    to_utc_datetime,
    to_wall_clock,
)

N_CAUSE_WINDOWS = 3
METRICS_WINDOW = TimeWindow(EPOCH, EPOCH)  # always the same, so that newer metrics replace older


def monitor(root: Path, *, now: datetime, at: datetime | None = None) -> MonitoringResult:
    """Return the findings and the decision of one run; both are recorded.

    Parameters
    ----------
    root : Path
        The project's folder.
    now : datetime
        Windows that end later are ignored; see `current_time`.
    at : datetime, optional
        The time of day, for /metrics and the record, if it is not `now`.

    Raises
    ------
    BusyError
        MLflow or the log's database does not answer.
    StageError
        The champion has no reference, or a cached window cannot be read.
    """
    params = load_params(root)
    settings, registry = params.monitoring, open_registry(params)
    now = in_zone(now, settings.timezone)
    with open_prediction_log(params) as log:
        state, run = _read_log(root, params, log=log, registry=registry, now=now)
        findings = () if run is None else run.findings()
        processes = {} if run is None else run.loss_processes(findings)
        alarms = evaluate_triggers(settings.triggers, findings, processes=processes)
        if run is not None and state.unreadable is None and not run.frame.empty:
            state = _with_production(
                state, run, findings=findings, alarms=alarms, log=log, registry=registry
            )
        decision = decide(
            alarms,
            state,
            settings.policy,
            labels_available=settings.labels_available,
            model=registry.name,
            now=now,
        )
        if at is not None and decision.recorded_at is None and decision.moment == now:
            decision = replace(decision, recorded_at=at)
        if state.unreadable is None:
            DecisionLog(log).record_decision(decision)
            failpoint("monitor.decided")
        result = MonitoringResult(
            now=now,
            model=registry.name,
            champion=state.champion,
            decision=decision,
            findings=findings,
            alarms=alarms,
            processes=process_points(processes),
            announced=notification_kind(decision, state),
            decisions=state.decisions,
        )
        if run is not None:
            recent = [each for each in findings if each.window in run.windows[-N_CAUSE_WINDOWS:]]
            causes = rank_causes(recent, run.reference.importance)
            result = replace(
                result,
                windows=run.windows,
                causes=causes,
                notes=run.notes(),
                n_new_class_labels=sum(run.new_classes().values()),
            )
        result = replace(result, metrics=prometheus_metrics(result, state.outcomes, at=at))
        log.save_window_record(
            kind="metrics", version="", window=METRICS_WINDOW, record=result.metrics
        )
        return result


def backtest(root: Path, *, now: datetime, false_alarms_a_year: float = 0.1) -> Backtest:
    """Return what each trigger would have done on the champion's windows.

    Parameters
    ----------
    false_alarms_a_year : float
        The rate that bounds are suggested for.

    Raises
    ------
    StageError
        There is no champion, or it has no reference.
    """
    params = load_params(root)
    registry = open_registry(params)
    with open_prediction_log(params) as log:
        _, run = _read_log(root, params, log=log, registry=registry, now=now)
        if run is None:
            raise StageError(
                f"{registry.name} has no champion, so there is nothing to test the triggers on:"
                f" {ways_to_a_champion(registry.aliases().get('challenger'))}. `evertune serve` and"
                " `evertune score` log what it predicts."
            )
        findings = run.findings()
        return backtest_triggers(
            params.monitoring.triggers,
            findings,
            days=run.matured_losses(findings),
            reference=run.reference.performance,
            false_alarms_a_year=false_alarms_a_year,
        )


def current_time(root: Path, *, real: datetime) -> datetime:
    """Return what counts as now: `real`, or the newest event if `monitoring.now` says so.

    Its offset is that of `monitoring.timezone`.
    """
    settings = load_params(root).monitoring
    is_real = settings.now == "real"
    return in_zone(real if is_real else newest_event_time(root) or real, settings.timezone)


def newest_event_time(root: Path) -> datetime | None:
    """Return the moment of the newest prediction or label, None in an empty log."""
    with open_prediction_log(load_params(root)) as log:
        return log.newest_event()


def _read_log(
    root: Path, params: Params, *, log: PredictionLog, registry: ModelRegistry, now: datetime
) -> tuple[MonitoringState, MonitoringRun | None]:
    """Return past decisions and the champion's production, None if there is no champion."""
    version = registry.champion()
    state = MonitoringState(
        None if version is None else version.number,
        challenger=registry.aliases().get("challenger"),
    )
    try:
        past = DecisionLog(log)
        zone = params.monitoring.timezone
        decisions = tuple(
            replace(each, moment=in_zone(each.moment, zone)) for each in past.decisions()
        )
        outcomes = tuple(
            replace(each, moment=in_zone(each.moment, zone))
            for each in with_claimed_requests(
                decisions, past.current_outcomes(params.paths.state), past.unclaimed_decisions()
            )
        )
        state = replace(state, decisions=decisions, outcomes=outcomes)
        if not is_project_locked(params.paths.state):
            state = _close_dead_attempts(state, past, now=now)
    except StageError as error:
        state = replace(state, unreadable=str(error))
    if version is None:
        return state, None
    former = registry.find("previous")
    reference = load_version_reference(registry, version, state=params.paths.state, former=former)
    change = state.champion_change()
    rolled_back = change is not None and change.kind == "rolled back"
    run = MonitoringRun(
        root,
        params,
        log=log,
        version=version.number,
        reference=reference,
        now=now,
        since=change.moment if change and rolled_back else None,
    )
    return state, run


def _close_dead_attempts(
    state: MonitoringState, log: DecisionLog, *, now: datetime
) -> MonitoringState:
    """Record as failed what began more than a day ago and has no end."""
    for each in state.dead_attempts(now):
        detail = "its run was killed or stopped, and nothing took it up within a day"
        failed = DecisionOutcome(
            each.decision_id, each.moment + MAX_RUN_TIME, "failed", detail=detail
        )
        log.record_outcome(failed)
        state = replace(state, outcomes=(*state.outcomes, failed))
    return state


def _with_production(
    state: MonitoringState,
    run: MonitoringRun,
    *,
    findings: tuple[Finding, ...],
    alarms: tuple[Alarm, ...],
    log: PredictionLog,
    registry: ModelRegistry,
) -> MonitoringState:
    """Return the state with the rows and the loss of production since the change."""
    moments, labelled = run.frame["moment"], run.frame["truth"].notna()
    first = to_utc_datetime(moments.iloc[0])
    since = change_point(alarms) or first
    labelled_since = labelled[moments >= to_naive_timestamp(since)]
    loss = mean_value_since(findings, "loss", since)
    estimated = mean_value_since(findings, "estimated_loss", since)
    before = run.reference.performance.loss
    change = state.champion_change()
    promoted = change.moment if change is not None and change.kind == "promoted" else None
    worse = None if promoted is None else _worse_than_previous(run, promoted, log, registry)
    return replace(
        state,
        promoted_at=promoted or first,
        rows_since_change=int(labelled_since.sum()),
        unlabelled_since_change=int((~labelled_since).sum()),
        rows_since_promotion=int(labelled.sum()),
        rows_a_day=len(run.frame) / max((run.now - first) / timedelta(days=1), 1.0),
        loss_rise=None if loss is None else loss - before,
        explained_rise=None if estimated is None else estimated - before,
        worse_than_previous=worse,
    )


def _worse_than_previous(
    run: MonitoringRun, promoted_at: datetime, log: PredictionLog, registry: ModelRegistry
) -> str | None:
    """Return the evidence that the champion is worse than the version before it, if there is."""
    previous = registry.find("previous")
    days = run.settings.policy.shadow_days
    if previous is None or not days:
        return None
    shadow = log.read_shadow(
        promoted_at,
        min(run.now, promoted_at + timedelta(days=days)),
        version=previous.number,
        classes=run.schema.classes,
        known_at=run.now,
    )
    shown = shadow.assign(moment=to_wall_clock(shadow["moment"], run.zone))
    losses = paired_loss_days(
        shown[shown["version"] == run.version],
        task=run.schema.task,
        scale=run.reference.performance.scale,
    )
    test = paired_sequential_test(*losses)
    if test.worse_at is None:
        return None
    return (
        f"version {run.version} is worse than version {previous.number} on the same {test.n} rows:"
        f" its loss is {test.difference or 0:+.4g} higher; the paired test passed"
        f" {test.threshold:g} on {test.worse_at:%Y-%m-%d}"
    )
