"""The page of a decision: for a product owner to read, and for an auditor to check."""

from dataclasses import dataclass
from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from pipelines.core.intervals import Difference
from pipelines.core.judging.records import Record
from pipelines.core.names import figure_text, metric_name

WIDTH, MARGIN = 600, 20
ALIASES = ("champion", "previous", "challenger")


@dataclass(frozen=True)
class Bar:
    """An interval beside zero, as places from left to right on a picture."""

    zero: float
    low: float
    mean: float
    high: float


def record_html(record: Record) -> str:
    """Return a page that needs no other file.

    Parameters
    ----------
    record : Record
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"figure": figure_text, "metric": metric_name, "signed": signed}
    text = files("pipelines.core.judging").joinpath("record.html.jinja")
    return environment.from_string(text.read_text(encoding="utf-8")).render(
        r=record,
        headline=headline(record),
        ruling=ruling(record),
        aliases=ALIASES,
        bar=bar(record.difference),
    )


def headline(record: Record) -> str:
    """Return what was decided, in a few words.

    Examples
    --------
    >>> from datetime import datetime
    >>> made = Record("a", datetime(2024, 5, 1), "churn", "gate", "3", "keep", (), "", {}, {})
    >>> headline(made)
    'Version 3 is refused'
    """
    said = {
        ("gate", "promote"): "becomes champion",
        ("gate", "keep"): "is refused",
        ("gate", "not enough evidence"): "is not promoted: there is not enough evidence",
        ("approval", "promote"): "is approved, and becomes champion",
        ("approval", "keep"): "is rejected",
        ("promotion", "promote"): "is made champion by hand",
        ("rollback", "promote"): "is champion again",
    }
    words = said.get((record.act, record.verdict), record.verdict)
    return f"Version {record.version} {'waits for approval' if waits(record) else words}"


def ruling(record: Record) -> str:
    """Return the verdict in the words of who gave it.

    Examples
    --------
    >>> from datetime import datetime
    >>> ruling(Record("a", datetime(2024, 5, 1), "churn", "gate", "3", "keep", (), "", {}, {}))
    'Verdict: keep'
    """
    if waits(record):
        return "Every gate is passed; a person has to approve"
    answer = "Approved" if record.verdict == "promote" else "Rejected"
    by_hand = {"approval": answer, "promotion": "Promoted by hand", "rollback": "Rolled back"}
    return by_hand.get(record.act, f"Verdict: {record.verdict}")


def waits(record: Record) -> bool:
    """Return whether it is the gate's word that only a person's approval is missing."""
    return record.act == "gate" and record.waits_for_approval


def signed(value: float | None) -> str:
    """Return a difference with its sign.

    Examples
    --------
    >>> signed(0.01234), signed(None)
    ('+0.01234', '-')
    """
    return "-" if value is None else f"{value:+.4g}"


def bar(difference: Difference | None) -> Bar | None:
    """Return where the ends of an interval lie on a picture, None where one is missing.

    Examples
    --------
    >>> bar(Difference(mean=1.0, low=0.0, high=2.0, share_better=None, n_rows=9))
    Bar(zero=20.0, low=20.0, mean=300.0, high=580.0)
    """
    if difference is None or difference.mean is None:
        return None
    if difference.low is None or difference.high is None:
        return None
    marks = (0.0, difference.low, difference.mean, difference.high)
    least, span = min(marks), (max(marks) - min(marks)) or 1.0
    places = [MARGIN + (WIDTH - 2 * MARGIN) * (mark - least) / span for mark in marks]
    return Bar(*(round(place, 1) for place in places))
