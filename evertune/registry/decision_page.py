"""The page of a decision record, for a product owner to read and an auditor to check."""

from functools import cache
from importlib.resources import files

from jinja2 import Environment, StrictUndefined, Template

from evertune.evaluation.formatting import format_score, metric_name
from evertune.registry.promotion_records import DecisionRecord
from evertune.stats.results import PairedDifference
from evertune.times import in_zone

CHART_WIDTH, CHART_MARGIN = 600, 20  # pixels
SHOWN_ALIASES = ("champion", "previous", "challenger")
HEADLINES = {
    ("gate", "promote"): "becomes champion",
    ("gate", "keep"): "is refused",
    ("gate", "not enough evidence"): "is not promoted: there is not enough evidence",
    ("approval", "promote"): "is approved, and becomes champion",
    ("approval", "keep"): "is rejected",
    ("promotion", "promote"): "is made champion by hand",
    ("rollback", "promote"): "is champion again",
}

SHORT_VERDICTS = {
    ("gate", "promote"): "promoted",
    ("gate", "keep"): "not promoted",
    ("approval", "promote"): "approved",
    ("approval", "keep"): "rejected",
    ("promotion", "promote"): "promoted",
    ("rollback", "promote"): "champion again",
}


@cache
def _page_template() -> Template:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"figure": format_score, "metric": metric_name, "signed": signed_text}
    text = files("evertune.templates").joinpath("decision.html.jinja")
    return environment.from_string(text.read_text(encoding="utf-8"))


def record_html(record: DecisionRecord, timezone: str = "UTC") -> str:
    """Return the page, which needs no other file; it shows the time in `timezone`."""
    return _page_template().render(
        r=record,
        moment=in_zone(record.moment, timezone),
        headline=record_headline(record),
        ruling=verdict_text(record),
        aliases=SHOWN_ALIASES,
        bar=interval_bar(record.difference),
    )


def record_headline(record: DecisionRecord) -> str:
    """Return the decision in a few words, such as `Version 3 is refused`."""
    words = HEADLINES.get((record.act, record.verdict), record.verdict)
    return f"Version {record.version} {'waits for approval' if _waits(record) else words}"


def verdict_text(record: DecisionRecord) -> str:
    """Return the verdict in the words of whoever gave it, such as `Verdict: keep`."""
    if _waits(record):
        return "Every gate is passed; a person has to approve"
    approval = "Approved" if record.verdict == "promote" else "Rejected"
    by_hand = {"approval": approval, "promotion": "Promoted by hand", "rollback": "Rolled back"}
    return by_hand.get(record.act, f"Verdict: {record.verdict}")


def short_verdict(record: DecisionRecord) -> str:
    """Return the decision in a word or two, with the name of the person who gave it.

    It is a tag of the version, for the list of versions.
    """
    if _waits(record):
        return "waits for approval"
    words = SHORT_VERDICTS.get((record.act, record.verdict), record.verdict)
    return words if record.act == "gate" else f"{words} by {record.by}"


def signed_text(value: float | None) -> str:
    """Return a difference with its sign."""
    return "-" if value is None else f"{value:+.4g}"


def interval_bar(difference: PairedDifference | None) -> dict[str, float] | None:
    """Return the pixels of zero and of an interval's low end, mean and high end."""
    if difference is None:
        return None
    mean, low, high = difference.mean, difference.low, difference.high
    if mean is None or low is None or high is None:
        return None
    marks = {"zero": 0.0, "low": low, "mean": mean, "high": high}
    least = min(marks.values())
    span = (max(marks.values()) - least) or 1.0
    width = CHART_WIDTH - 2 * CHART_MARGIN
    return {
        name: round(CHART_MARGIN + width * (mark - least) / span, 1) for name, mark in marks.items()
    }


def _waits(record: DecisionRecord) -> bool:
    return record.act == "gate" and record.waits_for_approval
