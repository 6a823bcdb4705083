"""Run monitoring once: compute findings, evaluate triggers, and record the decision.

`monitor` reads the prediction log, the champion and its reference. It writes the findings of each
window, the values for /metrics and the decision to the log's database, and acts on nothing.
`backtest` tells what each trigger would have done on the champion's windows.

It runs on the schedule `monitoring.cron` of params.yaml, as a Prefect deployment of
`evertune.orchestration`; `evertune monitor` runs it once. `current_time` is the real time or,
with `monitoring.now: latest_event`, that of the newest event in the log.

After a rollback only what came since counts, because the reason for which a version went is no
evidence any more when it is back.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from evertune.config.loader import load_params
from evertune.config.schema import Params, SequentialRule
from evertune.decisions import Alarm, DecisionOutcome, Finding
from evertune.errors import StageError
from evertune.monitoring.backtest import Backtest, backtest_triggers
from evertune.monitoring.data_contract import days_with_valid_data
from evertune.monitoring.drift import rank_causes
from evertune.monitoring.loss_process import LossProcess, run_loss_process
from evertune.monitoring.monitoring_run import (
    MonitoringRun,
    mean_value_since,
    paired_loss_days,
)
from evertune.monitoring.policy import decide, notification_kind
from evertune.monitoring.prediction_log import PredictionLog, open_prediction_log
from evertune.monitoring.reference_store import load_version_reference
from evertune.monitoring.results import MonitoringResult, process_points, prometheus_metrics
from evertune.monitoring.state import (
    CHAMPION_OUTCOMES,
    MonitoringState,
    change_point,
    with_claimed_requests,
)
from evertune.monitoring.triggers import evaluate_triggers
from evertune.monitoring.window_bounds import EPOCH
from evertune.registry.decision_log import DecisionLog
from evertune.registry.model_registry import ModelRegistry, open_registry
from evertune.stats.sequential import paired_sequential_test
from evertune.times import TimeWindow, to_naive_timestamp, to_utc_datetime

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
        The time of day for /metrics, if it is not `now`.

    Raises
    ------
    BusyError
        MLflow or the log's database does not answer.
    StageError
        The champion has no reference, or a cached window cannot be read.
    """
    params = load_params(root)
    settings = params.monitoring
    store = open_registry(params)
    with open_prediction_log(params) as log:
        run = _start_run(root, params, log=log, store=store, now=now)
        findings = () if run is None else run.findings()
        processes = {} if run is None else _loss_processes(run, findings)
        alarms = evaluate_triggers(settings.triggers, findings, processes=processes)
        state = _monitoring_state(log, store, run=run, findings=findings, alarms=alarms)
        decision = decide(
            alarms,
            state,
            settings.policy,
            labels_available=settings.labels_available,
            model=store.name,
            now=now,
        )
        if state.unreadable is None:
            DecisionLog(log).record_decision(decision)
        windows = () if run is None else run.windows
        recent = [each for each in findings if each.window in windows[-N_CAUSE_WINDOWS:]]
        result = MonitoringResult(
            now=now,
            model=store.name,
            champion=state.champion,
            decision=decision,
            findings=findings,
            alarms=alarms,
            windows=windows,
            processes=process_points(processes),
            causes=() if run is None else rank_causes(recent, run.reference.importance),
            announced=notification_kind(decision, state),
            decisions=state.decisions,
            notes=() if run is None else run.notes(),
        )
        result = replace(result, figures=prometheus_metrics(result, state.outcomes, at=at))
        log.save_window_record(
            kind="metrics", version="", window=METRICS_WINDOW, record=result.figures
        )
        return result


def current_time(root: Path, *, real: datetime) -> datetime:
    """Return what counts as now: `real`, or the newest event if `monitoring.now` says so."""
    if load_params(root).monitoring.now == "real":
        return real
    return newest_event_time(root) or real


def newest_event_time(root: Path) -> datetime | None:
    """Return the moment of the newest prediction or label, None in an empty log."""
    with open_prediction_log(load_params(root)) as log:
        return log.newest_event()


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
    store = open_registry(params)
    with open_prediction_log(params) as log:
        run = _start_run(root, params, log=log, store=store, now=now)
        if run is None:
            raise StageError(
                f"{store.name} has no champion, so there is nothing to test the triggers on. Run"
                " `evertune train` to make one; `evertune serve` and `evertune score` log what it"
                " predicts."
            )
        findings = run.findings()
        return backtest_triggers(
            params.monitoring.triggers,
            findings,
            days=days_with_valid_data(run.matured_losses(), findings),
            reference=run.reference.performance,
            false_alarms_a_year=false_alarms_a_year,
        )


def _start_run(
    root: Path, params: Params, *, log: PredictionLog, store: ModelRegistry, now: datetime
) -> MonitoringRun | None:
    version = store.champion()
    if version is None:
        return None
    former = store.find("previous")
    reference = load_version_reference(store, version, state=params.paths.state, former=former)
    try:
        change = _last_champion_change(DecisionLog(log).outcomes(), version.number)
    except StageError:
        change = None  # `_monitoring_state` reads them again and reports the fault
    rolled_back = change is not None and change.kind == "rolled back"
    return MonitoringRun(
        root,
        params,
        log=log,
        version=version.number,
        reference=reference,
        now=now,
        since=change.moment if change and rolled_back else None,
    )


def _last_champion_change(
    outcomes: tuple[DecisionOutcome, ...], version: str
) -> DecisionOutcome | None:
    changes = [e for e in outcomes if e.version == version and e.kind in CHAMPION_OUTCOMES]
    return changes[-1] if changes else None


def _loss_processes(run: MonitoringRun, findings: tuple[Finding, ...]) -> dict[str, LossProcess]:
    days = days_with_valid_data(run.matured_losses(), findings)
    return {
        trigger.name: run_loss_process(
            run.reference.performance,
            days,
            tolerance=trigger.rule.tolerance,
            false_alarm_days=trigger.rule.false_alarm_days,
        )
        for trigger in run.settings.triggers
        if isinstance(trigger.rule, SequentialRule)
    }


def _monitoring_state(
    log: PredictionLog,
    store: ModelRegistry,
    *,
    run: MonitoringRun | None,
    findings: tuple[Finding, ...],
    alarms: tuple[Alarm, ...],
) -> MonitoringState:
    version = None if run is None else run.version
    try:
        decisions = DecisionLog(log).decisions()
        outcomes = with_claimed_requests(
            decisions, DecisionLog(log).outcomes(), DecisionLog(log).unclaimed_decisions()
        )
    except StageError as error:
        return MonitoringState(version, unreadable=str(error))
    past = MonitoringState(version, decisions=decisions, outcomes=outcomes)
    if run is None or run.frame.empty:
        return past
    change = _last_champion_change(outcomes, run.version)
    promoted = change if change is not None and change.kind == "promoted" else None
    first = to_utc_datetime(run.frame["moment"].iloc[0])
    since = change_point(alarms) or first
    labelled = run.frame["truth"].notna()
    labelled_since = labelled[run.frame["moment"] >= to_naive_timestamp(since)]
    base = run.reference.performance.loss
    rises = [mean_value_since(findings, name, since) for name in ("loss", "estimated_loss")]
    loss_rise, explained_rise = (None if mean is None else mean - base for mean in rises)
    return replace(
        past,
        promoted_at=first if promoted is None else promoted.moment,
        rows_since_change=int(labelled_since.sum()),
        unlabelled_since_change=int((~labelled_since).sum()),
        rows_since_promotion=int(labelled.sum()),
        rows_a_day=len(run.frame) / max((run.now - first) / timedelta(days=1), 1.0),
        loss_rise=loss_rise,
        explained_rise=explained_rise,
        worse_than_previous=None
        if promoted is None
        else _worse_than_previous(log, store, run, promoted.moment),
    )


def _worse_than_previous(
    log: PredictionLog, store: ModelRegistry, run: MonitoringRun, promoted_at: datetime
) -> str | None:
    """Return the evidence that the champion is worse than the version before it, if there is."""
    previous = store.find("previous")
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
    losses = paired_loss_days(
        shadow[shadow["version"] == run.version],
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
