"""The records that monitoring produces: findings, and the result of one monitoring run.

`Finding` is one value of one window, such as a metric, a drift score or a contract check. A
value of None means "no data", which is never the same as "no drift". `MonitoringResult` holds
all that a run found and decided; the report, /metrics and the flows are made from it.
`prometheus_metrics` turns a result into named values for /metrics.

Moments are aware datetimes in UTC; in tables they are `datetime64[us]` without a zone, in UTC.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, get_args

from evertune.decisions import Action, Alarm, DecisionOutcome, Finding, MonitoringDecision
from evertune.times import TimeWindow

if TYPE_CHECKING:
    from evertune.monitoring.loss_process import LossProcess


MAX_DRIFT_COLUMNS = 10


@dataclass(frozen=True)
class ProcessPoint:
    """The value of a sequential test at the end of a day, and the threshold that it must pass."""

    day: datetime
    value: float
    threshold: float


@dataclass(frozen=True)
class Cause:
    """A column that may explain what was found: how far it drifted, and how much it counts."""

    column: str
    drift: float
    importance: float


@dataclass(frozen=True)
class MonitoringResult:
    """What monitoring found and decided.

    Attributes
    ----------
    model : str
        `registry.name`.
    champion : str, optional
        None where there is none yet.
    findings : tuple of Finding
        Of the champion's windows, oldest window first.
    figures : dict
        What /metrics shows; a label stands in the name, as in `ml_drift_score{feature="age"}`.
    processes : dict
        The points of every sequential test, by the trigger's name.
    causes : tuple of Cause
        The likeliest first.
    announced : str, optional
        What has to be told to the world: `refit`, `retune`, `rollback`, `block` or `alert`; None
        where there is nothing new.
    decisions : tuple of MonitoringDecision
        All that were made before, oldest first.
    notes : tuple of str
        What a person has to know of how it was looked.
    """

    now: datetime
    model: str
    champion: str | None
    decision: MonitoringDecision
    findings: tuple[Finding, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    windows: tuple[TimeWindow, ...] = ()
    figures: dict[str, float] = field(default_factory=dict)
    processes: dict[str, tuple[ProcessPoint, ...]] = field(default_factory=dict)
    causes: tuple[Cause, ...] = ()
    announced: str | None = None
    decisions: tuple[MonitoringDecision, ...] = ()
    notes: tuple[str, ...] = ()


def prometheus_metrics(
    found: MonitoringResult, outcomes: Sequence[DecisionOutcome], *, at: datetime | None = None
) -> dict[str, float]:
    """Return the figures of a look as /metrics shows them, by name and labels.

    Of every figure the latest window that has one; drift of the ten columns that drifted most.

    Parameters
    ----------
    outcomes : sequence of DecisionOutcome
        All that came of decisions so far.
    at : datetime, optional
        The time of day at which it was looked; None: that is `found.now`. Where production is
        played, now is long past, and who waits for the next look lives today.
    """
    figures = {"ml_monitor_last_success_timestamp_seconds": (at or found.now).timestamp()}
    figures |= dict(_loss_metrics(found.findings))
    figures |= dict(_drift_metrics(found.findings))
    for name, points in found.processes.items():
        if points:
            figures[f'ml_eprocess_value{{trigger="{name}"}}'] = points[-1].value
            figures[f'ml_eprocess_threshold{{trigger="{name}"}}'] = points[-1].threshold
    decided = Counter(each.action for each in {d.id: d for d in _all_decisions(found)}.values())
    for action in get_args(Action):
        figures[f'ml_decisions_total{{action="{action}"}}'] = float(decided[action])
    ended = Counter(each.kind for each in outcomes)
    for kind in ("promoted", "refused", "failed", "outdated", "rolled back"):
        figures[f'ml_retrain_total{{outcome="{kind}"}}'] = float(ended[kind])
    return figures


def process_points(processes: Mapping[str, "LossProcess"]) -> dict[str, tuple[ProcessPoint, ...]]:
    """Return the points of sequential tests, by the trigger's name."""
    return {
        name: tuple(
            ProcessPoint(day, value, process.threshold)
            for day, value in zip(process.days, process.values, strict=True)
        )
        for name, process in processes.items()
    }


def latest_finding(
    findings: Sequence[Finding], signal: str, *, part: str | None = None
) -> Finding | None:
    """Return a figure's latest finding that has a value, None where there is none."""
    found = [
        each
        for each in findings
        if each.signal == signal and each.part == part and each.value is not None
    ]
    return max(found, key=lambda each: each.window.end, default=None)


def _loss_metrics(findings: Sequence[Finding]) -> Iterator[tuple[str, float]]:
    parts = {each.part for each in findings if each.signal == "loss"}
    for part in sorted(parts, key=str):
        loss = latest_finding(findings, "loss", part=part)
        label = f'{{slice="{_escape_label(part or "all")}"}}'
        shown = {} if loss is None else {"": loss.value, "_low": loss.low, "_high": loss.high}
        for ending, value in shown.items():
            if value is not None:
                yield f"ml_window_loss{ending}{label}", value
    covered = [
        each
        for each in findings
        if each.signal == "loss" and each.part is None and each.coverage is not None
    ]
    last = max(covered, key=lambda each: each.window.end, default=None)
    if last is not None and last.coverage is not None:
        yield "ml_label_coverage_ratio", last.coverage


def _drift_metrics(findings: Sequence[Finding]) -> Iterator[tuple[str, float]]:
    for signal in ("input_drift", "prediction_drift", "joint_drift"):
        whole = latest_finding(findings, signal)
        if whole is not None and whole.value is not None:
            yield f"ml_{signal}", whole.value
    columns = [
        each for each in findings if each.signal == "column_drift" and each.value is not None
    ]
    end = max((each.window.end for each in columns), default=None)
    last = [each for each in columns if each.window.end == end]
    for each in sorted(last, key=lambda each: -(each.value or 0.0))[:MAX_DRIFT_COLUMNS]:
        yield f'ml_drift_score{{feature="{_escape_label(each.part or "")}"}}', each.value or 0.0


def _all_decisions(found: MonitoringResult) -> tuple[MonitoringDecision, ...]:
    return (*found.decisions, found.decision)


def _escape_label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
