"""The result of one monitoring run, and its values for /metrics.

`MonitoringResult` holds all that a run found and decided; the report, /metrics and the flows are
made from it. `prometheus_metrics` turns a result into named values for /metrics.
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
    """A column that may explain the findings: its drift score, and its importance."""

    column: str
    drift: float
    importance: float


@dataclass(frozen=True)
class MonitoringResult:
    """What one monitoring run found and decided.

    Attributes
    ----------
    model : str
        `registry.name`.
    champion : str, optional
        None where there is none yet.
    findings : tuple of Finding
        Of the champion's windows, oldest window first.
    metrics : dict
        What /metrics shows; a label stands in the name, as in `ml_drift_score{feature="age"}`.
    processes : dict
        The points of every sequential test, by the trigger's name.
    causes : tuple of Cause
        The likeliest first.
    announced : str, optional
        What people are notified of: `refit`, `retune`, `rollback`, `block` or `alert`; None where
        there is nothing new.
    decisions : tuple of MonitoringDecision
        All that were made before, oldest first.
    notes : tuple of str
        What a reader of the findings has to know.
    n_new_class_labels : int
        Labels of classes that the champion does not know.
    """

    now: datetime
    model: str
    champion: str | None
    decision: MonitoringDecision
    findings: tuple[Finding, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    windows: tuple[TimeWindow, ...] = ()
    metrics: dict[str, float] = field(default_factory=dict)
    processes: dict[str, tuple[ProcessPoint, ...]] = field(default_factory=dict)
    causes: tuple[Cause, ...] = ()
    announced: str | None = None
    decisions: tuple[MonitoringDecision, ...] = ()
    notes: tuple[str, ...] = ()
    n_new_class_labels: int = 0


def prometheus_metrics(
    result: MonitoringResult, outcomes: Sequence[DecisionOutcome], *, at: datetime | None = None
) -> dict[str, float]:
    """Return the values of a run as /metrics shows them, by name and labels.

    Of each signal the latest window that has a value; of columns the ten that drifted most.

    Parameters
    ----------
    outcomes : sequence of DecisionOutcome
        All outcomes of decisions so far.
    at : datetime, optional
        The time of day of the run, by default `result.now`. In a replay `now` is long past, and
        alerts on a monitoring that stopped need the real time.
    """
    metrics = {"ml_monitor_last_success_timestamp_seconds": (at or result.now).timestamp()}
    metrics["ml_labels_of_unknown_class"] = float(result.n_new_class_labels)
    metrics |= dict(_loss_metrics(result.findings))
    metrics |= dict(_drift_metrics(result.findings))
    for name, points in result.processes.items():
        if points:
            metrics[f'ml_eprocess_value{{trigger="{name}"}}'] = points[-1].value
            metrics[f'ml_eprocess_threshold{{trigger="{name}"}}'] = points[-1].threshold
    decisions = {each.id: each.action for each in (*result.decisions, result.decision)}
    n_decisions = Counter(decisions.values())
    for action in get_args(Action):
        metrics[f'ml_decisions_total{{action="{action}"}}'] = float(n_decisions[action])
    n_outcomes = Counter(each.kind for each in outcomes)
    for kind in ("promoted", "refused", "failed", "outdated", "rolled back"):
        metrics[f'ml_retrain_total{{outcome="{kind}"}}'] = float(n_outcomes[kind])
    return metrics


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
    """Return a signal's latest finding that has a value, None where there is none."""
    known = [
        each
        for each in findings
        if each.signal == signal and each.part == part and each.value is not None
    ]
    return max(known, key=lambda each: each.window.end, default=None)


def _loss_metrics(findings: Sequence[Finding]) -> Iterator[tuple[str, float]]:
    losses = [each for each in findings if each.signal == "loss"]
    for part in sorted({each.part for each in losses}, key=str):
        loss, label = latest_finding(losses, "loss", part=part), _escape_label(part or "all")
        if loss is not None:
            for suffix, value in (("", loss.value), ("_low", loss.low), ("_high", loss.high)):
                if value is not None:
                    yield f'ml_window_loss{suffix}{{slice="{label}"}}', value
    covered = [
        (each.window.end, each.coverage)
        for each in losses
        if each.part is None and each.coverage is not None
    ]
    if covered:
        yield "ml_label_coverage_ratio", max(covered)[1]


def _drift_metrics(findings: Sequence[Finding]) -> Iterator[tuple[str, float]]:
    for signal in ("input_drift", "prediction_drift", "joint_drift"):
        whole = latest_finding(findings, signal)
        if whole is not None and whole.value is not None:
            yield f"ml_{signal}", whole.value
    scores = [
        (each.window.end, each.value, each.part or "")
        for each in findings
        if each.signal == "column_drift" and each.value is not None
    ]
    newest = max((end for end, _, _ in scores), default=None)
    latest = [(value, name) for end, value, name in scores if end == newest]
    for value, name in sorted(latest, key=lambda each: -each[0])[:MAX_DRIFT_COLUMNS]:
        yield f'ml_drift_score{{feature="{_escape_label(name)}"}}', value


def _escape_label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
