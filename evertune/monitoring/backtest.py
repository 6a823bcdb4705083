"""Backtest triggers on past windows, and suggest bounds for a wanted false-alarm rate.

`backtest_triggers` says of each trigger when it would have alarmed, how often a year, how long
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
    """What one trigger would have done.

    Attributes
    ----------
    n_windows : int
        That it could judge; of a sequential test, days.
    alarms : tuple of datetime
        When it would have begun to alarm: the ends of windows.
    alarms_a_year : float, optional
        None where there is nothing to judge.
    delay_days : float, optional
        From the estimated change to the first alarm that stands or begins after it; None where
        there is no change or no such alarm.
    suggested : float, optional
        The bound for the wanted rate, or of a sequential test the days between false alarms;
        None where there is nothing to judge or the trigger is switched off.
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
    """What all triggers would have done on the windows from `start` to `end`.

    Attributes
    ----------
    start, end : datetime, optional
        None where there are no windows.
    change_from : datetime, optional
        Since when the loss is estimated to have risen; alarms before it are taken for false.
    false_alarms_a_year : float
        The rate that values are suggested for.
    """

    start: datetime | None
    end: datetime | None
    change_from: datetime | None
    false_alarms_a_year: float
    tried: tuple[TriggerBacktest, ...]


@dataclass(frozen=True)
class BacktestPeriod:
    """The time that is tried on, and since when the loss is estimated to have risen."""

    start: datetime
    end: datetime
    change_from: datetime | None

    @property
    def quiet_years(self) -> float:
        """Years in which every alarm is taken for false."""
        last = self.end if self.change_from is None else self.change_from
        return (last - self.start) / timedelta(days=DAYS_PER_YEAR)


@dataclass(frozen=True)
class BacktestInput:
    """All that triggers are tried on."""

    findings: tuple[Finding, ...]
    days: tuple[DailyLoss, ...]
    reference: PerformanceReference
    stretch: BacktestPeriod
    wanted: float


def backtest_triggers(
    triggers: Sequence[Trigger],
    findings: Sequence[Finding],
    *,
    days: Sequence[DailyLoss],
    reference: PerformanceReference,
    false_alarms_a_year: float,
) -> Backtest:
    """Return what each trigger would have done.

    Figures are taken as if they had been known when their window ended; labels that come late
    delay an alarm by as much.

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
    stretch = BacktestPeriod(
        min(each.window.start for each in findings),
        max(each.window.end for each in findings),
        run_loss_process(reference, days).change_from if days else None,
    )
    case = BacktestInput(tuple(findings), tuple(days), reference, stretch, false_alarms_a_year)
    tried = tuple(
        _backtest_on_days(each, each.rule, case)
        if isinstance(each.rule, SequentialRule)
        else _backtest_on_windows(each, each.rule, case)
        for each in triggers
    )
    return Backtest(stretch.start, stretch.end, stretch.change_from, false_alarms_a_year, tried)


def alarm_starts(
    rule: ThresholdRule | KOfNRule, figures: Sequence[Finding]
) -> tuple[datetime, ...]:
    """Return the ends of the windows at which a rule would have begun to alarm."""
    alarming = _alarm_flags(rule, figures)
    return tuple(
        each.window.end
        for i, each in enumerate(figures)
        if alarming[i] and not (i and alarming[i - 1])
    )


def suggest_bound(
    rule: ThresholdRule | KOfNRule, figures: Sequence[Finding], *, most: float
) -> float | None:
    """Return the bound nearest to the figures at which a rule begins to alarm at most so often."""
    values = sorted(each.value for each in figures if each.value is not None)
    if rule.above is not None:
        tries = (rule.model_copy(update={"above": value}) for value in values)
    elif rule.below is not None:
        tries = (rule.model_copy(update={"below": value}) for value in reversed(values))
    else:
        return None
    for tried in tries:
        if sum(_alarm_flags(tried, figures)) <= most:
            return tried.above if tried.below is None else tried.below
    return None


def _alarm_flags(rule: ThresholdRule | KOfNRule, figures: Sequence[Finding]) -> list[bool]:
    """Return of each window whether the rule would alarm at its end."""
    k, n = (rule.k, rule.n) if isinstance(rule, KOfNRule) else (1, 1)
    crossed = [each.value is not None and crosses(rule, each.value) for each in figures]
    return [sum(crossed[max(0, i + 1 - n) : i + 1]) >= k for i in range(len(crossed))]


def _backtest_on_windows(
    trigger: Trigger, rule: ThresholdRule | KOfNRule, case: BacktestInput
) -> TriggerBacktest:
    figures = signal_history(trigger.signal, case.findings)
    starts = alarm_starts(rule, figures)
    change = case.stretch.change_from
    quiet = [each for each in figures if change is None or each.window.end <= change]
    allowed = case.wanted * case.stretch.quiet_years
    switched_off = rule.above is None and rule.below is None
    return TriggerBacktest(
        trigger=trigger.name,
        n_windows=len(figures),
        alarms=starts,
        alarms_a_year=_alarms_per_year(starts, case.stretch) if figures else None,
        delay_days=_detection_delay_days(starts, change),
        suggested=suggest_bound(rule, quiet, most=allowed) if quiet else None,
        note="switched off: it has no bound" if switched_off else _bound_note(allowed, len(quiet)),
    )


def _backtest_on_days(
    trigger: Trigger, rule: SequentialRule, case: BacktestInput
) -> TriggerBacktest:
    if not case.days:
        return TriggerBacktest(trigger.name, 0, (), None, None, DAYS_PER_YEAR / case.wanted)
    process = run_loss_process(
        case.reference,
        case.days,
        tolerance=rule.tolerance,
        false_alarm_days=rule.false_alarm_days,
    )
    return TriggerBacktest(
        trigger=trigger.name,
        n_windows=len(case.days),
        alarms=process.alarms,
        alarms_a_year=_alarms_per_year(process.alarms, case.stretch),
        delay_days=_detection_delay_days(process.alarms, case.stretch.change_from),
        suggested=DAYS_PER_YEAR / case.wanted,
        note=process.note,
    )


def _alarms_per_year(starts: Sequence[datetime], stretch: BacktestPeriod) -> float:
    years = (stretch.end - stretch.start) / timedelta(days=DAYS_PER_YEAR)
    return len(starts) / years


def _detection_delay_days(starts: Sequence[datetime], change: datetime | None) -> float | None:
    after = [] if change is None else [each for each in starts if each >= change]
    return (after[0] - change) / timedelta(days=1) if change is not None and after else None


def _bound_note(allowed: float, n_quiet: int) -> str:
    if allowed >= 1:
        return ""
    return f"{n_quiet} quiet windows allow no alarm at this rate: the bound is their extreme"
