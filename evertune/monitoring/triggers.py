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
    found = [_evaluate_trigger(each, findings, processes) for each in triggers]
    return tuple(alarm for alarm in found if alarm is not None)


def signal_history(signal: str, findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return the figure of each window that can be judged, oldest first.

    Of a signal that has a figure for each column, the worst of them; of `contract`, the number of
    figures that broke it.
    """
    figures = (
        _count_contract_breaches(findings)
        if signal == CONTRACT_SIGNAL
        else _worst_by_window(signal, findings)
    )
    return tuple(sorted(figures, key=lambda each: each.window.start))


def crosses(rule: ThresholdRule | KOfNRule, value: float) -> bool:
    """Return whether a figure is above or below the bound of a rule.

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


def _evaluate_trigger(
    trigger: Trigger, findings: Sequence[Finding], processes: Mapping[str, "LossProcess"]
) -> Alarm | None:
    if isinstance(trigger.rule, SequentialRule):
        process = processes.get(trigger.name)
        if process is None or process.alarm_at is None:
            return None
        return _sequential_alarm(trigger, trigger.rule, findings=findings, process=process)
    shown = signal_history(trigger.signal, findings)
    if isinstance(trigger.rule, KOfNRule):
        crossed, note = _k_of_n_crossings(trigger.rule, shown)
    else:
        crossed, note = _latest_crossings(trigger.rule, shown), ""
    if not crossed:
        return None
    return _threshold_alarm(trigger, trigger.rule, crossed=crossed, findings=findings, note=note)


def _k_of_n_crossings(rule: KOfNRule, shown: Sequence[Finding]) -> tuple[list[Finding], str]:
    latest = shown[-rule.n :]
    crossed = [each for each in latest if crosses(rule, _value_or_nan(each))]
    note = f", in {len(crossed)} of the latest {len(latest)} windows"
    return (crossed, note) if len(crossed) >= rule.k else ([], "")


def _threshold_alarm(
    trigger: Trigger,
    rule: ThresholdRule | KOfNRule,
    *,
    crossed: Sequence[Finding],
    findings: Sequence[Finding],
    note: str,
) -> Alarm:
    last = crossed[-1]
    is_above = rule.above is not None and _value_or_nan(last) > rule.above
    bound, word = (rule.above, "above") if is_above else (rule.below, "below")
    shown = _alarm_findings(trigger.signal, crossed, findings)
    what = ", ".join(dict.fromkeys(_format_signal(each) for each in shown[-MAX_NAMED_FINDINGS:]))
    about = f" ({what})" if trigger.signal == CONTRACT_SIGNAL else ""
    part = f" of {last.part}" if last.part else ""
    return Alarm(
        trigger=trigger.name,
        action=trigger.action,
        signal=trigger.signal,
        value=last.value,
        threshold=bound,
        since=crossed[0].window.start,
        evidence=f"{trigger.signal}{part} was {_value_or_nan(last):.4g} on"
        f" {last.window.start:%Y-%m-%d}, {word} {bound:g}{note}{about}",
        findings=shown,
    )


def _sequential_alarm(
    trigger: Trigger,
    rule: SequentialRule,
    *,
    findings: Sequence[Finding],
    process: "LossProcess",
) -> Alarm:
    since = process.change_from
    shown = [
        each
        for each in signal_history(trigger.signal, findings)
        if since is None or each.window.end > since
    ]
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


def _latest_crossings(rule: ThresholdRule, shown: Sequence[Finding]) -> list[Finding]:
    """Return the latest figures that are crossed without a break."""
    run: list[Finding] = []
    for each in reversed(shown):
        if not crosses(rule, _value_or_nan(each)):
            break
        run.insert(0, each)
    return run


def _alarm_findings(
    signal: str, crossed: Sequence[Finding], findings: Sequence[Finding]
) -> tuple[Finding, ...]:
    """Return what a person has to see: of the contract, all that broke in the last window."""
    if signal != CONTRACT_SIGNAL:
        return tuple(crossed[-MAX_FINDINGS:])
    last = crossed[-1].window
    broken = [
        each for each in findings if breaks_contract(each) and each.window.start == last.start
    ]
    return tuple(broken[:MAX_FINDINGS])


def _count_contract_breaches(findings: Sequence[Finding]) -> list[Finding]:
    counts: dict[datetime, Finding] = {}
    for each in findings:
        if checks_rows(each) and each.state in JUDGED_STATES:
            held = counts.get(each.window.start)
            broken = (_value_or_nan(held) if held else 0.0) + breaks_contract(each)
            counts[each.window.start] = Finding(
                CONTRACT_SIGNAL, CONTRACT_SIGNAL, each.window, broken
            )
    return list(counts.values())


def _worst_by_window(signal: str, findings: Sequence[Finding]) -> list[Finding]:
    held: dict[datetime, Finding] = {}
    for each in findings:
        if each.signal == signal and _can_be_judged(each):
            held[each.window.start] = _worse(held.get(each.window.start), each)
    return list(held.values())


def _worse(one: Finding | None, other: Finding) -> Finding:
    """Return the figure of the whole table where there is one, else the higher of two parts."""
    if one is None or other.part is None:
        return other
    return one if one.part is None or _value_or_nan(one) >= _value_or_nan(other) else other


def _can_be_judged(finding: Finding) -> bool:
    value = finding.value
    return finding.state in JUDGED_STATES and value is not None and not math.isnan(value)


def _format_signal(finding: Finding) -> str:
    return finding.signal if finding.part is None else f"{finding.signal} of {finding.part}"


def _value_or_nan(finding: Finding) -> float:
    return math.nan if finding.value is None else finding.value
