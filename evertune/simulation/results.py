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
from typing import Literal

from jinja2 import Environment, StrictUndefined

from evertune.decisions import DecisionOutcome, MonitoringDecision
from evertune.evaluation.formatting import format_score
from evertune.terminal import table_lines
from evertune.times import TimeWindow

PolicyName = Literal["loop", "never", "scheduled", "oracle"]
EventKind = Literal[
    "trained", "alarmed", "waited", "blocked", "refitted", "retuned", "promoted", "refused",
    "failed", "rolled back",
]  # fmt: skip
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
    """One policy in numbers.

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
    results: Sequence[ReplayResult], *, prices: UnitCosts
) -> tuple[PolicySummary, ...]:
    """Return a summary of each policy, all over the same windows, in their order.

    The cost is `fits * prices.fit + excess * prices.loss`; the oracle's fits are free, for it knows
    what nobody can know.
    """
    oracle = next((each for each in results if each.policy == "oracle"), None)
    summaries = []
    for result in results:
        times = count_events(result.events)
        fits = times["refitted"] + times["retuned"]
        paid = 0 if result is oracle else fits
        excess = None if oracle is None else excess_loss(result.losses, oracle.losses)
        summaries.append(
            PolicySummary(
                policy=result.policy,
                loss=mean_loss(result.losses),
                excess=excess,
                fits=fits,
                promotions=times["promoted"],
                refused=times["refused"],
                rolled_back=times["rolled back"],
                cost=None if excess is None else paid * prices.fit + excess * prices.loss,
            )
        )
    return tuple(summaries)


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
    text = ": ".join(part for part in (about, event.detail) if part)
    return f"{event.moment:%Y-%m-%d %H:%M}  {event.kind:<12} {text}".rstrip()


def window_lines(results: Sequence[ReplayResult], *, width: int = 24) -> list[str]:
    """Return a table of the loss of each window under each policy, with a bar of the first one's.

    Parameters
    ----------
    results : sequence of ReplayResult
        Policies over the same windows.
    width : int
        Characters of a bar of the largest loss.
    """
    most = _largest_loss(results)
    rows = []
    for losses in zip(*(result.losses for result in results), strict=True):
        window, first = losses[0].window, losses[0].loss or 0.0
        scores = [format_score(each.loss) for each in losses]
        bar = "#" * round(width * first / most)
        rows.append([f"{window.start:%Y-%m-%d}", str(window.n_rows), *scores, bar])
    return table_lines(["window", "rows", *(result.policy for result in results), ""], rows)


def summary_lines(summaries: Iterable[PolicySummary]) -> list[str]:
    """Return a table with a line for each policy."""
    rows = []
    for each in summaries:
        counts = (each.fits, each.promotions, each.refused, each.rolled_back)
        rows.append(
            [each.policy, format_score(each.loss), *map(str, counts), format_score(each.cost)]
        )
    return table_lines(["policy", "loss", "fits", "promoted", "refused", "back", "cost"], rows)


def _largest_loss(results: Sequence[ReplayResult]) -> float:
    losses = [each.loss for result in results for each in result.losses if each.loss is not None]
    return max(losses, default=0.0) or 1.0


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
    """Yield what is new in a decision beside the one before: alarms, and what is done.

    A spell of waiting or blocking for one reason is one event, where it begins.

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
    moment, champion, action = decision.moment, decision.champion, decision.action
    reason = decision.reasons[0] if decision.reasons else ""
    earlier_alarms = {alarm.trigger for alarm in before.alarms} if before else set()
    for alarm in decision.alarms:
        if alarm.trigger not in earlier_alarms:
            yield ReplayEvent(moment, "alarmed", champion, f"{alarm.trigger}: {alarm.evidence}")
    same_action = before is not None and before.action == action
    if same_action and before is not None:
        earlier_reason = before.reasons[0] if before.reasons else ""
        # numbers, such as dates, differ from one decision to the next
        same_action = DIGIT.split(reason)[0] == DIGIT.split(earlier_reason)[0]
    if action in ATTEMPT_EVENTS:
        yield ReplayEvent(moment, ATTEMPT_EVENTS[action], champion, reason)
    elif action in PAUSE_EVENTS and not same_action:
        yield ReplayEvent(moment, PAUSE_EVENTS[action], champion, reason)
    elif decision.ask_a_person and not (before is not None and before.ask_a_person):
        yield ReplayEvent(moment, "waited", champion, reason)


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


def render_replay_page(
    results: Sequence[ReplayResult],
    summaries: Sequence[PolicySummary],
    *,
    title: str,
    prices: UnitCosts,
) -> str:
    """Return a page that needs no other file, of policies over the same windows.

    It shows the events of the loop or, where the loop was not played, of the first policy.

    Raises
    ------
    ValueError
        If there is no policy, or no window.
    """
    if not results or not results[0].losses:
        raise ValueError(f"'results' must have a window. Got {len(results)} policies without one.")
    windows = [each.window for each in results[0].losses]
    start, end, most = windows[0].start, windows[-1].end, 1.1 * _largest_loss(results)

    def x(moment: datetime) -> float:
        share = (moment - start) / (end - start) if end > start else 0.0
        return round(MARGIN_LEFT + (CHART_WIDTH - MARGIN_LEFT) * min(max(share, 0.0), 1.0), 1)

    def y(loss: float) -> float:
        return round(MARGIN_TOP + (CHART_HEIGHT - MARGIN_TOP) * (1 - loss / most), 1)

    events = next((each for each in results if each.policy == "loop"), results[0]).events
    kinds = [kind for kind in EVENT_COLOURS if any(event.kind == kind for event in events)]
    lanes = {kind: CHART_HEIGHT + LANE_HEIGHT * (3 + number) for number, kind in enumerate(kinds)}
    lines = []
    for result in results:
        middles = [x(window.start + (window.end - window.start) / 2) for window in windows]
        points = [
            f"{middle},{y(each.loss)}"
            for middle, each in zip(middles, result.losses, strict=True)
            if each.loss is not None
        ]
        colour = POLICY_COLOURS[result.policy]
        lines.append({"name": result.policy, "colour": colour, "points": " ".join(points)})
    ticks = [number / N_TICKS for number in range(N_TICKS + 1)]
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["score"] = format_score
    text = files("evertune.templates").joinpath("replay.html.jinja").read_text(encoding="utf-8")
    return environment.from_string(text).render(
        title=title,
        prices=prices,
        summaries=summaries,
        events=events,
        lines=lines,
        marks=[
            {"x": x(event.moment), "y": lanes[event.kind], "colour": EVENT_COLOURS[event.kind]}
            | {"title": f"{event.moment:%Y-%m-%d %H:%M} {event.kind}: {event.detail}"}
            for event in events
            if event.kind in lanes
        ],
        lanes=[*lanes.items()],
        ticks=[(y(most * share), format_score(most * share)) for share in ticks],
        dates=[
            (x(at), f"{at:%Y-%m-%d}") for at in (start + (end - start) * each for each in ticks)
        ],
        turns=[x(event.moment) for event in events if event.kind in CHAMPION_CHANGES],
        has_oracle=all(each.excess is not None for each in summaries),
        size={
            "width": CHART_WIDTH,
            "height": CHART_HEIGHT + LANE_HEIGHT * (4 + len(lanes)),
            "left": MARGIN_LEFT,
            "top": MARGIN_TOP,
            "floor": CHART_HEIGHT,
        },
        windows=list(zip(*(result.losses for result in results), strict=True)),
    )
