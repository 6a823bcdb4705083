"""Triggers: which figure of production is watched, when it counts as crossed, what it asks for.

A window without a figure, or with one that is not a number or rests on too few labels, is passed
over: it neither triggers nor clears.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from pipelines.core.findings import Alarm, Finding, Layer
from pipelines.core.row_faults import is_about_rows, is_broken

if TYPE_CHECKING:
    from pipelines.core.loss_process import LossProcess

TriggerAction = Literal["alert", "refit", "retune", "block"]
CONTRACT: Literal["contract"] = "contract"
CONTRACT_SIGNALS = (
    "schema", "missing", "unseen", "range", "type", "duplicates", "volume", "freshness",
)  # fmt: skip
DRIFT_SIGNALS = ("input_drift", "prediction_drift", "joint_drift", "column_drift")
LOSS_SIGNALS = ("loss", "main_metric")
ESTIMATED = "estimated_"
BUSINESS = "business."
JUDGED = ("ok", "breach")
MOST_FINDINGS = 20
MOST_SHOWN = 3


@dataclass(frozen=True)
class Threshold:
    """Crossed where the latest figure is above or below a bound; never, where both are None."""

    above: float | None = None
    below: float | None = None


@dataclass(frozen=True)
class KOfN:
    """Crossed where k of the latest n figures are above or below a bound."""

    above: float | None
    below: float | None
    k: int
    n: int


@dataclass(frozen=True)
class Sequential:
    """A sequential test of the loss, with one false alarm in so many days at most."""

    tolerance: float = 0.005
    false_alarm_days: float = 3650


Rule = Threshold | KOfN | Sequential


@dataclass(frozen=True)
class Trigger:
    """A figure that is watched.

    Attributes
    ----------
    name : str
    signal : str
        Any metric, `loss`, `main_metric`, one of drift or of the contract, `estimated_loss`,
        `estimated_<metric>`, or `business.<name>`; `contract` counts what is broken of the rows
        that are there (all its signals but `freshness`).
    rule : Threshold, KOfN or Sequential
    action : str
        What a crossing asks for; what is done is for the decision to say.
    """

    name: str
    signal: str
    rule: Rule
    action: TriggerAction


def alarms_of(
    triggers: Sequence[Trigger],
    findings: Sequence[Finding],
    *,
    processes: Mapping[str, "LossProcess"],
) -> tuple[Alarm, ...]:
    """Return the triggers that are crossed now.

    Parameters
    ----------
    triggers : sequence of Trigger
    findings : sequence of Finding
        Of all windows of one version, in any order.
    processes : mapping
        The sequential test of each trigger that has one, by the trigger's name.

    Examples
    --------
    >>> from datetime import UTC
    >>> from pipelines.core.findings import Window
    >>> day = Window(datetime(2024, 5, 1, tzinfo=UTC), datetime(2024, 5, 2, tzinfo=UTC), 100)
    >>> found = [Finding("roc_auc", "performance", day, value=0.61)]
    >>> floor = Trigger("floor", "roc_auc", Threshold(below=0.7), "retune")
    >>> [alarm.evidence for alarm in alarms_of([floor], found, processes={})]
    ['roc_auc was 0.61 on 2024-05-01, below 0.7']
    """
    found = [_alarm(each, findings, processes) for each in triggers]
    return tuple(alarm for alarm in found if alarm is not None)


def judged(signal: str, findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return the figure of each window that can be judged, oldest first.

    Of a signal that has a figure for each column, the worst of them; of `contract`, the number of
    figures that broke it.
    """
    figures = _breaches(findings) if signal == CONTRACT else _figures(signal, findings)
    return tuple(sorted(figures, key=lambda each: each.window.start))


def crosses(rule: Threshold | KOfN, value: float) -> bool:
    """Return whether a figure is above or below the bound of a rule.

    Examples
    --------
    >>> crosses(Threshold(above=1.0), 1.5), crosses(Threshold(below=0.7), 0.7)
    (True, False)
    """
    above = rule.above is not None and value > rule.above
    return above or (rule.below is not None and value < rule.below)


def layer_of(signal: str) -> Layer:
    """Return the layer that a signal belongs to.

    Examples
    --------
    >>> layer_of("input_drift"), layer_of("estimated_loss"), layer_of("roc_auc")
    ('drift', 'estimate', 'performance')
    """
    if signal == CONTRACT or signal in CONTRACT_SIGNALS:
        return "contract"
    if signal in DRIFT_SIGNALS:
        return "drift"
    if signal.startswith(ESTIMATED):
        return "estimate"
    return "business" if signal.startswith(BUSINESS) else "performance"


def _alarm(
    trigger: Trigger, findings: Sequence[Finding], processes: Mapping[str, "LossProcess"]
) -> Alarm | None:
    if isinstance(trigger.rule, Sequential):
        process = processes.get(trigger.name)
        if process is None or process.alarm_at is None:
            return None
        return _sequential(trigger, trigger.rule, findings=findings, process=process)
    shown = judged(trigger.signal, findings)
    if isinstance(trigger.rule, KOfN):
        crossed, note = _k_of_n(trigger.rule, shown)
    else:
        crossed, note = _last_run(trigger.rule, shown), ""
    if not crossed:
        return None
    return _crossed(trigger, trigger.rule, crossed=crossed, findings=findings, note=note)


def _k_of_n(rule: KOfN, shown: Sequence[Finding]) -> tuple[list[Finding], str]:
    latest = shown[-rule.n :]
    crossed = [each for each in latest if crosses(rule, _value(each))]
    note = f", in {len(crossed)} of the latest {len(latest)} windows"
    return (crossed, note) if len(crossed) >= rule.k else ([], "")


def _crossed(
    trigger: Trigger,
    rule: Threshold | KOfN,
    *,
    crossed: Sequence[Finding],
    findings: Sequence[Finding],
    note: str,
) -> Alarm:
    last = crossed[-1]
    is_above = rule.above is not None and _value(last) > rule.above
    bound, word = (rule.above, "above") if is_above else (rule.below, "below")
    shown = _beneath(trigger.signal, crossed, findings)
    what = ", ".join(dict.fromkeys(_named(each) for each in shown[-MOST_SHOWN:]))
    about = f" ({what})" if trigger.signal == CONTRACT else ""
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


def _sequential(
    trigger: Trigger,
    rule: Sequential,
    *,
    findings: Sequence[Finding],
    process: "LossProcess",
) -> Alarm:
    since = process.change_from
    shown = [
        each
        for each in judged(trigger.signal, findings)
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
        findings=tuple(shown[-MOST_FINDINGS:]),
    )


def _last_run(rule: Threshold, shown: Sequence[Finding]) -> list[Finding]:
    """Return the latest figures that are crossed without a break."""
    run: list[Finding] = []
    for each in reversed(shown):
        if not crosses(rule, _value(each)):
            break
        run.insert(0, each)
    return run


def _beneath(
    signal: str, crossed: Sequence[Finding], findings: Sequence[Finding]
) -> tuple[Finding, ...]:
    """Return what a person has to see: of the contract, all that broke in the last window."""
    if signal != CONTRACT:
        return tuple(crossed[-MOST_FINDINGS:])
    last = crossed[-1].window
    broken = [each for each in findings if is_broken(each) and each.window.start == last.start]
    return tuple(broken[:MOST_FINDINGS])


def _breaches(findings: Sequence[Finding]) -> list[Finding]:
    counts: dict[datetime, Finding] = {}
    for each in findings:
        if is_about_rows(each) and each.state in JUDGED:
            held = counts.get(each.window.start)
            broken = (_value(held) if held else 0.0) + is_broken(each)
            counts[each.window.start] = Finding(CONTRACT, CONTRACT, each.window, broken)
    return list(counts.values())


def _figures(signal: str, findings: Sequence[Finding]) -> list[Finding]:
    held: dict[datetime, Finding] = {}
    for each in findings:
        if each.signal == signal and _can_be_judged(each):
            held[each.window.start] = _worse(held.get(each.window.start), each)
    return list(held.values())


def _worse(one: Finding | None, other: Finding) -> Finding:
    """Return the figure of the whole table where there is one, else the higher of two parts."""
    if one is None or other.part is None:
        return other
    return one if one.part is None or _value(one) >= _value(other) else other


def _can_be_judged(finding: Finding) -> bool:
    value = finding.value
    return finding.state in JUDGED and value is not None and not math.isnan(value)


def _named(finding: Finding) -> str:
    return finding.signal if finding.part is None else f"{finding.signal} of {finding.part}"


def _value(finding: Finding) -> float:
    return math.nan if finding.value is None else finding.value
