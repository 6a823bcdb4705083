"""The monitoring page: what production looks like, what was decided and why, column by column."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from pipelines.core.charts import HEIGHT, LEFT, TOP, WIDTH, Chart, Point, chart, figure
from pipelines.core.findings import Decision, Finding, Outcome
from pipelines.core.monitored import Monitored

MOST_BREACHES = 40
MOST_DECISIONS = 60
FIRST = ("main_metric", "loss", "estimated_main_metric", "estimated_loss")
DRIFTS = ("input_drift", "prediction_drift", "joint_drift")
COLUMN = "column_drift"


@dataclass(frozen=True)
class Row:
    """A decision beside what came of it."""

    decision: Decision
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True)
class Part:
    """A column or a slice: its picture, and the findings about it that passed a threshold."""

    name: str
    chart: Chart | None
    breaches: tuple[Finding, ...]


def watch_html(found: Monitored, outcomes: Sequence[Outcome]) -> str:
    """Return a page that needs no other file.

    Parameters
    ----------
    found : Monitored
    outcomes : sequence of Outcome
        Of all decisions so far.
    """
    start, end = _span(found)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["figure"] = lambda value: "no data" if value is None else figure(value)
    text = files("pipelines.core").joinpath("watch_page.html.jinja").read_text(encoding="utf-8")
    return environment.from_string(text).render(
        found=found,
        size={"width": WIDTH, "height": HEIGHT, "left": LEFT, "top": TOP},
        performance=list(_whole(found, FIRST, start=start, end=end)),
        others=list(_whole(found, _other_figures(found), start=start, end=end)),
        processes=list(_processes(found, start=start, end=end)),
        drift=list(_whole(found, DRIFTS, start=start, end=end)),
        slices=list(_parts(_slices(found), start=start, end=end)),
        columns=list(_columns(found, start=start, end=end)),
        contract=_breaches(each for each in found.findings if each.layer == "contract"),
        business=list(_whole(found, _names(found, "business"), start=start, end=end)),
        rows=decided(found.decisions, outcomes),
    )


def watch_markdown(found: Monitored) -> str:
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
            f"| {a.trigger} | {a.action} | {_cell(a.value)} | {a.evidence.replace('|', '/')} |"
            for a in found.alarms
        ]
    if found.causes:
        lines += ["", "Columns that drifted most, weighed by how much the model needs them:", ""]
        lines += [f"- {each.column}: drift {figure(each.drift)}" for each in found.causes[:5]]
    return "\n".join(lines) + "\n"


def decided(decisions: Sequence[Decision], outcomes: Sequence[Outcome]) -> list[Row]:
    """Return the decisions that did something, newest first, each with what came of it."""
    told = [each for each in decisions if each.action != "nothing"]
    rows = [
        Row(each, tuple(one for one in outcomes if one.decision_id == each.id)) for each in told
    ]
    return sorted(rows, key=lambda row: row.decision.moment, reverse=True)[:MOST_DECISIONS]


def _cell(value: float | None) -> str:
    return "no data" if value is None else figure(value)


def _span(found: Monitored) -> tuple[datetime, datetime]:
    starts = [each.window.start for each in found.findings]
    return min(starts, default=found.now), found.now


def _names(found: Monitored, layer: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(e.signal for e in found.findings if e.layer == layer))


def _other_figures(found: Monitored) -> list[str]:
    known = dict.fromkeys((*_names(found, "performance"), *_names(found, "estimate")))
    return [name for name in known if name not in FIRST]


def _whole(
    found: Monitored, signals: Iterable[str], *, start: datetime, end: datetime
) -> Iterator[Chart]:
    for signal in signals:
        those = [each for each in found.findings if each.signal == signal and each.part is None]
        yield from _drawn(signal, those, start=start, end=end)


def _drawn(
    title: str, findings: Sequence[Finding], *, start: datetime, end: datetime
) -> Iterator[Chart]:
    points = [
        Point(_middle(each), each.value, each.low, each.high, each.state, each.note)
        for each in sorted(findings, key=lambda each: each.window.start)
    ]
    thresholds = [each.threshold for each in findings if each.threshold is not None]
    level = thresholds[-1] if thresholds else None
    drawn = chart(title, points, start=start, end=end, threshold=level)
    if drawn is not None:
        yield drawn


def _middle(finding: Finding) -> datetime:
    return finding.window.start + (finding.window.end - finding.window.start) / 2


def _processes(found: Monitored, *, start: datetime, end: datetime) -> Iterator[Chart]:
    for name, points in (found.processes or {}).items():
        level = points[-1].threshold if points else None
        drawn = chart(
            f"evidence of {name}",
            [
                Point(p.day, p.value, state="breach" if p.value > p.threshold else "ok")
                for p in points
            ],
            start=start,
            end=end,
            threshold=level,
            logarithmic=True,
        )
        if drawn is not None:
            yield drawn


def _slices(found: Monitored) -> dict[str, list[Finding]]:
    return _by_part(e for e in found.findings if e.part and e.signal in FIRST)


def _columns(found: Monitored, *, start: datetime, end: datetime) -> Iterator[Part]:
    about = _by_part(e for e in found.findings if e.part and e.layer in ("drift", "contract"))
    ranks = {cause.column: place for place, cause in enumerate(found.causes)}
    ordered = sorted(about, key=lambda name: (ranks.get(name, len(ranks)), name))
    yield from _parts({name: about[name] for name in ordered}, start=start, end=end)


def _by_part(findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    parts: dict[str, list[Finding]] = {}
    for each in findings:
        parts.setdefault(str(each.part), []).append(each)
    return parts


def _parts(parts: dict[str, list[Finding]], *, start: datetime, end: datetime) -> Iterator[Part]:
    for name, findings in parts.items():
        drawn = [each for each in findings if each.signal in (COLUMN, *FIRST)]
        picture = next(_drawn(name, drawn, start=start, end=end), None)
        yield Part(name, picture, _breaches(findings))


def _breaches(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    crossed = [each for each in findings if each.state == "breach"]
    newest = sorted(crossed, key=lambda each: each.window.start, reverse=True)
    return tuple(newest[:MOST_BREACHES])
