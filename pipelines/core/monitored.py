"""What one look of monitoring found: the record that pages, metrics and flows are made of."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, get_args

from pipelines.core.findings import Action, Alarm, Decision, Finding, Outcome, Window

if TYPE_CHECKING:
    from pipelines.core.loss_process import LossProcess

MOST_DRIFTED = 10


@dataclass(frozen=True)
class WindowFindings:
    """The findings of one window as they are kept, and of which state of it they are.

    Attributes
    ----------
    mark : str
        Of the rows and labels that they were made from; another mark, other findings.
    findings : tuple of Finding
    """

    mark: str
    findings: tuple[Finding, ...]


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
class Monitored:
    """What monitoring found and decided.

    Attributes
    ----------
    now : datetime
    model : str
        `registry.name`.
    champion : str, optional
        None where there is none yet.
    decision : Decision
    findings : tuple of Finding
        Of the champion's windows, oldest window first.
    alarms : tuple of Alarm
    windows : tuple of Window
    figures : dict
        What /metrics shows; a label stands in the name, as in `ml_drift_score{feature="age"}`.
    processes : dict
        The points of every sequential test, by the trigger's name.
    causes : tuple of Cause
        The likeliest first.
    announced : str, optional
        What has to be told to the world: `refit`, `retune`, `rollback`, `block` or `alert`; None
        where there is nothing new.
    decisions : tuple of Decision
        All that were made before, oldest first.
    notes : tuple of str
        What a person has to know of how it was looked.
    """

    now: datetime
    model: str
    champion: str | None
    decision: Decision
    findings: tuple[Finding, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    windows: tuple[Window, ...] = ()
    figures: dict[str, float] = field(default_factory=dict)
    processes: dict[str, tuple[ProcessPoint, ...]] = field(default_factory=dict)
    causes: tuple[Cause, ...] = ()
    announced: str | None = None
    decisions: tuple[Decision, ...] = ()
    notes: tuple[str, ...] = ()


def figures_of(
    found: Monitored, outcomes: Sequence[Outcome], *, at: datetime | None = None
) -> dict[str, float]:
    """Return the figures of a look as /metrics shows them, by name and labels.

    Of every figure the latest window that has one; drift of the ten columns that drifted most.

    Parameters
    ----------
    found : Monitored
    outcomes : sequence of Outcome
        All that came of decisions so far.
    at : datetime, optional
        The time of day at which it was looked; None: that is `found.now`. Where production is
        played, now is long past, and who waits for the next look lives today.
    """
    figures = {"ml_monitor_last_success_timestamp_seconds": (at or found.now).timestamp()}
    figures |= dict(_of_loss(found.findings))
    figures |= dict(_of_drift(found.findings))
    for name, points in found.processes.items():
        if points:
            figures[f'ml_eprocess_value{{trigger="{name}"}}'] = points[-1].value
            figures[f'ml_eprocess_threshold{{trigger="{name}"}}'] = points[-1].threshold
    decided = Counter(each.action for each in {d.id: d for d in _all(found)}.values())
    for action in get_args(Action):
        figures[f'ml_decisions_total{{action="{action}"}}'] = float(decided[action])
    ended = Counter(each.kind for each in outcomes)
    for kind in ("promoted", "refused", "failed", "outdated", "rolled back"):
        figures[f'ml_retrain_total{{outcome="{kind}"}}'] = float(ended[kind])
    return figures


def points_of(processes: Mapping[str, "LossProcess"]) -> dict[str, tuple[ProcessPoint, ...]]:
    """Return the points of sequential tests, by the trigger's name."""
    return {
        name: tuple(
            ProcessPoint(day, value, process.threshold)
            for day, value in zip(process.days, process.values, strict=True)
        )
        for name, process in processes.items()
    }


def latest(findings: Sequence[Finding], signal: str, *, part: str | None = None) -> Finding | None:
    """Return a figure's latest finding that has a value, None where there is none."""
    found = [
        each
        for each in findings
        if each.signal == signal and each.part == part and each.value is not None
    ]
    return max(found, key=lambda each: each.window.end, default=None)


def _of_loss(findings: Sequence[Finding]) -> Iterator[tuple[str, float]]:
    parts = {each.part for each in findings if each.signal == "loss"}
    for part in sorted(parts, key=str):
        loss = latest(findings, "loss", part=part)
        label = f'{{slice="{_escaped(part or "all")}"}}'
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


def _of_drift(findings: Sequence[Finding]) -> Iterator[tuple[str, float]]:
    for signal in ("input_drift", "prediction_drift", "joint_drift"):
        whole = latest(findings, signal)
        if whole is not None and whole.value is not None:
            yield f"ml_{signal}", whole.value
    columns = [
        each for each in findings if each.signal == "column_drift" and each.value is not None
    ]
    end = max((each.window.end for each in columns), default=None)
    last = [each for each in columns if each.window.end == end]
    for each in sorted(last, key=lambda each: -(each.value or 0.0))[:MOST_DRIFTED]:
        yield f'ml_drift_score{{feature="{_escaped(each.part or "")}"}}', each.value or 0.0


def _all(found: Monitored) -> tuple[Decision, ...]:
    return (*found.decisions, found.decision)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
