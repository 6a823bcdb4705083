"""Results of a replay: events, loss by window, cost of each policy, and the HTML page.

`ReplayResult` is what one policy did: a `WindowLoss` for each window and the events between.
`summarize_policies` counts fits, promotions and rollbacks and gives the cost: the price of each
fit after the first model, plus the price of all loss above the best model in hindsight, whose
own fits are free. `decision_events` and `outcome_event` turn monitoring decisions into events;
a spell of waiting or blocking for one reason is one event. `render_replay_page` draws it all on
a page that needs no other file.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Literal

import pandas as pd
from jinja2 import Environment, StrictUndefined

from evertune.decisions import DecisionOutcome, MonitoringDecision
from evertune.times import TimeWindow

PolicyName = Literal["loop", "never", "scheduled", "oracle"]
EventKind = Literal[
    "trained", "alarmed", "waited", "blocked", "refitted", "retuned", "promoted", "refused",
    "failed", "rolled back",
]  # fmt: skip
FIT_EVENTS = ("trained", "refitted", "retuned")
POLICIES: tuple[PolicyName, ...] = ("never", "scheduled", "loop", "oracle")


@dataclass(frozen=True)
class ReplayEvent:
    """Something that happened while a table was played.

    Attributes
    ----------
    moment : datetime
        By the table's own time.
    kind : str
        `refitted` and `retuned` are attempts; what came of one follows as an event of its own.
    version : str, optional
        Of the model that it is about.
    detail : str
        One sentence for a person.
    """

    moment: datetime
    kind: EventKind
    version: str | None = None
    detail: str = ""


@dataclass(frozen=True)
class WindowLoss:
    """The loss of one window's predictions, on all its labels, however late they came.

    Attributes
    ----------
    loss : float, optional
        Mean loss a row, 0 to 1; None where the window has no rows.
    version : str, optional
        Of the model that made the last of the predictions.
    """

    window: TimeWindow
    loss: float | None
    version: str | None = None


@dataclass(frozen=True)
class ReplayResult:
    """How a table went under one policy.

    Attributes
    ----------
    policy : str
        `loop`; `never`: the first model for good; `scheduled`: fitted anew every window, without
        a gate; `oracle`: in each window whichever model turns out best in it, of all that could
        have been fitted by its start.
    losses : tuple of WindowLoss
        One a window, oldest first.
    events : tuple of ReplayEvent
        Oldest first.
    """

    policy: PolicyName
    losses: tuple[WindowLoss, ...]
    events: tuple[ReplayEvent, ...] = ()


@dataclass(frozen=True)
class UnitCosts:
    """What one fit costs, and what one unit of loss on one row costs."""

    fit: float = 1.0
    loss: float = 1.0


@dataclass(frozen=True)
class PolicySummary:
    """One policy in figures.

    Attributes
    ----------
    loss : float, optional
        Mean loss a row over all windows.
    excess : float, optional
        Sum over rows of what its loss is above the oracle's; None where no oracle was played.
    fits, promotions, refused, rolled_back : int
        The first model is counted in none of them.
    cost : float, optional
        Of fits and excess loss together.
    """

    policy: PolicyName
    loss: float | None
    excess: float | None
    fits: int
    promotions: int
    refused: int
    rolled_back: int
    cost: float | None


def mean_loss(losses: Iterable[WindowLoss]) -> float | None:
    """Return the mean loss a row over windows; None where there are no rows."""
    known = [(each.window.n_rows, each.loss) for each in losses if each.loss is not None]
    n_rows = sum(n for n, _ in known)
    return sum(n * loss for n, loss in known) / n_rows if n_rows else None


def summarize_policies(
    played: Sequence[ReplayResult], *, prices: UnitCosts
) -> tuple[PolicySummary, ...]:
    """Return every policy in figures, in the order in which they were played.

    The cost of a policy is the price of a fit for every fit after the first model, and the price
    of loss for all that its loss is above the oracle's. The oracle knows what nobody can know;
    its fits are free.

    Parameters
    ----------
    played : sequence of ReplayResult
        Policies over the same windows.
    """
    oracle = next((each for each in played if each.policy == "oracle"), None)
    return tuple(_summarize_policy(each, oracle, prices) for each in played)


def excess_loss(ours: Sequence[WindowLoss], best: Sequence[WindowLoss]) -> float:
    """Return the sum over rows of what one policy's loss is above another's."""
    if [each.window.start for each in ours] != [each.window.start for each in best]:
        raise ValueError(
            f"Both must have the same windows. Got {len(ours)} and {len(best)} that differ instead."
        )
    pairs = zip(ours, best, strict=True)
    return sum(
        left.window.n_rows * (left.loss - right.loss)
        for left, right in pairs
        if left.loss is not None and right.loss is not None
    )


def count_events(events: Iterable[ReplayEvent]) -> Counter[str]:
    """Return how often each kind of event happened, the first model's training left out."""
    return Counter(each.kind for each in events if each.kind != "trained")


def format_event(event: ReplayEvent) -> str:
    """Return an event as a line of the timeline.

    Examples
    --------
    >>> from datetime import UTC
    >>> day = datetime(2024, 5, 1, tzinfo=UTC)
    >>> format_event(ReplayEvent(day, "promoted", "2", "better by 0.05"))
    '2024-05-01 00:00  promoted     version 2: better by 0.05'
    """
    about = f"version {event.version}" if event.version else ""
    said = ": ".join(part for part in (about, event.detail) if part)
    return f"{event.moment:%Y-%m-%d %H:%M}  {event.kind:<12} {said}".rstrip()


def window_lines(played: Sequence[ReplayResult], *, width: int = 24) -> Iterator[str]:
    """Yield a line for each window: its loss under every policy, and a bar of the first policy's.

    Parameters
    ----------
    played : sequence of ReplayResult
        Policies over the same windows.
    width : int
        Characters of a bar of the largest loss.
    """
    losses = [each.loss for one in played for each in one.losses if each.loss is not None]
    most = max(losses, default=0.0) or 1.0
    yield "window            rows" + "".join(f"{one.policy:>11}" for one in played)
    for at_once in zip(*(one.losses for one in played), strict=True):
        window, loss = at_once[0].window, at_once[0].loss
        figures = "".join(f"{_format_number(each.loss):>11}" for each in at_once)
        bar = "#" * round(width * (loss or 0.0) / most)
        yield f"{window.start:%Y-%m-%d}  {window.n_rows:>10}{figures}  {bar}".rstrip()


def summary_lines(found: Iterable[PolicySummary]) -> Iterator[str]:
    """Yield a line for each policy, under a line of titles."""
    yield "policy         loss  fits  promoted  refused  back       cost"
    for each in found:
        yield (
            f"{each.policy:<10}{_format_number(each.loss):>9}{each.fits:>6}{each.promotions:>10}"
            f"{each.refused:>9}{each.rolled_back:>6}{_format_number(each.cost, '.1f'):>11}"
        )


def _summarize_policy(
    played: ReplayResult, oracle: ReplayResult | None, prices: UnitCosts
) -> PolicySummary:
    times = count_events(played.events)
    fits = times["refitted"] + times["retuned"]
    excess = None if oracle is None else excess_loss(played.losses, oracle.losses)
    paid = 0 if played.policy == "oracle" else fits
    return PolicySummary(
        policy=played.policy,
        loss=mean_loss(played.losses),
        excess=excess,
        fits=fits,
        promotions=times["promoted"],
        refused=times["refused"],
        rolled_back=times["rolled back"],
        cost=None if excess is None else paid * prices.fit + excess * prices.loss,
    )


def _format_number(figure: float | None, form: str = ".4f") -> str:
    return "-" if figure is None else format(figure, form)


ATTEMPT_EVENTS: dict[str, EventKind] = {"refit": "refitted", "retune": "retuned"}
DIGIT = re.compile(r"\d")
PAUSE_EVENTS: dict[str, EventKind] = {"wait": "waited", "block": "blocked"}
OUTCOME_EVENTS: dict[str, EventKind] = {
    "promoted": "promoted",
    "refused": "refused",
    "failed": "failed",
    "rolled back": "rolled back",
}


def decision_events(
    decision: MonitoringDecision, before: MonitoringDecision | None
) -> Iterator[ReplayEvent]:
    """Yield what is new in a decision: triggers that were not crossed before, and what is done.

    A spell of waiting or blocking for one reason is told once, where it begins.

    Parameters
    ----------
    before : MonitoringDecision, optional
        That of the look before.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> day = datetime(2024, 5, 1, tzinfo=UTC)
    >>> wait = MonitoringDecision("a", day, "churn", "3", "wait", ("waiting for labels",))
    >>> [(event.kind, event.detail) for event in decision_events(wait, None)]
    [('waited', 'waiting for labels')]
    >>> list(decision_events(wait, wait))
    []
    """
    moment, champion = decision.moment, decision.champion
    known = set() if before is None else {alarm.trigger for alarm in before.alarms}
    for alarm in decision.alarms:
        if alarm.trigger not in known:
            yield ReplayEvent(moment, "alarmed", champion, f"{alarm.trigger}: {alarm.evidence}")
    said = decision.reasons[0] if decision.reasons else ""
    if decision.action in ATTEMPT_EVENTS:
        yield ReplayEvent(moment, ATTEMPT_EVENTS[decision.action], champion, said)
    elif decision.action in PAUSE_EVENTS and _action_and_reason(decision) != _action_and_reason(
        before
    ):
        yield ReplayEvent(moment, PAUSE_EVENTS[decision.action], champion, said)
    elif decision.ask_a_person and not (before is not None and before.ask_a_person):
        yield ReplayEvent(moment, "waited", champion, said)


def _action_and_reason(decision: MonitoringDecision | None) -> tuple[str, str]:
    """Return what is done and why, without the numbers that differ from one look to the next."""
    if decision is None:
        return "", ""
    said = decision.reasons[0] if decision.reasons else ""
    return decision.action, DIGIT.split(said)[0]


def outcome_event(outcome: DecisionOutcome) -> ReplayEvent | None:
    """Return how an attempt ended as an event; None where it only began.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> day = datetime(2024, 5, 1, tzinfo=UTC)
    >>> outcome_event(DecisionOutcome("a", day, "promoted", "4", "better by 0.1")).kind
    'promoted'
    """
    if outcome.kind not in OUTCOME_EVENTS:
        return None
    return ReplayEvent(
        outcome.moment, OUTCOME_EVENTS[outcome.kind], outcome.version, outcome.detail
    )


ROW_NAME = "replay_row"  # of the column that names a played row, by which its label finds it


@dataclass(frozen=True)
class ColumnRoles:
    """The columns of time and target, where they are not those of params.yaml."""

    time: str | None = None
    target: str | None = None


@dataclass(frozen=True, eq=False)
class ReplayProject:
    """A project in which a table is played.

    Attributes
    ----------
    root : Path
        Of the project.
    played : DataFrame of n rows
        Raw rows in the order of time, with a column that names each.
    moments : Series of datetime64, n rows
        When each was.
    learned : DataFrame
        Raw rows of before.
    start, end : datetime
        Of what is played.
    """

    root: Path
    played: pd.DataFrame
    moments: pd.Series
    learned: pd.DataFrame
    learned_moments: pd.Series
    start: datetime
    end: datetime


CHART_WIDTH, CHART_HEIGHT, MARGIN_LEFT, MARGIN_TOP, LANE_HEIGHT = 920, 260, 56, 16, 18
POLICY_COLOURS = {
    "loop": "#1f5fa8",
    "never": "#8a5a00",
    "scheduled": "#2f7d4f",
    "oracle": "#8b95a1",
}
EVENT_COLOURS = {
    "alarmed": "#c77700",
    "waited": "#8b95a1",
    "blocked": "#6b3fa0",
    "refitted": "#2b8fb3",
    "retuned": "#1f5fa8",
    "promoted": "#2f7d4f",
    "refused": "#a3271b",
    "rolled back": "#d1345b",
    "failed": "#000000",
}
CHAMPION_CHANGES = ("promoted", "rolled back")
N_TICKS = 4


@dataclass(frozen=True)
class ChartMark:
    """A dot of the picture: where it lies, its colour, and what it says when pointed at."""

    x: float
    y: float
    colour: str
    title: str


@dataclass(frozen=True)
class ChartLine:
    """A line of the picture: its name, colour and places, as SVG writes them."""

    name: str
    colour: str
    points: str


@dataclass(frozen=True)
class ChartScale:
    """Turns moments and losses into places on the picture."""

    start: datetime
    seconds: float
    most: float

    def x(self, moment: datetime) -> float:
        """Return the place of a moment from the left."""
        share = (moment - self.start).total_seconds() / self.seconds
        return round(MARGIN_LEFT + (CHART_WIDTH - MARGIN_LEFT) * min(max(share, 0.0), 1.0), 1)

    def y(self, loss: float) -> float:
        """Return the place of a loss from the top."""
        return round(MARGIN_TOP + (CHART_HEIGHT - MARGIN_TOP) * (1 - loss / self.most), 1)


def render_replay_page(
    played: Sequence[ReplayResult], found: Sequence[PolicySummary], *, title: str, prices: UnitCosts
) -> str:
    """Return a page that needs no other file.

    Parameters
    ----------
    played : sequence of ReplayResult
        Policies over the same windows; each has one at least.
    title : str
        What was played.

    Raises
    ------
    ValueError
        If there is nothing to draw.
    """
    if not played or not played[0].losses:
        raise ValueError(f"'played' must have a window. Got {len(played)} policies without one.")
    scale, told = _chart_scale(played), _displayed_events(played)
    lanes = [kind for kind in EVENT_COLOURS if any(event.kind == kind for event in told)]
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    text = files("evertune.templates").joinpath("replay.html.jinja").read_text(encoding="utf-8")
    return environment.from_string(text).render(
        title=title,
        prices=prices,
        summaries=found,
        events=told,
        lines=[_policy_line(one, scale) for one in played],
        marks=list(_event_marks(told, lanes, scale)),
        lanes=[(kind, _lane_y(place)) for place, kind in enumerate(lanes)],
        ticks=[(scale.y(loss), f"{loss:.3f}") for loss in _loss_ticks(scale.most)],
        dates=[(scale.x(moment), f"{moment:%Y-%m-%d}") for moment in _date_ticks(played[0].losses)],
        turns=[scale.x(event.moment) for event in told if event.kind in CHAMPION_CHANGES],
        has_oracle=all(each.excess is not None for each in found),
        size=_chart_size(lanes),
        windows=list(zip(*(one.losses for one in played), strict=True)),
    )


def _chart_size(lanes: Sequence[str]) -> dict[str, float]:
    height = _lane_y(len(lanes)) + LANE_HEIGHT
    return {
        "width": CHART_WIDTH,
        "height": height,
        "left": MARGIN_LEFT,
        "top": MARGIN_TOP,
        "floor": CHART_HEIGHT,
    }


def _chart_scale(played: Sequence[ReplayResult]) -> ChartScale:
    losses = [each.loss for one in played for each in one.losses if each.loss is not None]
    start, end = played[0].losses[0].window.start, played[0].losses[-1].window.end
    return ChartScale(
        start, (end - start).total_seconds() or 1.0, 1.1 * max(losses, default=0.0) or 1.0
    )


def _displayed_events(played: Sequence[ReplayResult]) -> tuple[ReplayEvent, ...]:
    """Return the loop's events; where the loop was not played, those of the first policy."""
    return next((one for one in played if one.policy == "loop"), played[0]).events


def _policy_line(played: ReplayResult, scale: ChartScale) -> ChartLine:
    points = [
        f"{scale.x(_window_middle(each))},{scale.y(each.loss)}"
        for each in played.losses
        if each.loss is not None
    ]
    return ChartLine(played.policy, POLICY_COLOURS[played.policy], " ".join(points))


def _event_marks(
    events: Iterable[ReplayEvent], lanes: Sequence[str], scale: ChartScale
) -> Iterable[ChartMark]:
    for event in events:
        if event.kind in lanes:
            about = f"{event.moment:%Y-%m-%d %H:%M} {event.kind}"
            y = _lane_y(lanes.index(event.kind))
            yield ChartMark(
                scale.x(event.moment), y, EVENT_COLOURS[event.kind], f"{about}: {event.detail}"
            )


def _lane_y(place: int) -> float:
    return CHART_HEIGHT + 3 * LANE_HEIGHT + LANE_HEIGHT * place


def _window_middle(each: WindowLoss) -> datetime:
    return each.window.start + (each.window.end - each.window.start) / 2


def _loss_ticks(most: float) -> list[float]:
    return [most * place / N_TICKS for place in range(N_TICKS + 1)]


def _date_ticks(losses: Sequence[WindowLoss]) -> list[datetime]:
    start, end = losses[0].window.start, losses[-1].window.end
    return [start + (end - start) * place / N_TICKS for place in range(N_TICKS + 1)]
