"""Evaluate the triggers of params.yaml (`monitoring.triggers`) on the findings of all windows.

A trigger watches one signal by one rule: a threshold on the latest value, k of the latest n
windows, or a sequential test of the loss. `evaluate_triggers` returns an alarm for each trigger
that fires now. A window without a value, or with one that is not a number or rests on too few
labels, is skipped: it neither triggers nor clears. `signal_history` gives the values that are
judged: of a signal by column, the worst; of `contract`, the number of breaches.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import takewhile
from typing import TYPE_CHECKING

from evertune.config.schema import (
    BUSINESS_PREFIX,
    CONTRACT_SIGNAL,
    CONTRACT_SIGNALS,
    DRIFT_SIGNALS,
    ESTIMATED_PREFIX,
    KOfNRule,
    SequentialRule,
    ThresholdRule,
    Trigger,
)
from evertune.decisions import Alarm, Finding, MonitoringLayer
from evertune.monitoring.data_contract import breaks_contract, checks_rows

if TYPE_CHECKING:
    from evertune.monitoring.loss_process import LossProcess


JUDGED_STATES = ("ok", "breach")
MAX_FINDINGS = 20
MAX_NAMED_FINDINGS = 3


def evaluate_triggers(
    triggers: Sequence[Trigger],
    findings: Sequence[Finding],
    *,
    processes: Mapping[str, "LossProcess"],
) -> tuple[Alarm, ...]:
    """Return an alarm for each trigger that fires now.

    Parameters
    ----------
    findings : sequence of Finding
        Of all windows of one version, in any order.
    processes : mapping
        The sequential test of each trigger that has one, by the trigger's name.

    Examples
    --------
    >>> from datetime import UTC
    >>> from evertune.times import TimeWindow
    >>> day = TimeWindow(datetime(2024, 5, 1, tzinfo=UTC), datetime(2024, 5, 2, tzinfo=UTC), 100)
    >>> found = [Finding("roc_auc", "performance", day, value=0.61)]
    >>> rule = ThresholdRule(kind="threshold", below=0.7)
    >>> floor = Trigger(name="floor", signal="roc_auc", rule=rule, action="retune")
    >>> [alarm.evidence for alarm in evaluate_triggers([floor], found, processes={})]
    ['roc_auc was 0.61 on 2024-05-01, below 0.7']
    """
    alarms = []
    for trigger in triggers:
        rule, history = trigger.rule, signal_history(trigger.signal, findings)
        if isinstance(rule, SequentialRule):
            alarm = _sequential_alarm(trigger, rule, history, processes.get(trigger.name))
        else:
            alarm = _threshold_alarm(trigger, rule, history, findings)
        if alarm is not None:
            alarms.append(alarm)
    return tuple(alarms)


def signal_history(signal: str, findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return the finding of each window that can be judged, oldest first.

    Of a signal that has a value for each column or slice, that of the whole table or else the
    highest; of `contract`, the number of findings that break it.
    """
    judged: dict[datetime, Finding] = {}
    for each in findings:
        start = each.window.start
        known = judged.get(start)
        if each.state not in JUDGED_STATES:
            continue
        if signal == CONTRACT_SIGNAL:
            if checks_rows(each):
                n_breaches = (0.0 if known is None else _value(known)) + breaks_contract(each)
                judged[start] = Finding(CONTRACT_SIGNAL, CONTRACT_SIGNAL, each.window, n_breaches)
        elif (
            each.signal == signal
            and not math.isnan(_value(each))
            and (known is None or _stands_before(each, known))
        ):
            judged[start] = each
    return tuple(judged[start] for start in sorted(judged))


def crosses(rule: ThresholdRule | KOfNRule, value: float) -> bool:
    """Return whether a value is above or below the bound of a rule.

    Examples
    --------
    >>> crosses(ThresholdRule(kind="threshold", below=0.7), 0.6)
    True
    """
    above = rule.above is not None and value > rule.above
    return above or (rule.below is not None and value < rule.below)


def signal_layer(signal: str) -> MonitoringLayer:
    """Return the layer that a signal belongs to.

    Examples
    --------
    >>> signal_layer("input_drift"), signal_layer("estimated_loss"), signal_layer("roc_auc")
    ('drift', 'estimate', 'performance')
    """
    if signal == CONTRACT_SIGNAL or signal in CONTRACT_SIGNALS:
        return "contract"
    if signal in DRIFT_SIGNALS:
        return "drift"
    if signal.startswith(ESTIMATED_PREFIX):
        return "estimate"
    return "business" if signal.startswith(BUSINESS_PREFIX) else "performance"


def _threshold_alarm(
    trigger: Trigger,
    rule: ThresholdRule | KOfNRule,
    history: Sequence[Finding],
    findings: Sequence[Finding],
) -> Alarm | None:
    crossed, note = _crossed(rule, history)
    if not crossed:
        return None
    last = crossed[-1]
    is_above = rule.above is not None and _value(last) > rule.above
    bound, word = (rule.above, "above") if is_above else (rule.below, "below")
    shown, about = tuple(crossed[-MAX_FINDINGS:]), ""
    if trigger.signal == CONTRACT_SIGNAL:  # show all that is broken in the last window
        broken = [
            each
            for each in findings
            if breaks_contract(each) and each.window.start == last.window.start
        ]
        shown = tuple(broken[:MAX_FINDINGS])
        names = [
            each.signal if each.part is None else f"{each.signal} of {each.part}"
            for each in shown[-MAX_NAMED_FINDINGS:]
        ]
        about = f" ({', '.join(dict.fromkeys(names))})"
    part = f" of {last.part}" if last.part else ""
    return Alarm(
        trigger=trigger.name,
        action=trigger.action,
        signal=trigger.signal,
        value=last.value,
        threshold=bound,
        since=crossed[0].window.start,
        evidence=f"{trigger.signal}{part} was {_value(last):.4g} on"
        f" {last.window.start:%Y-%m-%d}, {word} {bound:g}{note}{about}",
        findings=shown,
    )


def _crossed(
    rule: ThresholdRule | KOfNRule, history: Sequence[Finding]
) -> tuple[list[Finding], str]:
    """Return the findings for which a rule fires now, oldest first, and a note about them."""
    if isinstance(rule, KOfNRule):
        latest = history[-rule.n :]
        crossed = [each for each in latest if crosses(rule, _value(each))]
        note = f", in {len(crossed)} of the latest {len(latest)} windows"
        return (crossed, note) if len(crossed) >= rule.k else ([], "")
    without_a_break = takewhile(lambda each: crosses(rule, _value(each)), reversed(history))
    return list(without_a_break)[::-1], ""


def _sequential_alarm(
    trigger: Trigger,
    rule: SequentialRule,
    history: Sequence[Finding],
    process: "LossProcess | None",
) -> Alarm | None:
    if process is None or process.alarm_at is None:
        return None
    since = process.change_from
    shown = [each for each in history if since is None or each.window.end > since]
    begun = "" if since is None else f", probably since {since:%Y-%m-%d}"
    return Alarm(
        trigger=trigger.name,
        action=trigger.action,
        signal=trigger.signal,
        value=process.values[-1] if process.values else None,
        threshold=rule.false_alarm_days,
        since=since,
        evidence=f"{trigger.signal} rose by more than {rule.tolerance:g} over its reference{begun};"
        f" the test passed {rule.false_alarm_days:g} on {process.alarm_at:%Y-%m-%d}",
        findings=tuple(shown[-MAX_FINDINGS:]),
    )


def _stands_before(each: Finding, other: Finding) -> bool:
    """Return whether a finding is of the whole table, or else higher than another of a part."""
    return each.part is None or (other.part is not None and _value(each) > _value(other))


def _value(finding: Finding) -> float:
    return math.nan if finding.value is None else finding.value
