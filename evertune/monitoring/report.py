"""The monitoring report: an HTML page with charts, a Markdown summary, and MLflow metrics.

`publish_report` writes state/monitoring/monitoring.html and updates the model's monitoring run
in MLflow. `report_html` needs no other file: `draw_chart` lays out each chart as SVG.
`report_markdown` gives the decision, its reasons and the alarms. In MLflow the step of a metric
is the hour since 1970.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from evertune.config.loader import load_params
from evertune.decisions import DecisionOutcome, Finding, MonitoringDecision
from evertune.files import write_text
from evertune.monitoring.prediction_log import open_prediction_log
from evertune.monitoring.results import MonitoringResult
from evertune.registry.decision_log import DecisionLog
from evertune.registry.model_registry import open_registry
from evertune.registry.run_page import MetricPoint

WIDTH, HEIGHT, LEFT, TOP = 920, 190, 64, 14
N_TICKS = 4
HEADROOM = 0.08
TICK_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class ChartPoint:
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
class ChartScale:
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
        share = (_to_scale(value, self.logarithmic) - self.low) / (self.high - self.low)
        return round(TOP + (HEIGHT - TOP) * (1 - min(max(share, 0.0), 1.0)), 1)


def draw_chart(
    title: str,
    points: Sequence[ChartPoint],
    *,
    start: datetime,
    end: datetime,
    threshold: float | None = None,
    logarithmic: bool = False,
) -> Chart | None:
    """Return the picture of a figure over time; None where no point has a value."""
    known = [point for point in points if point.value is not None]
    if not known:
        return None
    frame = _fit_scale(known, start=start, end=end, threshold=threshold, logarithmic=logarithmic)
    runs = list(_unbroken_runs(points))
    return Chart(
        title=title,
        lines=tuple(_svg_points(frame, [(p.moment, p.value) for p in run]) for run in runs),
        bands=tuple(_svg_band(frame, run) for run in runs if len(run) > 1 and _has_intervals(run)),
        dots=tuple(_make_dot(frame, point) for point in known),
        gaps=tuple(frame.x(point.moment) for point in points if point.value is None),
        ticks=tuple(Tick(frame.y(value), format_tick(value)) for value in _tick_values(frame)),
        dates=tuple(_date_ticks(frame, end)),
        threshold=None if threshold is None else frame.y(threshold),
        threshold_text="" if threshold is None else format_tick(threshold),
    )


def format_tick(value: float) -> str:
    """Return a figure as it stands on an axis."""
    if abs(value) >= 1e6:
        return f"{value:.0e}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _fit_scale(
    known: Sequence[ChartPoint],
    *,
    start: datetime,
    end: datetime,
    threshold: float | None,
    logarithmic: bool,
) -> ChartScale:
    values = [v for p in known for v in (p.value, p.low, p.high) if v is not None]
    values += [] if threshold is None else [threshold]
    scaled = [_to_scale(value, logarithmic) for value in values]
    low, high = min(scaled), max(scaled)
    spare = HEADROOM * (high - low) or abs(high) * HEADROOM or 1.0
    seconds = (end - start).total_seconds() or 1.0
    return ChartScale(start, seconds, low - spare, high + spare, logarithmic)


def _to_scale(value: float, logarithmic: bool) -> float:
    return math.log10(max(value, 1e-3)) if logarithmic else value


def _unbroken_runs(points: Sequence[ChartPoint]) -> Iterable[list[ChartPoint]]:
    run: list[ChartPoint] = []
    for point in points:
        if point.value is not None:
            run.append(point)
        elif run:
            yield run
            run = []
    if run:
        yield run


def _svg_points(frame: ChartScale, pairs: Sequence[tuple[datetime, float | None]]) -> str:
    return " ".join(f"{frame.x(m)},{frame.y(v)}" for m, v in pairs if v is not None)


def _has_intervals(run: Sequence[ChartPoint]) -> bool:
    return all(point.low is not None and point.high is not None for point in run)


def _svg_band(frame: ChartScale, run: Sequence[ChartPoint]) -> str:
    upper = _svg_points(frame, [(point.moment, point.high) for point in run])
    lower = _svg_points(frame, [(point.moment, point.low) for point in reversed(run)])
    return f"{upper} {lower}"


def _make_dot(frame: ChartScale, point: ChartPoint) -> Dot:
    value = point.value if point.value is not None else math.nan
    ends = ""
    if point.low is not None and point.high is not None:
        ends = f" ({format_tick(point.low)} to {format_tick(point.high)})"
    note = f". {point.note}" if point.note else ""
    title = f"{point.moment:%Y-%m-%d %H:%M}: {format_tick(value)}{ends}, {point.state}{note}"
    return Dot(frame.x(point.moment), frame.y(value), point.state, title)


def _tick_values(frame: ChartScale) -> list[float]:
    """Return round values within the frame, powers of ten where it is logarithmic."""
    rough = max((frame.high - frame.low) / N_TICKS, 1.0 if frame.logarithmic else 0.0)
    power = 10.0 ** math.floor(math.log10(rough))
    steps = [power * step for step in TICK_STEPS if not frame.logarithmic or power * step % 1 == 0]
    step = next(each for each in steps if each >= rough)
    first, last = math.ceil(frame.low / step), math.floor(frame.high / step)
    levels = [step * place for place in range(first, last + 1)]
    return [10.0**level if frame.logarithmic else level for level in levels]


def _date_ticks(frame: ChartScale, end: datetime) -> Iterable[Tick]:
    for place in range(N_TICKS + 1):
        moment = frame.start + (end - frame.start) * place / N_TICKS
        yield Tick(frame.x(moment), f"{moment:%Y-%m-%d}")


MAX_BREACHES = 40
MAX_DECISIONS = 60
MAIN_SIGNALS = ("main_metric", "loss", "estimated_main_metric", "estimated_loss")
TABLE_DRIFT_SIGNALS = ("input_drift", "prediction_drift", "joint_drift")
COLUMN_DRIFT = "column_drift"


@dataclass(frozen=True)
class DecisionRow:
    """A decision beside what came of it."""

    decision: MonitoringDecision
    outcomes: tuple[DecisionOutcome, ...]


@dataclass(frozen=True)
class PartReport:
    """A column or a slice: its picture, and the findings about it that passed a threshold."""

    name: str
    chart: Chart | None
    breaches: tuple[Finding, ...]


def report_html(found: MonitoringResult, outcomes: Sequence[DecisionOutcome]) -> str:
    """Return a page that needs no other file."""
    start, end = _time_span(found)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["figure"] = lambda value: "no data" if value is None else format_tick(value)
    text = files("evertune.templates").joinpath("monitoring.html.jinja").read_text(encoding="utf-8")
    return environment.from_string(text).render(
        found=found,
        size={"width": WIDTH, "height": HEIGHT, "left": LEFT, "top": TOP},
        performance=list(_table_charts(found, MAIN_SIGNALS, start=start, end=end)),
        others=list(_table_charts(found, _other_signals(found), start=start, end=end)),
        processes=list(_process_charts(found, start=start, end=end)),
        drift=list(_table_charts(found, TABLE_DRIFT_SIGNALS, start=start, end=end)),
        slices=list(_part_reports(_slice_findings(found), start=start, end=end)),
        columns=list(_column_reports(found, start=start, end=end)),
        contract=_newest_breaches(each for each in found.findings if each.layer == "contract"),
        business=list(_table_charts(found, _signal_names(found, "business"), start=start, end=end)),
        rows=decision_rows(found.decisions, outcomes),
    )


def report_markdown(found: MonitoringResult) -> str:
    """Return the decision, its reasons and what crossed a threshold, in Markdown."""
    champion = f"version {found.champion}" if found.champion else "no champion"
    lines = [
        f"# {found.decision.action.capitalize()}",
        "",
        f"{found.model}, {champion}, {found.now:%Y-%m-%d %H:%M} UTC.",
        "",
        *(f"- {reason}" for reason in found.decision.reasons),
    ]
    if found.alarms:
        lines += ["", "| trigger | asks for | figure | why |", "|---|---|---|---|"]
        lines += [
            f"| {alarm.trigger} | {alarm.action} | {_format_value(alarm.value)} |"
            f" {alarm.evidence.replace('|', '/')} |"
            for alarm in found.alarms
        ]
    if found.causes:
        lines += ["", "Columns that drifted most, weighed by how much the model needs them:", ""]
        lines += [f"- {each.column}: drift {format_tick(each.drift)}" for each in found.causes[:5]]
    return "\n".join(lines) + "\n"


def decision_rows(
    decisions: Sequence[MonitoringDecision], outcomes: Sequence[DecisionOutcome]
) -> list[DecisionRow]:
    """Return the decisions that did something, newest first, each with what came of it."""
    told = [each for each in decisions if each.action != "nothing"]
    rows = [
        DecisionRow(each, tuple(one for one in outcomes if one.decision_id == each.id))
        for each in told
    ]
    return sorted(rows, key=lambda row: row.decision.moment, reverse=True)[:MAX_DECISIONS]


def _format_value(value: float | None) -> str:
    return "no data" if value is None else format_tick(value)


def _time_span(found: MonitoringResult) -> tuple[datetime, datetime]:
    starts = [each.window.start for each in found.findings]
    return min(starts, default=found.now), found.now


def _signal_names(found: MonitoringResult, layer: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(e.signal for e in found.findings if e.layer == layer))


def _other_signals(found: MonitoringResult) -> list[str]:
    known = dict.fromkeys((*_signal_names(found, "performance"), *_signal_names(found, "estimate")))
    return [name for name in known if name not in MAIN_SIGNALS]


def _table_charts(
    found: MonitoringResult, signals: Iterable[str], *, start: datetime, end: datetime
) -> Iterator[Chart]:
    for signal in signals:
        those = [each for each in found.findings if each.signal == signal and each.part is None]
        yield from _finding_charts(signal, those, start=start, end=end)


def _finding_charts(
    title: str, findings: Sequence[Finding], *, start: datetime, end: datetime
) -> Iterator[Chart]:
    points = [
        ChartPoint(_window_middle(each), each.value, each.low, each.high, each.state, each.note)
        for each in sorted(findings, key=lambda each: each.window.start)
    ]
    thresholds = [each.threshold for each in findings if each.threshold is not None]
    level = thresholds[-1] if thresholds else None
    drawn = draw_chart(title, points, start=start, end=end, threshold=level)
    if drawn is not None:
        yield drawn


def _window_middle(finding: Finding) -> datetime:
    return finding.window.start + (finding.window.end - finding.window.start) / 2


def _process_charts(found: MonitoringResult, *, start: datetime, end: datetime) -> Iterator[Chart]:
    for name, points in (found.processes or {}).items():
        level = points[-1].threshold if points else None
        drawn = draw_chart(
            f"evidence of {name}",
            [
                ChartPoint(p.day, p.value, state="breach" if p.value > p.threshold else "ok")
                for p in points
            ],
            start=start,
            end=end,
            threshold=level,
            logarithmic=True,
        )
        if drawn is not None:
            yield drawn


def _slice_findings(found: MonitoringResult) -> dict[str, list[Finding]]:
    return _group_by_part(e for e in found.findings if e.part and e.signal in MAIN_SIGNALS)


def _column_reports(
    found: MonitoringResult, *, start: datetime, end: datetime
) -> Iterator[PartReport]:
    about = _group_by_part(e for e in found.findings if e.part and e.layer in ("drift", "contract"))
    ranks = {cause.column: place for place, cause in enumerate(found.causes)}
    ordered = sorted(about, key=lambda name: (ranks.get(name, len(ranks)), name))
    yield from _part_reports({name: about[name] for name in ordered}, start=start, end=end)


def _group_by_part(findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    parts: dict[str, list[Finding]] = {}
    for each in findings:
        parts.setdefault(str(each.part), []).append(each)
    return parts


def _part_reports(
    parts: dict[str, list[Finding]], *, start: datetime, end: datetime
) -> Iterator[PartReport]:
    for name, findings in parts.items():
        drawn = [each for each in findings if each.signal in (COLUMN_DRIFT, *MAIN_SIGNALS)]
        picture = next(_finding_charts(name, drawn, start=start, end=end), None)
        yield PartReport(name, picture, _newest_breaches(findings))


def _newest_breaches(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    crossed = [each for each in findings if each.state == "breach"]
    newest = sorted(crossed, key=lambda each: each.window.start, reverse=True)
    return tuple(newest[:MAX_BREACHES])


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
REPORTED_LAYERS = ("performance", "estimate", "business")


def publish_report(root: Path, found: MonitoringResult) -> Path:
    """Write the page, bring the model's monitoring run up to date, and return where the page is.

    Raises
    ------
    BusyError
        MLflow or the log's database does not answer.
    """
    params = load_params(root)
    with open_prediction_log(params) as log:
        came = DecisionLog(log).outcomes()
    page = params.paths.state / "monitoring" / "monitoring.html"
    write_text(page, report_html(found, came))
    open_registry(params).log_monitoring(page=page, points=metric_points(found))
    return page


def metric_points(found: MonitoringResult) -> list[MetricPoint]:
    """Return the figures of the whole table, the step is the hour since 1970."""
    shown = [
        each
        for each in found.findings
        if each.part is None
        and (each.layer in REPORTED_LAYERS or each.signal in TABLE_DRIFT_SIGNALS)
    ]
    return [point for each in shown for point in _finding_points(each)]


def _finding_points(finding: Finding) -> list[MetricPoint]:
    if finding.value is None or finding.state in ("immature", "no data"):
        return []
    end = finding.window.end
    milliseconds = int(end.timestamp() * 1000)
    hours = int((end - EPOCH).total_seconds() // 3600)
    return [MetricPoint(finding.signal, finding.value, hours, milliseconds)]
