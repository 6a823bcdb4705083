"""Figures over time as pictures in SVG: where each line, band, dot and tick of a chart lies."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

WIDTH, HEIGHT, LEFT, TOP = 920, 190, 64, 14
N_TICKS = 4
HEADROOM = 0.08
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Point:
    """A figure at a moment; without a value nothing is known, which is drawn as a gap."""

    moment: datetime
    value: float | None
    low: float | None = None
    high: float | None = None
    state: str = "ok"
    note: str = ""


@dataclass(frozen=True)
class Dot:
    """A point of the picture: its place, its state, and what it says when pointed at."""

    x: float
    y: float
    state: str
    title: str


@dataclass(frozen=True)
class Tick:
    """A place on an axis with what stands there."""

    place: float
    text: str


@dataclass(frozen=True)
class Chart:
    """One picture: lines and bands as SVG writes their places, dots, ticks and a threshold."""

    title: str
    lines: tuple[str, ...]
    bands: tuple[str, ...]
    dots: tuple[Dot, ...]
    gaps: tuple[float, ...]
    ticks: tuple[Tick, ...]
    dates: tuple[Tick, ...]
    threshold: float | None
    threshold_text: str


@dataclass(frozen=True)
class Frame:
    """Turns moments and values into places; `low` and `high` are in the scale that is drawn."""

    start: datetime
    seconds: float
    low: float
    high: float
    logarithmic: bool

    def x(self, moment: datetime) -> float:
        """Return the place of a moment from the left."""
        share = (moment - self.start).total_seconds() / self.seconds
        return round(LEFT + (WIDTH - LEFT) * min(max(share, 0.0), 1.0), 1)

    def y(self, value: float) -> float:
        """Return the place of a value from the top, within the picture."""
        share = (_scaled(value, self.logarithmic) - self.low) / (self.high - self.low)
        return round(TOP + (HEIGHT - TOP) * (1 - min(max(share, 0.0), 1.0)), 1)


def chart(  # noqa: PLR0913
    title: str,
    points: Sequence[Point],
    *,
    start: datetime,
    end: datetime,
    threshold: float | None = None,
    logarithmic: bool = False,
) -> Chart | None:
    """Return the picture of a figure over time; None where no point has a value.

    Parameters
    ----------
    title : str
    points : sequence of Point
        In the order of time. A line is broken where a value is missing.
    start, end : datetime
        The ends of the axis of time, the same for pictures that stand below each other.
    threshold : float, optional
        Drawn as a line of its own.
    logarithmic : bool
        For figures above zero that grow by factors.

    Examples
    --------
    >>> from datetime import UTC, timedelta
    >>> start = datetime(2024, 1, 1, tzinfo=UTC)
    >>> days = [start + timedelta(days=n) for n in range(3)]
    >>> points = [Point(days[0], 1.0), Point(days[1], None), Point(days[2], 3.0)]
    >>> drawn = chart("loss", points, start=days[0], end=days[2])
    >>> len(drawn.dots), drawn.gaps
    (2, (492.0,))
    """
    known = [point for point in points if point.value is not None]
    if not known:
        return None
    frame = _frame(known, start=start, end=end, threshold=threshold, logarithmic=logarithmic)
    runs = list(_runs(points))
    return Chart(
        title=title,
        lines=tuple(_places(frame, [(p.moment, p.value) for p in run]) for run in runs),
        bands=tuple(_band(frame, run) for run in runs if len(run) > 1 and _has_ends(run)),
        dots=tuple(_dot(frame, point) for point in known),
        gaps=tuple(frame.x(point.moment) for point in points if point.value is None),
        ticks=tuple(Tick(frame.y(value), figure(value)) for value in _levels(frame)),
        dates=tuple(_dates(frame, end)),
        threshold=None if threshold is None else frame.y(threshold),
        threshold_text="" if threshold is None else figure(threshold),
    )


def figure(value: float) -> str:
    """Return a figure as it stands on an axis.

    Examples
    --------
    >>> figure(0.12345), figure(3650.0), figure(2e7)
    ('0.123', '3,650', '2e+07')
    """
    if abs(value) >= 1e6:  # noqa: PLR2004
        return f"{value:.0e}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004


def _frame(
    known: Sequence[Point],
    *,
    start: datetime,
    end: datetime,
    threshold: float | None,
    logarithmic: bool,
) -> Frame:
    values = [v for p in known for v in (p.value, p.low, p.high) if v is not None]
    values += [] if threshold is None else [threshold]
    scaled = [_scaled(value, logarithmic) for value in values]
    low, high = min(scaled), max(scaled)
    spare = HEADROOM * (high - low) or abs(high) * HEADROOM or 1.0
    seconds = (end - start).total_seconds() or 1.0
    return Frame(start, seconds, low - spare, high + spare, logarithmic)


def _scaled(value: float, logarithmic: bool) -> float:
    return math.log10(max(value, 1e-3)) if logarithmic else value


def _runs(points: Sequence[Point]) -> Iterable[list[Point]]:
    run: list[Point] = []
    for point in points:
        if point.value is not None:
            run.append(point)
        elif run:
            yield run
            run = []
    if run:
        yield run


def _places(frame: Frame, pairs: Sequence[tuple[datetime, float | None]]) -> str:
    return " ".join(f"{frame.x(m)},{frame.y(v)}" for m, v in pairs if v is not None)


def _has_ends(run: Sequence[Point]) -> bool:
    return all(point.low is not None and point.high is not None for point in run)


def _band(frame: Frame, run: Sequence[Point]) -> str:
    upper = _places(frame, [(point.moment, point.high) for point in run])
    lower = _places(frame, [(point.moment, point.low) for point in reversed(run)])
    return f"{upper} {lower}"


def _dot(frame: Frame, point: Point) -> Dot:
    value = point.value if point.value is not None else math.nan
    ends = ""
    if point.low is not None and point.high is not None:
        ends = f" ({figure(point.low)} to {figure(point.high)})"
    note = f". {point.note}" if point.note else ""
    title = f"{point.moment:%Y-%m-%d %H:%M}: {figure(value)}{ends}, {point.state}{note}"
    return Dot(frame.x(point.moment), frame.y(value), point.state, title)


def _levels(frame: Frame) -> list[float]:
    """Return round values within the frame, powers of ten where it is logarithmic."""
    rough = max((frame.high - frame.low) / N_TICKS, 1.0 if frame.logarithmic else 0.0)
    power = 10.0 ** math.floor(math.log10(rough))
    steps = [power * step for step in STEPS if not frame.logarithmic or power * step % 1 == 0]
    step = next(each for each in steps if each >= rough)
    first, last = math.ceil(frame.low / step), math.floor(frame.high / step)
    levels = [step * place for place in range(first, last + 1)]
    return [10.0**level if frame.logarithmic else level for level in levels]


def _dates(frame: Frame, end: datetime) -> Iterable[Tick]:
    for place in range(N_TICKS + 1):
        moment = frame.start + (end - frame.start) * place / N_TICKS
        yield Tick(frame.x(moment), f"{moment:%Y-%m-%d}")
