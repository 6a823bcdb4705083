"""The page of a replay: losses by window under each policy, and what happened when."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from pipelines.core.replaying import Event, Played, Prices, Summary, WindowLoss

WIDTH, HEIGHT, LEFT, TOP, LANE = 920, 260, 56, 16, 18
COLOURS = {"loop": "#1f5fa8", "never": "#8a5a00", "scheduled": "#2f7d4f", "oracle": "#8b95a1"}
LANES = {
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
TURNS = ("promoted", "rolled back")
TICKS = 4


@dataclass(frozen=True)
class Mark:
    """A dot of the picture: where it lies, its colour, and what it says when pointed at."""

    x: float
    y: float
    colour: str
    title: str


@dataclass(frozen=True)
class Line:
    """A line of the picture: its name, colour and places, as SVG writes them."""

    name: str
    colour: str
    points: str


@dataclass(frozen=True)
class Scale:
    """Turns moments and losses into places on the picture."""

    start: datetime
    seconds: float
    most: float

    def x(self, moment: datetime) -> float:
        """Return the place of a moment from the left."""
        share = (moment - self.start).total_seconds() / self.seconds
        return round(LEFT + (WIDTH - LEFT) * min(max(share, 0.0), 1.0), 1)

    def y(self, loss: float) -> float:
        """Return the place of a loss from the top."""
        return round(TOP + (HEIGHT - TOP) * (1 - loss / self.most), 1)


def replay_html(
    played: Sequence[Played], found: Sequence[Summary], *, title: str, prices: Prices
) -> str:
    """Return a page that needs no other file.

    Parameters
    ----------
    played : sequence of Played
        Policies over the same windows; each has one at least.
    found : sequence of Summary
    title : str
        What was played.
    prices : Prices

    Raises
    ------
    ValueError
        If there is nothing to draw.
    """
    if not played or not played[0].losses:
        raise ValueError(f"'played' must have a window. Got {len(played)} policies without one.")
    scale, told = _scale(played), _told(played)
    lanes = [kind for kind in LANES if any(event.kind == kind for event in told)]
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    text = files("pipelines.core").joinpath("replay.html.jinja").read_text(encoding="utf-8")
    return environment.from_string(text).render(
        title=title,
        prices=prices,
        summaries=found,
        events=told,
        lines=[_line(one, scale) for one in played],
        marks=list(_marks(told, lanes, scale)),
        lanes=[(kind, _lane_y(place)) for place, kind in enumerate(lanes)],
        ticks=[(scale.y(loss), f"{loss:.3f}") for loss in _ticks(scale.most)],
        dates=[(scale.x(moment), f"{moment:%Y-%m-%d}") for moment in _dates(played[0].losses)],
        turns=[scale.x(event.moment) for event in told if event.kind in TURNS],
        has_oracle=all(each.excess is not None for each in found),
        size=_size(lanes),
        windows=list(zip(*(one.losses for one in played), strict=True)),
    )


def _size(lanes: Sequence[str]) -> dict[str, float]:
    height = _lane_y(len(lanes)) + LANE
    return {"width": WIDTH, "height": height, "left": LEFT, "top": TOP, "floor": HEIGHT}


def _scale(played: Sequence[Played]) -> Scale:
    losses = [each.loss for one in played for each in one.losses if each.loss is not None]
    start, end = played[0].losses[0].window.start, played[0].losses[-1].window.end
    return Scale(start, (end - start).total_seconds() or 1.0, 1.1 * max(losses, default=0.0) or 1.0)


def _told(played: Sequence[Played]) -> tuple[Event, ...]:
    """Return the loop's events; where the loop was not played, those of the first policy."""
    return next((one for one in played if one.policy == "loop"), played[0]).events


def _line(played: Played, scale: Scale) -> Line:
    points = [
        f"{scale.x(_middle(each))},{scale.y(each.loss)}"
        for each in played.losses
        if each.loss is not None
    ]
    return Line(played.policy, COLOURS[played.policy], " ".join(points))


def _marks(events: Iterable[Event], lanes: Sequence[str], scale: Scale) -> Iterable[Mark]:
    for event in events:
        if event.kind in lanes:
            about = f"{event.moment:%Y-%m-%d %H:%M} {event.kind}"
            y = _lane_y(lanes.index(event.kind))
            yield Mark(scale.x(event.moment), y, LANES[event.kind], f"{about}: {event.detail}")


def _lane_y(place: int) -> float:
    return HEIGHT + 3 * LANE + LANE * place


def _middle(each: WindowLoss) -> datetime:
    return each.window.start + (each.window.end - each.window.start) / 2


def _ticks(most: float) -> list[float]:
    return [most * place / TICKS for place in range(TICKS + 1)]


def _dates(losses: Sequence[WindowLoss]) -> list[datetime]:
    start, end = losses[0].window.start, losses[-1].window.end
    return [start + (end - start) * place / TICKS for place in range(TICKS + 1)]
