"""The monitoring report: an HTML page with charts, and the metrics of the model's MLflow run.

`publish_report` writes state/monitoring/monitoring.html and updates the monitoring run in MLflow,
where the step of a metric is the hour since 1970. `report_html` returns the page, which needs no
other file: `draw_chart` lays out each chart as SVG.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import get_args

from jinja2 import Environment, StrictUndefined

from evertune.config.loader import load_params
from evertune.decisions import DecisionOutcome, Finding, MonitoringDecision, MonitoringLayer
from evertune.evaluation.formatting import format_interval, format_score, metric_name
from evertune.files import write_text
from evertune.monitoring.prediction_log import open_prediction_log
from evertune.monitoring.results import MonitoringResult, latest_finding
from evertune.registry.decision_log import DecisionLog
from evertune.registry.mlflow_registry import open_registry
from evertune.registry.run_page import MetricPoint
from evertune.times import EPOCH

WIDTH, HEIGHT, LEFT, TOP = 920, 190, 72, 14
N_TICKS = 4
HEADROOM = 0.08
TICK_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
MAX_BREACHES = 40
MAX_DECISIONS = 60
MAIN_SIGNALS = ("main_metric", "loss", "estimated_main_metric", "estimated_loss")
TABLE_DRIFT_SIGNALS = ("input_drift", "prediction_drift", "joint_drift")
PUBLISHED_LAYERS = ("performance", "estimate", "business")


def publish_report(root: Path, result: MonitoringResult) -> Path:
    """Write the page, bring the model's monitoring run up to date, and return where the page is.

    Raises
    ------
    BusyError
        MLflow or the log's database does not answer.
    """
    params = load_params(root)
    with open_prediction_log(params) as log:
        outcomes = DecisionLog(log).current_outcomes(params.paths.state)
    page = params.paths.state / "monitoring" / "monitoring.html"
    write_text(page, report_html(result, outcomes))
    open_registry(params).log_monitoring(page=page, points=metric_points(result))
    return page


def metric_points(result: MonitoringResult) -> list[MetricPoint]:
    """Return the values of the whole table for MLflow; the step is the hour since 1970."""
    return [
        MetricPoint(
            each.signal,
            each.value,
            int((each.window.end - EPOCH).total_seconds() // 3600),
            int(each.window.end.timestamp() * 1000),
        )
        for each in result.findings
        if each.part is None
        and (each.layer in PUBLISHED_LAYERS or each.signal in TABLE_DRIFT_SIGNALS)
        and each.value is not None
        and each.state not in ("immature", "no data")
    ]


def report_html(result: MonitoringResult, outcomes: Sequence[DecisionOutcome]) -> str:
    """Return a page that needs no other file."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["number"] = lambda v: "no data" if v is None else format_score(v)
    template = files("evertune.templates").joinpath("monitoring.html.jinja")
    findings, charts = result.findings, _Charts(result)
    signals: dict[str, list[str]] = {layer: [] for layer in get_args(MonitoringLayer)}
    for each in findings:
        if each.signal not in signals[each.layer]:
            signals[each.layer].append(each.signal)
    others = [*signals["performance"], *signals["estimate"]]
    slices = [each for each in findings if each.part and each.signal in MAIN_SIGNALS]
    columns = [each for each in findings if each.part and each.layer in ("drift", "contract")]
    ranks = {cause.column: rank for rank, cause in enumerate(result.causes)}
    columns.sort(key=lambda each: (ranks.get(str(each.part), len(ranks)), str(each.part)))
    return environment.from_string(template.read_text(encoding="utf-8")).render(
        result=result,
        size={"width": WIDTH, "height": HEIGHT, "left": LEFT, "top": TOP},
        performance=charts.of_signals(MAIN_SIGNALS),
        others=charts.of_signals(name for name in others if name not in MAIN_SIGNALS),
        tests=charts.of_sequential_tests(),
        drift=charts.of_signals(TABLE_DRIFT_SIGNALS),
        slices=charts.of_parts(slices),
        columns=charts.of_parts(columns),
        contract=_newest_breaches(each for each in findings if each.layer == "contract"),
        business=charts.of_signals(signals["business"]),
        decisions=_decisions_with_outcomes(result.decisions, outcomes),
    )


def _decisions_with_outcomes(
    decisions: Sequence[MonitoringDecision], outcomes: Sequence[DecisionOutcome]
) -> list[tuple[MonitoringDecision, list[DecisionOutcome]]]:
    """Return the decisions that did something, newest first, each with what came of it."""
    acted = [each for each in decisions if each.action != "nothing"]
    newest = sorted(acted, key=lambda each: each.moment, reverse=True)[:MAX_DECISIONS]
    return [
        (each, [outcome for outcome in outcomes if outcome.decision_id == each.id])
        for each in newest
    ]


def _newest_breaches(findings: Iterable[Finding]) -> list[Finding]:
    breaches = [each for each in findings if each.state == "breach"]
    return sorted(breaches, key=lambda each: each.window.start, reverse=True)[:MAX_BREACHES]


class _Charts:
    """The charts of a page, which share its span of time."""

    def __init__(self, result: MonitoringResult) -> None:
        self.result = result
        self.start = min((each.window.start for each in result.findings), default=result.now)

    def of_signals(self, signals: Iterable[str]) -> list["Chart"]:
        """Return the chart of each signal of the whole table that has a value."""
        whole = [each for each in self.result.findings if each.part is None]
        charts = [
            self.of_findings(self._title(signal), [each for each in whole if each.signal == signal])
            for signal in signals
        ]
        return [chart for chart in charts if chart is not None]

    def _title(self, signal: str) -> str:
        """Return the name of a signal, the main metric by its own."""
        latest = latest_finding(self.result.findings, "main_metric")
        if signal != "main_metric" or latest is None:
            return metric_name(signal)
        return f"{metric_name(latest.note)} (main metric)"

    def of_parts(self, findings: Iterable[Finding]) -> dict[str, dict[str, object]]:
        """Return the chart and the newest breaches of each column or slice, by its name."""
        parts: dict[str, list[Finding]] = {}
        for each in findings:
            parts.setdefault(str(each.part), []).append(each)
        drawn = ("column_drift", *MAIN_SIGNALS)
        return {
            name: {
                "chart": self.of_findings(name, [each for each in own if each.signal in drawn]),
                "breaches": _newest_breaches(own),
            }
            for name, own in parts.items()
        }

    def of_findings(self, title: str, findings: Sequence[Finding]) -> "Chart | None":
        """Return the chart of the findings of one signal, None if none has a value."""
        points = [
            ChartPoint(
                each.window.start + (each.window.end - each.window.start) / 2,
                each.value,
                each.low,
                each.high,
                each.state,
                each.note,
            )
            for each in sorted(findings, key=lambda each: each.window.start)
        ]
        thresholds = [each.threshold for each in findings if each.threshold is not None]
        threshold = thresholds[-1] if thresholds else None
        return draw_chart(title, points, start=self.start, end=self.result.now, threshold=threshold)

    def of_sequential_tests(self) -> list["Chart"]:
        """Return the evidence of each sequential test over time."""
        charts = [
            draw_chart(
                f"evidence of {name}",
                [
                    ChartPoint(p.day, p.value, state="breach" if p.value > p.threshold else "ok")
                    for p in points
                ],
                start=self.start,
                end=self.result.now,
                threshold=points[-1].threshold if points else None,
                is_logarithmic=True,
            )
            for name, points in self.result.processes.items()
        ]
        return [chart for chart in charts if chart is not None]


@dataclass(frozen=True)
class ChartPoint:
    """A value at a moment; None is drawn as a gap."""

    moment: datetime
    value: float | None
    low: float | None = None
    high: float | None = None
    state: str = "ok"
    note: str = ""


@dataclass(frozen=True)
class Chart:
    """What the template draws, in the coordinates of SVG.

    Attributes
    ----------
    lines, bands : tuple of str
        Points of polylines, and of polygons.
    dots : tuple of (x, y, state, title)
    gaps : tuple of float
        Places on the x axis without a value.
    ticks, dates : tuple of (place, text)
        Of the y axis, and of the x axis.
    threshold : (place, text), optional
    """

    title: str
    lines: tuple[str, ...]
    bands: tuple[str, ...]
    dots: tuple[tuple[float, float, str, str], ...]
    gaps: tuple[float, ...]
    ticks: tuple[tuple[float, str], ...]
    dates: tuple[tuple[float, str], ...]
    threshold: tuple[float, str] | None


def draw_chart(
    title: str,
    points: Sequence[ChartPoint],
    *,
    start: datetime,
    end: datetime,
    threshold: float | None = None,
    is_logarithmic: bool = False,
) -> Chart | None:
    """Return the chart of a value over time; None where no point has a value."""
    filled = [(point, point.value) for point in points if point.value is not None]
    if not filled:
        return None

    def to_scale(value: float) -> float:
        return math.log10(max(value, 1e-3)) if is_logarithmic else value

    values = [value for p, _ in filled for value in (p.value, p.low, p.high, threshold)]
    scaled = [to_scale(value) for value in values if value is not None]
    low, high = min(scaled), max(scaled)
    spare = HEADROOM * (high - low) or abs(high) * HEADROOM or 1.0
    low, high = low - spare, high + spare

    def x(moment: datetime) -> float:
        share = (moment - start) / ((end - start) or timedelta(seconds=1))
        return round(LEFT + (WIDTH - LEFT) * min(max(share, 0.0), 1.0), 1)

    def y(value: float) -> float:
        share = (to_scale(value) - low) / (high - low)
        return round(TOP + (HEIGHT - TOP) * (1 - min(max(share, 0.0), 1.0)), 1)

    def path(pairs: Iterable[tuple[datetime, float | None]]) -> str:
        return " ".join(f"{x(moment)},{y(v)}" for moment, v in pairs if v is not None)

    lines, bands = [], []
    for has_value, group in groupby(points, key=lambda point: point.value is not None):
        run = list(group)
        if has_value:
            lines.append(path((p.moment, p.value) for p in run))
            if len(run) > 1 and all(p.low is not None and p.high is not None for p in run):
                upper = path((p.moment, p.high) for p in run)
                bands.append(f"{upper} {path((p.moment, p.low) for p in reversed(run))}")
    dates = [start + (end - start) * place / N_TICKS for place in range(N_TICKS + 1)]
    return Chart(
        title=title,
        lines=tuple(lines),
        bands=tuple(bands),
        dots=tuple((x(p.moment), y(v), p.state, _dot_title(p)) for p, v in filled),
        gaps=tuple(x(point.moment) for point in points if point.value is None),
        ticks=tuple((y(v), f"{v:g}") for v in _tick_values(low, high, is_logarithmic)),
        dates=tuple((x(moment), f"{moment:%Y-%m-%d}") for moment in dates),
        threshold=None if threshold is None else (y(threshold), format_score(threshold)),
    )


def _dot_title(point: ChartPoint) -> str:
    interval = format_interval(point.low, point.high)
    interval = f" ({interval})" if interval else ""
    note = f". {point.note}" if point.note else ""
    value = format_score(point.value)
    return f"{point.moment:%Y-%m-%d %H:%M}: {value}{interval}, {point.state}{note}"


def _tick_values(low: float, high: float, is_logarithmic: bool) -> list[float]:
    """Return round values between two ends; whole powers of ten of ends that are logarithms."""
    rough = max((high - low) / N_TICKS, 1.0 if is_logarithmic else 0.0)
    power = 10.0 ** math.floor(math.log10(rough))
    steps = [power * step for step in TICK_STEPS if not is_logarithmic or power * step % 1 == 0]
    step = next(each for each in steps if each >= rough)
    places = range(math.ceil(low / step), math.floor(high / step) + 1)
    return [10.0 ** (step * each) if is_logarithmic else step * each for each in places]
