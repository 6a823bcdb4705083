"""The records of what monitoring finds and decides, and of what comes of it.

`evertune.monitoring.policy.decide` makes the decisions.

A `Finding` is one statistic of one window; its value is None where there is no data, which
never means "no drift". A `MonitoringDecision` is written before anything is done, and the same
evidence about the same champion gives the same id. Times are timezone-aware datetimes in UTC;
in tables they are `datetime64[us]` without a time zone, in UTC.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from evertune.times import TimeWindow

MonitoringLayer = Literal["contract", "drift", "estimate", "performance", "business"]
FindingState = Literal["ok", "breach", "no data", "immature"]
Action = Literal["nothing", "wait", "block", "refit", "retune", "rollback"]
OutcomeKind = Literal[
    "started",
    "interrupted",
    "promoted",
    "refused",
    "failed",
    "outdated",
    "rolled back",
    "acknowledged",
]
GateVerdict = Literal["promote", "keep", "not enough evidence"]

MAX_CLOCK_DELAY = timedelta(hours=1)  # of a monitoring run, from its start to its decision
RETRAINING_ACTIONS: tuple[Action, ...] = ("refit", "retune")
REQUEST_ACTIONS: tuple[Action, ...] = (*RETRAINING_ACTIONS, "rollback")  # to be carried out
ON_ALARM, PERIODIC = 0, -1  # of MonitoringDecision.follow_up, where it is no follow-up's number
FINAL_OUTCOMES: tuple[OutcomeKind, ...] = (
    "promoted",
    "refused",
    "failed",
    "outdated",
    "rolled back",
)


@dataclass(frozen=True)
class Finding:
    """One figure of one window.

    Attributes
    ----------
    signal : str
        What was figured, such as `roc_auc`, `loss`, `input_drift`, `missing`.
    value : float, optional
        None where there is nothing to figure it from: "no data" is never "no drift".
    low, high : float, optional
        Its interval.
    threshold : float, optional
        What it must not pass, where the layer itself knows.
    part : str, optional
        The column or slice that it is about; None where it is the whole table's.
    state : str
        `immature` where too few labels came so far.
    coverage : float, optional
        Share of the window's rows that have a label.
    version : str, optional
        Of the model that made the predictions.
    note : str
        What a reader has to know, such as the assumption that an estimate rests on.
    """

    signal: str
    layer: MonitoringLayer
    window: TimeWindow
    value: float | None
    low: float | None = None
    high: float | None = None
    threshold: float | None = None
    part: str | None = None
    state: FindingState = "ok"
    coverage: float | None = None
    version: str | None = None
    note: str = ""


@dataclass(frozen=True)
class Alarm:
    """A trigger that is crossed.

    Attributes
    ----------
    trigger : str
        Its name in params.yaml.
    action : str
        What it asks for: `alert`, `refit`, `retune` or `block`.
    since : datetime, optional
        Since when the figure is estimated to have changed.
    evidence : str
        One sentence for a person.
    findings : tuple of Finding
        Those that crossed it, newest last; the worst twenty.
    """

    trigger: str
    action: Literal["alert", "refit", "retune", "block"]
    signal: str
    value: float | None
    threshold: float | None
    since: datetime | None
    evidence: str
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class MonitoringDecision:
    """What is to be done, and why; written before anything is done.

    Attributes
    ----------
    id : str
        The same evidence about the same champion gives the same id.
    moment : datetime
        When it was made, by the clock that monitoring was given.
    model : str
        `registry.name`.
    champion : str, optional
        The version that was judged.
    change_from : datetime, optional
        Since when the relation is estimated to have changed.
    follow_up : int
        What made it, as one stored number: n for the n-th follow-up of a promoted retune, 0 for
        alarms (or that there are none), -1 for a periodic refit. `is_follow_up`, `is_on_alarm` and
        `is_periodic` read it.
    expected_gain, cost : float, optional
        In the unit of `monitoring.policy.cost`.
    ask_a_person : bool
        Whether attempts failed so often that the change is not learnable from these rows.
    n_rows : int, optional
        Labelled rows since the change when it was made; None in records of before.
    recorded_at : datetime, optional
        The time of day when it was made, which `moment` need not be: in a simulation, and where
        the newest event counts as now. None in records of before.
    """

    id: str
    moment: datetime
    model: str
    champion: str | None
    action: Action
    reasons: tuple[str, ...]
    alarms: tuple[Alarm, ...] = ()
    change_from: datetime | None = None
    follow_up: int = ON_ALARM
    expected_gain: float | None = None
    cost: float | None = None
    ask_a_person: bool = False
    n_rows: int | None = None
    recorded_at: datetime | None = None

    @property
    def title(self) -> str:
        """The action in words."""
        return "no action" if self.action == "nothing" else self.action

    @property
    def is_follow_up(self) -> bool:
        """Whether it is a refit some time after a promoted retune."""
        return self.follow_up > 0

    @property
    def is_on_alarm(self) -> bool:
        """Whether alarms made it, or that there are none."""
        return self.follow_up == ON_ALARM

    @property
    def is_periodic(self) -> bool:
        """Whether it is a refit at an interval, which needs no alarm."""
        return self.follow_up == PERIODIC

    @property
    def is_simulated(self) -> bool:
        """Whether `moment` is clearly another time than that of day."""
        return (
            self.recorded_at is not None and abs(self.recorded_at - self.moment) > MAX_CLOCK_DELAY
        )


@dataclass(frozen=True)
class DecisionOutcome:
    """What came of a decision.

    Attributes
    ----------
    moment : datetime
        By the same clock as the decision's.
    kind : str
        `outdated` where another version was champion already when the decision was taken up;
        `interrupted`, which is never stored, where the run that started it has ended since.
    version : str, optional
        The version that was made, or that is champion after a rollback.
    verdict : str, optional
        What the gate said of the version; None where none was judged, and in records of before.
    n_rows, rows_needed : int, optional
        Rows that the gate judged by, and about how many would tell, where these cannot.
    """

    decision_id: str
    moment: datetime
    kind: OutcomeKind
    version: str | None = None
    detail: str = ""
    verdict: GateVerdict | None = None
    n_rows: int | None = None
    rows_needed: int | None = None

    @property
    def undecided(self) -> bool:
        """Whether a version was refused because too few rows were there to tell."""
        return self.kind == "refused" and self.verdict == "not enough evidence"
