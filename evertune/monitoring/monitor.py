"""Run monitoring once: compute findings, evaluate triggers, and record the decision.

`monitor` reads the prediction log, the champion and its reference, and writes the findings of
each window, the values for /metrics and the decision to the log's database. It acts on nothing.
`backtest` says what each trigger would have done on the champion's windows. `current_time` is
the real time or, where `monitoring.now` says so, that of the newest event. After a rollback
only what came since counts: the reason for which a version went is no evidence now.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from evertune.config.loader import load_params
from evertune.config.schema import MonitoringSection, Params
from evertune.decisions import Alarm, DecisionOutcome, Finding
from evertune.errors import StageError
from evertune.monitoring.backtest import Backtest, backtest_triggers
from evertune.monitoring.data_contract import days_with_valid_data
from evertune.monitoring.drift import rank_causes
from evertune.monitoring.loss_process import LossProcess, run_loss_process
from evertune.monitoring.policy import (
    MonitoringState,
    Policy,
    change_point,
    decide,
    notification_kind,
    with_claimed_requests,
)
from evertune.monitoring.prediction_log import PredictionLog, open_prediction_log
from evertune.monitoring.records import Cause, MonitoringResult, process_points, prometheus_metrics
from evertune.monitoring.reference_store import load_version_reference
from evertune.monitoring.triggers import (
    KOfN,
    Rule,
    SequentialTest,
    Threshold,
    Trigger,
    evaluate_triggers,
)
from evertune.monitoring.window_findings import (
    EPOCH,
    MonitoredVersion,
    compute_findings,
    count_labels_since,
    load_monitored_version,
    matured_losses,
    mean_rows_per_day,
    mean_value_since,
    monitoring_notes,
    paired_loss_days,
)
from evertune.registry.decision_log import (
    read_decisions,
    read_outcomes,
    read_unclaimed_decisions,
    record_decision,
)
from evertune.registry.mlflow_client import TrackingStore, open_tracking_store
from evertune.registry.versions import get_champion, get_version_by_alias
from evertune.stats.sequential import paired_sequential_test
from evertune.times import TimeWindow, to_naive_timestamp, to_utc_datetime

N_CAUSE_WINDOWS = 3
CHAMPION_OUTCOMES = ("promoted", "rolled back")
RULE_CLASSES: dict[str, Callable[..., Rule]] = {
    "threshold": Threshold,
    "k_of_n": KOfN,
    "e_process": SequentialTest,
}


@dataclass(frozen=True)
class Observations:
    """What a look at production found, before anything is decided."""

    findings: tuple[Finding, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    processes: dict[str, LossProcess] = field(default_factory=dict)


def monitor(root: Path, *, now: datetime, at: datetime | None = None) -> MonitoringResult:
    """Return what production looks like, and what is to be done; the decision is recorded.

    Parameters
    ----------
    root : Path
        The project's folder.
    now : datetime
        Windows that end later are not looked at; see `current_time`.
    at : datetime, optional
        The time of day, where that is another; it stands in the figures for /metrics.

    Raises
    ------
    BusyError
        MLflow or the log's database does not answer.
    StageError
        The champion has no reference, or what was kept of a window cannot be read.
    """
    params = load_params(root)
    store = open_tracking_store(params.paths.state, params.registry.name)
    with open_prediction_log(params) as log:
        seen = _load_champion_production(root, params, log=log, store=store, now=now)
        look = Observations() if seen is None else _observe(seen)
        standing = _monitoring_state(log, store, seen=seen, look=look)
        policy = make_policy(params.monitoring)
        decision = decide(look.alarms, standing, policy, model=store.name, now=now)
        if standing.unreadable is None:
            record_decision(log, decision)
        found = MonitoringResult(
            now=now,
            model=store.name,
            champion=standing.champion,
            decision=decision,
            findings=look.findings,
            alarms=look.alarms,
            windows=() if seen is None else seen.windows,
            processes=process_points(look.processes),
            causes=() if seen is None else _drift_causes(seen, look),
            announced=notification_kind(decision, standing),
            decisions=standing.decisions,
            notes=() if seen is None else monitoring_notes(seen),
        )
        found = replace(found, figures=prometheus_metrics(found, standing.outcomes, at=at))
        newest = TimeWindow(
            EPOCH, EPOCH
        )  # one place, so that the newest figures replace the others
        log.save_window_record(kind="metrics", version="", window=newest, record=found.figures)
        return found


def current_time(root: Path, *, real: datetime) -> datetime:
    """Return what counts as now: `real`, or the newest event where `monitoring.now` says so."""
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
    root : Path
    now : datetime
    false_alarms_a_year : float
        The rate that values are suggested for.

    Raises
    ------
    StageError
        There is no champion, or it has no reference.
    """
    params = load_params(root)
    store = open_tracking_store(params.paths.state, params.registry.name)
    with open_prediction_log(params) as log:
        seen = _load_champion_production(root, params, log=log, store=store, now=now)
        if seen is None:
            raise StageError(
                f"{store.name} has no champion, so nothing was watched. `evertune train` makes"
                " one; `evertune serve` and `evertune score` log what it predicts."
            )
        findings = compute_findings(seen)
        return backtest_triggers(
            make_triggers(params.monitoring),
            findings,
            days=days_with_valid_data(matured_losses(seen), findings),
            reference=seen.reference.performance,
            false_alarms_a_year=false_alarms_a_year,
        )


def make_policy(section: MonitoringSection) -> Policy:
    """Return the policy that decisions are made by."""
    return Policy(**section.policy.model_dump(), labels_available=section.labels_available)


def make_triggers(section: MonitoringSection) -> tuple[Trigger, ...]:
    """Return the triggers of params.yaml as records."""
    return tuple(
        Trigger(each.name, each.signal, _make_rule(each.rule.model_dump()), each.action)
        for each in section.triggers
    )


def _load_champion_production(
    root: Path, params: Params, *, log: PredictionLog, store: TrackingStore, now: datetime
) -> MonitoredVersion | None:
    version = get_champion(store)
    if version is None:
        return None
    former = get_version_by_alias(store, "previous")
    reference = load_version_reference(store, version, state=params.paths.state, former=former)
    seen = load_monitored_version(
        root, params, log=log, version=version.number, reference=reference, now=now
    )
    return _since_rollback(seen)


def _since_rollback(seen: MonitoredVersion) -> MonitoredVersion:
    """Return what a version predicted since it came back; what made it go is no evidence now."""
    try:
        came = read_outcomes(seen.log)
    except StageError:
        return seen  # `_standing` reads them again, and says that they cannot be read
    about = [
        each for each in came if each.version == seen.version and each.kind in CHAMPION_OUTCOMES
    ]
    if not about or about[-1].kind != "rolled back":
        return seen
    back = about[-1].moment
    return replace(
        seen,
        frame=seen.frame[seen.frame["moment"] >= to_naive_timestamp(back)].reset_index(drop=True),
        windows=tuple(each for each in seen.windows if each.start >= back),
    )


def _observe(seen: MonitoredVersion) -> Observations:
    findings = compute_findings(seen)
    days = days_with_valid_data(matured_losses(seen), findings)
    triggers = make_triggers(seen.params.monitoring)
    processes = {
        each.name: run_loss_process(
            seen.reference.performance,
            days,
            tolerance=each.rule.tolerance,
            false_alarm_days=each.rule.false_alarm_days,
        )
        for each in triggers
        if isinstance(each.rule, SequentialTest)
    }
    return Observations(
        findings, evaluate_triggers(triggers, findings, processes=processes), processes
    )


def _monitoring_state(
    log: PredictionLog, store: TrackingStore, *, seen: MonitoredVersion | None, look: Observations
) -> MonitoringState:
    version = None if seen is None else seen.version
    try:
        made = read_decisions(log)
        came = with_claimed_requests(made, read_outcomes(log), read_unclaimed_decisions(log))
    except StageError as error:
        return MonitoringState(version, unreadable=str(error))
    past = MonitoringState(version, decisions=made, outcomes=came)
    if seen is None or seen.frame.empty:
        return past
    promoted = _last_promotion(came, seen.version)
    first = to_utc_datetime(seen.frame["moment"].iloc[0])
    since = change_point(look.alarms) or first
    known, unknown = count_labels_since(seen.frame, since)
    return replace(
        past,
        promoted_at=first if promoted is None else promoted.moment,
        rows_since_change=known,
        unlabelled_since_change=unknown,
        rows_since_promotion=len(seen.frame[seen.frame["truth"].notna()]),
        rows_a_day=mean_rows_per_day(seen.frame, seen.now),
        loss_rise=_loss_rise(seen, look, signal="loss", since=since),
        explained_rise=_loss_rise(seen, look, signal="estimated_loss", since=since),
        worse_than_previous=None
        if promoted is None
        else _worse_than_previous(log, store, seen, promoted),
    )


def _last_promotion(came: tuple[DecisionOutcome, ...], version: str) -> DecisionOutcome | None:
    """Return the promotion that made a version champion, None where it came back by rollback."""
    about = [each for each in came if each.version == version and each.kind in CHAMPION_OUTCOMES]
    return about[-1] if about and about[-1].kind == "promoted" else None


def _loss_rise(
    seen: MonitoredVersion, look: Observations, *, signal: str, since: datetime
) -> float | None:
    mean = mean_value_since(look.findings, signal, since)
    return None if mean is None else mean - seen.reference.performance.loss


def _worse_than_previous(
    log: PredictionLog, store: TrackingStore, seen: MonitoredVersion, promoted: DecisionOutcome
) -> str | None:
    """Return the evidence that the champion is worse than the version before it, if there is."""
    previous = get_version_by_alias(store, "previous")
    days = seen.params.monitoring.policy.shadow_days
    if previous is None or not days:
        return None
    shadow = log.read_shadow(
        promoted.moment,
        min(seen.now, promoted.moment + timedelta(days=days)),
        version=previous.number,
        classes=seen.classes,
        known_at=seen.now,
    )
    found = paired_sequential_test(
        *paired_loss_days(
            shadow[shadow["version"] == seen.version],
            task=seen.reference.schema.task,
            scale=seen.reference.performance.scale,
        )
    )
    if found.worse_at is None:
        return None
    return (
        f"version {seen.version} is worse than version {previous.number} on the same"
        f" {found.n} rows: its loss is {found.difference or 0:+.4g} higher; the paired test passed"
        f" {found.threshold:g} on {found.worse_at:%Y-%m-%d}"
    )


def _drift_causes(seen: MonitoredVersion, look: Observations) -> tuple[Cause, ...]:
    drifted = [each for each in look.findings if each.window in seen.windows[-N_CAUSE_WINDOWS:]]
    return rank_causes(drifted, seen.reference.importance)


def _make_rule(values: dict[str, Any]) -> Rule:
    made = RULE_CLASSES[values.pop("kind")]
    return made(**values)
