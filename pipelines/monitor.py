"""Look at production: findings window by window, the triggers that are crossed, the decision.

Reads the prediction log, the champion and its reference. Writes what it found of each window, the
figures for /metrics and the decision to the log's database, and acts on nothing.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pipelines.core.backtesting import Backtest, backtested
from pipelines.core.broken import judged_days
from pipelines.core.decisions import announced, decide
from pipelines.core.drift import ranked_causes
from pipelines.core.findings import Alarm, Finding, Outcome, Window, aware, naive
from pipelines.core.loss_process import LossProcess, loss_process
from pipelines.core.monitored import Cause, Monitored, figures_of, points_of
from pipelines.core.paired_process import paired_process
from pipelines.core.standing import Policy, Standing, change_of, with_claims
from pipelines.core.triggers import KOfN, Rule, Sequential, Threshold, Trigger, alarms_of
from pipelines.core.watching import EPOCH, labelled_since, mean_since, paired_days, rows_a_day
from pipelines.errors import StageError
from pipelines.params import load_params
from pipelines.production import Monitoring
from pipelines.sections import Params
from pipelines.stores.database import Log, opened_log
from pipelines.stores.decisions import decisions, outcomes, record_decision, unserved
from pipelines.stores.found import findings_of
from pipelines.stores.predictions import newest_event, read_shadow
from pipelines.stores.references import reference_of_version
from pipelines.stores.registry import champion, version_with_alias
from pipelines.stores.tracking import Store, open_store
from pipelines.stores.watched import Watched, matured, notes_of, watched
from pipelines.stores.windows import keep_window

RECENT = 3
TAKES_OVER = ("promoted", "rolled back")
RULES: dict[str, Callable[..., Rule]] = {
    "threshold": Threshold,
    "k_of_n": KOfN,
    "e_process": Sequential,
}


@dataclass(frozen=True)
class Look:
    """What a look at production found, before anything is decided."""

    findings: tuple[Finding, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    processes: dict[str, LossProcess] = field(default_factory=dict)


def monitor(root: Path, *, now: datetime, at: datetime | None = None) -> Monitored:
    """Return what production looks like, and what is to be done; the decision is recorded.

    Parameters
    ----------
    root : Path
        The project's folder.
    now : datetime
        Windows that end later are not looked at; see `clock_of`.
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
    store = open_store(params.paths.state, params.registry.name)
    with _opened(params) as log:
        seen = _seen(root, params, log=log, store=store, now=now)
        look = Look() if seen is None else _look(seen)
        standing = _standing(log, store, seen=seen, look=look)
        policy = policy_of(params.monitoring)
        decision = decide(look.alarms, standing, policy, model=store.name, now=now)
        if standing.unreadable is None:
            record_decision(log, decision)
        found = Monitored(
            now=now,
            model=store.name,
            champion=standing.champion,
            decision=decision,
            findings=look.findings,
            alarms=look.alarms,
            windows=() if seen is None else seen.windows,
            processes=points_of(look.processes),
            causes=() if seen is None else _causes(seen, look),
            announced=announced(decision, standing),
            decisions=standing.decisions,
            notes=() if seen is None else notes_of(seen),
        )
        found = replace(found, figures=figures_of(found, standing.outcomes, at=at))
        newest = Window(EPOCH, EPOCH)  # one place, so that the newest figures replace the others
        keep_window(log, kind="metrics", version="", window=newest, record=found.figures)
        return found


def clock_of(root: Path, *, real: datetime) -> datetime:
    """Return what counts as now: `real`, or the newest event where `monitoring.clock` says so."""
    if load_params(root).monitoring.clock == "real":
        return real
    return newest_of(root) or real


def newest_of(root: Path) -> datetime | None:
    """Return the moment of the newest prediction or label, None in an empty log."""
    with _opened(load_params(root)) as log:
        return newest_event(log)


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
    store = open_store(params.paths.state, params.registry.name)
    with _opened(params) as log:
        seen = _seen(root, params, log=log, store=store, now=now)
        if seen is None:
            raise StageError(
                f"{store.name} has no champion, so nothing was watched. `evertune train` makes"
                " one; `evertune serve` and `evertune score` log what it predicts."
            )
        findings = findings_of(seen)
        return backtested(
            triggers_of(params.monitoring),
            findings,
            days=judged_days(matured(seen), findings),
            reference=seen.reference.performance,
            false_alarms_a_year=false_alarms_a_year,
        )


def policy_of(section: Monitoring) -> Policy:
    """Return the policy that decisions are made by."""
    return Policy(**section.policy.model_dump(), labels_come=section.labels_come)


def triggers_of(section: Monitoring) -> tuple[Trigger, ...]:
    """Return the triggers of params.yaml as records."""
    return tuple(
        Trigger(each.name, each.signal, _rule(each.rule.model_dump()), each.action)
        for each in section.triggers
    )


def _opened(params: Params) -> AbstractContextManager[Log]:
    state, variable = params.paths.state, params.scoring.log_variable
    return opened_log(state, model=params.registry.name, variable=variable)


def _seen(root: Path, params: Params, *, log: Log, store: Store, now: datetime) -> Watched | None:
    version = champion(store)
    if version is None:
        return None
    former = version_with_alias(store, "previous")
    reference = reference_of_version(store, version, state=params.paths.state, former=former)
    seen = watched(root, params, log=log, version=version.number, reference=reference, now=now)
    return _since_rollback(seen)


def _since_rollback(seen: Watched) -> Watched:
    """Return what a version predicted since it came back; what made it go is no evidence now."""
    try:
        came = outcomes(seen.log)
    except StageError:
        return seen  # `_standing` reads them again, and says that they cannot be read
    about = [each for each in came if each.version == seen.version and each.kind in TAKES_OVER]
    if not about or about[-1].kind != "rolled back":
        return seen
    back = about[-1].moment
    return replace(
        seen,
        frame=seen.frame[seen.frame["moment"] >= naive(back)].reset_index(drop=True),
        windows=tuple(each for each in seen.windows if each.start >= back),
    )


def _look(seen: Watched) -> Look:
    findings = findings_of(seen)
    days = judged_days(matured(seen), findings)
    triggers = triggers_of(seen.params.monitoring)
    processes = {
        each.name: loss_process(
            seen.reference.performance,
            days,
            tolerance=each.rule.tolerance,
            false_alarm_days=each.rule.false_alarm_days,
        )
        for each in triggers
        if isinstance(each.rule, Sequential)
    }
    return Look(findings, alarms_of(triggers, findings, processes=processes), processes)


def _standing(log: Log, store: Store, *, seen: Watched | None, look: Look) -> Standing:
    version = None if seen is None else seen.version
    try:
        made = decisions(log)
        came = with_claims(made, outcomes(log), unserved(log))
    except StageError as error:
        return Standing(version, unreadable=str(error))
    past = Standing(version, decisions=made, outcomes=came)
    if seen is None or seen.frame.empty:
        return past
    promoted = _promotion(came, seen.version)
    first = aware(seen.frame["moment"].iloc[0])
    since = change_of(look.alarms) or first
    known, unknown = labelled_since(seen.frame, since)
    return replace(
        past,
        promoted_at=first if promoted is None else promoted.moment,
        rows_since_change=known,
        unlabelled_since_change=unknown,
        rows_since_promotion=len(seen.frame[seen.frame["truth"].notna()]),
        rows_a_day=rows_a_day(seen.frame, seen.now),
        loss_rise=_rise(seen, look, signal="loss", since=since),
        explained_rise=_rise(seen, look, signal="estimated_loss", since=since),
        worse_than_previous=None if promoted is None else _worse(log, store, seen, promoted),
    )


def _promotion(came: tuple[Outcome, ...], version: str) -> Outcome | None:
    """Return the promotion that made a version champion, None where it came back by rollback."""
    about = [each for each in came if each.version == version and each.kind in TAKES_OVER]
    return about[-1] if about and about[-1].kind == "promoted" else None


def _rise(seen: Watched, look: Look, *, signal: str, since: datetime) -> float | None:
    mean = mean_since(look.findings, signal, since)
    return None if mean is None else mean - seen.reference.performance.loss


def _worse(log: Log, store: Store, seen: Watched, promoted: Outcome) -> str | None:
    """Return the evidence that the champion is worse than the version before it, if there is."""
    previous = version_with_alias(store, "previous")
    days = seen.params.monitoring.policy.shadow_days
    if previous is None or not days:
        return None
    shadow = read_shadow(
        log,
        promoted.moment,
        min(seen.now, promoted.moment + timedelta(days=days)),
        version=previous.number,
        classes=seen.classes,
        known_at=seen.now,
    )
    found = paired_process(
        *paired_days(
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


def _causes(seen: Watched, look: Look) -> tuple[Cause, ...]:
    drifted = [each for each in look.findings if each.window in seen.windows[-RECENT:]]
    return ranked_causes(drifted, seen.reference.importance)


def _rule(values: dict[str, Any]) -> Rule:
    made = RULES[values.pop("kind")]
    return made(**values)
