"""Backtest triggers on past windows, and suggest bounds for a wanted false-alarm rate.

`backtest_triggers` reports of each trigger when it would have alarmed, how often a year, how long
after the estimated change, and which bound gives the wanted rate. Alarms before the estimated
change count as false. Values are taken as known when their window ended; late labels delay an
alarm by as much.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from evertune.config.schema import KOfNRule, SequentialRule, ThresholdRule, Trigger
from evertune.decisions import Finding
from evertune.metrics.losses import DailyLoss
from evertune.monitoring.loss_process import run_loss_process
from evertune.monitoring.performance import PerformanceReference
from evertune.monitoring.triggers import crosses, signal_history

DAYS_PER_YEAR = 365.0


@dataclass(frozen=True)
class TriggerBacktest:
    """The alarms that one trigger would have raised.

    Attributes
    ----------
    n_windows : int
        That it could judge; of a sequential test, days.
    alarms : tuple of datetime
        When it would have begun to alarm: the ends of windows.
    alarms_a_year : float, optional
        None if there is nothing to judge.
    delay_days : float, optional
        From the estimated change to the first alarm that begins after it; None without a change
        or such an alarm.
    suggested : float, optional
        The bound for the wanted rate, or of a sequential test the days between false alarms;
        None if there is nothing to judge or the trigger is switched off.
    """

    trigger: str
    n_windows: int
    alarms: tuple[datetime, ...]
    alarms_a_year: float | None
    delay_days: float | None
    suggested: float | None
    note: str = ""


@dataclass(frozen=True)
class Backtest:
    """The backtests of all triggers on the windows from `start` to `end`.

    Attributes
    ----------
    start, end : datetime, optional
        None if there are no windows.
    change_from : datetime, optional
        Since when the loss is estimated to have risen; alarms before it are taken for false.
    false_alarms_a_year : float
        The rate that values are suggested for.
    """

    start: datetime | None
    end: datetime | None
    change_from: datetime | None
    false_alarms_a_year: float
    triggers: tuple[TriggerBacktest, ...]


def backtest_triggers(
    triggers: Sequence[Trigger],
    findings: Sequence[Finding],
    *,
    days: Sequence[DailyLoss],
    reference: PerformanceReference,
    false_alarms_a_year: float,
) -> Backtest:
    """Return what each trigger would have done.

    Parameters
    ----------
    findings : sequence of Finding
        Of past windows of one version.
    days : sequence of DailyLoss
        The matured losses of the same time.
    false_alarms_a_year : float
        The wanted rate.

    Raises
    ------
    ValueError
        If the wanted rate is not positive.
    """
    if not false_alarms_a_year > 0:
        raise ValueError(f"The wanted rate must be positive, but got {false_alarms_a_year=}.")
    if not findings:
        return Backtest(None, None, None, false_alarms_a_year, ())
    start = min(each.window.start for each in findings)
    end = max(each.window.end for each in findings)
    change = run_loss_process(reference, days).change_from if days else None
    years = (end - start) / timedelta(days=DAYS_PER_YEAR)
    quiet_years = ((change or end) - start) / timedelta(days=DAYS_PER_YEAR)
    results = []
    for trigger in triggers:
        rule, note = trigger.rule, ""
        alarms: tuple[datetime, ...] = ()
        suggested: float | None
        if isinstance(rule, SequentialRule):
            n_windows, suggested = len(days), DAYS_PER_YEAR / false_alarms_a_year
            if days:
                process = run_loss_process(
                    reference,
                    days,
                    tolerance=rule.tolerance,
                    false_alarm_days=rule.false_alarm_days,
                )
                alarms, note = process.alarms, process.note
        else:
            history = signal_history(trigger.signal, findings)
            n_windows, alarms = len(history), _alarm_starts(rule, history)
            quiet = [each for each in history if change is None or each.window.end <= change]
            most = false_alarms_a_year * quiet_years
            suggested = _suggest_bound(rule, quiet, most=most)
            if rule.above is None and rule.below is None:
                note = "switched off: it has no bound"
            elif most < 1:
                note = (
                    f"{len(quiet)} quiet windows allow no alarm at this rate: the bound is their"
                    " extreme"
                )
        detected = [each for each in alarms if change is not None and each >= change]
        results.append(
            TriggerBacktest(
                trigger=trigger.name,
                n_windows=n_windows,
                alarms=alarms,
                alarms_a_year=len(alarms) / years if n_windows else None,
                delay_days=(detected[0] - change) / timedelta(days=1)
                if change is not None and detected
                else None,
                suggested=suggested,
                note=note,
            )
        )
    return Backtest(start, end, change, false_alarms_a_year, tuple(results))


def _alarm_starts(
    rule: ThresholdRule | KOfNRule, history: Sequence[Finding]
) -> tuple[datetime, ...]:
    """Return the ends of the windows at which a rule would have begun to alarm."""
    flags = _alarm_flags(rule, history)
    return tuple(
        each.window.end
        for each, is_alarming, was_alarming in zip(history, flags, [False, *flags], strict=False)
        if is_alarming and not was_alarming
    )


def _suggest_bound(
    rule: ThresholdRule | KOfNRule, history: Sequence[Finding], *, most: float
) -> float | None:
    """Return the bound nearest to the values at which a rule alarms in at most so many windows."""
    values = sorted(each.value for each in history if each.value is not None)
    if rule.above is None and rule.below is None:
        return None
    side = "below" if rule.above is None else "above"
    for value in reversed(values) if side == "below" else values:
        if sum(_alarm_flags(rule.model_copy(update={side: value}), history)) <= most:
            return value
    return None


def _alarm_flags(rule: ThresholdRule | KOfNRule, history: Sequence[Finding]) -> list[bool]:
    """Return of each window whether the rule would alarm at its end."""
    k, n = (rule.k, rule.n) if isinstance(rule, KOfNRule) else (1, 1)
    crossed = [each.value is not None and crosses(rule, each.value) for each in history]
    return [sum(crossed[max(0, i + 1 - n) : i + 1]) >= k for i in range(len(crossed))]
